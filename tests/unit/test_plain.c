/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain protocol's methods on records, files and subscriptions, on a relay without its network: what a client asks, in the words of
 * the protocol's reference, and what it must be told. Answers are compared as bytes where the reference gives them.
 */
#include <stdlib.h>
#include "crypto/hash.h"
#include "server/plain.h"
#include "server/rpc.h"
#include "tests/lib/plain_scene.h"

/* --- records --- */

static void a_personal_space_begins_with_its_first_push(void **state)
{
	struct scene *x = *state;
	struct answer a = scene_pull(x, x->a, x->personal, NULL, 0);
	struct bytes name, data = answer_chunk(&a, 0, &name);
	uint64_t v;

	assert_int_equal(a.chunks, 2);
	assert_true(cbor_text_is(name, "pull.begin"));
	assert_int_equal(param_uint(data, "key_generation", &v), 0);
	assert_int_equal(v, 1);
	answer_release(&a);
	a = scene_push(x, x->a, x->personal, NULL, SCENE_R1, "blob", 0, 0); /* records of epoch 0 are normal here */
	assert_true(answer_ok(&a));
	/* known answer 7, with the bench's id */
	scene_expect_bytes(a.message, "a36474797065016269646131"
				      "66726573756c74a2626f6bf566637572736f7201");
	answer_release(&a);
	scene_push_refused(x, x->b, x->personal, NULL, SCENE_R2, 0, "forbidden");
	scene_push_refused(x, x->b, x->personal, x->ub, SCENE_R2, 0, "forbidden");
	a = scene_pull(x, x->b, x->personal, NULL, 0);
	assert_int_equal(a.chunks, 0); /* left out in silence */
	assert_int_equal(answer_uint(&a, "_chunks"), 0);
	answer_release(&a);
}

static void a_push_is_compared_and_swapped(void **state)
{
	struct scene *x = *state;
	struct answer a;

	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, "one", 0, 1);
	a = scene_push(x, x->b, SCENE_SPACE, x->ub, SCENE_R1, "two", 0, 1);
	scene_expect_bytes(a.message, "a36474797065016269646131"
				      "66726573756c74a2626f6bf4656572726f7268636f6e666c696374"); /* known answer 8 */
	answer_release(&a);
	scene_push_refused(x, x->b, SCENE_SPACE, x->ub, SCENE_R2, 7, "conflict");
	scene_push_ok(x, x->b, SCENE_SPACE, x->ub, SCENE_R1, "two", 1, 2);
	scene_push_ok(x, x->b, SCENE_SPACE, x->ub, SCENE_R1, NULL, 2, 3);
	scene_push_refused(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, 0, "conflict"); /* a tombstone exists */
	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, "again", 3, 4);
	scene_push_refused(x, x->a, "no space", x->ua, SCENE_R1, 0, "bad_request");
	scene_push_refused(x, x->a, SCENE_SPACE, x->ua, "no id", 0, "bad_request");
	scene_push_refused(x, x->a, "00000000-0000-4000-8000-000000000000", x->ua, SCENE_R2, 0, "forbidden");
}

static void a_push_is_all_or_nothing(void **state)
{
	struct scene *x = *state;
	struct params p;
	struct answer a;

	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, "one", 0, 1);
	for (int twins = 0; twins < 2; twins++) {
		params_begin(&p, 3);
		params_text(&p, "space", SCENE_SPACE);
		params_text(&p, "ucan", x->ua);
		params_array(&p, "changes", 2);
		for (int i = 0; i < 2; i++) {
			cbor_put_map(&p.e, 3);
			params_text(&p, "id", i || twins ? SCENE_R2 : SCENE_R1);
			params_bytes(&p, "blob", "x", 1);
			params_uint(&p, "expected_cursor", 0);
		}
		a = scene_call(x, x->a, "push", &p);
		assert_true(answer_refused(&a, twins ? "bad_request" : "conflict"));
		answer_release(&a);
	}
	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R2, "two", 0, 2);
	params_begin(&p, 3);
	params_text(&p, "space", SCENE_SPACE);
	params_text(&p, "ucan", x->ua);
	params_array(&p, "changes", 0);
	a = scene_call(x, x->a, "push", &p);
	assert_true(answer_ok(&a));
	assert_int_equal(answer_uint(&a, "cursor"), 2); /* nothing changed, nobody is told */
	assert_null(a.notice);
	answer_release(&a);
}

static void others_are_told_what_was_pushed(void **state)
{
	struct scene *x = *state;
	struct answer a = scene_push(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, "one", 0, 1);
	struct frame f;
	uint64_t v;

	assert_non_null(a.notice);
	assert_int_equal(frame_decode(message_bytes(a.notice), &f), 0);
	assert_true(cbor_text_is(f.name, "sync"));
	assert_int_equal(param_uint(f.value, "prev", &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(param_uint(f.value, "cursor", &v), 0);
	assert_int_equal(v, 1);
	assert_int_equal(param_uint(f.value, "key_generation", &v), 0);
	assert_int_equal(v, 1);
	answer_release(&a);
}

/* Two records, each of which a client can still pull. */
static void a_push_too_large_to_be_told_makes_others_pull(void **state)
{
	struct scene *x = *state;
	uint8_t *blob = calloc(1, PLAIN_MAX_ITEM / 2);
	struct params p;
	struct answer a;
	struct frame f;
	uint64_t prev, cursor;

	assert_non_null(blob);
	params_begin(&p, 3);
	params_text(&p, "space", SCENE_SPACE);
	params_text(&p, "ucan", x->ua);
	params_array(&p, "changes", 3);
	for (size_t i = 0; i < 3; i++) {
		static const char *const ids[] = { SCENE_R1, SCENE_R2, "019400e8-7b5d-7000-8000-000000000003" };

		cbor_put_map(&p.e, 3);
		params_text(&p, "id", ids[i]);
		params_bytes(&p, "blob", blob, PLAIN_MAX_ITEM / 2 - 1024 * (i == 2));
		params_uint(&p, "expected_cursor", 0);
	}
	a = scene_call(x, x->a, "push", &p);
	assert_true(answer_ok(&a));
	assert_int_equal(frame_decode(message_bytes(a.notice), &f), 0);
	assert_int_equal(param_uint(f.value, "prev", &prev), 0);
	assert_int_equal(param_uint(f.value, "cursor", &cursor), 0);
	assert_int_equal(prev, cursor); /* where no client stands that has not got it */
	answer_release(&a);
	free(blob);
}

/* A message over 4 MiB is dropped by the public client, and with it the pull that it is part of, for all members. */
static void a_record_that_nobody_could_pull_is_refused(void **state)
{
	struct scene *x = *state;
	char *blob = malloc(PLAIN_MAX_ITEM + 1);
	struct answer a;

	assert_non_null(blob);
	memset(blob, 'x', PLAIN_MAX_ITEM);
	blob[PLAIN_MAX_ITEM] = '\0';
	a = scene_push(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, blob, 0, 1);
	assert_true(answer_refused(&a, "payload_too_large"));
	answer_release(&a);
	blob[PLAIN_MAX_ITEM - PLAIN_DEK] = '\0';
	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, blob, 0, 1);
	a = scene_pull(x, x->b, SCENE_SPACE, x->ub, 0);
	assert_int_equal(a.chunks, 3);
	for (const struct message_node *n = a.frames.first; n; n = n->next)
		assert_true(n->m->len <= PLAIN_MAX_FRAME);
	answer_release(&a);
	free(blob);
}

/* Tombstones without keys: nothing of them is sent. */
static void store_tombstones(struct scene *x, unsigned n)
{
	struct depot *s = x->r.relay.store;
	struct depot_plain sp;

	assert_int_equal(depot_begin(s), 0);
	assert_int_equal(depot_plain_find(s, &x->space, &sp), 0);
	for (unsigned i = 1; i <= n; i++) {
		struct depot_item it = { .kind = DEPOT_RECORD,
			.id = { { (uint8_t)(i >> 8), (uint8_t)i } },
			.cursor = ++sp.cursor,
			.deleted = true };

		assert_int_equal(depot_item_put(s, sp.no, &it), 0);
	}
	assert_int_equal(depot_plain_update(s, &sp), 0);
	assert_int_equal(depot_commit(s), 0);
}

/* There are but a few readers: whoever reads what gives nothing must let others in between, too. */
static void what_gives_nothing_holds_no_reader(void **state)
{
	struct scene *x = *state;
	struct answer a;

	store_tombstones(x, 10000);
	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, "one", 0, 10001);
	a = scene_pull(x, x->b, SCENE_SPACE, x->ub, 0);
	assert_int_equal(a.chunks, 3);
	assert_in_range(a.slices, 3, 10);
	answer_release(&a);
	a = scene_ask(x, x->a, "deks.get", x->ua, "since", 0);
	assert_int_equal(a.chunks, 1);
	assert_in_range(a.slices, 4, 10);
	answer_release(&a);
}

static void a_pull_tells_what_it_counts(void **state)
{
	struct scene *x = *state;
	struct answer a;
	struct bytes name, data;
	uint64_t v;

	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, "one", 0, 1);
	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R2, "two", 0, 2);
	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, NULL, 1, 3);
	a = scene_pull(x, x->b, SCENE_SPACE, x->ub, 0);
	assert_int_equal(a.chunks, 3); /* from the beginning tombstones are left out */
	assert_int_equal(answer_uint(&a, "_chunks"), 3);
	data = answer_chunk(&a, 2, &name);
	assert_true(cbor_text_is(name, "pull.commit"));
	assert_int_equal(param_uint(data, "count", &v), 0);
	assert_int_equal(v, 1);
	answer_release(&a);
	a = scene_pull(x, x->b, SCENE_SPACE, x->ub, 1);
	assert_int_equal(a.chunks, 4);
	data = answer_chunk(&a, 2, &name);
	assert_int_equal(param_bytes(data, "blob", 10, &data), ERR_NOT_FOUND);
	answer_release(&a);
}

static void a_long_pull_comes_in_slices(void **state)
{
	struct scene *x = *state;
	char *blob = malloc(700001), id[37];
	struct answer a;
	struct bytes name, data;
	uint64_t v;

	assert_non_null(blob);
	memset(blob, 'x', 700000);
	blob[700000] = '\0';
	for (unsigned i = 0; i < 7; i++) {
		snprintf(id, sizeof id, "019400e8-7b5d-7000-8000-%012u", i);
		scene_push_ok(x, x->a, SCENE_SPACE, x->ua, id, blob, 0, i + 1);
	}
	a = scene_pull(x, x->b, SCENE_SPACE, x->ub, 0);
	assert_int_equal(a.chunks, 9);
	data = answer_chunk(&a, 8, &name);
	assert_int_equal(param_uint(data, "count", &v), 0);
	assert_int_equal(v, 7);
	answer_release(&a);
	free(blob);
}

/* --- files --- */

static void a_files_bytes_go_an_hour_after_its_record(void **state)
{
	struct scene *x = *state;
	const struct id16 object = { { 9 } };
	struct depot_plain sp;
	struct depot_item it = { .kind = DEPOT_FILE, .cursor = 2, .size = 5, .object = bytes_of(object.b, 16) };
	struct id16 record;

	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, "one", 0, 1);
	assert_int_equal(id16_parse(SCENE_R1, 36, &record), 0);
	assert_int_equal(id16_parse(SCENE_R2, 36, &it.id), 0);
	it.link = bytes_of(record.b, 16);
	assert_int_equal(blob_put(x->r.relay.blobs, &x->space, &object, bytes_str("bytes")), 0);
	assert_int_equal(depot_plain_find(x->r.relay.store, &x->space, &sp), 0);
	assert_int_equal(depot_item_put(x->r.relay.store, sp.no, &it), 0);
	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, NULL, 1, 2);
	assert_int_equal(bench_sweep_garbage(&x->r), 0);
	assert_int_equal(blob_size(x->r.relay.blobs, &x->space, &object), 5);
	fake_env_advance(x->r.env, 3700 * 1000000000ll);
	assert_int_equal(bench_sweep_garbage(&x->r), 1);
	assert_int_equal(blob_size(x->r.relay.blobs, &x->space, &object), ERR_NOT_FOUND);
	assert_int_equal(bench_sweep_garbage(&x->r), 0);
}

/* --- subscribe --- */

static void a_subscription_tells_where_the_space_stands(void **state)
{
	struct scene *x = *state;
	struct params p;
	struct answer a;
	struct cbor_dec d;
	size_t n;

	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, "one", 0, 1);
	assert_int_equal(presence_set(x->r.relay.presence, &x->space, 77, bytes_str("here")), 0);
	params_begin(&p, 1);
	params_array(&p, "spaces", 4);
	for (int i = 0; i < 4; i++) {
		static const char *const ids[] = { SCENE_SPACE, "nonsense", SCENE_SPACE, SCENE_R2 };

		cbor_put_map(&p.e, 4);
		params_text(&p, "id", ids[i]);
		if (i == 2)
			params_undefined(&p, "ucan");
		else
			params_text(&p, "ucan", x->ub);
		params_uint(&p, "since", 0);
		cbor_put_text(&p.e, "presence");
		cbor_put_bool(&p.e, true);
	}
	a = scene_call(x, x->b, "subscribe", &p);
	assert_int_equal(param_array(a.last.value, "spaces", 10, &d, &n), 0);
	assert_int_equal(n, 1);
	struct bytes space = cbor_get_raw(&d);
	uint64_t v;
	assert_int_equal(param_uint(space, "cursor", &v), 0);
	assert_int_equal(v, 1);
	assert_int_equal(param_array(space, "peers", 10, &d, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(param_array(a.last.value, "errors", 10, &d, &n), 0);
	assert_int_equal(n, 3);
	answer_release(&a);
}

/* --- presence --- */

static void count_left(void *ctx, const struct id16 *space, uint64_t conn, struct bytes data)
{
	(void)space, (void)conn, (void)data;
	++*(int *)ctx;
}

static void presence_is_bounded_and_fades(void **state)
{
	struct scene *x = *state;
	struct presence *p = x->r.relay.presence;
	const struct id16 other = { { 1 } };
	const struct config *c = relay_config(&x->r.relay);
	const uint64_t most = c->limits.presence_per_space;
	char long_data[1024 + 1] = "";
	char one[PRESENCE_PEER_SIZE], two[PRESENCE_PEER_SIZE];
	int n = 0;

	assert_int_equal(c->limits.presence_bytes, 1024);
	assert_int_equal(c->limits.presence_seconds, 45);
	assert_int_equal(presence_set(p, &x->space, 1, bytes_of(long_data, sizeof long_data)), ERR_RANGE);
	for (uint64_t i = 1; i <= most; i++)
		assert_int_equal(presence_set(p, &x->space, i, bytes_str("x")), 0);
	assert_int_equal(presence_set(p, &x->space, 1000, bytes_str("x")), ERR_RANGE);
	assert_int_equal(presence_set(p, &x->space, 5, bytes_str("y")), 0); /* a refresh */
	assert_int_equal(presence_set(p, &other, 5, bytes_str("y")), 0);
	presence_list(p, &x->space, 5, count_left, &n);
	assert_int_equal(n, most - 1);
	presence_peer(p, 5, &x->space, one);
	presence_peer(p, 5, &other, two);
	assert_string_not_equal(one, two);
	assert_int_equal(presence_set(p, &other, 5 + 4096, bytes_str("z")), 0); /* one bucket */
	assert_true(presence_clear(p, &x->space, 7));
	assert_false(presence_clear(p, &x->space, 7));
	n = 0;
	presence_leave(p, 5, count_left, &n);
	assert_int_equal(n, 2);
	n = 0;
	presence_list(p, &other, 0, count_left, &n);
	assert_int_equal(n, 1);
	n = 0;
	presence_leave(p, 5 + 4096, count_left, &n);
	assert_int_equal(n, 1);
	fake_env_advance(x->r.env, 44 * 1000000000ll);
	assert_int_equal(presence_set(p, &x->space, 1, bytes_str("x")), 0);
	fake_env_advance(x->r.env, 2 * 1000000000ll);
	n = 0;
	presence_sweep(p, count_left, &n);
	assert_int_equal(n, most - 3);
}

/* A subscribe of one space that asks who is there. */
static struct answer ask_who_is_here(struct scene *x)
{
	struct params p;

	params_begin(&p, 1);
	params_array(&p, "spaces", 1);
	cbor_put_map(&p.e, 4);
	params_text(&p, "id", SCENE_SPACE);
	params_uint(&p, "since", 0);
	params_text(&p, "ucan", x->ua);
	cbor_put_text(&p.e, "presence");
	cbor_put_bool(&p.e, true);
	return scene_call(x, x->a, "subscribe", &p);
}

/* What clients would drop above 4 MiB tells of some, not of nobody. */
static void a_crowd_is_told_of_in_part(void **state)
{
	enum { CROWD = 1000 };
	struct scene *x = *state;
	struct config *c = x->r.relay.config;
	static const uint8_t data[5000];
	struct answer a;
	struct cbor_dec d;
	size_t n;

	c->limits.presence_bytes = sizeof data;
	c->limits.presence_per_space = CROWD;
	presence_configure(x->r.relay.presence, c);
	for (uint64_t i = 1; i <= CROWD; i++)
		assert_int_equal(presence_set(x->r.relay.presence, &x->space, i, bytes_of(data, sizeof data)), 0);
	a = ask_who_is_here(x);
	assert_false(a.last.is_error);
	assert_int_equal(param_array(a.last.value, "spaces", 1, &d, &n), 0);
	assert_int_equal(param_array(cbor_get_raw(&d), "peers", CROWD, &d, &n), 0);
	assert_in_range(n, 500, CROWD - 1);
	assert_true(a.last.value.len < 4u << 20);
	answer_release(&a);
}

static void refuse_letter(struct scene *x, const char *payload, const char *code)
{
	struct params p;

	params_begin(&p, 2);
	params_text(&p, "mailbox_id", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	params_text(&p, "payload", payload);
	if (code)
		scene_refused(scene_call(x, x->a, "invitation.create", &p), code, "payload too large");
	else
		scene_not_refused(scene_call(x, x->a, "invitation.create", &p));
}

static void subscribe_to(struct scene *x, size_t n, const char *code)
{
	struct params p;

	params_begin(&p, 1);
	params_array(&p, "spaces", n);
	for (size_t i = 0; i < n; i++) {
		cbor_put_map(&p.e, 2);
		params_text(&p, "id", SCENE_SPACE);
		params_uint(&p, "since", 0);
	}
	if (code)
		scene_refused(scene_call(x, x->a, "subscribe", &p), code, "too many spaces in subscribe request");
	else
		scene_not_refused(scene_call(x, x->a, "subscribe", &p));
}

static void sizes_are_settings(void **state)
{
	struct scene *x = *state;
	struct config *c = x->r.relay.config;

	c->limits.record_bytes = 3;
	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, "abc", 0, 1);
	scene_push_refused(x, x->a, SCENE_SPACE, x->ua, SCENE_R2, 0, "payload_too_large");
	c->limits.record_bytes = 1024;
	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R2, "abcd", 0, 2);
	c->limits.letter_bytes = 5;
	refuse_letter(x, "123456", "payload_too_large");
	refuse_letter(x, "12345", NULL);
	c->limits.spaces_per_request = 2;
	subscribe_to(x, 3, "bad_request");
	subscribe_to(x, 2, NULL);
	c->limits.presence_seconds = 5;
	presence_configure(x->r.relay.presence, c);
	assert_int_equal(presence_set(x->r.relay.presence, &x->space, 1, bytes_str("x")), 0);
	fake_env_advance(x->r.env, 6 * 1000000000ll);
	int n = 0;
	presence_sweep(x->r.relay.presence, count_left, &n);
	assert_int_equal(n, 1);
}

static void bytes_into_a_space_are_limited(void **state)
{
	struct scene *x = *state;
	struct config *c = x->r.relay.config;

	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, "any amount", 0, 1);
	c->limits.space_kib_burst = 1;
	c->limits.space_kib_per_minute = 1;
	limits_configure(x->r.relay.rates, c);
	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R2, "a KiB, begun", 0, 2);
	scene_push_refused(x, x->b, SCENE_SPACE, x->ub, SCENE_R1, 1, "rate_limited"); /* whoever it is */
	scene_push_ok(x, x->a, x->personal, NULL, SCENE_R1, "elsewhere", 0, 1);
	fake_env_advance(x->r.env, 180 * 1000000000ll);
	scene_push_ok(x, x->b, SCENE_SPACE, x->ub, SCENE_R1, "later", 1, 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_personal_space_begins_with_its_first_push),
		TEST(a_push_is_compared_and_swapped),
		TEST(a_push_is_all_or_nothing),
		TEST(others_are_told_what_was_pushed),
		TEST(a_push_too_large_to_be_told_makes_others_pull),
		TEST(a_record_that_nobody_could_pull_is_refused),
		TEST(a_pull_tells_what_it_counts),
		TEST(what_gives_nothing_holds_no_reader),
		TEST(a_long_pull_comes_in_slices),
		TEST(a_files_bytes_go_an_hour_after_its_record),
		TEST(a_subscription_tells_where_the_space_stands),
		TEST(presence_is_bounded_and_fades),
		TEST(a_crowd_is_told_of_in_part),
		TEST(sizes_are_settings),
		TEST(bytes_into_a_space_are_limited),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
