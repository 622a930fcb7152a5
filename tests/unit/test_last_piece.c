/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last piece of a file, which the index remembers (cache/index_extent.c), follows all that can happen to it: random changes to
 * files that share one place in that memory, undone transactions, a kill.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { SLOTS = 256, FILES = 3, SIZE = 40000, MOST = 5000, STEPS = 3000 };

struct model {
	uint64_t ino;
	size_t size;
	uint8_t bytes[SIZE];
};

static struct model files[FILES];
static uint64_t seed;

static size_t some(size_t below)
{
	return (size_t)(unit_random(&seed) % below);
}

static void make_files(struct store_fixture *f)
{
	memset(files, 0, sizeof files);
	for (size_t n = 0, made = 0; n < FILES; made++) {
		char name[24];
		snprintf(name, sizeof name, "f%zu", made);
		uint64_t ino = store_fixture_make(f, f->root, name, NODE_FILE);
		if (n == 0 || (ino - files[0].ino) % SLOTS == 0)
			files[n++].ino = ino;
	}
}

static void write_at(struct store_fixture *f, struct model *m, size_t off)
{
	uint8_t data[MOST];
	size_t len = 1 + some(MOST);
	if (off + len > SIZE)
		return;
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)unit_random(&seed);
	store_fixture_write(f, m->ino, off, data, len);
	memcpy(m->bytes + off, data, len);
	m->size = off + len > m->size ? off + len : m->size;
}

static void set_size(struct store_fixture *f, struct model *m, size_t size)
{
	struct node attr = { .size = size }, n;
	assert_int_equal(store_setattr(f->store, m->ino, ATTR_SIZE, &attr, &n), 0);
	if (size < m->size)
		memset(m->bytes + size, 0, m->size - size);
	m->size = size;
}

static void punch(struct store_fixture *f, struct model *m, size_t off, size_t len)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	assert_int_equal(store_fallocate(f->store, m->ino, mode, off, len), 0);
	memset(m->bytes + off, 0, off + len > SIZE ? SIZE - off : len);
}

/* The last bytes go, and what stood before them ends the file. */
static void collapse(struct store_fixture *f, struct model *m, size_t off, size_t len)
{
	if (off + len >= m->size)
		return;
	assert_int_equal(store_fallocate(f->store, m->ino, FALLOC_FL_COLLAPSE_RANGE, off, len), 0);
	memmove(m->bytes + off, m->bytes + off + len, m->size - off - len);
	m->size -= len;
	memset(m->bytes + m->size, 0, len);
}

static void insert(struct store_fixture *f, struct model *m, size_t off, size_t len)
{
	if (off >= m->size || m->size + len > SIZE)
		return;
	assert_int_equal(store_fallocate(f->store, m->ino, FALLOC_FL_INSERT_RANGE, off, len), 0);
	memmove(m->bytes + off + len, m->bytes + off, m->size - off);
	memset(m->bytes + off, 0, len);
	m->size += len;
}

static void copy(struct store_fixture *f, const struct model *from, struct model *to)
{
	size_t off = some(SIZE / 2), to_off = some(SIZE / 2);
	size_t len = off < from->size ? 1 + some(from->size - off) : 0;
	uint64_t copied;
	if (from == to || len == 0 || to_off + len > SIZE)
		return;
	assert_int_equal(store_copy_range(f->store, from->ino, off, to->ino, to_off, len, &copied), 0);
	assert_int_equal(copied, len);
	memcpy(to->bytes + to_off, from->bytes + off, len);
	to->size = to_off + len > to->size ? to_off + len : to->size;
}

/* Its pieces go and come back. */
static void remove_and_undo(struct store_fixture *f, const struct model *m)
{
	struct store_txn *t;
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_node_del(t, m->ino), 0);
	store_abort(&t);
}

static void step(struct store_fixture *f)
{
	struct model *m = &files[some(FILES)];
	switch (some(13)) {
	case 0:
		write_at(f, m, some(SIZE));
		break;
	case 1:
		write_at(f, m, m->size > 0 ? some(m->size) : 0);
		break;
	case 2:
		set_size(f, m, some(SIZE));
		break;
	case 3:
		set_size(f, m, m->size / 2);
		break;
	case 4:
		punch(f, m, some(SIZE), 1 + some(SIZE));
		break;
	case 5:
		collapse(f, m, some(SIZE), 1 + some(MOST));
		break;
	case 6:
		insert(f, m, some(SIZE), 1 + some(MOST));
		break;
	case 7:
		copy(f, &files[some(FILES)], m);
		break;
	case 8:
		remove_and_undo(f, m);
		break;
	default:
		write_at(f, m, m->size);
		break;
	}
}

static void check(struct store_fixture *f)
{
	static uint8_t got[SIZE];
	for (size_t i = 0; i < FILES; i++) {
		struct node n;
		uint64_t chunk;
		size_t len;
		assert_int_equal(store_getattr(f->store, files[i].ino, &n), 0);
		assert_int_equal(n.size, files[i].size);
		assert_int_equal(store_read(f->store, files[i].ino, 0, got, SIZE, &len, &chunk), 0);
		assert_int_equal(len, files[i].size);
		assert_memory_equal(got, files[i].bytes, len);
	}
}

/* Nothing but the move itself touches a piece here. */
static void an_insert_in_a_hole_moves_the_last_piece(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct model *m = &files[0];
	(void)state;
	seed = 2;
	make_files(f);
	write_at(f, m, 0);
	set_size(f, m, 3 * MOST);
	for (size_t size = m->size; m->size < size + MOST;)
		write_at(f, m, m->size);
	insert(f, m, 2 * MOST, MOST);
	for (int i = 0; i < 20; i++) {
		write_at(f, m, 4 * MOST + some(MOST));
		check(f);
	}
	store_fixture_free(f);
}

static void pieces_are_what_was_written(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	(void)state;
	seed = 1;
	make_files(f);
	for (int i = 0; i < STEPS; i++) {
		step(f);
		check(f);
		if (i % 500 == 499)
			store_fixture_crash(f, FAKE_KEEP_ALL);
		if (i % 500 == 250)
			assert_int_equal(store_tend(f->store), 0);
	}
	check(f);
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(pieces_are_what_was_written),
		cmocka_unit_test(an_insert_in_a_hole_moves_the_last_piece) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
