/* SPDX-License-Identifier: Apache-2.0 */
/* What the relay keeps of replaced records, how it shows it, and how devices give back what a restored store lost. */
#include "tests/lib/push_scene.h"

#include "server/housekeeping.h"
#include "wire/map.h"
#include "wire/record.h"

#define HOUR 3600ll
#define DAY (24 * HOUR)

static void later(struct push_scene *x, int64_t seconds)
{
	fake_env_advance(x->r.env, seconds * 1000000000ll);
}

static struct answer push(struct push_scene *x, const struct sealed *record)
{
	struct buf params = BUF_INIT(FRAME_MAX);

	params_push(&params, &x->space, ++x->number, -1, record, 1, NULL, 0, bytes_of(NULL, 0));
	return bench_call(&x->r, x->a, "coffer.push", &params);
}

/* With one key more. */
static struct answer heal(struct push_scene *x, const struct sealed *record, uint64_t common)
{
	struct buf params = BUF_INIT(FRAME_MAX), list = BUF_INIT(FRAME_MAX);
	struct map m = MAP_INIT;
	struct cbor_enc e = cbor_enc_init(&list);

	cbor_put_array(&e, 1);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "id");
	char text[ID16_TEXT_SIZE];
	id16_format(&record->id, text);
	cbor_put_text(&e, text);
	cbor_put_text(&e, "blob");
	cbor_put_bytes(&e, record->blob.data, record->blob.len);
	assert_int_equal(cbor_enc_end(&e), OK);
	map_uuid(&m, "space", &x->space);
	map_uint(&m, "number", ++x->number);
	map_uint(&m, "common", common);
	map_raw(&m, "records", buf_bytes(&list));
	assert_int_equal(map_put(&m, &params), OK);
	map_release(&m);
	buf_release(&list);
	return bench_call(&x->r, x->a, "coffer.heal", &params);
}

static void expect_ok(struct answer a, uint64_t cursor)
{
	if (!answer_ok(&a))
		fail_msg("refused");
	assert_int_equal(answer_uint(&a, "cursor"), cursor);
	answer_release(&a);
}

static void expect_refused(struct answer a, const char *code)
{
	if (!answer_refused(&a, code))
		fail_msg("not refused with %s", code);
	answer_release(&a);
}

/* n versions of one record, each a step of its own, `apart` seconds apart. */
static void versions(struct push_scene *x, struct sealed *v, size_t n, int64_t apart, unsigned flags)
{
	for (size_t i = 0; i < n; i++) {
		struct sealed_params p = { .version = i + 1, .flags = flags };

		if (i) {
			p.id = &v[0].id;
			p.prev = &v[i - 1].hash;
			later(x, apart);
		}
		sealed_record(&x->alice, &x->s, p, &v[i]);
		expect_ok(push(x, &v[i]), i + 2);
	}
}

static void release(struct sealed *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sealed_release(&v[i]);
}

static void put_ids(struct map *m, struct buf *list, const struct id16 *ids, size_t n)
{
	struct cbor_enc e = cbor_enc_init(list);
	char text[ID16_TEXT_SIZE];

	cbor_put_array(&e, n);
	for (size_t i = 0; i < n; i++) {
		id16_format(&ids[i], text);
		cbor_put_text(&e, text);
	}
	assert_int_equal(cbor_enc_end(&e), OK);
	map_raw(m, "ids", buf_bytes(list));
}

static struct answer history(
	struct push_scene *x, struct caller *c, const struct id16 *ids, size_t n, uint64_t before, uint64_t limit)
{
	struct buf params = BUF_INIT(FRAME_MAX), list = BUF_INIT(FRAME_MAX);
	struct map m = MAP_INIT;

	map_uuid(&m, "space", &x->space);
	put_ids(&m, &list, ids, n);
	if (before)
		map_uint(&m, "before", before);
	if (limit)
		map_uint(&m, "limit", limit);
	assert_int_equal(map_put(&m, &params), OK);
	map_release(&m);
	buf_release(&list);
	return bench_call(&x->r, c, "coffer.history", &params);
}

static struct answer at(struct push_scene *x, const char *key, uint64_t value, uint64_t from, uint64_t limit)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	struct map m = MAP_INIT;

	map_uuid(&m, "space", &x->space);
	map_uint(&m, key, value);
	map_uint(&m, "from", from);
	if (limit)
		map_uint(&m, "limit", limit);
	assert_int_equal(map_put(&m, &params), OK);
	map_release(&m);
	return bench_call(&x->r, x->a, "coffer.at", &params);
}

/* The i-th chunk frame is this version. */
static void is_version(const struct answer *a, size_t i, const struct sealed *v, uint64_t cursor, bool current)
{
	struct bytes name, data = answer_chunk(a, i, &name);

	assert_true(cbor_text_is(name, "coffer.version"));
	assert_int_equal(map_get_uint(data, "cursor", 0), cursor);
	assert_true(map_get_bytes(data, "blob").len == v->blob.len);
	assert_memory_equal(map_get_bytes(data, "blob").p, v->blob.data, v->blob.len);
	assert_int_equal(map_get_uint(data, "expires", 0) == 0, current);
}

static void versions_come_newest_first(void **state)
{
	struct push_scene *x = *state;
	struct sealed v[4], other;
	struct answer a;

	versions(x, v, 4, 60, 0);
	sealed_record(&x->alice, &x->s, (struct sealed_params){ 0 }, &other);
	expect_ok(push(x, &other), 6);
	a = history(x, x->a, &v[0].id, 1, 0, 0);
	assert_int_equal(a.chunks, 4);
	for (size_t i = 0; i < 4; i++)
		is_version(&a, i, &v[3 - i], 5 - i, i == 0);
	answer_release(&a);
	a = history(x, x->a, &v[0].id, 1, 0, 2);
	assert_int_equal(a.chunks, 2);
	is_version(&a, 1, &v[2], 4, false);
	answer_release(&a);
	a = history(x, x->a, &v[0].id, 1, 4, 0);
	assert_int_equal(a.chunks, 2);
	is_version(&a, 0, &v[1], 3, false);
	is_version(&a, 1, &v[0], 2, false);
	answer_release(&a);
	struct id16 ids[] = { other.id, sealed_id(), v[0].id };
	a = history(x, x->a, ids, 3, 0, 1);
	assert_int_equal(a.chunks, 2);
	is_version(&a, 0, &other, 6, true);
	is_version(&a, 1, &v[3], 5, true);
	answer_release(&a);
	release(v, 4);
	sealed_release(&other);
}

static void strangers_see_no_history(void **state)
{
	struct push_scene *x = *state;
	struct sealed v[2];
	struct buf params = BUF_INIT(FRAME_MAX);

	versions(x, v, 2, 60, 0);
	expect_refused(history(x, x->b, &v[0].id, 1, 0, 0), "forbidden");
	params_space(&params, "space", &x->space);
	expect_refused(bench_call(&x->r, x->a, "coffer.history", &params), "bad_request");
	expect_refused(history(x, x->a, &v[0].id, 1, 0, 1001), "bad_request");
	params = (struct buf)BUF_INIT(FRAME_MAX);
	params_space(&params, "space", &x->space);
	expect_refused(bench_call(&x->r, x->a, "coffer.at", &params), "bad_request");
	release(v, 2);
}

static void history_ends_with_the_retention(void **state)
{
	struct push_scene *x = *state;
	struct sealed v[3];
	struct answer a;

	versions(x, v, 2, 60, 0);
	/* An entry makes the retention shorter: what is stored keeps its time. */
	struct entry_maker m = party_maker(&x->alice, x->s.log);
	struct buf b = BUF_INIT(ENTRY_MAX_BLOB);
	assert_int_equal(entry_make_retention(&m, (uint64_t)DAY, &b), 0);
	a = bench_append(&x->r, x->a, &x->space, &b);
	assert_true(answer_ok(&a));
	answer_release(&a);
	assert_int_equal(log_apply(x->s.log, buf_bytes(&b), LOG_VERIFY), OK);
	buf_release(&b);
	sealed_record(
		&x->alice, &x->s, (struct sealed_params){ .id = &v[0].id, .version = 3, .prev = &v[1].hash }, &v[2]);
	expect_ok(push(x, &v[2]), 5);
	later(x, 2 * DAY);
	assert_int_equal(housekeeping_step(&x->r.relay), 0);
	a = history(x, x->a, &v[0].id, 1, 0, 0);
	assert_int_equal(a.chunks, 2);
	is_version(&a, 0, &v[2], 5, true);
	is_version(&a, 1, &v[0], 2, false);
	answer_release(&a);
	later(x, 29 * DAY);
	assert_int_equal(housekeeping_step(&x->r.relay), 0);
	a = history(x, x->a, &v[0].id, 1, 0, 0);
	assert_int_equal(a.chunks, 1);
	answer_release(&a);
	release(v, 3);
}

static void a_passing_version_that_lasted_is_kept(void **state)
{
	struct push_scene *x = *state;
	struct sealed v[3], w;
	struct answer a;

	versions(x, v, 3, 60, RECORD_PASSING);
	a = history(x, x->a, &v[0].id, 1, 0, 0);
	assert_int_equal(a.chunks, 1);
	answer_release(&a);
	later(x, 2 * HOUR);
	struct sealed_params p = { .id = &v[0].id, .version = 4, .prev = &v[2].hash };
	sealed_record(&x->alice, &x->s, p, &w);
	expect_ok(push(x, &w), 5);
	a = history(x, x->a, &v[0].id, 1, 0, 0);
	assert_int_equal(a.chunks, 2);
	is_version(&a, 1, &v[2], 4, false);
	answer_release(&a);
	release(v, 3);
	sealed_release(&w);
}

static void a_space_is_shown_as_it_was(void **state)
{
	struct push_scene *x = *state;
	struct sealed v[3], late;
	struct bytes name, data;
	struct answer a;

	versions(x, v, 3, HOUR, 0); /* cursors 2, 3, 4 */
	later(x, HOUR);
	sealed_record(&x->alice, &x->s, (struct sealed_params){ 0 }, &late);
	expect_ok(push(x, &late), 5);
	for (uint64_t c = 2; c <= 4; c++) {
		a = at(x, "cursor", c, 0, 0);
		assert_int_equal(a.chunks, 2);
		data = answer_chunk(&a, 0, &name);
		assert_true(cbor_text_is(name, "coffer.begin"));
		assert_int_equal(map_get_uint(data, "cursor", 0), c);
		is_version(&a, 1, &v[c - 2], c, c == 4);
		answer_release(&a);
	}
	a = at(x, "cursor", 1, 0, 0);
	assert_int_equal(a.chunks, 1);
	answer_release(&a);
	int64_t now = relay_now(&x->r.relay);
	a = at(x, "time", (uint64_t)(now - HOUR / 2), 0, 0);
	assert_int_equal(a.chunks, 2);
	is_version(&a, 1, &v[2], 4, true);
	answer_release(&a);
	a = at(x, "time", (uint64_t)(now - 2 * HOUR - 1), 0, 0);
	assert_int_equal(a.chunks, 2);
	is_version(&a, 1, &v[0], 2, false);
	answer_release(&a);
	a = at(x, "time", (uint64_t)(now - 9 * HOUR), 0, 0);
	assert_int_equal(a.chunks, 1);
	answer_release(&a);
	/* in pages of one */
	a = at(x, "time", (uint64_t)now, 0, 1);
	assert_int_equal(a.chunks, 2);
	is_version(&a, 1, &v[2], 4, true);
	uint64_t next = answer_uint(&a, "next");
	assert_true(next > 0);
	answer_release(&a);
	a = at(x, "time", (uint64_t)now, next, 0);
	assert_int_equal(a.chunks, 2);
	is_version(&a, 1, &late, 5, true);
	answer_release(&a);
	release(v, 3);
	sealed_release(&late);
}

/* Versions numbered first .. first+n-1 of one record, each but the last replaced; all brought by step 1. */
static void long_history(struct push_scene *x, uint64_t first, uint64_t n, const struct id16 *id)
{
	struct depot *store = x->r.relay.store;
	struct depot_space sp;
	struct id32 hash = { { 1 } };

	assert_int_equal(depot_begin(store), OK);
	assert_int_equal(depot_space_find(store, &x->space, &sp), OK);
	for (uint64_t i = 0; i < n; i++) {
		struct depot_version v = {
			.number = first + i, .cursor = 1, .id = *id, .current = true, .blob = bytes_str("version")
		};
		assert_int_equal(depot_versions_put(store, sp.no, &v, &hash, 1), OK);
		if (i + 1 < n)
			assert_int_equal(depot_version_expire(store, sp.no, v.number, INT64_MAX), OK);
	}
	assert_int_equal(depot_commit(store), OK);
}

static int count_one(void *ctx, uint64_t space, const struct depot_version *v)
{
	(void)space;
	(void)v;
	++*(unsigned *)ctx;
	return OK;
}

/* A reader goes over a long history in many short turns, and over numbers that are gone in none. */
static void a_long_history_holds_no_reader(void **state)
{
	enum { LONG = DEPOT_AT_NUMBERS + 1000 };
	struct push_scene *x = *state;
	struct id16 one = { { 1 } }, two = { { 2 } };
	const uint64_t far = 1ull << 36;
	uint64_t from = 1, turns = 0, most = 0;
	struct depot_space sp;
	unsigned found = 0;
	int err;

	long_history(x, 1, LONG, &one);
	long_history(x, far, 2, &two);
	assert_int_equal(depot_space_find(x->r.reader, &x->space, &sp), OK);
	do {
		uint64_t before = from;

		err = depot_versions_at(x->r.reader, sp.no, &from, UINT64_MAX, count_one, &found);
		most = from < far && from - before > most ? from - before : most;
		assert_true(err != 1 || from > before);
		turns++;
	} while (err == 1);
	assert_int_equal(err, OK);
	assert_int_equal(found, 2);
	assert_true(most <= DEPOT_AT_NUMBERS && turns >= 3 && turns <= 4);
	/* as of a version in the middle */
	from = found = 0;
	while ((err = depot_versions_at(x->r.reader, sp.no, &from, LONG / 2, count_one, &found)) == 1)
		;
	assert_int_equal(err, OK);
	assert_int_equal(found, 1);
	struct answer a = at(x, "cursor", UINT64_MAX, 0, 0);
	assert_int_equal(a.chunks, 3); /* begin, and both */
	answer_release(&a);
}

/* The relay knows a record as of version 1, at cursor 2; versions 2 to 4 were lost, as a restore loses them. */
static void lose(struct push_scene *x, struct sealed *v)
{
	versions(x, v, 1, 0, 0);
	for (size_t i = 1; i < 4; i++)
		sealed_record(&x->alice, &x->s,
			(struct sealed_params){ .id = &v[0].id, .version = i + 1, .prev = &v[i - 1].hash }, &v[i]);
}

static void what_was_lost_is_given_back(void **state)
{
	struct push_scene *x = *state;
	struct sealed v[4], fresh;
	struct answer a;

	lose(x, v);
	expect_refused(push(x, &v[3]), "conflict");
	expect_refused(heal(x, &v[3], 1), "conflict"); /* it does not know that of cursor 2 */
	a = heal(x, &v[2], 2);
	assert_non_null(a.notice);
	expect_ok(a, 3);
	expect_ok(heal(x, &v[2], 2), 3);
	expect_refused(heal(x, &v[1], 2), "conflict"); /* an earlier one comes too late */
	expect_ok(heal(x, &v[3], 2), 4);               /* a later one takes the place of what was given back */
	a = history(x, x->a, &v[0].id, 1, 0, 0);
	assert_int_equal(a.chunks, 3);
	answer_release(&a);
	/* a record whose first version was lost */
	sealed_record(&x->alice, &x->s, (struct sealed_params){ .version = 7, .prev = &v[0].hash }, &fresh);
	expect_refused(push(x, &fresh), "conflict");
	expect_ok(heal(x, &fresh, 2), 5);
	release(v, 4);
	sealed_release(&fresh);
}

static void what_was_written_since_is_not_replaced(void **state)
{
	struct push_scene *x = *state;
	struct sealed v[4], mine;

	lose(x, v);
	sealed_record(
		&x->alice, &x->s, (struct sealed_params){ .id = &v[0].id, .version = 2, .prev = &v[0].hash }, &mine);
	expect_ok(push(x, &mine), 3);
	expect_refused(heal(x, &v[3], 2), "conflict");
	release(v, 4);
	sealed_release(&mine);
}

static void only_writers_give_back(void **state)
{
	struct push_scene *x = *state;
	struct caller *a = x->a;
	struct sealed v[4];

	lose(x, v);
	x->a = x->b;
	expect_refused(heal(x, &v[3], 2), "forbidden");
	x->a = a;
	release(v, 4);
}

#define T(f) cmocka_unit_test_setup_teardown(f, push_scene_setup, push_scene_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(versions_come_newest_first),
		T(strangers_see_no_history),
		T(history_ends_with_the_retention),
		T(a_passing_version_that_lasted_is_kept),
		T(a_space_is_shown_as_it_was),
		T(a_long_history_holds_no_reader),
		T(what_was_lost_is_given_back),
		T(what_was_written_since_is_not_replaced),
		T(only_writers_give_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
