/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On a disk with little room left: what grows waits for what housekeeping can give back, for two seconds at most; what lets go of space
 * waits for nothing, and nobody waits for what he himself keeps.
 */
#include <errno.h>
#include <fcntl.h>
#include "cache/txn.h"
#include "fusefs/errno.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { LEN = 40000 };

static const uint8_t text[LEN];

/* The disk in memory has no end, so the store believes what it is told. */
static void tight(struct store_fixture *f, bool on)
{
	atomic_store(&f->store->scarce, on);
	atomic_store(&f->store->tight, on);
	atomic_store(&f->store->in_vain, 0);
}

static uint64_t make(struct store_fixture *f, const char *name)
{
	uint64_t ino = store_fixture_make(f, f->root, name, NODE_FILE);
	store_fixture_write(f, ino, 0, text, LEN);
	return ino;
}

static int set_size(struct store_fixture *f, uint64_t ino, uint64_t size)
{
	struct node n;
	return store_setattr(f->store, ino, ATTR_SIZE, &(struct node){ .size = size }, &n);
}

static int remove_name(struct store_fixture *f, const char *name, bool dir)
{
	uint64_t ino;
	return store_unlink(f->store, f->root, bytes_str(name), dir, &ino);
}

/* Begins and ends what sync does. */
static void transact(struct store_fixture *f)
{
	struct store_txn *t = NULL;
	assert_int_equal(store_begin(f->store, &t), 0);
	store_abort(&t);
}

static void what_lets_go_of_space_never_waits(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	uint64_t a = make(f, "a"), freed;
	(void)state;
	(void)make(f, "b");
	uint64_t open = make(f, "open");
	(void)store_fixture_make(f, f->root, "dir", NODE_DIR);
	store_hold_open(f->store, open);
	assert_int_equal(store_tend(f->store), 0);
	tight(f, true);
	uint64_t turns = f->store->turns_ended;
	assert_int_equal(remove_name(f, "b", false), 0);
	assert_int_equal(remove_name(f, "dir", true), 0);
	assert_int_equal(remove_name(f, "open", false), 0);
	store_release_open(f->store, open);
	assert_int_equal(store_evict(f->store, a, &freed), ERR_BUSY);
	assert_int_equal(store_fallocate(f->store, a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096), 0);
	assert_int_equal(store_fallocate(f->store, a, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), 0);
	assert_int_equal(set_size(f, a, 100), 0);
	assert_int_equal(f->store->turns_ended, turns);
	assert_true(f->store->kicked); /* what they left is looked for all the same */
	store_fixture_free(f);
}

static void what_grows_waits_for_a_turn_and_hears_that_it_was_in_vain(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	uint64_t a = make(f, "a");
	(void)state;
	assert_int_equal(store_tend(f->store), 0);
	tight(f, true);
	uint64_t turns = f->store->turns_ended;
	assert_int_equal(store_write(f->store, a, LEN, text, LEN), ERR_NO_SPACE);
	assert_int_equal(f->store->turns_ended, turns + 1);
	assert_int_equal(store_write(f->store, a, LEN, text, LEN), ERR_NO_SPACE); /* not again at once */
	assert_int_equal(f->store->turns_ended, turns + 1);
	tight(f, true);
	assert_int_equal(set_size(f, a, 2 * LEN), ERR_NO_SPACE);
	assert_int_equal(f->store->turns_ended, turns + 2);
	tight(f, false);
	assert_int_equal(store_write(f->store, a, LEN, text, LEN), 0);
	store_fixture_free(f);
}

static void now_there_is_room(void *ctx)
{
	tight(ctx, false);
}

static void what_grows_goes_on_with_what_a_turn_gives_back(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	uint64_t a = make(f, "a");
	(void)state;
	tight(f, true);
	fake_env_after_writing(f->env, now_there_is_room, f);
	assert_int_equal(store_write(f->store, a, LEN, text, LEN), 0);
	fake_env_after_writing(f->env, NULL, NULL);
	store_fixture_free(f);
}

/* Not that the disk is full: people ask for more of the one, and clear the other up. What lets go of space goes on. */
static void a_quota_of_the_disk_is_told_as_such(void **state)
{
	static const enum fake_call calls[] = { FAKE_FALLOCATE, FAKE_PWRITE };
	(void)state;
	for (size_t i = 0; i < COUNT(calls); i++) {
		struct store_fixture *f = store_fixture_new(1); /* small segments */
		uint64_t a = make(f, "a"), size = LEN;
		struct node n;
		(void)make(f, "b");
		assert_int_equal(store_tend(f->store), 0);
		fake_env_fail(f->env, calls[i], 1, ERR_QUOTA, true);
		int err = 0;
		for (int k = 0; err == 0 && k < 100; k++, size += err == 0 ? LEN : 0)
			err = store_write(f->store, a, size, text, LEN);
		assert_int_equal(err, ERR_QUOTA);
		assert_int_equal(store_getattr(f->store, a, &n), 0);
		assert_int_equal(n.size, size);
		assert_int_equal(remove_name(f, "b", false), calls[i] == FAKE_PWRITE ? ERR_QUOTA : 0);
		(void)!store_tend(f->store);
		fake_env_fail(f->env, calls[i], 0, 0, false);
		assert_int_equal(store_tend(f->store), 0);
		assert_int_equal(store_write(f->store, a, size, text, LEN), 0);
		store_fixture_crash(f, FAKE_KEEP_ALL);
		assert_int_equal(store_getattr(f->store, a, &n), 0);
		assert_int_equal(n.size, size + LEN);
		store_fixture_free(f);
	}
	assert_int_equal(err_to_errno(ERR_QUOTA), EDQUOT);
}

/* A turn of housekeeping begins to write, and somebody's files go meanwhile. */
static void there_is_room_below(void *ctx)
{
	struct store_fixture *f = ctx;
	if (f->store->turns_begun == f->store->turns_ended)
		return;
	atomic_fetch_add(&f->store->free_bytes, 1);
	fake_env_fail(f->env, FAKE_FALLOCATE, 0, 0, false);
}

static int write_at(struct store_fixture *f, uint64_t ino, uint64_t off)
{
	return store_write(f->store, ino, off, text, LEN);
}

static int append(struct store_fixture *f, uint64_t ino, uint64_t off)
{
	uint64_t at;
	(void)off;
	return store_append(f->store, ino, text, LEN, &at);
}

static int set_aside(struct store_fixture *f, uint64_t ino, uint64_t off)
{
	return store_fallocate(f->store, ino, 0, off, LEN);
}

/* Until a turn of housekeeping was waited for: what the last call said. */
static int grow_until_a_turn(
	struct store_fixture *f, int (*grow)(struct store_fixture *f, uint64_t ino, uint64_t off), uint64_t a)
{
	uint64_t turns = f->store->turns_ended;
	int err = 0;
	for (uint64_t k = 1; err == 0 && f->store->turns_ended == turns && k < 100; k++)
		err = grow(f, a, k * LEN);
	assert_int_equal(f->store->turns_ended, turns + 1);
	return err;
}

/* The disk is not full, so nothing told before the refusal. */
static void a_quota_is_waited_for_as_a_full_disk(void **state)
{
	static int (*const grow[])(
		struct store_fixture * f, uint64_t ino, uint64_t off) = { write_at, append, set_aside };
	(void)state;
	for (size_t i = 0; i < COUNT(grow); i++) {
		for (unsigned gives = 0; gives < 2; gives++) {
			struct store_fixture *f = store_fixture_new(1); /* small segments */
			uint64_t a = make(f, "a");
			assert_int_equal(store_tend(f->store), 0);
			store_fixture_write(f, a, 0, text, 1); /* a turn has something to write */
			fake_env_fail(f->env, FAKE_FALLOCATE, 1, ERR_QUOTA, true);
			fake_env_after_writing(f->env, gives ? there_is_room_below : NULL, f);
			assert_int_equal(grow_until_a_turn(f, grow[i], a), gives ? 0 : ERR_QUOTA);
			fake_env_after_writing(f->env, NULL, NULL);
			fake_env_fail(f->env, FAKE_FALLOCATE, 0, 0, false);
			store_fixture_free(f);
		}
	}
}

static void nobody_waits_for_what_he_keeps_himself(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	struct store_keep *keep;
	(void)state;
	(void)make(f, "a");
	assert_int_equal(store_keep(f->store, &keep), 0);
	tight(f, true);
	uint64_t turns = f->store->turns_ended;
	transact(f);
	assert_int_equal(f->store->turns_ended, turns);
	store_keep_release(keep);
	transact(f);
	assert_int_equal(f->store->turns_ended, turns + 1);
	store_fixture_free(f);
}

/* Housekeeping hangs: without a deadline this would, too. */
static void nobody_waits_for_a_turn_that_does_not_end(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	uint64_t a = make(f, "a");
	(void)state;
	store_close(f->store);
	f->config.no_thread = false;
	assert_int_equal(store_fixture_open(f), 0);
	pthread_mutex_lock(&f->store->tend_lock);
	tight(f, true);
	assert_int_equal(store_write(f->store, a, LEN, text, LEN), ERR_NO_SPACE);
	assert_int_equal(remove_name(f, "a", false), 0);
	tight(f, false);
	pthread_mutex_unlock(&f->store->tend_lock);
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_lets_go_of_space_never_waits),
		cmocka_unit_test(what_grows_waits_for_a_turn_and_hears_that_it_was_in_vain),
		cmocka_unit_test(what_grows_goes_on_with_what_a_turn_gives_back),
		cmocka_unit_test(a_quota_of_the_disk_is_told_as_such),
		cmocka_unit_test(a_quota_is_waited_for_as_a_full_disk),
		cmocka_unit_test(nobody_waits_for_what_he_keeps_himself),
		cmocka_unit_test(nobody_waits_for_a_turn_that_does_not_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
