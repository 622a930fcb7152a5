/* SPDX-License-Identifier: Apache-2.0 */
/* Room that fallocate sets aside: it is there, it stays over restarts, it goes as the bytes come, and with the file. */
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include "cache/txn.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { MIB = 1 << 20, SLACK = 8 << 20 };

static uint64_t held(struct store_fixture *f)
{
	return f->store->aside.held;
}

static struct node shown(struct store_fixture *f, uint64_t ino)
{
	struct node n;
	assert_int_equal(store_getattr(f->store, ino, &n), 0);
	return n;
}

static void fill(struct store_fixture *f, uint64_t ino, uint64_t off, size_t len)
{
	uint8_t *p = malloc(len);
	assert_non_null(p);
	memset(p, 7, len);
	store_fixture_write(f, ino, off, p, len);
	free(p);
}

static void allocate(struct store_fixture *f, uint64_t ino, int mode, uint64_t off, uint64_t len)
{
	assert_int_equal(store_fallocate(f->store, ino, mode, off, len), 0);
}

static void turn(struct store_fixture *f)
{
	assert_int_equal(store_tend(f->store), 0);
}

static void room_goes_as_the_bytes_come(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	uint64_t ino = store_fixture_make(f, f->root, "db", NODE_FILE);
	(void)state;
	fill(f, ino, 0, MIB);
	allocate(f, ino, 0, 0, 4 * MIB);
	assert_int_equal(shown(f, ino).size, 4 * MIB);
	assert_int_equal(shown(f, ino).allocated, 4 * MIB);
	assert_true(held(f) > 3 * MIB + SLACK && held(f) < 4 * MIB + SLACK);
	uint64_t before = held(f);
	allocate(f, ino, 0, MIB, 2 * MIB); /* is set aside already */
	assert_int_equal(held(f), before);
	fill(f, ino, 2 * MIB, MIB);
	fill(f, ino, 2 * MIB, MIB); /* no more for it */
	turn(f);
	assert_true(held(f) > 2 * MIB + SLACK && held(f) < 3 * MIB + SLACK);
	assert_int_equal(shown(f, ino).allocated, 4 * MIB);
	fill(f, ino, MIB, MIB);
	fill(f, ino, 3 * MIB, MIB);
	turn(f);
	turn(f);
	assert_int_equal(held(f), 0);
	assert_int_equal(f->store->aside.n, 0);
	assert_int_equal(shown(f, ino).allocated, 4 * MIB);
	store_fixture_free(f);
}

static void room_stays_over_restarts_and_power_cuts(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	uint64_t ino = store_fixture_make(f, f->root, "db", NODE_FILE);
	(void)state;
	allocate(f, ino, FALLOC_FL_KEEP_SIZE, MIB, 4 * MIB);
	assert_int_equal(shown(f, ino).size, 0);
	allocate(f, ino, 0, 0, MIB);
	uint64_t before = held(f);
	assert_int_equal(store_sync(f->store), 0);
	for (int how = 0; how < 3; how++) {
		if (how == 0)
			store_fixture_reopen(f);
		else
			store_fixture_crash(f, how == 1 ? FAKE_KEEP_ALL : FAKE_LOSE_ALL);
		assert_int_equal(held(f), before);
		assert_int_equal(shown(f, ino).allocated, 5 * MIB);
	}
	store_fixture_free(f);
}

/* Everything that lets go of the file, or of a part of it. */
static void room_is_given_back(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	struct node n, attr = { .size = MIB };
	uint64_t ino = store_fixture_make(f, f->root, "db", NODE_FILE), gone;
	(void)state;
	allocate(f, ino, 0, 0, 8 * MIB);
	allocate(f, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * MIB);
	assert_int_equal(shown(f, ino).allocated, 6 * MIB);
	assert_int_equal(store_setattr(f->store, ino, ATTR_SIZE, &attr, &n), 0);
	assert_int_equal(n.allocated, MIB);
	turn(f);
	assert_true(held(f) < 2 * MIB + SLACK);
	store_hold_open(f->store, ino);
	assert_int_equal(store_unlink(f->store, f->root, bytes_str("db"), false, &gone), 0);
	turn(f);
	assert_true(held(f) > 0); /* somebody has it open */
	store_release_open(f->store, ino);
	turn(f);
	turn(f);
	assert_int_equal(held(f), 0);
	store_fixture_reopen(f);
	assert_int_equal(f->store->aside.n, 0);
	store_fixture_free(f);
}

static void a_full_disk_is_told_by_fallocate(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	uint64_t ino = store_fixture_make(f, f->root, "db", NODE_FILE);
	(void)state;
	fake_env_fail(f->env, FAKE_FALLOCATE, 1, ERR_NO_SPACE, true);
	assert_int_equal(store_fallocate(f->store, ino, 0, 0, 4 * MIB), ERR_NO_SPACE);
	assert_int_equal(store_fallocate(f->store, ino, FALLOC_FL_ZERO_RANGE, 0, 4 * MIB), ERR_NO_SPACE);
	fake_env_fail(f->env, FAKE_ANY, 0, 0, false);
	assert_int_equal(shown(f, ino).size, 0);
	assert_int_equal(held(f), 0);
	assert_int_equal(f->store->aside.n, 0);
	store_fixture_free(f);
}

/* What is set aside concerns this disk: no version of the file comes of it. */
static void room_alone_is_no_change(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	uint64_t ino = store_fixture_make(f, f->root, "db", NODE_FILE);
	(void)state;
	fill(f, ino, 0, 10);
	struct node before = shown(f, ino);
	allocate(f, ino, FALLOC_FL_KEEP_SIZE, 0, MIB);
	struct node after = shown(f, ino);
	assert_int_equal(after.change, before.change);
	assert_int_equal(after.mtime, before.mtime);
	store_fixture_free(f);
}

static void more_files_than_are_noted_are_no_error(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	char name[16];
	(void)state;
	for (int i = 0; i < ASIDE_FILES + 3; i++) {
		snprintf(name, sizeof name, "f%d", i);
		allocate(f, store_fixture_make(f, f->root, name, NODE_FILE), 0, 0, 4096);
	}
	assert_int_equal(f->store->aside.n, ASIDE_FILES);
	store_fixture_reopen(f);
	assert_int_equal(f->store->aside.n, ASIDE_FILES);
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(room_goes_as_the_bytes_come),
		cmocka_unit_test(room_stays_over_restarts_and_power_cuts),
		cmocka_unit_test(room_is_given_back),
		cmocka_unit_test(a_full_disk_is_told_by_fallocate),
		cmocka_unit_test(room_alone_is_no_change),
		cmocka_unit_test(more_files_than_are_noted_are_no_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
