/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Space comes back: overwritten, deleted and collected bytes are given to the disk again, live ones move and stay the same; a
 * snapshot keeps what it needs.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "cache/txn.h"
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

/* ---- how much it takes ---- */

enum { BIG = 4 << 20, BLOCK = 4096 };

struct big {
	struct store_fixture *f;
	uint64_t seed, ino[3];
	uint8_t *want[3];
};

static void write_big(struct big *b, size_t i, size_t off, size_t len)
{
	for (size_t k = off; k < off + len; k += 8) {
		uint64_t v = unit_random(&b->seed);
		memcpy(b->want[i] + k, &v, 8);
	}
	store_fixture_write(b->f, b->ino[i], off, b->want[i] + off, len);
}

static struct big *big_new(void)
{
	struct big *b = calloc(1, sizeof *b);
	assert_non_null(b);
	b->f = store_fixture_new(1);
	b->seed = 5;
	for (size_t i = 0; i < 3; i++) {
		char name[] = { 'b', (char)('0' + i), 0 };
		b->want[i] = calloc(1, BIG);
		assert_non_null(b->want[i]);
		b->ino[i] = store_fixture_make(b->f, b->f->root, name, NODE_FILE);
	}
	for (size_t off = 0; off < BIG; off += 4 * BLOCK)
		write_big(b, 0, off, 4 * BLOCK);
	return b;
}

static void big_free(struct big *b)
{
	store_fixture_free(b->f);
	for (size_t i = 0; i < 3; i++)
		free(b->want[i]);
	free(b);
}

static void copy_big(struct big *b, size_t from, size_t to)
{
	uint64_t len;
	assert_int_equal(store_copy_range(b->f->store, b->ino[from], 0, b->ino[to], 0, BIG, &len), 0);
	assert_int_equal(len, BIG);
	memcpy(b->want[to], b->want[from], BIG);
}

static void check_big(struct big *b, size_t i)
{
	uint8_t *got = malloc(BIG);
	uint64_t chunk;
	size_t n;
	assert_non_null(got);
	assert_int_equal(store_read(b->f->store, b->ino[i], 0, got, BIG, &n, &chunk), 0);
	assert_int_equal(n, BIG);
	assert_memory_equal(got, b->want[i], BIG);
	free(got);
}

static uint64_t big_bytes(struct big *b)
{
	struct store_stat st;
	assert_int_equal(store_stat(b->f->store, &st), 0);
	return st.segment_bytes;
}

/* Until a turn writes nothing any more, which must be soon. */
static void come_to_rest(struct big *b)
{
	for (int i = 0; i < 200; i++)
		assert_int_equal(store_tend(b->f->store), 0);
	fake_env_fail(b->f->env, FAKE_ANY, 0, 0, false);
	for (int i = 0; i < 20; i++)
		assert_int_equal(store_tend(b->f->store), 0);
	assert_int_equal(fake_env_calls(b->f->env, FAKE_PWRITE), 0);
}

static void overwriting_everything_ten_times_stays_under_1_3(void **state)
{
	struct big *b = big_new();
	(void)state;
	for (int round = 0; round < 10; round++) {
		for (size_t off = 0; off < BIG; off += 16 * BLOCK)
			write_big(b, 0, off, 16 * BLOCK);
		assert_int_equal(store_tend(b->f->store), 0);
	}
	come_to_rest(b);
	assert_true(big_bytes(b) < (uint64_t)BIG * 13 / 10);
	check_big(b, 0);
	big_free(b);
}

static void overwriting_blocks_at_random_stays_under_1_3(void **state)
{
	struct big *b = big_new();
	(void)state;
	for (int i = 0; i < 10 * (BIG / BLOCK); i++) {
		write_big(b, 0, (size_t)(unit_random(&b->seed) % (BIG / BLOCK)) * BLOCK, BLOCK);
		if (i % 64 == 63)
			assert_int_equal(store_tend(b->f->store), 0);
		assert_true(i % 1024 != 1023 || big_bytes(b) < BIG * 2ull); /* while it goes on, too */
	}
	come_to_rest(b);
	assert_true(big_bytes(b) < (uint64_t)BIG * 13 / 10);
	check_big(b, 0);
	store_fixture_crash(b->f, FAKE_KEEP_ALL);
	check_big(b, 0);
	big_free(b);
}

static void bytes_that_files_share_are_moved_once(void **state)
{
	struct big *b = big_new();
	(void)state;
	copy_big(b, 0, 1);
	for (int i = 0; i < 3 * (BIG / BLOCK); i++) { /* half of the first file's blocks die in the copy, too */
		size_t at = (size_t)(unit_random(&b->seed) % (BIG / BLOCK / 2)) * 2 * BLOCK;
		write_big(b, 0, at, BLOCK);
		if (i % 64 == 63) {
			copy_big(b, 0, 1);
			assert_int_equal(store_tend(b->f->store), 0);
		}
	}
	copy_big(b, 0, 1);
	copy_big(b, 1, 2);
	come_to_rest(b);
	assert_true(big_bytes(b) < (uint64_t)BIG * 13 / 10);
	for (size_t i = 0; i < 3; i++)
		check_big(b, i);
	store_fixture_crash(b->f, FAKE_KEEP_ALL);
	for (size_t i = 0; i < 3; i++)
		check_big(b, i);
	big_free(b);
}

/* Pieces so small that their rows outweigh them are not moved again and again. */
static void tiny_files_come_to_rest(void **state)
{
	struct big *b = big_new();
	char name[16];
	(void)state;
	for (int i = 0; i < 1500; i++) {
		snprintf(name, sizeof name, "t%d", i);
		uint64_t ino = store_fixture_make(b->f, b->f->root, name, NODE_FILE);
		store_fixture_write(b->f, ino, 0, name, 3);
	}
	come_to_rest(b);
	check_big(b, 0);
	big_free(b);
}

static void name_of_segment(struct big *b, uint64_t off, struct piece *ret_p, char name[32])
{
	assert_int_equal(index_extent_next(b->f->store->index, b->ino[0], off, ret_p), 0);
	snprintf(name, 32, "seg-%016llx", (unsigned long long)ret_p->at.segment);
}

/* Around the piece at block 16, which is damaged, so much that its segment is the first to be emptied. */
static void kill_much(struct big *b)
{
	write_big(b, 0, 0, 16 * BLOCK);
	write_big(b, 0, 20 * BLOCK, 44 * BLOCK);
	for (size_t at = 64 * BLOCK; at < BIG; at += 2 * BLOCK)
		write_big(b, 0, at, BLOCK);
}

/* A block that does not open keeps its segment, and nothing else. */
static void damaged_bytes_do_not_stop_it(void **state)
{
	struct big *b = big_new();
	struct piece p;
	char name[32];
	(void)state;
	name_of_segment(b, 16 * BLOCK, &p, name);
	const struct env *env = fake_env_get(b->f->env);
	int fd = env->open(env->ctx, FAKE_DIR, name, 2 /* O_RDWR */, 0);
	assert_true(fd >= 0);
	assert_int_equal(env->pwrite(env->ctx, fd, "damage", 6, (off_t)p.at.pos + 100), 0);
	env->close(env->ctx, fd);
	kill_much(b);
	come_to_rest(b);
	assert_true(big_bytes(b) < (uint64_t)BIG * 13 / 10);
	big_free(b);
}

/* Neither does one that the disk cannot read any more. */
static void a_bad_sector_does_not_stop_it(void **state)
{
	struct big *b = big_new();
	struct piece p;
	char name[32];
	(void)state;
	name_of_segment(b, 16 * BLOCK, &p, name);
	fake_env_break(b->f->env, name, (off_t)p.at.pos + 100, 512);
	kill_much(b);
	come_to_rest(b);
	assert_true(big_bytes(b) < (uint64_t)BIG * 13 / 10);
	big_free(b);
}

/* Looking for the small appends behind many large pieces lets others at the store in between. */
static void a_long_file_is_walked_in_steps(void **state)
{
	enum { LARGE = 16384, N = 600, APPENDS = 20 };
	static uint8_t p[LARGE];
	struct store_fixture *f = store_fixture_new(2);
	struct piece got;
	(void)state;
	uint64_t ino = store_fixture_make(f, f->root, "a", NODE_FILE), chunk;
	store_fixture_write(f, ino, 0, "x", 1); /* the joining begins here */
	for (uint64_t i = 0; i < N; i++)
		store_fixture_write(f, ino, 1 + i * LARGE, p, LARGE);
	uint64_t tail = 1 + (uint64_t)N * LARGE;
	for (uint64_t i = 0; i < APPENDS; i++)
		store_fixture_write(f, ino, tail + i * 3, "abc", 3);
	uint64_t keeps = f->store->n_keeps;
	assert_int_equal(store_coalesce(f->store), 0);
	assert_true(f->store->n_keeps - keeps > N / 256);
	assert_int_equal(index_extent_next(f->store->index, ino, tail, &got), 0);
	assert_int_equal(got.len, APPENDS * 3);
	size_t n;
	assert_int_equal(store_read(f->store, ino, tail + 3, p, 3, &n, &chunk), 0);
	assert_memory_equal(p, "abc", 3);
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(rewriting_for_ever_takes_bounded_space),
		cmocka_unit_test(power_cuts_amid_compaction_lose_nothing_synced),
		cmocka_unit_test(deleted_files_give_their_space_back), cmocka_unit_test(a_snapshot_reads_what_it_saw),
		cmocka_unit_test(overwriting_everything_ten_times_stays_under_1_3),
		cmocka_unit_test(overwriting_blocks_at_random_stays_under_1_3),
		cmocka_unit_test(bytes_that_files_share_are_moved_once), cmocka_unit_test(tiny_files_come_to_rest),
		cmocka_unit_test(damaged_bytes_do_not_stop_it), cmocka_unit_test(a_bad_sector_does_not_stop_it),
		cmocka_unit_test(a_long_file_is_walked_in_steps) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
