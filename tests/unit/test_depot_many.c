/* SPDX-License-Identifier: Apache-2.0 */
/* Many rows with one statement, where an engine has that: they are what one by one would give. */
#include <stdlib.h>
#include "server/depot_sql.h"
#include "tests/lib/relay_bench.h"

#define MANY 2500 /* more than one statement takes */

struct scene {
	struct relay_bench r;
	struct depot *store;
	struct depot_space space;
	struct id16 ids[MANY];
	struct id32 hashes[MANY];
	struct depot_version versions[MANY];
	uint8_t blob[64];
	size_t seen[MANY];
};

static int setup(void **state)
{
	struct scene *x = calloc(1, sizeof *x);

	assert_non_null(x);
	relay_bench_open(&x->r);
	x->store = x->r.relay.store;
	x->space = (struct depot_space){ .id = sealed_id() };
	assert_int_equal(depot_begin(x->store), 0);
	assert_int_equal(depot_space_create(x->store, &x->space), 0);
	for (size_t i = 0; i < MANY; i++) {
		x->ids[i] = sealed_id();
		memcpy(x->hashes[i].b, x->ids[i].b, sizeof x->ids[i].b);
	}
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct scene *x = *state;

	depot_rollback(x->store);
	relay_bench_close(&x->r);
	free(x);
	return 0;
}

/* Versions numbered from `first` of the n records, at this cursor. */
static void put_versions(struct scene *x, uint64_t first, uint64_t cursor, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x->versions[i] = (struct depot_version){ .number = first + i,
			.cursor = cursor,
			.id = x->ids[i],
			.passing = i % 2,
			.blob = bytes_of(x->blob, i % (sizeof x->blob + 1)) };
	assert_int_equal(depot_versions_put(x->store, x->space.no, x->versions, x->hashes, n), 0);
}

struct expected {
	struct scene *x;
	uint64_t first, cursor;
};

static int see_record(void *ctx, size_t i, const struct depot_record *r)
{
	const struct expected *e = ctx;

	assert_true(i < MANY);
	e->x->seen[i]++;
	assert_int_equal(r->number, e->first + i);
	assert_int_equal(r->cursor, e->cursor);
	assert_int_equal(r->passing, i % 2);
	assert_memory_equal(r->hash.b, e->x->hashes[i].b, sizeof r->hash.b);
	return 0;
}

static void expect_records(struct scene *x, uint64_t first, uint64_t cursor, size_t n)
{
	struct expected e = { x, first, cursor };

	memset(x->seen, 0, sizeof x->seen);
	assert_int_equal(depot_records_find(x->store, x->space.no, x->ids, MANY, see_record, &e), 0);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(x->seen[i], i < n);
}

static void of_many_records_those_there_are_found_each_once(void **state)
{
	struct scene *x = *state;

	expect_records(x, 0, 0, 0);
	put_versions(x, 1, 7, MANY - 100);
	expect_records(x, 1, 7, MANY - 100);
}

static void of_many_records_the_newest_versions_are_current(void **state)
{
	struct scene *x = *state;

	put_versions(x, 1, 7, MANY);
	put_versions(x, 10001, 8, MANY);
	expect_records(x, 10001, 8, MANY);
}

static int see_version(void *ctx, uint64_t space, const struct depot_version *v)
{
	struct scene *x = ctx;
	size_t i = v->number - 1;

	assert_int_equal(space, x->space.no);
	assert_true(i < MANY);
	x->seen[i]++;
	assert_true(id16_equal(&v->id, &x->ids[i]));
	assert_int_equal(v->blob.len, i % (sizeof x->blob + 1));
	return 0;
}

static void many_versions_are_stored_with_their_blobs(void **state)
{
	struct scene *x = *state;
	uint64_t bytes, of_owner, all = 0;

	put_versions(x, 1, 7, MANY);
	assert_int_equal(depot_versions(x->store, x->space.no, 1, MANY, see_version, x), 0);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(x->seen[i], 1);
		all += i % (sizeof x->blob + 1);
	}
	assert_int_equal(depot_space_bytes(x->store, x->space.no, &bytes, &of_owner), 0);
	assert_int_equal(bytes, all);
}

/* A number that no version can have is not read as one of the next space. */
static void beyond_the_last_number_are_no_versions(void **state)
{
	struct scene *x = *state;

	put_versions(x, 1, 7, MANY);
	assert_int_equal(depot_versions(x->store, x->space.no - 1, KEY_MAX + 1, MANY, see_version, x), 0);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(x->seen[i], 0);
}

static int see_chunk(void *ctx, size_t i, const struct depot_chunk *c)
{
	struct scene *x = ctx;

	assert_true(i < MANY);
	assert_true(id16_equal(&c->id, &x->ids[i]));
	assert_int_equal(c->size, 1 + i);
	x->seen[i] = 1 + c->refs;
	return 0;
}

static void each_name_of_a_chunk_counts(void **state)
{
	static const size_t there[] = { 0, 1, 2, 1200 };
	struct scene *x = *state;
	struct id16 names[6];

	for (size_t i = 0; i < COUNT(there); i++) {
		struct depot_chunk c = { .id = x->ids[there[i]], .size = 1 + there[i], .durable = true };

		assert_int_equal(
			depot_chunk_put(x->store, x->space.no, &c, bytes_of(x->blob, 1), bytes_of(NULL, 0)), 0);
	}
	for (size_t i = 0; i < COUNT(names); i++)
		names[i] = x->ids[i < 3 ? 1 : i < 5 ? 1200 : 0];
	assert_int_equal(depot_chunks_refs(x->store, x->space.no, names, COUNT(names), 1), 0);
	assert_int_equal(depot_chunks_refs(x->store, x->space.no, names, 2, -1), 0);
	assert_int_equal(depot_chunks_find(x->store, x->space.no, x->ids, MANY, see_chunk, x), 0);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(x->seen[i], i == 0 || i == 1 ? 2 : i == 2 ? 1 : i == 1200 ? 3 : 0);
}

static void many_chunks_are_stored_with_their_blobs(void **state)
{
	struct scene *x = *state;
	struct depot_chunk *c = calloc(MANY, sizeof *c);
	struct depot_chunk_body *bodies = calloc(MANY, sizeof *bodies);
	struct id16 *all = calloc(MANY, sizeof *all);

	assert_true(c && bodies && all);
	for (size_t i = 0; i < MANY; i++) {
		c[i] = (struct depot_chunk){ .id = x->ids[i], .size = 1 + i, .uploaded = 5 };
		memcpy(&all[i], &x->ids[i], sizeof all[i]);
		bodies[i] = (struct depot_chunk_body){ bytes_of(x->ids[i].b, 16),
			i == 7 ? bytes_of(all, 32) : bytes_of(NULL, 0) };
	}
	assert_int_equal(depot_chunks_put(x->store, x->space.no, c, bodies, MANY), 0);
	for (size_t i = 0; i < MANY; i += 499) {
		struct buf b = BUF_INIT(64);
		struct depot_chunk found;

		assert_int_equal(depot_chunk_find(x->store, x->space.no, &x->ids[i], &found), 0);
		assert_int_equal(found.size, 1 + i);
		assert_true(found.durable && !found.index && found.row);
		assert_int_equal(depot_chunk_blob(x->store, found.row, &b), 0);
		assert_int_equal(b.len, 16);
		assert_memory_equal(b.data, x->ids[i].b, 16);
		buf_release(&b);
	}
	assert_int_equal(depot_chunk_find(x->store, x->space.no, &x->ids[7], &c[0]), 0);
	assert_true(c[0].index);
	free(c);
	free(bodies);
	free(all);
}

static int stop_at_once(void *ctx, size_t i, const struct depot_record *r)
{
	(void)i, (void)r;
	++*(size_t *)ctx;
	return ERR_CONFLICT;
}

static void who_is_given_them_may_stop(void **state)
{
	struct scene *x = *state;
	size_t n = 0;

	put_versions(x, 1, 7, MANY);
	assert_int_equal(depot_records_find(x->store, x->space.no, x->ids, MANY, stop_at_once, &n), ERR_CONFLICT);
	assert_int_equal(n, 1);
	expect_records(x, 1, 7, MANY);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(of_many_records_those_there_are_found_each_once),
		CASE(of_many_records_the_newest_versions_are_current),
		CASE(many_versions_are_stored_with_their_blobs),
		CASE(beyond_the_last_number_are_no_versions),
		CASE(each_name_of_a_chunk_counts),
		CASE(many_chunks_are_stored_with_their_blobs),
		CASE(who_is_given_them_may_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
