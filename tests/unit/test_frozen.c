/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store on a disk that became read-only: all that a start would find can be read, nothing can be changed, and nothing of the disk is.
 */
#include <stdio.h>
#include "base/bytes.h"
#include "cache/txn.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { LEN = 40000, FILES = 30 };

/* The store is gone without a word, and the disk can be read alone. */
static int kill_and_freeze(struct store_fixture *f, enum fake_crash how)
{
	store_fixture_kill(f, how);
	fake_env_read_only(f->env, true);
	return store_fixture_open(f);
}

static void thaw(struct store_fixture *f)
{
	store_close(f->store);
	fake_env_read_only(f->env, false);
	assert_int_equal(store_fixture_open(f), 0);
	assert_false(store_is_frozen(f->store));
}

static void digest(struct store_fixture *f, struct id32 *ret)
{
	assert_int_equal(store_fixture_digest(f, ret), 0);
}

/* Some of it in the database, some in its log, and the rest in the journal alone. */
static void fill(struct store_fixture *f, uint64_t seed)
{
	static uint8_t data[LEN];
	char name[16];
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(name, sizeof name, "f%u", i);
		uint64_t ino = store_fixture_make(f, f->root, name, i % 7 ? NODE_FILE : NODE_DIR), gone;
		for (size_t k = 0; k < LEN; k += 8)
			bytes_put_le(data + k, unit_random(&seed), 8);
		if (i % 7)
			store_fixture_write(f, ino, 0, data, 1 + unit_random(&seed) % LEN);
		assert_int_equal(store_setxattr(f->store, ino, "user.a", bytes_of(data, 20), 0), 0);
		if (i % 5 == 4)
			assert_int_equal(store_unlink(f->store, f->root, bytes_str(name), i % 7 == 0, &gone), 0);
		if (i == FILES / 3 || i == FILES / 2)
			assert_int_equal(store_tend(f->store), 0);
	}
}

static void what_a_start_would_find_can_be_read(void **state)
{
	static const enum fake_crash how[] = { FAKE_KEEP_ALL, FAKE_LOSE_ALL, FAKE_RANDOM };
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct store_fixture *f = store_fixture_new(seed);
		struct id32 before, frozen, after;
		fill(f, seed);
		digest(f, &before);
		assert_int_equal(kill_and_freeze(f, how[seed % COUNT(how)]), 0);
		assert_true(store_is_frozen(f->store));
		digest(f, &frozen);
		if (how[seed % COUNT(how)] == FAKE_KEEP_ALL)
			assert_true(id32_equal(&before, &frozen));
		thaw(f);
		digest(f, &after);
		assert_true(id32_equal(&frozen, &after));
		store_fixture_free(f);
	}
}

static void nothing_can_be_changed_and_all_the_rest_goes_on(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct id32 before, after;
	struct store_stat st;
	struct node n;
	struct store_txn *t;
	(void)state;
	uint64_t ino = store_fixture_make(f, f->root, "file", NODE_FILE), gone, off;
	store_fixture_write(f, ino, 0, "words", 5);
	digest(f, &before);
	assert_int_equal(kill_and_freeze(f, FAKE_KEEP_ALL), 0);
	assert_int_equal(store_write(f->store, ino, 0, "WORDS", 5), ERR_READ_ONLY);
	assert_int_equal(store_append(f->store, ino, "x", 1, &off), ERR_READ_ONLY);
	assert_int_equal(store_unlink(f->store, f->root, bytes_str("file"), false, &gone), ERR_READ_ONLY);
	assert_int_equal(store_setattr(f->store, ino, ATTR_MODE, &(struct node){ .mode = 0 }, &n), ERR_READ_ONLY);
	assert_false(store_was_damaged(f->store));
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_meta_put(t, "key", bytes_str("value")), 0);
	assert_int_equal(store_commit(&t), ERR_READ_ONLY);
	assert_int_equal(store_sync(f->store), 0);
	assert_int_equal(store_tend(f->store), 0);
	assert_int_equal(store_stat(f->store, &st), 0);
	assert_true(st.read_only);
	digest(f, &after);
	assert_true(id32_equal(&before, &after));
	thaw(f);
	assert_int_equal(store_write(f->store, ino, 0, "WORDS", 5), 0);
	store_fixture_free(f);
}

/* The file system made it read-only because of that: a store that could be written to refuses to open. */
static void a_bad_sector_hides_only_what_comes_after_it(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	char segment[32];
	struct node n;
	(void)state;
	(void)store_fixture_make(f, f->root, "before", NODE_FILE);
	snprintf(segment, sizeof segment, "seg-%016llx", (unsigned long long)f->store->at.segment);
	off_t from = (off_t)f->store->at.pos;
	(void)store_fixture_make(f, f->root, "after", NODE_FILE);
	store_fixture_kill(f, FAKE_KEEP_ALL);
	fake_env_break(f->env, segment, from, 16);
	assert_int_equal(store_fixture_open(f), ERR_IO);
	fake_env_read_only(f->env, true);
	assert_int_equal(store_fixture_open(f), 0);
	assert_int_equal(store_lookup(f->store, f->root, bytes_str("before"), &n), 0);
	assert_int_equal(store_lookup(f->store, f->root, bytes_str("after"), &n), ERR_NOT_FOUND);
	assert_true(store_was_damaged(f->store));
	store_fixture_free(f);
}

/* Below a running store. */
static void a_disk_that_becomes_read_only_is_told(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct id32 before, after;
	struct store_stat st;
	(void)state;
	uint64_t ino = store_fixture_make(f, f->root, "file", NODE_FILE);
	assert_int_equal(store_tend(f->store), 0);
	digest(f, &before);
	fake_env_read_only(f->env, true);
	assert_int_equal(store_write(f->store, ino, 0, "words", 5), ERR_READ_ONLY);
	assert_int_equal(store_stat(f->store, &st), 0);
	assert_true(st.read_only);
	assert_false(store_is_frozen(f->store));
	fake_env_read_only(f->env, false); /* what it would hold now is not known */
	assert_int_equal(store_write(f->store, ino, 0, "words", 5), ERR_READ_ONLY);
	store_fixture_reopen(f);
	digest(f, &after);
	assert_true(id32_equal(&before, &after));
	store_fixture_free(f);
}

static void a_new_store_needs_a_disk_to_write_to(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	(void)state;
	store_close(f->store);
	fake_env_free(f->env);
	f->env = fake_env_new(FAKE_MEMORY, 1);
	f->config.env = fake_env_get(f->env);
	fake_env_read_only(f->env, true);
	assert_int_equal(store_fixture_open(f), ERR_READ_ONLY);
	f->store = NULL;
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_start_would_find_can_be_read),
		cmocka_unit_test(nothing_can_be_changed_and_all_the_rest_goes_on),
		cmocka_unit_test(a_bad_sector_hides_only_what_comes_after_it),
		cmocka_unit_test(a_disk_that_becomes_read_only_is_told),
		cmocka_unit_test(a_new_store_needs_a_disk_to_write_to),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
