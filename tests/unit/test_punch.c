/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On a full disk dead bytes go where they lie: never one that a file, a copy that shares it, a reader of an older state or the state
 * after a power cut needs.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "cache/survey.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { FILES = 16, LEN = 60000, PART = 15000 };

struct run {
	struct store_fixture *f;
	uint64_t ino[FILES], seed;
	uint8_t *want[FILES];
};

static void full(struct run *r, bool on)
{
	atomic_store(&r->f->store->scarce, on);
}

static void rewrite(struct run *r, size_t i, size_t off, size_t len)
{
	for (size_t k = off; k < off + len; k++)
		r->want[i][k] = (uint8_t)(unit_random(&r->seed) | 1);
	store_fixture_write(r->f, r->ino[i], off, r->want[i] + off, len);
}

static struct run *run_new(void)
{
	struct run *r = calloc(1, sizeof *r);
	assert_non_null(r);
	r->f = store_fixture_new(1); /* odd: small segments */
	for (size_t i = 0; i < FILES; i++) {
		char name[] = { 'f', (char)('a' + i), 0 };
		r->want[i] = malloc(LEN);
		assert_non_null(r->want[i]);
		r->ino[i] = store_fixture_make(r->f, r->f->root, name, NODE_FILE);
		rewrite(r, i, 0, LEN);
	}
	return r;
}

static void run_free(struct run *r)
{
	store_fixture_free(r->f);
	for (size_t i = 0; i < FILES; i++)
		free(r->want[i]);
	free(r);
}

static void check(struct run *r)
{
	uint8_t got[LEN];
	uint64_t chunk;
	size_t n;
	for (size_t i = 0; i < FILES; i++) {
		assert_int_equal(store_read(r->f->store, r->ino[i], 0, got, LEN, &n, &chunk), 0);
		assert_int_equal(n, LEN);
		assert_memory_equal(got, r->want[i], LEN);
	}
}

/* A quarter of each file dies, so every segment has holes and none is empty. */
static void kill_parts(struct run *r)
{
	for (size_t i = 0; i < FILES; i++)
		rewrite(r, i, PART, PART);
}

static void tend(struct run *r, int times)
{
	for (int i = 0; i < times; i++)
		assert_int_equal(store_tend(r->f->store), 0);
}

/* What the journal's files take, holes not counted. */
static uint64_t taken(struct run *r)
{
	struct store_stat st;
	assert_int_equal(store_stat(r->f->store, &st), 0);
	return fake_env_disk_bytes(r->f->env) - (st.disk_bytes - st.segment_bytes);
}

static void dead_bytes_are_given_back_where_they_lie(void **state)
{
	struct run *r = run_new();
	(void)state;
	kill_parts(r);
	uint64_t before = taken(r);
	full(r, true);
	tend(r, 2);
	assert_true(taken(r) + FILES * PART / 5 * 2 < before);
	check(r);
	store_fixture_crash(r->f, FAKE_LOSE_ALL);
	check(r);
	run_free(r);
}

static void a_file_that_was_punched_is_used_again_whole(void **state)
{
	struct run *r = run_new();
	(void)state;
	kill_parts(r);
	full(r, true);
	tend(r, 2);
	full(r, false);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < FILES; i++)
			rewrite(r, i, 0, LEN);
		tend(r, 3);
		check(r);
	}
	store_fixture_crash(r->f, FAKE_KEEP_ALL);
	check(r);
	run_free(r);
}

static void a_reader_of_an_older_state_is_waited_for(void **state)
{
	struct run *r = run_new();
	struct store_keep *old, *young;
	struct store_txn *t;
	struct extent *e;
	uint8_t was[LEN], got[LEN];
	uint64_t chunk;
	size_t n;
	(void)state;
	assert_int_equal(store_keep(r->f->store, &old), 0);
	assert_int_equal(store_begin(r->f->store, &t), 0);
	assert_int_equal(txn_extents(t, r->ino[3], &e, &n), 0);
	store_abort(&t);
	memcpy(was, r->want[3], LEN);
	kill_parts(r);
	full(r, true);
	tend(r, 2);
	uint64_t kept = taken(r);
	assert_int_equal(store_read_extents(r->f->store, e, n, 0, got, LEN, &chunk), 0);
	assert_memory_equal(got, was, LEN);
	assert_int_equal(store_keep(r->f->store, &young), 0); /* sees what lives only: nobody waits for it */
	store_keep_release(old);
	tend(r, 1);
	assert_true(taken(r) + FILES * PART / 5 * 2 < kept);
	check(r);
	store_keep_release(young);
	free(e);
	run_free(r);
}

static void what_files_share_stays_until_the_last_one_lets_go(void **state)
{
	struct run *r = run_new();
	uint64_t len, ino;
	(void)state;
	for (size_t i = 0; i < FILES; i += 2) {
		assert_int_equal(store_copy_range(r->f->store, r->ino[i], 0, r->ino[i + 1], 0, LEN, &len), 0);
		memcpy(r->want[i + 1], r->want[i], LEN);
		rewrite(r, i, 0, LEN);
	}
	full(r, true);
	tend(r, 2);
	check(r);
	uint64_t before = taken(r);
	for (size_t i = 1; i < FILES; i += 2)
		rewrite(r, i, PART, PART);
	full(r, true);
	tend(r, 2);
	assert_true(taken(r) < before + FILES / 2 * PART / 4 * 3);
	check(r);
	for (size_t i = 0; i < FILES; i += 2) {
		char name[] = { 'f', (char)('a' + i), 0 };
		assert_int_equal(store_unlink(r->f->store, r->f->root, bytes_str(name), false, &ino), 0);
		r->ino[i] = r->ino[i + 1];
		memcpy(r->want[i], r->want[i + 1], LEN);
	}
	tend(r, 2);
	check(r);
	run_free(r);
}

/* ---- changes beside the walk ---- */

static uint64_t segment_of(struct run *r, uint64_t ino)
{
	struct piece p;
	store_catch_up(r->f->store);
	assert_int_equal(index_extent_next(r->f->store->index, ino, 0, &p), 0);
	return p.at.segment;
}

/* Makes r->ino[0] visited and r->ino[FILES - 1] not: rows of one owner are many. */
static struct survey *half_way(struct run *r)
{
	struct survey *v;
	for (size_t i = 0; i < 400; i++)
		rewrite(r, FILES / 2, i * 100, 1);
	store_catch_up(r->f->store);
	assert_int_equal(survey_new(r->f->store, &v), 0);
	assert_int_equal(survey_step(v, NULL, NULL), 0);
	return v;
}

static void finish(struct run *r, struct survey *v)
{
	int err;
	store_catch_up(r->f->store);
	while ((err = survey_step(v, NULL, NULL)) == 0)
		;
	assert_int_equal(err, ERR_NOT_FOUND);
}

static bool lives(const struct survey *v, uint64_t number)
{
	for (size_t i = 0; i < survey_rows(v); i++) {
		struct survey_row row = survey_row(v, i);
		if (row.number == number)
			return row.need > 0;
	}
	return false;
}

/* Bytes that a walk missed make it worthless for their segment; without changes it holds for all. */
static void a_survey_knows_what_it_may_have_missed(void **state)
{
	struct run *r = run_new();
	uint64_t last = r->ino[FILES - 1], len, ino;
	struct node n, attr = { .size = 0 };
	(void)state;
	uint64_t number = segment_of(r, last), other = segment_of(r, r->ino[1]);
	assert_true(number != other);
	struct survey *v = half_way(r);
	finish(r, v);
	assert_true(survey_holds(v, number) && survey_holds(v, other) && lives(v, number) && lives(v, other));
	survey_free(v);

	v = half_way(r); /* shared to where the walk has been */
	assert_int_equal(store_copy_range(r->f->store, last, 0, r->ino[0], 0, LEN, &len), 0);
	assert_int_equal(store_setattr(r->f->store, last, ATTR_SIZE, &attr, &n), 0);
	finish(r, v);
	assert_false(survey_holds(v, number));
	assert_true(survey_holds(v, other));
	survey_free(v);

	v = half_way(r); /* moved down within one file */
	number = segment_of(r, r->ino[FILES / 2]);
	assert_int_equal(store_fallocate(r->f->store, r->ino[FILES / 2], 0x08 /* collapse */, 0, 30000), 0);
	finish(r, v);
	assert_false(survey_holds(v, number));
	survey_free(v);

	v = half_way(r); /* what only died does not matter */
	assert_int_equal(store_unlink(r->f->store, r->f->root, bytes_str("fb"), false, &ino), 0);
	finish(r, v);
	assert_true(survey_holds(v, other));
	survey_free(v);
	run_free(r);
}

/* ---- power cuts ---- */

static bool cut_at(unsigned long n, enum fake_crash how)
{
	struct run *r = run_new();
	kill_parts(r);
	assert_int_equal(store_sync(r->f->store), 0);
	full(r, true);
	fake_env_fail(r->f->env, FAKE_WRITING, n, ERR_IO, true);
	for (int i = 0; i < 3; i++)
		(void)!store_tend(r->f->store);
	bool failed = fake_env_failed(r->f->env);
	store_fixture_crash(r->f, how);
	check(r);
	full(r, true);
	tend(r, 2);
	check(r);
	store_fixture_crash(r->f, FAKE_LOSE_ALL);
	check(r);
	run_free(r);
	return failed;
}

static void power_cuts_while_holes_are_made_lose_nothing(void **state)
{
	(void)state;
	unsigned long n = 1;
	while (cut_at(n, n % 2 ? FAKE_RANDOM : FAKE_LOSE_ALL) && cut_at(n, FAKE_KEEP_ALL))
		n++;
	assert_true(n > 20);
}

/* Any one call may fail, and the turn be tried again. */
static bool fail_at(unsigned long n)
{
	struct run *r = run_new();
	kill_parts(r);
	full(r, true);
	fake_env_fail(r->f->env, FAKE_ANY, n, ERR_IO, false);
	for (int i = 0; i < 3; i++)
		(void)!store_tend(r->f->store);
	bool failed = fake_env_failed(r->f->env);
	fake_env_fail(r->f->env, FAKE_ANY, 0, 0, false);
	check(r);
	store_fixture_crash(r->f, FAKE_KEEP_ALL);
	check(r);
	run_free(r);
	return failed;
}

static void any_call_may_fail_while_holes_are_made(void **state)
{
	(void)state;
	for (unsigned long n = 1; fail_at(n); n++)
		;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(dead_bytes_are_given_back_where_they_lie),
		cmocka_unit_test(a_file_that_was_punched_is_used_again_whole),
		cmocka_unit_test(a_reader_of_an_older_state_is_waited_for),
		cmocka_unit_test(what_files_share_stays_until_the_last_one_lets_go),
		cmocka_unit_test(a_survey_knows_what_it_may_have_missed),
		cmocka_unit_test(power_cuts_while_holes_are_made_lose_nothing),
		cmocka_unit_test(any_call_may_fail_while_holes_are_made) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
