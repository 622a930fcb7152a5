/* SPDX-License-Identifier: Apache-2.0 */
/* Conflict copies are made whatever stands in their way: copies of before, and directories that go meanwhile. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include "fusefs/apply.h"
#include "tests/lib/party.h"
#include "tests/lib/store_fixture.h"

#define DAY ((int64_t)1735689600 * 1000000000)
#define MOVES 3000

/* Somebody edits one file all day long: each copy has a name of its own. */
static void the_hundredth_copy_of_a_day_is_made_too(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	uint64_t ino = store_fixture_make(f, f->root, "a.txt", NODE_FILE);
	struct conflict_copy copy;
	struct party p;
	struct node n;

	(void)state;
	party_init(&p, "two");
	for (unsigned i = 0; i < 110; i++) {
		char text[8];

		snprintf(text, sizeof text, "%03u", i);
		store_fixture_write(f, ino, 0, text, 3);
		assert_int_equal(apply_copy_conflict(f->store, p.id, DAY, f->root, ino, true, &copy), 0);
		assert_int_equal(
			store_lookup(f->store, f->root, bytes_of(copy.shown.name, copy.shown.name_len), &n), 0);
		assert_true(n.ino == copy.ino);
		if (i != 99 && i != 100)
			continue;
		copy.shown.name[copy.shown.name_len] = 0;
		if (i == 99)
			assert_string_equal(copy.shown.name, "a (conflict, two, 2025-01-01 100).txt");
		else
			assert_int_equal(copy.shown.name_len, strlen("a (conflict, two, 2025-01-01 01234567).txt"));
	}
	party_release(&p);
	store_fixture_free(f);
}

static uint64_t count(struct store_fixture *f)
{
	struct store_txn *t = NULL;
	uint64_t n = 0;

	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(conflict_count(t, f->space, &n), 0);
	assert_int_equal(store_commit(&t), 0);
	return n;
}

static int note_key(void *ctx, const char *key, struct bytes value)
{
	(void)key;
	(void)value;
	++*(unsigned *)ctx;
	return 1;
}

static unsigned noted(struct store_fixture *f)
{
	struct store_txn *t = NULL;
	unsigned n = 0;

	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_meta_each(t, "conflict/", note_key, &n), 0);
	store_abort(&t);
	return n;
}

static void a_copy_that_was_settled_is_forgotten(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	uint64_t ino = store_fixture_make(f, f->root, "a", NODE_FILE), gone;
	struct conflict_copy copy[4];
	struct party p;

	(void)state;
	party_init(&p, "two");
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(apply_copy_conflict(f->store, p.id, DAY, f->root, ino, true, &copy[i]), 0);
	assert_int_equal(count(f), 4);
	assert_int_equal(
		store_unlink(f->store, f->root, bytes_of(copy[0].shown.name, copy[0].shown.name_len), false, &gone), 0);
	assert_int_equal(store_rename(f->store, f->root, bytes_of(copy[1].shown.name, copy[1].shown.name_len), f->root,
				 bytes_str("b"), 0, &gone),
		0);
	assert_int_equal(noted(f), 4);
	assert_int_equal(count(f), 2);
	assert_int_equal(noted(f), 2);
	store_fixture_crash(f, FAKE_KEEP_ALL);
	assert_int_equal(count(f), 2);
	party_release(&p);
	store_fixture_free(f);
}

struct mover {
	struct store_fixture *f;
	int err; /* the first: cmocka's asserts are for the main thread */
	_Atomic bool done;
};

/* mkdir TO; mv FROM/a TO/a; rmdir FROM. The file has a name at every moment. */
static int move_on(struct mover *m, unsigned i, uint64_t *from)
{
	struct node_new fresh = { .kind = NODE_DIR, .mode = 0755, .owner = { { 1 } } };
	char name[16], next[16];
	struct node to;
	uint64_t gone;

	snprintf(name, sizeof name, "%u", i);
	snprintf(next, sizeof next, "%u", i + 1);
	int err = store_create(m->f->store, m->f->root, bytes_str(next), &fresh, &to);
	if (err == 0)
		err = store_rename(m->f->store, *from, bytes_str("a"), to.ino, bytes_str("a"), 0, &gone);
	if (err == 0)
		err = store_unlink(m->f->store, m->f->root, bytes_str(name), true, &gone);
	*from = to.ino;
	return err == ERR_NOT_EMPTY ? 0 : err; /* a copy lives in it */
}

static void *move_about(void *arg)
{
	struct mover *m = arg;
	struct node n;

	m->err = store_lookup(m->f->store, m->f->root, bytes_str("0"), &n);
	for (unsigned i = 0; i < MOVES && m->err == 0; i++)
		m->err = move_on(m, i, &n.ino);
	m->done = true;
	return NULL;
}

/* Where the copy was to stand is gone: that is not yet a file without a name, of which nothing is to be kept. */
static void a_file_that_moves_is_not_taken_for_gone(void **state)
{
	struct store_fixture *f = store_fixture_real();
	uint64_t ino = store_fixture_make(f, store_fixture_make(f, f->root, "0", NODE_DIR), "a", NODE_FILE), gone;
	struct mover m = { .f = f };
	struct conflict_copy copy;
	pthread_t thread;
	struct party p;
	int err = 0;

	(void)state;
	party_init(&p, "two");
	store_fixture_write(f, ino, 0, "text", 4);
	assert_int_equal(pthread_create(&thread, NULL, move_about, &m), 0);
	while (!m.done && (err == 0 || err == ERR_BUSY)) {
		err = apply_copy_conflict(f->store, p.id, DAY, f->root, ino, true, &copy);
		if (err == 0)
			err = store_unlink(
				f->store, copy.shown.ino, bytes_of(copy.shown.name, copy.shown.name_len), false, &gone);
	}
	pthread_join(thread, NULL);
	assert_int_equal(m.err, 0);
	assert_true(err == 0 || err == ERR_BUSY);
	party_release(&p);
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hundredth_copy_of_a_day_is_made_too),
		cmocka_unit_test(a_copy_that_was_settled_is_forgotten),
		cmocka_unit_test(a_file_that_moves_is_not_taken_for_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
