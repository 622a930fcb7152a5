/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Space comes back: overwritten, deleted and collected bytes are given to the disk again, live ones move and stay the same; a
 * snapshot keeps what it needs.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { FILES = 20, LEN = 30000 };

struct run {
	struct store_fixture *f;
	uint64_t ino[FILES], seed;
	uint8_t version[FILES];
};

static void fill(uint8_t *p, size_t file, uint8_t version)
{
	for (size_t i = 0; i < LEN; i++)
		p[i] = (uint8_t)(i * (file + 3) + version);
}

static void rewrite(struct run *r, size_t i)
{
	uint8_t p[LEN];
	fill(p, i, ++r->version[i]);
	store_fixture_write(r->f, r->ino[i], 0, p, LEN);
}

static void check(struct run *r)
{
	for (size_t i = 0; i < FILES; i++) {
		uint8_t want[LEN], got[LEN];
		uint64_t chunk;
		size_t n;
		fill(want, i, r->version[i]);
		assert_int_equal(store_read(r->f->store, r->ino[i], 0, got, LEN, &n, &chunk), 0);
		assert_int_equal(n, LEN);
		assert_memory_equal(got, want, LEN);
	}
}

static struct run *run_new(void)
{
	struct run *r = calloc(1, sizeof *r);
	assert_non_null(r);
	r->f = store_fixture_new(1); /* odd: small segments */
	r->seed = 1;
	for (size_t i = 0; i < FILES; i++) {
		char name[] = { 'f', (char)('a' + i), 0 };
		r->ino[i] = store_fixture_make(r->f, r->f->root, name, NODE_FILE);
		rewrite(r, i);
	}
	return r;
}

static void run_free(struct run *r)
{
	store_fixture_free(r->f);
	free(r);
}

static void tend(struct run *r, int times)
{
	for (int i = 0; i < times; i++)
		assert_int_equal(store_tend(r->f->store), 0);
}

static uint64_t disk_bytes(struct run *r)
{
	struct store_stat st;
	assert_int_equal(store_stat(r->f->store, &st), 0);
	return st.segment_bytes;
}

static void rewriting_for_ever_takes_bounded_space(void **state)
{
	struct run *r = run_new();
	(void)state;
	tend(r, 8);
	uint64_t most = disk_bytes(r) * 4;
	for (int round = 0; round < 60; round++) {
		for (int i = 0; i < 10; i++)
			rewrite(r, (size_t)(unit_random(&r->seed) % FILES));
		tend(r, 2);
		if (round % 10 == 9)
			store_fixture_crash(r->f, FAKE_KEEP_ALL);
		check(r);
	}
	tend(r, 8);
	check(r);
	assert_true(disk_bytes(r) < most);
	run_free(r);
}

static void power_cuts_amid_compaction_lose_nothing_synced(void **state)
{
	(void)state;
	for (unsigned long n = 1; n < 120; n++) {
		struct run *r = run_new();
		for (size_t i = 0; i < FILES; i += 2)
			rewrite(r, i);
		assert_int_equal(store_sync(r->f->store), 0);
		fake_env_fail(r->f->env, FAKE_WRITING, n, ERR_IO, true);
		for (int i = 0; i < 6; i++)
			(void)!store_tend(r->f->store);
		bool failed = fake_env_failed(r->f->env);
		store_fixture_crash(r->f, FAKE_RANDOM);
		check(r);
		run_free(r);
		if (!failed)
			break;
	}
}

static void deleted_files_give_their_space_back(void **state)
{
	struct run *r = run_new();
	(void)state;
	uint64_t ino;
	struct store_stat st;
	for (size_t i = 0; i < FILES; i++) {
		char name[] = { 'f', (char)('a' + i), 0 };
		assert_int_equal(store_unlink(r->f->store, r->f->root, bytes_str(name), false, &ino), 0);
	}
	tend(r, 4);
	assert_int_equal(store_stat(r->f->store, &st), 0);
	assert_int_equal(st.live_bytes, 0);
	assert_true(st.segment_bytes < 16 * 128 * 1024);
	assert_int_equal(st.nodes, 2);
	assert_int_equal(st.dirty_nodes, 0);
	run_free(r);
}

static void a_snapshot_reads_what_it_saw(void **state)
{
	struct run *r = run_new();
	struct store_keep *keep;
	struct store_txn *t;
	struct extent *e;
	uint8_t want[LEN], got[LEN];
	uint64_t chunk;
	size_t n;
	(void)state;
	assert_int_equal(store_keep(r->f->store, &keep), 0);
	assert_int_equal(store_begin(r->f->store, &t), 0);
	assert_int_equal(txn_extents(t, r->ino[3], &e, &n), 0);
	store_abort(&t);
	fill(want, 3, r->version[3]);
	for (int round = 0; round < 10; round++) {
		for (size_t i = 0; i < FILES; i++)
			rewrite(r, i);
		tend(r, 2);
	}
	assert_int_equal(store_read_extents(r->f->store, e, n, 0, got, LEN, &chunk), 0);
	assert_memory_equal(got, want, LEN);
	uint64_t kept = disk_bytes(r);
	store_keep_release(keep);
	tend(r, 4);
	assert_true(disk_bytes(r) < kept);
	free(e);
	check(r);
	run_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(rewriting_for_ever_takes_bounded_space),
		cmocka_unit_test(power_cuts_amid_compaction_lose_nothing_synced),
		cmocka_unit_test(deleted_files_give_their_space_back), cmocka_unit_test(a_snapshot_reads_what_it_saw) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
