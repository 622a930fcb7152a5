/* SPDX-License-Identifier: Apache-2.0 */
/* A day and two hours of cleaning up, hour by hour: what is to go goes when its time has come and not before, all else stays, and
 * the database shrinks. */
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include "server/depot_plain.h"
#include "server/housekeeping.h"
#include "tests/lib/relay_bench.h"

#define HOUR 3600
#define UNNAMED 100 /* chunks that nothing names, of */
#define UNNAMED_SIZE 60000
#define LETTER_HOURS 5
#define VERSION_HOURS 7

struct day {
	struct relay_bench r;
	struct party alice;
	struct new_space s;
	struct caller *c;
	struct sealed records[2], kept, unnamed[UNNAMED];
	uint64_t no; /* of the space */
	struct id16 letter, object;
	struct id32 who;
	int64_t began;
};

static void push(struct day *d, uint64_t number, const struct sealed *record, const struct sealed *chunks, size_t n)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	struct answer a;

	params_push(&params, log_space(d->s.log), number, -1, record, record != NULL, chunks, n, bytes_of(NULL, 0));
	a = bench_call(&d->r, d->c, "coffer.push", &params);
	assert_true(answer_ok(&a));
	answer_release(&a);
}

static void set_one_day(struct day *d)
{
	struct config *c = bench_config(d->r.dir, d->r.database);
	struct config_fault fault;

	assert_int_equal(config_set(c, "storage.unnamed_chunk_days", "1", &fault), 0);
	assert_int_equal(relay_configure(&d->r.relay, c, &(unsigned){ 0 }), 0);
}

/* A record with a chunk and a version before it; chunks that nothing names. */
static void fill_space(struct day *d)
{
	struct depot_space row;

	sealed_chunk(&d->s, NULL, UNNAMED_SIZE, &d->kept);
	sealed_record(&d->alice, &d->s, (struct sealed_params){ .chunks = &d->kept.id, .n_chunks = 1 }, &d->records[0]);
	push(d, 1, &d->records[0], &d->kept, 1);
	sealed_record(&d->alice, &d->s,
		(struct sealed_params){ .id = &d->records[0].id,
			.version = 2,
			.prev = &d->records[0].hash,
			.chunks = &d->kept.id,
			.n_chunks = 1 },
		&d->records[1]);
	push(d, 2, &d->records[1], NULL, 0);
	for (size_t i = 0; i < UNNAMED; i++)
		sealed_chunk(&d->s, NULL, UNNAMED_SIZE, &d->unnamed[i]);
	for (size_t i = 0; i < UNNAMED; i += 50)
		push(d, 3 + i, NULL, &d->unnamed[i], 50);
	assert_int_equal(depot_space_find(d->r.relay.store, log_space(d->s.log), &row), 0);
	d->no = row.no;
}

/* What else has a time: the replaced version, a letter, a deed, an object that no file names. */
static void fill_store(struct day *d)
{
	struct depot *s = d->r.relay.store;
	struct depot_mail m = {
		.id = { { 1 } }, .expires = d->began + LETTER_HOURS * HOUR, .payload = bytes_str("letter")
	};

	d->letter = m.id;
	d->object = (struct id16){ { 9 } };
	assert_int_equal(blob_put(d->r.relay.blobs, log_space(d->s.log), &d->object, bytes_str("bytes")), 0);
	assert_int_equal(depot_begin(s), 0);
	assert_int_equal(depot_version_expire(s, d->no, 0, d->began + VERSION_HOURS * HOUR), 0);
	assert_int_equal(depot_mail_put(s, &m), 0);
	assert_int_equal(depot_deed_put(s, "deed", &d->who, d->began), 0);
	assert_int_equal(depot_garbage_put(s, log_space(d->s.log), &d->object, d->began), 0);
	assert_int_equal(depot_commit(s), 0);
}

static int any_version(void *ctx, uint64_t space, const struct depot_version *v)
{
	(void)space, (void)v;
	++*(size_t *)ctx;
	return 0;
}

static int any_mail(void *ctx, const struct depot_mail *m)
{
	(void)ctx, (void)m;
	return 0;
}

static bool has_chunk(struct day *d, const struct sealed *chunk)
{
	struct depot_chunk c;
	int err = depot_chunk_find(d->r.relay.store, d->no, &chunk->id, &c);

	assert_true(err == OK || err == ERR_NOT_FOUND);
	return err == OK;
}

static void check(struct day *d, int hour)
{
	struct depot *s = d->r.relay.store;
	size_t versions = 0;

	assert_int_equal(depot_versions(s, d->no, 0, 10, any_version, &versions), 0);
	assert_int_equal(versions, hour < VERSION_HOURS ? 2 : 1);
	assert_int_equal(depot_mail_get(s, &d->letter, any_mail, NULL), hour < LETTER_HOURS ? OK : ERR_NOT_FOUND);
	assert_int_equal(depot_deeds(s, "deed", &d->who, 0), hour <= 1 ? 1 : 0);
	assert_int_equal(blob_size(d->r.relay.blobs, log_space(d->s.log), &d->object), hour <= 1 ? 5 : ERR_NOT_FOUND);
	for (size_t i = 0; i < UNNAMED; i++)
		assert_int_equal(has_chunk(d, &d->unnamed[i]), hour <= 24);
	assert_true(has_chunk(d, &d->kept));
}

static uint64_t database_bytes(struct day *d)
{
	struct depot_sizes z;

	assert_int_equal(depot_sizes(d->r.relay.store, &z), 0);
	return z.pages_bytes;
}

static void a_day_of_cleaning(void **state)
{
	struct day *d = calloc(1, sizeof *d);
	uint64_t full;

	(void)state;
	assert_non_null(d);
	relay_bench_open(&d->r);
	set_one_day(d);
	party_init(&d->alice, "laptop");
	party_space(&d->alice, &d->s);
	d->c = bench_caller(&d->alice);
	bench_space(&d->r, d->c, &d->s);
	d->began = relay_now(&d->r.relay);
	fill_space(d);
	fill_store(d);
	full = database_bytes(d);
	for (int hour = 0; hour <= 26; hour++) {
		int more = 1;

		for (int steps = 0; more; steps++) {
			more = housekeeping_step(&d->r.relay);
			assert_true(more >= 0 && steps < 100);
		}
		(void)bench_sweep_garbage(&d->r);
		check(d, hour);
		fake_env_advance(d->r.env, HOUR * 1000000000ll);
	}
	if (test_database_is_sqlite())
		assert_true(database_bytes(d) < full / 2);
	for (size_t i = 0; i < UNNAMED; i++)
		sealed_release(&d->unnamed[i]);
	sealed_release(&d->records[0]);
	sealed_release(&d->records[1]);
	sealed_release(&d->kept);
	caller_unref(d->c);
	new_space_release(&d->s);
	party_release(&d->alice);
	relay_bench_close(&d->r);
	free(d);
}

#define DAY_HOURS 24

struct world {
	struct relay_bench r;
	struct depot_space sp;
};

static void world_open(struct world *w)
{
	relay_bench_open(&w->r);
	w->sp = (struct depot_space){ .id = { { 7 } }, .retention = 1 };
	assert_int_equal(depot_begin(w->r.relay.store), 0);
	assert_int_equal(depot_space_create(w->r.relay.store, &w->sp), 0);
	assert_int_equal(depot_commit(w->r.relay.store), 0);
}

static void replaced_version(struct world *w, uint64_t number, struct bytes blob, int64_t expires)
{
	struct depot *s = w->r.relay.store;
	struct depot_version v = { .number = number, .cursor = 1, .id = { { (uint8_t)number } }, .blob = blob };

	assert_int_equal(depot_begin(s), 0);
	assert_int_equal(depot_versions_put(s, w->sp.no, &v, &(struct id32){ { 1 } }, 1), 0);
	assert_int_equal(depot_version_expire(s, w->sp.no, number, expires), 0);
	assert_int_equal(depot_commit(s), 0);
}

static size_t versions_left(struct world *w)
{
	size_t n = 0;

	assert_int_equal(depot_versions(w->r.relay.store, w->sp.no, 0, 1000000, any_version, &n), 0);
	return n;
}

/* As many as one step takes, all older than what can be cleaned up. */
static void a_damaged_version_holds_up_nothing(void **state)
{
	struct world w;
	struct party alice;
	struct new_space space;
	struct sealed good;
	const struct id32 who = { { 1 } };

	(void)state;
	world_open(&w);
	party_init(&alice, "laptop");
	party_space(&alice, &space);
	sealed_record(&alice, &space, (struct sealed_params){ 0 }, &good);
	for (uint64_t i = 0; i < HOUSEKEEPING_MANY; i++)
		replaced_version(&w, i, bytes_str("no record"), 1);
	replaced_version(&w, HOUSEKEEPING_MANY, buf_bytes(&good.blob), 2);
	assert_int_equal(depot_deed_put(w.r.relay.store, "deed", &who, 1), 0);
	assert_int_equal(housekeeping_step(&w.r.relay), 1);
	assert_int_equal(depot_deeds(w.r.relay.store, "deed", &who, 0), 0);
	assert_int_equal(versions_left(&w), HOUSEKEEPING_MANY + 1);
	assert_int_equal(housekeeping_step(&w.r.relay), 0);
	assert_int_equal(versions_left(&w), HOUSEKEEPING_MANY);
	assert_int_equal(housekeeping_step(&w.r.relay), 0);
	fake_env_advance(w.r.env, (DAY_HOURS + 1) * HOUR * 1000000000ll);
	assert_int_equal(housekeeping_step(&w.r.relay), 1); /* they are looked at again */
	assert_int_equal(versions_left(&w), HOUSEKEEPING_MANY);
	sealed_release(&good);
	new_space_release(&space);
	party_release(&alice);
	relay_bench_close(&w.r);
}

static struct depot_chunk unsynced_chunk(struct world *w, uint8_t n)
{
	struct depot *s = w->r.relay.store;
	struct depot_chunk c = { .id = { { n } }, .object = { { n } }, .size = 9, .summed = true };

	c.sum = blob_sum(bytes_str("one chunk"));
	assert_int_equal(depot_begin(s), 0);
	assert_int_equal(depot_chunk_put(s, w->sp.no, &c, bytes_of(NULL, 0), bytes_of(NULL, 0)), 0);
	assert_int_equal(depot_commit(s), 0);
	return c;
}

static rlim_t next_file(void)
{
	int fd = dup(0);

	assert_true(fd >= 0);
	close(fd);
	return (rlim_t)fd;
}

/* A process that may open nothing more has not lost a chunk. */
static void what_cannot_be_looked_at_is_not_forgotten(void **state)
{
	struct world w;
	struct depot_chunk there, gone;
	struct rlimit was, none;

	(void)state;
	world_open(&w);
	there = unsynced_chunk(&w, 1);
	gone = unsynced_chunk(&w, 2);
	assert_int_equal(blob_put(w.r.relay.blobs, &w.sp.id, &there.object, bytes_str("one chunk")), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){ next_file(), was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_true(housekeeping_start(&w.r.relay) < 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(depot_chunk_find(w.r.relay.store, w.sp.no, &there.id, &there), 0);
	assert_false(there.durable);
	assert_int_equal(housekeeping_start(&w.r.relay), 0);
	assert_int_equal(depot_chunk_find(w.r.relay.store, w.sp.no, &there.id, &there), 0);
	assert_true(there.durable);
	assert_int_equal(depot_chunk_find(w.r.relay.store, w.sp.no, &gone.id, &gone), ERR_NOT_FOUND);
	relay_bench_close(&w.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_day_of_cleaning),
		cmocka_unit_test(a_damaged_version_holds_up_nothing),
		cmocka_unit_test(what_cannot_be_looked_at_is_not_forgotten) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
