/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What survives is a prefix of what happened: all of it after a kill, at least what was synced after a power cut; with every
 * disk call failing once, and every allocation.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "tests/lib/heap.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { STEPS = 40, NAMES = 6 };

struct history {
	struct id32 state[4 * STEPS]; /* digest after each step */
	size_t n, synced;             /* synced: the newest that must survive */
};

struct run {
	struct store_fixture *f;
	struct history h;
	uint64_t seed, dir;
	uint8_t data[70000];
};

static size_t below(struct run *r, size_t n)
{
	return (size_t)(unit_random(&r->seed) % n);
}

static void pick_name(struct run *r, char name[8])
{
	snprintf(name, 8, "n%zu", below(r, NAMES));
}

static int change_one(struct run *r, uint64_t ino)
{
	struct node attr = { .size = below(r, 50000), .mode = 0600 }, n;
	switch (below(r, 4)) {
	case 0:
		return store_setattr(r->f->store, ino, ATTR_SIZE | ATTR_MODE, &attr, &n);
	case 1:
		return store_setxattr(r->f->store, ino, "user.a", bytes_of(r->data, below(r, 300)), 0);
	default:
		return store_write(
			r->f->store, ino, below(r, 50000), r->data, 1 + below(r, below(r, 3) ? 500 : sizeof r->data));
	}
}

/* One random call; errors that the state explains are fine. */
static int random_call(struct run *r)
{
	char a[8], b[8];
	struct node_new new = { .kind = below(r, 5) ? NODE_FILE : NODE_DIR, .mode = 0644 };
	struct node n;
	uint64_t ino, dir = below(r, 4) ? r->f->root : r->dir;
	pick_name(r, a);
	pick_name(r, b);
	int err;
	switch (below(r, 6)) {
	case 0:
	case 1:
		return store_create(r->f->store, dir, bytes_str(a), &new, &n);
	case 2:
		return store_unlink(r->f->store, dir, bytes_str(a), false, &ino);
	case 3:
		return store_rename(r->f->store, dir, bytes_str(a), r->f->root, bytes_str(b), 0, &ino);
	default:
		err = store_lookup(r->f->store, dir, bytes_str(a), &n);
		return err < 0 ? err : change_one(r, n.ino);
	}
}

static bool ordinary(int err)
{
	return err == 0 || err == ERR_NOT_FOUND || err == ERR_EXISTS || err == ERR_IS_DIR || err == ERR_NOT_DIR ||
	       err == ERR_NOT_EMPTY || err == ERR_INVALID;
}

static void note_state(struct run *r)
{
	bool before = fake_env_failed(r->f->env);
	assert_true(r->h.n < COUNT(r->h.state));
	int err = store_fixture_digest(r->f, &r->h.state[r->h.n]);
	if (err < 0 && !before && fake_env_failed(r->f->env)) /* the failing read was one of the digest's */
		err = store_fixture_digest(r->f, &r->h.state[r->h.n]);
	assert_int_equal(err, 0);
	r->h.n++;
}

static struct run *run_new(uint64_t seed)
{
	struct run *r = calloc(1, sizeof *r);
	assert_non_null(r);
	r->seed = seed;
	for (size_t i = 0; i < sizeof r->data; i++)
		r->data[i] = (uint8_t)unit_random(&r->seed);
	r->f = store_fixture_new(seed);
	r->dir = store_fixture_make(r->f, r->f->root, "dir", NODE_DIR);
	note_state(r);
	assert_int_equal(store_tend(r->f->store), 0);
	return r;
}

static void run_free(struct run *r)
{
	store_fixture_free(r->f);
	free(r);
}

/* The digest is of one of the states since the last that must survive; everything after it is forgotten. */
static void check_prefix(struct run *r, bool all)
{
	struct id32 now;
	assert_int_equal(store_fixture_digest(r->f, &now), 0);
	size_t i = r->h.n;
	while (i > 0 && !id32_equal(&now, &r->h.state[i - 1]))
		i--;
	assert_true(i > 0);
	assert_true(all ? i == r->h.n : i > r->h.synced);
	r->h.state[0] = now;
	r->h.n = 1;
	r->h.synced = 0;
}

static void steps(struct run *r, int n)
{
	for (int i = 0; i < n; i++) {
		int err = random_call(r);
		assert_true(ordinary(err));
		note_state(r);
		switch (below(r, 12)) {
		case 0:
			assert_int_equal(store_sync(r->f->store), 0);
			r->h.synced = r->h.n - 1;
			break;
		case 1:
			assert_int_equal(store_tend(r->f->store), 0);
			r->h.synced = r->h.n - 1;
			break;
		default:
			break;
		}
	}
}

static void a_kill_loses_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct run *r = run_new(seed);
		for (int round = 0; round < 6; round++) {
			steps(r, STEPS);
			store_fixture_crash(r->f, FAKE_KEEP_ALL);
			check_prefix(r, true);
		}
		run_free(r);
	}
}

static void a_power_cut_leaves_a_prefix(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct run *r = run_new(seed);
		for (int round = 0; round < 6; round++) {
			steps(r, STEPS);
			store_fixture_crash(r->f, seed % 3 ? FAKE_RANDOM : FAKE_LOSE_ALL);
			check_prefix(r, false);
		}
		run_free(r);
	}
}

/* The power goes at the n-th write, sync or name change of a run that syncs and tends. */
static bool cut_at(unsigned long n, uint64_t seed)
{
	struct run *r = run_new(seed);
	fake_env_fail(r->f->env, FAKE_WRITING, n, ERR_IO, true);
	for (int i = 0; i < STEPS && !fake_env_failed(r->f->env); i++) {
		bool tend = i % 8 == 7;
		int err = tend ? store_tend(r->f->store) : random_call(r);
		store_catch_up(r->f->store);
		if (!fake_env_failed(r->f->env)) {
			assert_true(ordinary(err));
			note_state(r);
			if (tend)
				r->h.synced = r->h.n - 1;
		}
	}
	bool failed = fake_env_failed(r->f->env);
	store_fixture_kill(r->f, FAKE_RANDOM);
	assert_int_equal(store_fixture_open(r->f), 0);
	check_prefix(r, false);
	run_free(r);
	return failed;
}

static void a_power_cut_at_any_write_leaves_a_prefix(void **state)
{
	(void)state;
	unsigned long n = 1;
	while (cut_at(n, n))
		n++;
	assert_true(n > 20);
}

/* Its new segment has no entries, and the index names it all the same. */
static void a_start_without_changes_survives_a_power_cut(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct run *r = run_new(seed);
		steps(r, STEPS);
		assert_int_equal(store_sync(r->f->store), 0);
		r->h.synced = r->h.n - 1;
		store_fixture_crash(r->f, FAKE_RANDOM);
		check_prefix(r, false);
		assert_int_equal(store_tend(r->f->store), 0);
		store_fixture_crash(r->f, seed % 2 ? FAKE_LOSE_ALL : FAKE_RANDOM);
		check_prefix(r, true);
		run_free(r);
	}
}

static void a_failing_first_start_can_be_repeated(void **state)
{
	(void)state;
	for (unsigned long n = 1;; n++) {
		struct store_fixture *f = store_fixture_new(n);
		store_fixture_kill(f, FAKE_LOSE_ALL);
		fake_env_free(f->env);
		f->env = fake_env_new(FAKE_MEMORY, n);
		f->config.env = fake_env_get(f->env);
		fake_env_fail(f->env, FAKE_WRITING, n, ERR_IO, true);
		int err = store_open(&f->config, &f->store);
		bool failed = fake_env_failed(f->env);
		f->store = err < 0 ? NULL : f->store;
		assert_true(failed || err == 0);
		store_fixture_kill(f, FAKE_RANDOM);
		assert_int_equal(store_fixture_open(f), 0);
		store_fixture_free(f);
		if (!failed)
			break;
	}
}

static void goes_on_keeping_house(struct run *r)
{
	struct store_stat st;
	(void)!store_tend(r->f->store);
	assert_int_equal(store_tend(r->f->store), 0);
	assert_int_equal(store_stat(r->f->store, &st), 0);
	assert_int_equal(st.tend_err, 0);
}

/* One disk call fails and the store lives on: nothing acknowledged is lost, and what failed did not half happen. */
static bool fail_once(enum fake_call call, unsigned long n, int error)
{
	struct run *r = run_new(n);
	bool broken = false;
	fake_env_fail(r->f->env, call, n, error, false);
	for (int i = 0; i < STEPS && !broken; i++) {
		int err = i % 8 == 7 ? store_tend(r->f->store) : random_call(r);
		store_catch_up(r->f->store);
		broken = err == ERR_READ_ONLY;
		assert_true(ordinary(err) || fake_env_failed(r->f->env));
		note_state(r);
		assert_true(
			ordinary(err) || i % 8 == 7 || id32_equal(&r->h.state[r->h.n - 1], &r->h.state[r->h.n - 2]));
	}
	bool failed = fake_env_failed(r->f->env);
	struct store_stat st;
	assert_int_equal(store_stat(r->f->store, &st), 0);
	if (failed && !st.read_only) /* housekeeping goes on by itself */
		goes_on_keeping_house(r);
	store_fixture_crash(r->f, FAKE_KEEP_ALL);
	check_prefix(r, true);
	store_fixture_crash(r->f, FAKE_LOSE_ALL); /* what a start found is on disk, even after a failed sync */
	check_prefix(r, true);
	run_free(r);
	return failed;
}

static void any_disk_call_may_fail(void **state)
{
	(void)state;
	for (unsigned long n = 1; fail_once(FAKE_WRITING, n, ERR_IO); n++)
		;
	for (unsigned long n = 1; fail_once(FAKE_PWRITE, n, ERR_NO_SPACE); n++)
		;
	for (unsigned long n = 1; fail_once(FAKE_FALLOCATE, n, n % 2 ? ERR_NO_SPACE : ERR_QUOTA); n++)
		;
	for (unsigned long n = 1; fail_once(FAKE_PREAD, n, ERR_IO); n++)
		;
}

static bool fail_allocation(unsigned long n)
{
	struct run *r = run_new(n);
	heap_fail_at(n);
	for (int i = 0; i < STEPS && !heap_failed(); i++) {
		int err = i % 8 == 7 ? store_tend(r->f->store) : random_call(r);
		store_catch_up(r->f->store);
		bool failed = heap_failed();
		assert_true(ordinary(err) || (failed && err == ERR_NOMEM));
		heap_suspend();
		if (!failed || err == 0 || i % 8 == 7)
			note_state(r);
		heap_resume();
	}
	bool failed = heap_failed();
	heap_fail_at(0);
	note_state(r);
	assert_true(id32_equal(&r->h.state[r->h.n - 1], &r->h.state[r->h.n - 2]));
	store_fixture_crash(r->f, FAKE_KEEP_ALL);
	check_prefix(r, true);
	run_free(r);
	return failed;
}

static void any_allocation_may_fail(void **state)
{
	(void)state;
	for (unsigned long n = 1; fail_allocation(n); n++)
		;
}

/* SQLite's allocations are inside a library that --wrap does not see. */
static struct {
	sqlite3_mem_methods real;
	unsigned long fail_at, count;
	bool failed;
} sql_heap;

static void *sql_malloc(int n)
{
	if (sql_heap.fail_at != 0 && ++sql_heap.count == sql_heap.fail_at) {
		sql_heap.failed = true;
		return NULL;
	}
	return sql_heap.real.xMalloc(n);
}

static int wrap_sqlite(void **state)
{
	(void)state;
	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sql_heap.real) != SQLITE_OK)
		return -1;
	sqlite3_mem_methods m = sql_heap.real;
	m.xMalloc = sql_malloc;
	return sqlite3_config(SQLITE_CONFIG_MALLOC, &m) == SQLITE_OK ? 0 : -1;
}

static bool fail_sqlite(unsigned long n)
{
	struct run *r = run_new(n);
	sql_heap.failed = false;
	sql_heap.count = 0;
	sql_heap.fail_at = n;
	for (int i = 0; i < STEPS && !sql_heap.failed; i++) {
		int err = i % 8 == 7 ? store_tend(r->f->store) : random_call(r);
		store_catch_up(r->f->store);
		bool failed = sql_heap.failed;
		assert_true(ordinary(err) || (failed && err == ERR_NOMEM));
		if (failed)
			sql_heap.fail_at = 0;
		unsigned long count = sql_heap.count, at = sql_heap.fail_at;
		sql_heap.fail_at = 0; /* the digest is not what is tested */
		note_state(r);
		sql_heap.fail_at = at;
		sql_heap.count = count;
		assert_true(err == 0 || ordinary(err) || i % 8 == 7 ||
			    id32_equal(&r->h.state[r->h.n - 1], &r->h.state[r->h.n - 2]));
	}
	sql_heap.fail_at = 0;
	bool failed = sql_heap.failed;
	for (int i = 0; i < 5; i++) {
		assert_true(ordinary(random_call(r)));
		note_state(r);
	}
	store_fixture_crash(r->f, FAKE_KEEP_ALL);
	check_prefix(r, true);
	run_free(r);
	return failed;
}

static void any_allocation_of_sqlite_may_fail(void **state)
{
	(void)state;
	for (unsigned long n = 1; fail_sqlite(n); n++)
		;
}

static void another_key_is_refused_and_damage_is_told(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	(void)state;
	store_fixture_make(f, f->root, "a", NODE_FILE);
	store_close(f->store);
	f->key[0] ^= 1;
	assert_int_equal(store_fixture_open(f), ERR_WRONG_KEY);
	f->key[0] ^= 1;
	assert_int_equal(store_fixture_open(f), 0);
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_kill_loses_nothing),
		cmocka_unit_test(a_power_cut_leaves_a_prefix),
		cmocka_unit_test(a_power_cut_at_any_write_leaves_a_prefix),
		cmocka_unit_test(a_start_without_changes_survives_a_power_cut),
		cmocka_unit_test(a_failing_first_start_can_be_repeated), cmocka_unit_test(any_disk_call_may_fail),
		cmocka_unit_test(any_allocation_may_fail), cmocka_unit_test(any_allocation_of_sqlite_may_fail),
		cmocka_unit_test(another_key_is_refused_and_damage_is_told) };
	return cmocka_run_group_tests(tests, wrap_sqlite, NULL);
}
