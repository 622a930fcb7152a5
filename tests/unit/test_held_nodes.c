/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes that are held in memory before they are written (cache/index_held.c): more of them than there is room for, changed again and
 * again, listed, undone and come back to after a kill.
 */
#include <stdio.h>
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { FILES = 2500 }; /* more than twice what is held */

static void set_mode(struct store_fixture *f, uint64_t ino, uint32_t mode)
{
	struct node attr = { .mode = mode }, n;
	assert_int_equal(store_setattr(f->store, ino, ATTR_MODE, &attr, &n), 0);
	assert_int_equal(n.mode, mode);
}

static void make_files(struct store_fixture *f, uint64_t *ino)
{
	for (size_t i = 0; i < FILES; i++) {
		char name[16];
		snprintf(name, sizeof name, "f%zu", i);
		ino[i] = store_fixture_make(f, f->root, name, NODE_FILE);
		set_mode(f, ino[i], 0600);
		set_mode(f, ino[i], (uint32_t)(i & 0777));
	}
}

static void check_files(struct store_fixture *f, const uint64_t *ino)
{
	for (size_t i = 0; i < FILES; i++) {
		struct node n;
		assert_int_equal(store_getattr(f->store, ino[i], &n), 0);
		assert_int_equal(n.mode, i & 0777);
	}
}

struct tally {
	uint64_t last, count;
};

static int tally(void *ctx, const struct node *n)
{
	struct tally *t = ctx;
	assert_true(n->change > t->last);
	t->last = n->change;
	t->count++;
	return 1;
}

static uint64_t count_dirty(struct store_fixture *f)
{
	struct tally t = { 0, 0 };
	struct store_txn *txn;
	assert_int_equal(store_begin(f->store, &txn), 0);
	assert_int_equal(txn_dirty_each(txn, f->space, 0, tally, &t), 0);
	store_abort(&txn);
	return t.count;
}

static void every_change_is_listed_once_and_kept(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	static uint64_t ino[FILES];
	struct store_stat st;
	(void)state;
	uint64_t others = count_dirty(f);
	make_files(f, ino);
	check_files(f, ino);
	assert_int_equal(store_stat(f->store, &st), 0);
	assert_int_equal(st.dirty_nodes, others + FILES);
	assert_int_equal(count_dirty(f), others + FILES);
	store_fixture_crash(f, FAKE_KEEP_ALL);
	check_files(f, ino);
	assert_int_equal(count_dirty(f), others + FILES);
	store_fixture_reopen(f);
	check_files(f, ino);
	assert_int_equal(count_dirty(f), others + FILES);
	store_fixture_free(f);
}

static void undoing_leaves_what_was_not_written_yet(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct store_txn *t;
	struct node n;
	(void)state;
	uint64_t a = store_fixture_make(f, f->root, "a", NODE_FILE), b = store_fixture_make(f, f->root, "b", NODE_FILE);
	set_mode(f, a, 0640);
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_node_get(t, a, &n), 0);
	n.mode = 0777;
	assert_int_equal(txn_node_put(t, &n), 0);
	assert_int_equal(txn_node_del(t, b), 0);
	assert_int_equal(txn_node_get(t, b, &n), ERR_NOT_FOUND);
	store_abort(&t);
	assert_int_equal(store_getattr(f->store, a, &n), 0);
	assert_int_equal(n.mode, 0640);
	assert_int_equal(store_lookup(f->store, f->root, bytes_str("b"), &n), 0);
	assert_int_equal(n.ino, b);
	store_fixture_free(f);
}

/* A node that goes before it was ever written leaves nothing, nor does its name. */
static void what_was_made_and_removed_leaves_nothing(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct store_stat st;
	struct node n;
	uint64_t gone;
	(void)state;
	assert_int_equal(store_stat(f->store, &st), 0);
	uint64_t nodes = st.nodes, dirty = st.dirty_nodes;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3; i++) {
			assert_int_equal(store_lookup(f->store, f->root, bytes_str("x"), &n), ERR_NOT_FOUND);
			uint64_t ino = store_fixture_make(f, f->root, "x", NODE_FILE);
			store_fixture_write(f, ino, 0, "hello", 5);
			assert_int_equal(store_lookup(f->store, f->root, bytes_str("x"), &n), 0);
			if (round == 1)
				assert_int_equal(store_tend(f->store), 0); /* written */
			assert_int_equal(store_unlink(f->store, f->root, bytes_str("x"), false, &gone), 0);
			assert_int_equal(gone, ino);
			assert_int_equal(store_getattr(f->store, ino, &n), ERR_NOT_FOUND);
		}
		assert_int_equal(store_stat(f->store, &st), 0);
		assert_int_equal(st.nodes, nodes);
		assert_int_equal(st.dirty_nodes, dirty);
		store_fixture_crash(f, FAKE_KEEP_ALL);
	}
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_change_is_listed_once_and_kept),
		cmocka_unit_test(undoing_leaves_what_was_not_written_yet),
		cmocka_unit_test(what_was_made_and_removed_leaves_nothing) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
