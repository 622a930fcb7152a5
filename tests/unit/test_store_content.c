/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content against a model of plain arrays: random writes, truncations, holes, shifts and copies, with kills and restarts.
 */
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { FILES = 4, MAX = 256 * 1024 };

struct model {
	uint64_t ino;
	size_t size;
	bool aside; /* room was set aside in it */
	uint8_t data[MAX];
};

struct run {
	struct store_fixture *f;
	struct model m[FILES];
	uint64_t seed;
	uint8_t scratch[MAX];
};

static size_t below(struct run *r, size_t n)
{
	return n == 0 ? 0 : (size_t)(unit_random(&r->seed) % n);
}

static void grow(struct model *m, size_t size)
{
	if (size > m->size) {
		memset(m->data + m->size, 0, size - m->size);
		m->size = size;
	}
}

static void op_write(struct run *r, struct model *m)
{
	size_t off = below(r, MAX / 2), len = 1 + below(r, below(r, 4) == 0 ? MAX / 2 : 9000);
	for (size_t i = 0; i < len; i++)
		r->scratch[i] = (uint8_t)unit_random(&r->seed);
	store_fixture_write(r->f, m->ino, off, r->scratch, len);
	grow(m, off + len);
	memcpy(m->data + off, r->scratch, len);
}

static void op_append(struct run *r, struct model *m)
{
	for (int i = 0; i < 20 && m->size + 100 < MAX; i++) {
		memset(r->scratch, (int)below(r, 256), 100);
		uint64_t at;
		assert_int_equal(store_append(r->f->store, m->ino, r->scratch, 100, &at), 0);
		assert_int_equal(at, m->size);
		grow(m, m->size + 100);
		memcpy(m->data + m->size - 100, r->scratch, 100);
	}
}

static void op_truncate(struct run *r, struct model *m)
{
	struct node attr = { .size = below(r, MAX) }, n;
	assert_int_equal(store_setattr(r->f->store, m->ino, ATTR_SIZE, &attr, &n), 0);
	assert_int_equal(n.size, attr.size);
	grow(m, attr.size);
	m->size = attr.size;
}

static void op_hole(struct run *r, struct model *m)
{
	size_t off = below(r, MAX), len = 1 + below(r, MAX - off), end = off + len;
	bool punch = m >= &r->m[FILES / 2] || below(r, 2) == 0;
	int mode = punch ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : FALLOC_FL_ZERO_RANGE;
	assert_int_equal(store_fallocate(r->f->store, m->ino, mode, off, len), 0);
	if (!punch)
		grow(m, end);
	m->aside |= !punch;
	if (off < m->size)
		memset(m->data + off, 0, (end < m->size ? end : m->size) - off);
}

static void op_shift(struct run *r, struct model *m)
{
	size_t off = below(r, m->size), len = 1 + below(r, 20000);
	if (off + len >= m->size || m->size + len > MAX)
		return;
	if (below(r, 2) == 0) {
		assert_int_equal(store_fallocate(r->f->store, m->ino, FALLOC_FL_COLLAPSE_RANGE, off, len), 0);
		memmove(m->data + off, m->data + off + len, m->size - off - len);
		m->size -= len;
	} else {
		assert_int_equal(store_fallocate(r->f->store, m->ino, FALLOC_FL_INSERT_RANGE, off, len), 0);
		memmove(m->data + off + len, m->data + off, m->size - off);
		memset(m->data + off, 0, len);
		m->size += len;
	}
}

static void op_copy(struct run *r, struct model *to)
{
	struct model *from = &r->m[below(r, FILES)];
	size_t from_off = below(r, MAX), to_off = below(r, MAX / 2), len = 1 + below(r, MAX / 2);
	size_t want = from_off >= from->size ? 0 : len < from->size - from_off ? len : from->size - from_off;
	uint64_t got;
	int err = store_copy_range(r->f->store, from->ino, from_off, to->ino, to_off, len, &got);
	if (from == to && want > 0 && from_off < to_off + want && to_off < from_off + want) {
		assert_int_equal(err, ERR_INVALID);
		return;
	}
	assert_int_equal(err, 0);
	assert_int_equal(got, want);
	memcpy(r->scratch, from->data + from_off, want);
	if (want > 0)
		grow(to, to_off + want);
	memcpy(to->data + to_off, r->scratch, want);
}

static void compare(struct run *r, const struct model *m, size_t off, size_t len)
{
	uint64_t chunk;
	size_t got, want = off >= m->size ? 0 : len < m->size - off ? len : m->size - off;
	memset(r->scratch, 0xaa, sizeof r->scratch);
	assert_int_equal(store_read(r->f->store, m->ino, off, r->scratch, len, &got, &chunk), 0);
	assert_int_equal(got, want);
	assert_memory_equal(r->scratch, m->data + off, want);
}

/* Data never hides in a hole; where seek says hole there are zeros. What is allocated is what is data. */
static void check_seek(struct run *r, const struct model *m)
{
	uint64_t at = 0, data, hole, sum = 0;
	struct node n;
	while (at < m->size && store_seek(r->f->store, m->ino, at, SEEK_DATA, &data) == 0) {
		for (uint64_t i = at; i < data; i++)
			assert_int_equal(m->data[i], 0);
		assert_int_equal(store_seek(r->f->store, m->ino, data, SEEK_HOLE, &hole), 0);
		assert_true(hole > data);
		sum += hole - data;
		at = hole;
	}
	assert_int_equal(store_getattr(r->f->store, m->ino, &n), 0);
	if (m->aside)
		assert_true(n.allocated >= sum && n.allocated <= m->size);
	else
		assert_int_equal(n.allocated, sum);
	for (uint64_t i = at; i < m->size; i++)
		assert_int_equal(m->data[i], 0);
}

static void check_all(struct run *r)
{
	for (int i = 0; i < FILES; i++) {
		compare(r, &r->m[i], 0, MAX);
		check_seek(r, &r->m[i]);
	}
}

static void step(struct run *r)
{
	static void (*const ops[])(struct run *, struct model *) = { op_write, op_write, op_write, op_append,
		op_truncate, op_hole, op_shift, op_copy };
	struct model *m = &r->m[below(r, FILES)];
	ops[below(r, COUNT(ops))](r, m);
	compare(r, m, below(r, MAX), 1 + below(r, 5000));
}

static void run_rounds(uint64_t seed, int rounds)
{
	FREE_AFTER struct run *r = calloc(1, sizeof *r);
	r->seed = seed;
	r->f = store_fixture_new(seed);
	for (int i = 0; i < FILES; i++) {
		char name[] = { 'f', (char)('0' + i), 0 };
		r->m[i].ino = store_fixture_make(r->f, r->f->root, name, NODE_FILE);
	}
	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < 60; i++)
			step(r);
		switch (below(r, 4)) {
		case 0:
			store_fixture_reopen(r->f);
			break;
		case 1:
			store_fixture_crash(r->f, FAKE_KEEP_ALL);
			break;
		default:
			assert_int_equal(store_tend(r->f->store), 0);
		}
		check_all(r);
	}
	store_fixture_free(r->f);
}

static void content_equals_the_model(void **state)
{
	(void)state;
	run_rounds(1, 12);
	run_rounds(2, 12);
}

static void a_read_needs_no_zeroed_buffer_at_the_end(void **state)
{
	struct store_fixture *f = store_fixture_new(3);
	uint64_t ino = store_fixture_make(f, f->root, "a", NODE_FILE), chunk;
	uint8_t p[10];
	size_t got;
	(void)state;
	store_fixture_write(f, ino, 5, "x", 1);
	assert_int_equal(store_read(f->store, ino, 0, p, sizeof p, &got, &chunk), 0);
	assert_int_equal(got, 6);
	assert_memory_equal(p, "\0\0\0\0\0x", 6);
	assert_int_equal(store_read(f->store, ino, 6, p, sizeof p, &got, &chunk), 0);
	assert_int_equal(got, 0);
	assert_int_equal(store_read(f->store, ino, INT64_MAX, p, sizeof p, &got, &chunk), 0);
	assert_int_equal(store_write(f->store, ino, INT64_MAX, "xy", 2), ERR_FILE_TOO_BIG);
	assert_int_equal(store_write(f->store, f->root, 0, "xy", 2), ERR_IS_DIR);
	store_fixture_free(f);
}

static void small_appends_are_joined(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	uint64_t ino = store_fixture_make(f, f->root, "log", NODE_FILE), chunk;
	static uint8_t want[100000], got[100000];
	struct store_txn *t;
	struct extent *e;
	size_t n;
	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		memset(want + i * 100, (int)i, 100);
		store_fixture_write(f, ino, i * 100, want + i * 100, 100);
		if (i % 300 == 299)
			assert_int_equal(store_tend(f->store), 0);
	}
	assert_int_equal(store_tend(f->store), 0);
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_extents(t, ino, &e, &n), 0);
	store_abort(&t);
	free(e);
	assert_true(n < 20);
	store_fixture_crash(f, FAKE_KEEP_ALL);
	assert_int_equal(store_read(f->store, ino, 0, got, sizeof got, &n, &chunk), 0);
	assert_int_equal(n, sizeof got);
	assert_memory_equal(got, want, sizeof got);
	store_fixture_free(f);
}

enum { SPARSE_GIB = 10, OVERWRITES = 50, OVERWRITE_MOST = 64 << 10 };

/* A block far inside a large file costs its own entry and the index pages on the way to it: nothing that grows with the file. */
static void overwriting_a_block_of_a_large_file_writes_little(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	struct node n, attr = { .size = (uint64_t)SPARSE_GIB << 30 };
	uint8_t p[4096];
	uint64_t most = 0, seed = 3;
	(void)state;
	memset(p, 5, sizeof p);
	uint64_t ino = store_fixture_make(f, f->root, "large", NODE_FILE);
	assert_int_equal(store_setattr(f->store, ino, ATTR_SIZE, &attr, &n), 0);
	for (uint64_t off = 0; off < attr.size; off += attr.size / 4000)
		store_fixture_write(f, ino, off / 4096 * 4096, p, sizeof p);
	assert_int_equal(store_sync(f->store), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(store_tend(f->store), 0);
	uint64_t before = fake_env_written(f->env);
	for (int i = 0; i < OVERWRITES; i++) {
		uint64_t at = fake_env_written(f->env);
		store_fixture_write(f, ino, unit_random(&seed) % (attr.size / 4096) * 4096, p, sizeof p);
		assert_int_equal(store_sync(f->store), 0);
		assert_int_equal(store_tend(f->store), 0); /* each is committed by itself: the dearest case */
		at = fake_env_written(f->env) - at;
		most = at > most ? at : most;
	}
	for (int i = 0; i < 10; i++)
		assert_int_equal(store_tend(f->store), 0);
	uint64_t each = (fake_env_written(f->env) - before) / OVERWRITES;
	if (most >= OVERWRITE_MOST || each >= OVERWRITE_MOST)
		printf("most %llu, on average %llu\n", (unsigned long long)most, (unsigned long long)each);
	assert_true(most < OVERWRITE_MOST && each < OVERWRITE_MOST);
	store_fixture_free(f);
}

/* Over a hundred segments that no turn has synced. */
static void a_writer_faster_than_the_disk_waits(void **state)
{
	enum { PIECE = 60000, PIECES = 250 };
	struct store_fixture *f = store_fixture_new(1); /* small segments */
	uint8_t *p = calloc(1, PIECE);
	(void)state;
	assert_non_null(p);
	uint64_t ino = store_fixture_make(f, f->root, "fast", NODE_FILE);
	for (uint64_t i = 0; i < PIECES; i++)
		store_fixture_write(f, ino, i * PIECE, p, PIECE);
	assert_int_equal(store_sync(f->store), 0);
	store_fixture_crash(f, FAKE_LOSE_ALL);
	struct node n;
	assert_int_equal(store_getattr(f->store, ino, &n), 0);
	assert_int_equal(n.size, PIECE * PIECES);
	free(p);
	store_fixture_free(f);
}

static uint64_t allocated(struct store_fixture *f, uint64_t ino)
{
	struct node n;
	assert_int_equal(store_getattr(f->store, ino, &n), 0);
	return n.allocated;
}

/* The sum of a file's pieces is kept while they change; a start makes it anew. */
static void what_is_allocated_stays_true_when_changes_fail(void **state)
{
	enum { SIZE = 1 << 20, BLOCK = 5000 };
	struct store_fixture *f = store_fixture_new(5);
	uint64_t ino = store_fixture_make(f, f->root, "holes", NODE_FILE), seed = 7;
	static uint8_t p[BLOCK];
	struct store_txn *t;
	(void)state;
	store_fixture_write(f, ino, SIZE, p, 1);
	assert_int_equal(allocated(f, ino), 1);
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_content_clear(t, ino), 0);
	store_abort(&t);
	assert_int_equal(allocated(f, ino), 1);
	for (unsigned long n = 1; n < 40; n++) {
		(void)allocated(f, ino);
		fake_env_fail(f->env, FAKE_WRITING, n % 4 + 1, n % 2 ? ERR_NO_SPACE : ERR_IO, n % 3 == 0);
		for (int i = 0; i < 4; i++)
			(void)!store_write(f->store, ino, unit_random(&seed) % SIZE, p, sizeof p);
		(void)!store_fallocate(f->store, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			unit_random(&seed) % SIZE, 3 * BLOCK);
		(void)!store_tend(f->store);
		fake_env_fail(f->env, FAKE_ANY, 0, 0, false);
		uint64_t kept = allocated(f, ino);
		store_fixture_crash(f, FAKE_KEEP_ALL);
		assert_int_equal(allocated(f, ino), kept);
	}
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(overwriting_a_block_of_a_large_file_writes_little),
		cmocka_unit_test(a_writer_faster_than_the_disk_waits), cmocka_unit_test(content_equals_the_model),
		cmocka_unit_test(small_appends_are_joined),
		cmocka_unit_test(what_is_allocated_stays_true_when_changes_fail),
		cmocka_unit_test(a_read_needs_no_zeroed_buffer_at_the_end) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
