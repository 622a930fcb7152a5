/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eviction and what comes back, when there is much of it: many chunks of a file, many files of a chunk, and a damaged row among them.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "cache/query.h"
#include "cache/txn.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { LEN = 100 };

static const uint8_t content[LEN] = { 1, 2, 3 };

static void commit(struct store_txn **t)
{
	assert_int_equal(store_commit(t), 0);
}

/* A chunk that the relay has. */
static uint64_t add_chunk(struct store_fixture *f, struct store_txn *t, uint32_t number)
{
	struct chunk_row c = { .space = f->space, .len = LEN };
	memcpy(c.id.b, &number, sizeof number);
	assert_int_equal(txn_chunk_add(t, &c), 0);
	assert_int_equal(txn_chunk_confirm(t, c.row), 0);
	return c.row;
}

static void fill(struct store_txn *t, uint64_t chunk)
{
	assert_int_equal(txn_chunk_fill(t, chunk, bytes_of(content, LEN)), 0);
}

/* A file that names the n chunks one after the other, and has nothing to send. */
static uint64_t add_file(struct store_fixture *f, uint32_t number, const uint64_t *chunks, size_t n)
{
	struct store_txn *t;
	struct node node;
	char name[16];
	snprintf(name, sizeof name, "%u", number);
	uint64_t ino = store_fixture_make(f, f->root, name, NODE_FILE);
	assert_int_equal(store_begin(f->store, &t), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(txn_content_ref(t, ino, i * LEN, LEN, chunks[i], 0), 0);
	assert_int_equal(txn_node_get(t, ino, &node), 0);
	node.size = n * LEN;
	assert_int_equal(txn_node_put(t, &node), 0);
	assert_int_equal(txn_mark_clean(t, ino), 0);
	commit(&t);
	return ino;
}

static void add_chunks(struct store_fixture *f, uint64_t *chunks, uint32_t n, bool here)
{
	struct store_txn *t;
	assert_int_equal(store_begin(f->store, &t), 0);
	for (uint32_t i = 0; i < n; i++) {
		chunks[i] = add_chunk(f, t, i + 1);
		if (here)
			fill(t, chunks[i]);
	}
	commit(&t);
}

static bool is_here(struct store_fixture *f, uint64_t chunk)
{
	struct store_txn *t;
	struct chunk_row c;
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_chunk_get(t, chunk, &c), 0);
	store_abort(&t);
	return c.here;
}

static bool is_partial(struct store_fixture *f, uint64_t ino)
{
	struct node n;
	assert_int_equal(store_getattr(f->store, ino, &n), 0);
	return n.flags & NODE_PARTIAL;
}

/* Others have the lock in between, and no entry grows with the file. */
static void a_big_file_goes_in_several_transactions(void **state)
{
	enum { N = 1000 };
	struct store_fixture *f = store_fixture_new(21);
	uint64_t chunks[N], freed = 0;
	(void)state;
	add_chunks(f, chunks, N, true);
	uint64_t ino = add_file(f, 0, chunks, N), before = f->store->at.seq;
	assert_int_equal(store_evict(f->store, ino, &freed), 0);
	assert_int_equal(freed, N * LEN);
	assert_true(f->store->at.seq - before >= 5);
	assert_true(is_partial(f, ino));
	for (size_t i = 0; i < N; i++)
		assert_false(is_here(f, chunks[i]));
	assert_int_equal(store_evict(f->store, ino, &freed), 0);
	assert_int_equal(freed, 0);
	store_fixture_free(f);
}

/* What each marks is small, and there are many. */
static void many_files_of_many_chunks_go_under_a_limit(void **state)
{
	enum { N = 128, FILES = CHUNK_OWNERS / 2 };
	struct store_fixture *f = store_fixture_new(22);
	uint64_t chunks[N], ino[FILES];
	(void)state;
	add_chunks(f, chunks, N, true);
	for (uint32_t i = 0; i < FILES; i++)
		ino[i] = add_file(f, i, chunks, N);
	assert_int_equal(store_set_limit(f->store, 1), 0);
	uint64_t before = f->store->at.seq;
	assert_int_equal(store_tend(f->store), 0);
	assert_true(f->store->at.seq - before >= 5);
	for (size_t i = 0; i < N; i++)
		assert_false(is_here(f, chunks[i]));
	for (uint32_t i = 0; i < FILES; i++)
		assert_true(is_partial(f, ino[i]));
	store_fixture_free(f);
}

/* It stays here, and does not keep up what lies behind it. */
static void a_chunk_of_very_many_files_is_not_evicted(void **state)
{
	struct store_fixture *f = store_fixture_new(23);
	uint64_t chunks[2], freed = 0;
	(void)state;
	add_chunks(f, chunks, 2, true);
	for (uint32_t i = 0; i <= CHUNK_OWNERS; i++)
		add_file(f, i, chunks, 1);
	uint64_t first = add_file(f, CHUNK_OWNERS + 1, chunks, 1), both = add_file(f, CHUNK_OWNERS + 2, chunks, 2);
	assert_int_equal(store_evict(f->store, first, &freed), ERR_BUSY);
	assert_int_equal(store_set_limit(f->store, 1), 0);
	assert_int_equal(store_tend(f->store), 0);
	assert_true(is_here(f, chunks[0]));
	assert_false(is_here(f, chunks[1]));
	assert_true(is_partial(f, both));
	assert_false(is_partial(f, first));
	store_fixture_free(f);
}

static size_t count_partial(struct store_fixture *f, const uint64_t *ino, size_t n)
{
	size_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += is_partial(f, ino[i]);
	return sum;
}

/* The content is here with the chunk; what the files' marks say follows, also over a crash. */
static void a_chunk_that_completes_very_many_files_arrives(void **state)
{
	enum { FILES = 2 * CHUNK_OWNERS + 10 };
	struct store_fixture *f = store_fixture_new(24);
	struct store_txn *t;
	uint8_t got[LEN];
	uint64_t chunk, absent, *ino = calloc(FILES, sizeof *ino);
	size_t n;
	(void)state;
	add_chunks(f, &chunk, 1, false);
	for (uint32_t i = 0; i < FILES; i++)
		ino[i] = add_file(f, i, &chunk, 1);
	assert_int_equal(count_partial(f, ino, FILES), FILES);
	assert_int_equal(store_begin(f->store, &t), 0);
	fill(t, chunk);
	commit(&t);
	assert_int_equal(count_partial(f, ino, FILES), FILES - CHUNK_OWNERS);
	assert_int_equal(store_read(f->store, ino[FILES - 1], 0, got, LEN, &n, &absent), 0);
	assert_memory_equal(got, content, LEN);
	store_fixture_crash(f, FAKE_KEEP_ALL);
	assert_int_equal(store_tend(f->store), 0);
	assert_int_equal(count_partial(f, ino, FILES), 0);
	free(ino);
	store_fixture_free(f);
}

/* What housekeeping cannot read keeps nothing else up, and is told. */
static void a_damaged_row_keeps_up_nothing_else(void **state)
{
	struct store_fixture *f = store_fixture_new(25);
	uint64_t chunks[4], loose, bad;
	uint64_t freed;
	struct store_stat st;
	struct store_txn *t;
	struct chunk_row c;
	char sql[64];
	(void)state;
	add_chunks(f, chunks, 4, true);
	add_file(f, 0, &chunks[1], 1);
	loose = chunks[2];
	bad = add_file(f, 1, &chunks[3], 1);
	assert_int_equal(store_tend(f->store), 0); /* nodes that are held are in the tables then */
	assert_int_equal(store_lock(f->store), 0);
	snprintf(sql, sizeof sql, "UPDATE chunk SET data=x'00' WHERE row=%u", (unsigned)chunks[0]);
	assert_int_equal(sqlite3_exec(f->store->index->db, sql, NULL, NULL, NULL), SQLITE_OK);
	snprintf(sql, sizeof sql, "UPDATE node SET attr=x'00' WHERE ino=%u", (unsigned)bad);
	assert_int_equal(sqlite3_exec(f->store->index->db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(index_loose_put(f->store->index, chunks[0]), 0);
	assert_int_equal(index_loose_put(f->store->index, loose), 0);
	store_unlock(f->store);
	store_fixture_make(f, f->root, "other", NODE_FILE); /* so that there is something to commit */
	store_fixture_reopen(f);
	assert_int_equal(store_set_limit(f->store, 1), 0);
	assert_int_equal(store_evict(f->store, bad, &freed), ERR_CORRUPT);
	assert_int_equal(store_tend(f->store), ERR_CORRUPT);
	assert_int_equal(store_stat(f->store, &st), 0);
	assert_int_equal(st.tend_err, ERR_CORRUPT);
	assert_false(is_here(f, chunks[1]));
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_chunk_get(t, loose, &c), ERR_NOT_FOUND);
	store_abort(&t);
	assert_int_equal(store_lock(f->store), 0);
	snprintf(sql, sizeof sql, "DELETE FROM chunk WHERE row=%u", (unsigned)chunks[0]);
	assert_int_equal(sqlite3_exec(f->store->index->db, sql, NULL, NULL, NULL), SQLITE_OK);
	snprintf(sql, sizeof sql, "DELETE FROM node WHERE ino=%u", (unsigned)bad);
	assert_int_equal(sqlite3_exec(f->store->index->db, sql, NULL, NULL, NULL), SQLITE_OK);
	store_unlock(f->store);
	assert_int_equal(store_tend(f->store), 0);
	assert_int_equal(store_stat(f->store, &st), 0);
	assert_int_equal(st.tend_err, 0);
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_big_file_goes_in_several_transactions),
		cmocka_unit_test(many_files_of_many_chunks_go_under_a_limit),
		cmocka_unit_test(a_chunk_of_very_many_files_is_not_evicted),
		cmocka_unit_test(a_chunk_that_completes_very_many_files_arrives),
		cmocka_unit_test(a_damaged_row_keeps_up_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
