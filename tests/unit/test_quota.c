/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "server/depot_plain.h"
#include "server/housekeeping.h"
#include "tests/lib/relay_bench.h"

struct world {
	struct relay_bench r;
	struct party alice;
	struct new_space s;
	struct caller *c;
	uint64_t number;
};

static void open_world(struct world *w)
{
	memset(w, 0, sizeof *w);
	relay_bench_open(&w->r);
	party_init(&w->alice, "laptop");
	party_space(&w->alice, &w->s);
	w->c = bench_caller(&w->alice);
	bench_space(&w->r, w->c, &w->s);
}

static void close_world(struct world *w)
{
	caller_unref(w->c);
	new_space_release(&w->s);
	party_release(&w->alice);
	relay_bench_close(&w->r);
}

/* Other settings than the default's. */
static void set(struct world *w, const char *name, const char *value)
{
	struct config *c = bench_config(w->r.dir, w->r.database);
	struct config_fault fault;

	assert_int_equal(config_set(c, name, value, &fault), 0);
	assert_int_equal(relay_configure(&w->r.relay, c, &(unsigned){ 0 }), 0);
}

static struct answer push(
	struct world *w, const struct new_space *s, const struct sealed *record, const struct sealed *chunk)
{
	struct buf params = BUF_INIT(FRAME_MAX);

	params_push(&params, log_space(s->log), ++w->number, -1, record, record != NULL, chunk, chunk != NULL,
		bytes_of(NULL, 0));
	return bench_call(&w->r, w->c, "coffer.push", &params);
}

static uint64_t space_bytes(struct world *w, const struct new_space *s, uint64_t *ret_of_owner)
{
	struct depot_space row;
	uint64_t n;

	assert_int_equal(depot_space_find(w->r.reader, log_space(s->log), &row), 0);
	assert_int_equal(depot_space_bytes(w->r.reader, row.no, &n, ret_of_owner), 0);
	return n;
}

static bool push_chunk(struct world *w, const struct new_space *s, size_t size)
{
	struct sealed chunk;
	struct answer a;
	bool ok;

	sealed_chunk(s, NULL, size, &chunk);
	a = push(w, s, NULL, &chunk);
	ok = answer_ok(&a);
	assert_true(ok || answer_refused(&a, "storage_full"));
	answer_release(&a);
	sealed_release(&chunk);
	return ok;
}

static void all_that_is_stored_counts(void **state)
{
	struct world w;
	struct sealed first, second;
	uint64_t all, of_owner, before;
	struct answer a;

	(void)state;
	open_world(&w);
	assert_int_equal(space_bytes(&w, &w.s, &of_owner), 0);
	sealed_record(&w.alice, &w.s, (struct sealed_params){ 0 }, &first);
	a = push(&w, &w.s, &first, NULL);
	assert_true(answer_ok(&a));
	answer_release(&a);
	assert_int_equal(space_bytes(&w, &w.s, &of_owner), first.blob.len);
	sealed_record(
		&w.alice, &w.s, (struct sealed_params){ .id = &first.id, .version = 2, .prev = &first.hash }, &second);
	a = push(&w, &w.s, &second, NULL);
	assert_true(answer_ok(&a));
	answer_release(&a);
	/* The replaced version is history, and counts until it goes. */
	assert_int_equal(space_bytes(&w, &w.s, &of_owner), first.blob.len + second.blob.len);
	before = first.blob.len + second.blob.len;
	assert_true(push_chunk(&w, &w.s, 10000));
	all = space_bytes(&w, &w.s, &of_owner);
	assert_true(all > before + 9999);
	assert_int_equal(all, of_owner);
	fake_env_advance(w.r.env, 31ll * 86400 * 1000000000);
	while (housekeeping_step(&w.r.relay) > 0)
		;
	assert_int_equal(space_bytes(&w, &w.s, &of_owner), second.blob.len);
	sealed_release(&first);
	sealed_release(&second);
	close_world(&w);
}

static void a_space_over_its_quota_takes_only_small_things(void **state)
{
	struct world w;
	struct sealed record;
	struct answer a;
	size_t taken = 0;
	uint64_t of_owner;

	(void)state;
	open_world(&w);
	set(&w, "storage.space_bytes", "1000000");
	while (taken < 100 && push_chunk(&w, &w.s, 60000))
		taken++;
	assert_in_range(taken, 15, 17);
	assert_true(space_bytes(&w, &w.s, &of_owner) <= 1000000 + 1000000 / 16);
	sealed_record(&w.alice, &w.s, (struct sealed_params){ 0 }, &record);
	a = push(&w, &w.s, &record, NULL);
	answer_release(&a);
	/* With more room it goes on. */
	set(&w, "storage.space_bytes", "2000000");
	assert_true(push_chunk(&w, &w.s, 60000));
	sealed_release(&record);
	close_world(&w);
}

static void all_spaces_of_a_person_count_together(void **state)
{
	struct world w;
	struct new_space other;
	uint64_t of_owner, first;
	size_t taken = 0;

	(void)state;
	open_world(&w);
	party_space(&w.alice, &other);
	bench_space(&w.r, w.c, &other);
	set(&w, "storage.person_bytes", "600000");
	while (taken < 100 && push_chunk(&w, &w.s, 60000))
		taken++;
	assert_in_range(taken, 9, 10);
	assert_false(push_chunk(&w, &other, 60000));
	first = space_bytes(&w, &w.s, &of_owner);
	assert_int_equal(first, of_owner);
	assert_int_equal(space_bytes(&w, &other, &of_owner), 0);
	assert_int_equal(first, of_owner);
	new_space_release(&other);
	close_world(&w);
}

/* --- plain spaces --- */

#define PLAIN "5cf1d1e5-6e0a-4b3c-9a52-1f6f2a3b4c5d"
#define OTHER "5cf1d1e5-6e0a-4b3c-9a52-1f6f2a3b4c5e"

/* One change of a record in the caller's personal space; size 0: a tombstone. What was refused, or NULL. */
static const char *plain_push(struct world *w, const char *space, uint8_t record, size_t size, uint64_t expected)
{
	static const uint8_t zeros[100000];
	static const char *const codes[] = { "storage_full", "conflict", "forbidden" };
	char id[ID16_TEXT_SIZE];
	struct buf b = BUF_INIT(FRAME_MAX);
	struct cbor_enc e = cbor_enc_init(&b);
	const char *why = NULL;
	struct answer a;

	id16_format(&(struct id16){ { record } }, id);
	assert_int_equal(id16_parse(space, 36, &w->c->plain.personal), 0);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "space");
	cbor_put_text(&e, space);
	cbor_put_text(&e, "changes");
	cbor_put_array(&e, 1);
	cbor_put_map(&e, size ? 3 : 2);
	cbor_put_text(&e, "id");
	cbor_put_text(&e, id);
	if (size) {
		cbor_put_text(&e, "blob");
		cbor_put_bytes(&e, zeros, size);
	}
	cbor_put_text(&e, "expected_cursor");
	cbor_put_uint(&e, expected);
	assert_int_equal(cbor_enc_end(&e), 0);
	a = bench_call(&w->r, w->c, "push", &b);
	for (size_t i = 0; i < COUNT(codes); i++)
		if (answer_refused(&a, codes[i]))
			why = codes[i];
	assert_true(why || answer_ok(&a));
	answer_release(&a);
	return why;
}

static uint64_t plain_bytes(struct world *w, const char *space)
{
	struct depot_plain sp;
	struct id16 id;

	assert_int_equal(id16_parse(space, 36, &id), 0);
	assert_int_equal(depot_plain_find(w->r.reader, &id, &sp), 0);
	return sp.bytes;
}

static void plain_spaces_have_quotas_too(void **state)
{
	struct depot_item file = {
		.kind = DEPOT_FILE, .id = { { 7 } }, .size = 5000, .object = bytes_str("sixteen bytes id")
	};
	const struct id16 record = { { 1 } };
	struct depot_plain sp;
	struct world w;

	(void)state;
	open_world(&w);
	w.c->plain.has_personal = true;
	w.c->plain.mailbox = (struct id32){ { 5 } };
	assert_null(plain_push(&w, PLAIN, 1, 90000, 0));
	assert_int_equal(plain_bytes(&w, PLAIN), 90000);
	assert_null(plain_push(&w, PLAIN, 1, 80000, 1)); /* in the place of what was there */
	assert_int_equal(plain_bytes(&w, PLAIN), 80000);
	set(&w, "storage.space_bytes", "100000");
	assert_string_equal(plain_push(&w, PLAIN, 2, 70000, 0), "storage_full");
	assert_null(plain_push(&w, PLAIN, 2, 10000, 0));
	assert_null(plain_push(&w, OTHER, 3, 90000, 0)); /* another space */
	set(&w, "storage.space_bytes", "0");
	set(&w, "storage.person_bytes", "190000"); /* both are the same person's */
	assert_string_equal(plain_push(&w, OTHER, 4, 70000, 0), "storage_full");
	w.c->plain.mailbox = (struct id32){ { 6 } }; /* whoever writes: it counts for who made it */
	assert_string_equal(plain_push(&w, OTHER, 4, 70000, 0), "storage_full");

	/* A record's files go with it. */
	assert_int_equal(id16_parse(PLAIN, 36, &w.c->plain.personal), 0);
	assert_int_equal(depot_plain_find(w.r.relay.store, &w.c->plain.personal, &sp), 0);
	file.link = bytes_of(record.b, sizeof record.b);
	sp.bytes += file.size;
	assert_int_equal(depot_begin(w.r.relay.store), 0);
	assert_int_equal(depot_item_put(w.r.relay.store, sp.no, &file), 0);
	assert_int_equal(depot_plain_update(w.r.relay.store, &sp), 0);
	assert_int_equal(depot_commit(w.r.relay.store), 0);
	assert_int_equal(plain_bytes(&w, PLAIN), 95000);
	assert_null(plain_push(&w, PLAIN, 1, 0, 2));
	assert_int_equal(plain_bytes(&w, PLAIN), 10000);
	assert_null(plain_push(&w, OTHER, 4, 70000, 0)); /* there is room again */
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_is_stored_counts),
		cmocka_unit_test(a_space_over_its_quota_takes_only_small_things),
		cmocka_unit_test(all_spaces_of_a_person_count_together),
		cmocka_unit_test(plain_spaces_have_quotas_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
