/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain protocol's methods, one by one, on a relay without its network: what a client asks, in the words of the protocol's
 * reference, and what it must be told. Answers are compared as bytes where the reference gives them.
 */
#include <stdlib.h>
#include "crypto/hash.h"
#include "server/housekeeping.h"
#include "server/plain.h"
#include "server/rpc.h"
#include "tests/lib/plain_party.h"
#include "tests/lib/relay_bench.h"

#define SPACE "5cf1d1e5-6e0a-4b3c-9a52-1f6f2a3b4c5d"
#define LONG_ENTRY 2000000
#define R1 "019400e8-7b5d-7000-8000-000000000001"
#define R2 "019400e8-7b5d-7000-8000-000000000002"

struct scene {
	struct relay_bench r;
	struct plain_party root, alice, bob;
	struct caller *a, *b;
	struct id16 space;
	char *ua, *ub; /* admin, writer */
	char personal[ID16_TEXT_SIZE];
};

/* --- params --- */

struct params {
	struct buf b;
	struct cbor_enc e;
};

static struct params *begin(struct params *p, size_t n)
{
	p->b = (struct buf)BUF_INIT(FRAME_MAX);
	p->e = cbor_enc_init(&p->b);
	cbor_put_map(&p->e, n);
	return p;
}

static void put_text(struct params *p, const char *key, const char *v)
{
	cbor_put_text(&p->e, key);
	cbor_put_text(&p->e, v);
}

static void put_uint(struct params *p, const char *key, uint64_t v)
{
	cbor_put_text(&p->e, key);
	cbor_put_uint(&p->e, v);
}

static void put_bytes(struct params *p, const char *key, const void *v, size_t n)
{
	cbor_put_text(&p->e, key);
	cbor_put_bytes(&p->e, v, n);
}

static void undefined(struct params *p, const char *key)
{
	cbor_put_text(&p->e, key);
	cbor_put_raw(&p->e, bytes_of("\xf7", 1));
}

static void array(struct params *p, const char *key, size_t n)
{
	cbor_put_text(&p->e, key);
	cbor_put_array(&p->e, n);
}

static struct answer call(struct scene *x, struct caller *c, const char *method, struct params *p)
{
	assert_int_equal(cbor_enc_end(&p->e), 0);
	return bench_call(&x->r, c, method, &p->b);
}

static void put_dek(struct params *p, uint8_t epoch)
{
	uint8_t dek[PLAIN_DEK] = { 0, 0, 0, epoch };

	memset(dek + 4, 0xaa, 40);
	put_bytes(p, "dek", dek, sizeof dek);
}

/* One change; blob NULL: a tombstone. */
static struct answer push(struct scene *x, struct caller *c, const char *space, const char *ucan, const char *id,
	const char *blob, uint64_t expected, int epoch)
{
	struct params p;

	begin(&p, 3);
	put_text(&p, "space", space);
	if (ucan)
		put_text(&p, "ucan", ucan);
	else
		undefined(&p, "ucan");
	array(&p, "changes", 1);
	cbor_put_map(&p.e, epoch >= 0 ? 4 : 3);
	put_text(&p, "id", id);
	cbor_put_text(&p.e, "blob");
	if (blob)
		cbor_put_bytes(&p.e, blob, strlen(blob));
	else
		cbor_put_null(&p.e);
	put_uint(&p, "expected_cursor", expected);
	if (epoch >= 0)
		put_dek(&p, (uint8_t)epoch);
	return call(x, c, "push", &p);
}

static void push_ok(struct scene *x, struct caller *c, const char *space, const char *ucan, const char *id,
	const char *blob, uint64_t expected, uint64_t cursor)
{
	struct answer a = push(x, c, space, ucan, id, blob, expected, 1);

	assert_true(answer_ok(&a));
	assert_int_equal(answer_uint(&a, "cursor"), cursor);
	answer_release(&a);
}

static void push_refused(struct scene *x, struct caller *c, const char *space, const char *ucan, const char *id,
	uint64_t expected, const char *why)
{
	struct answer a = push(x, c, space, ucan, id, "blob", expected, 1);

	if (!answer_refused(&a, why))
		fail_msg("not %s", why);
	assert_null(a.notice);
	answer_release(&a);
}

static struct answer pull(struct scene *x, struct caller *c, const char *space, const char *ucan, uint64_t since)
{
	struct params p;

	begin(&p, 1);
	array(&p, "spaces", 1);
	cbor_put_map(&p.e, 3);
	put_text(&p, "id", space);
	if (ucan)
		put_text(&p, "ucan", ucan);
	else
		undefined(&p, "ucan");
	put_uint(&p, "since", since);
	return call(x, c, "pull", &p);
}

static struct answer ask(
	struct scene *x, struct caller *c, const char *method, const char *ucan, const char *key, uint64_t v)
{
	struct params p;

	begin(&p, 3);
	put_text(&p, "space", SPACE);
	put_text(&p, "ucan", ucan);
	put_uint(&p, key, v);
	return call(x, c, method, &p);
}

static void refused(struct answer a, const char *code, const char *message)
{
	assert_true(a.last.is_error);
	if (!cbor_text_is(a.last.code, code) || (message && !cbor_text_is(a.last.message, message)))
		fail_msg("%.*s: %.*s", (int)a.last.code.len, (const char *)a.last.code.p, (int)a.last.message.len,
			(const char *)a.last.message.p);
	answer_release(&a);
}

static void refused_not(struct answer a)
{
	assert_false(a.last.is_error);
	answer_release(&a);
}

static void expect_bytes(const struct message *m, const char *hex)
{
	struct bytes got = message_bytes(m);
	char *want = strdup(hex), digit[3] = "";

	assert_non_null(want);
	assert_int_equal(got.len * 2, strlen(want));
	for (size_t i = 0; i < got.len; i++) {
		memcpy(digit, want + 2 * i, 2);
		assert_int_equal(got.p[i], strtoul(digit, NULL, 16));
	}
	free(want);
}

/* --- scene --- */

static void create_space(struct scene *x)
{
	struct params p;
	struct answer a;

	begin(&p, 2);
	put_text(&p, "id", SPACE);
	put_bytes(&p, "root_public_key", x->root.point, sizeof x->root.point);
	a = call(x, x->a, "space.create", &p);
	assert_int_equal(answer_uint(&a, "key_generation"), 1);
	answer_release(&a);
}

static int setup(void **state)
{
	struct scene *x = calloc(1, sizeof *x);
	int64_t exp;

	assert_non_null(x);
	relay_bench_open(&x->r);
	exp = relay_now(&x->r.relay) + 1000;
	plain_party_init(&x->root, 1);
	plain_party_init(&x->alice, 2);
	plain_party_init(&x->bob, 3);
	x->a = plain_party_caller(&x->alice, "alice");
	x->b = plain_party_caller(&x->bob, "bob");
	assert_int_equal(id16_parse(SPACE, 36, &x->space), 0);
	x->ua = plain_party_ucan(&x->root, x->alice.did, &x->space, "/space/admin", exp, NULL);
	x->ub = plain_party_ucan(&x->alice, x->bob.did, &x->space, "/space/write", exp, x->ua);
	id16_format(&x->a->plain.personal, x->personal);
	create_space(x);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct scene *x = *state;

	caller_unref(x->a);
	caller_unref(x->b);
	free(x->ua);
	free(x->ub);
	plain_party_release(&x->root);
	plain_party_release(&x->alice);
	plain_party_release(&x->bob);
	relay_bench_close(&x->r);
	free(x);
	return 0;
}

/* --- records --- */

static void a_personal_space_begins_with_its_first_push(void **state)
{
	struct scene *x = *state;
	struct answer a = pull(x, x->a, x->personal, NULL, 0);
	struct bytes name, data = answer_chunk(&a, 0, &name);
	uint64_t v;

	assert_int_equal(a.chunks, 2);
	assert_true(cbor_text_is(name, "pull.begin"));
	assert_int_equal(param_uint(data, "key_generation", &v), 0);
	assert_int_equal(v, 1);
	answer_release(&a);
	a = push(x, x->a, x->personal, NULL, R1, "blob", 0, 0); /* records of epoch 0 are normal here */
	assert_true(answer_ok(&a));
	/* known answer 7, with the bench's id */
	expect_bytes(a.message, "a36474797065016269646131"
				"66726573756c74a2626f6bf566637572736f7201");
	answer_release(&a);
	push_refused(x, x->b, x->personal, NULL, R2, 0, "forbidden");
	push_refused(x, x->b, x->personal, x->ub, R2, 0, "forbidden");
	a = pull(x, x->b, x->personal, NULL, 0);
	assert_int_equal(a.chunks, 0); /* left out in silence */
	assert_int_equal(answer_uint(&a, "_chunks"), 0);
	answer_release(&a);
}

static void a_push_is_compared_and_swapped(void **state)
{
	struct scene *x = *state;
	struct answer a;

	push_ok(x, x->a, SPACE, x->ua, R1, "one", 0, 1);
	a = push(x, x->b, SPACE, x->ub, R1, "two", 0, 1);
	expect_bytes(a.message, "a36474797065016269646131"
				"66726573756c74a2626f6bf4656572726f7268636f6e666c696374"); /* known answer 8 */
	answer_release(&a);
	push_refused(x, x->b, SPACE, x->ub, R2, 7, "conflict");
	push_ok(x, x->b, SPACE, x->ub, R1, "two", 1, 2);
	push_ok(x, x->b, SPACE, x->ub, R1, NULL, 2, 3);
	push_refused(x, x->a, SPACE, x->ua, R1, 0, "conflict"); /* a tombstone exists */
	push_ok(x, x->a, SPACE, x->ua, R1, "again", 3, 4);
	push_refused(x, x->a, "no space", x->ua, R1, 0, "bad_request");
	push_refused(x, x->a, SPACE, x->ua, "no id", 0, "bad_request");
	push_refused(x, x->a, "00000000-0000-4000-8000-000000000000", x->ua, R2, 0, "forbidden");
}

static void a_push_is_all_or_nothing(void **state)
{
	struct scene *x = *state;
	struct params p;
	struct answer a;

	push_ok(x, x->a, SPACE, x->ua, R1, "one", 0, 1);
	for (int twins = 0; twins < 2; twins++) {
		begin(&p, 3);
		put_text(&p, "space", SPACE);
		put_text(&p, "ucan", x->ua);
		array(&p, "changes", 2);
		for (int i = 0; i < 2; i++) {
			cbor_put_map(&p.e, 3);
			put_text(&p, "id", i || twins ? R2 : R1);
			put_bytes(&p, "blob", "x", 1);
			put_uint(&p, "expected_cursor", 0);
		}
		a = call(x, x->a, "push", &p);
		assert_true(answer_refused(&a, twins ? "bad_request" : "conflict"));
		answer_release(&a);
	}
	push_ok(x, x->a, SPACE, x->ua, R2, "two", 0, 2);
	begin(&p, 3);
	put_text(&p, "space", SPACE);
	put_text(&p, "ucan", x->ua);
	array(&p, "changes", 0);
	a = call(x, x->a, "push", &p);
	assert_true(answer_ok(&a));
	assert_int_equal(answer_uint(&a, "cursor"), 2); /* nothing changed, nobody is told */
	assert_null(a.notice);
	answer_release(&a);
}

static void others_are_told_what_was_pushed(void **state)
{
	struct scene *x = *state;
	struct answer a = push(x, x->a, SPACE, x->ua, R1, "one", 0, 1);
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

static void a_push_too_large_to_be_told_makes_others_pull(void **state)
{
	struct scene *x = *state;
	const size_t size = PLAIN_MAX_FRAME;
	char *blob = malloc(size + 1);
	struct answer a;
	struct frame f;
	uint64_t prev, cursor;

	assert_non_null(blob);
	memset(blob, 'x', size);
	blob[size] = '\0';
	a = push(x, x->a, SPACE, x->ua, R1, blob, 0, 1);
	assert_true(answer_ok(&a));
	assert_int_equal(frame_decode(message_bytes(a.notice), &f), 0);
	assert_int_equal(param_uint(f.value, "prev", &prev), 0);
	assert_int_equal(param_uint(f.value, "cursor", &cursor), 0);
	assert_int_equal(prev, cursor); /* where no client stands that has not got it */
	answer_release(&a);
	free(blob);
}

static void a_pull_tells_what_it_counts(void **state)
{
	struct scene *x = *state;
	struct answer a;
	struct bytes name, data;
	uint64_t v;

	push_ok(x, x->a, SPACE, x->ua, R1, "one", 0, 1);
	push_ok(x, x->a, SPACE, x->ua, R2, "two", 0, 2);
	push_ok(x, x->a, SPACE, x->ua, R1, NULL, 1, 3);
	a = pull(x, x->b, SPACE, x->ub, 0);
	assert_int_equal(a.chunks, 3); /* from the beginning tombstones are left out */
	assert_int_equal(answer_uint(&a, "_chunks"), 3);
	data = answer_chunk(&a, 2, &name);
	assert_true(cbor_text_is(name, "pull.commit"));
	assert_int_equal(param_uint(data, "count", &v), 0);
	assert_int_equal(v, 1);
	answer_release(&a);
	a = pull(x, x->b, SPACE, x->ub, 1);
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
		push_ok(x, x->a, SPACE, x->ua, id, blob, 0, i + 1);
	}
	a = pull(x, x->b, SPACE, x->ub, 0);
	assert_int_equal(a.chunks, 9);
	data = answer_chunk(&a, 8, &name);
	assert_int_equal(param_uint(data, "count", &v), 0);
	assert_int_equal(v, 7);
	answer_release(&a);
	free(blob);
}

/* --- members --- */

static struct answer append(
	struct scene *x, uint64_t expected, const struct id32 *prev, const char *payload, struct id32 *hash)
{
	struct params p;

	hash_sha256(bytes_str(payload), hash);
	begin(&p, prev ? 6 : 5);
	put_text(&p, "space", SPACE);
	put_text(&p, "ucan", x->ua);
	put_uint(&p, "expected_version", expected);
	if (prev)
		put_bytes(&p, "prev_hash", prev->b, 32);
	put_bytes(&p, "entry_hash", hash->b, 32);
	put_bytes(&p, "payload", payload, strlen(payload));
	return call(x, x->a, "membership.append", &p);
}

static void members_stand_in_one_chain(void **state)
{
	struct scene *x = *state;
	struct id32 h1, h2, h3;
	struct answer a = append(x, 0, NULL, "first", &h1);
	struct cbor_dec d;
	size_t n;

	assert_int_equal(answer_uint(&a, "chain_seq"), 1);
	assert_int_equal(answer_uint(&a, "metadata_version"), 1);
	assert_non_null(a.notice);
	answer_release(&a);
	refused(append(x, 0, NULL, "second", &h2), "conflict", "conflict");
	refused(append(x, 1, NULL, "second", &h2), "conflict", NULL);
	refused(append(x, 1, &h2, "second", &h2), "conflict", NULL);
	a = append(x, 1, &h1, "second", &h2);
	assert_int_equal(answer_uint(&a, "chain_seq"), 2);
	answer_release(&a);
	refused(append(x, 2, &h2, "", &h3), "bad_request", "payload must not be empty");
	a = ask(x, x->b, "membership.list", x->ub, "since_seq", 1);
	assert_int_equal(param_array(a.last.value, "entries", 10, &d, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(answer_uint(&a, "metadata_version"), 2);
	answer_release(&a);
	a = pull(x, x->b, SPACE, x->ub, 0);
	assert_int_equal(a.chunks, 4);
	answer_release(&a);
}

/* More than an answer holds comes in parts, each from where the one before ended. */
static void a_long_list_of_members_comes_in_parts(void **state)
{
	struct scene *x = *state;
	char *payload = malloc(LONG_ENTRY + 1);
	struct id32 prev, hash;
	uint64_t at = 0, parts = 0;

	assert_non_null(payload);
	memset(payload, 'x', LONG_ENTRY);
	payload[LONG_ENTRY] = '\0';
	x->a->plain.counted = false;
	for (uint64_t i = 0; i < 5; i++) {
		refused_not(append(x, i, i ? &prev : NULL, payload, &hash));
		prev = hash;
	}
	for (; at < 5; parts++) {
		struct answer a = ask(x, x->b, "membership.list", x->ub, "since_seq", at);
		struct cbor_dec d;
		size_t n;

		assert_false(a.last.is_error);
		assert_int_equal(answer_uint(&a, "metadata_version"), 5);
		assert_true(message_bytes(a.message).len <= PLAIN_MAX_FRAME);
		assert_int_equal(param_array(a.last.value, "entries", 10, &d, &n), 0);
		assert_true(n > 0);
		at += n;
		answer_release(&a);
	}
	assert_true(parts > 1);
	free(payload);
}

static void ten_appends_an_hour(void **state)
{
	struct scene *x = *state;
	struct id32 hash, prev;
	char payload[8];

	for (uint64_t i = 0; i < 10; i++) {
		struct answer a;

		snprintf(payload, sizeof payload, "%llu", (unsigned long long)i);
		a = append(x, i, i ? &prev : NULL, payload, &hash);
		assert_int_equal(answer_uint(&a, "chain_seq"), i + 1);
		answer_release(&a);
		prev = hash;
	}
	refused(append(x, 10, &prev, "x", &hash), "rate_limited",
		"rate limit exceeded: max 10 membership appends per hour");
	relay_bench_restart(&x->r); /* the limit does not forget */
	refused(append(x, 10, &prev, "x", &hash), "rate_limited", NULL);
	x->a->plain.counted = false;
	struct answer a = append(x, 10, &prev, "x", &hash);
	assert_int_equal(answer_uint(&a, "chain_seq"), 11);
	answer_release(&a);
}

static void a_revoked_chain_opens_nothing(void **state)
{
	struct scene *x = *state;
	struct id32 cid;
	char hex[ID32_TEXT_SIZE];
	struct params p;
	struct answer a;

	push_ok(x, x->b, SPACE, x->ub, R1, "one", 0, 1);
	ucan_cid(bytes_str(x->ua), &cid); /* the parent: all that stands on it falls */
	id32_format(&cid, hex);
	begin(&p, 3);
	put_text(&p, "space", SPACE);
	put_text(&p, "ucan", x->ub);
	put_text(&p, "ucan_cid", hex);
	a = call(x, x->b, "membership.revoke", &p);
	assert_false(a.last.is_error);
	assert_non_null(a.notice);
	answer_release(&a);
	push_refused(x, x->b, SPACE, x->ub, R2, 0, "forbidden");
	push_refused(x, x->a, SPACE, x->ua, R2, 0, "forbidden");
	a = pull(x, x->b, SPACE, x->ub, 0);
	assert_int_equal(a.chunks, 0);
	answer_release(&a);
	refused(ask(x, x->b, "membership.list", x->ub, "since_seq", 0), "forbidden", "forbidden");
}

/* (r, n - s) for (r, s): anybody can compute it, and it verifies. free() it. */
static char *twin_of(const char *ucan)
{
	struct buf b = BUF_INIT(UCAN_MAX);
	struct jws j;
	char *text;

	assert_int_equal(jws_split(bytes_str(ucan), &j), 0);
	assert_int_equal(jws_twin(&j, &b), 0);
	text = strndup((const char *)b.data, b.len);
	assert_non_null(text);
	assert_string_not_equal(text, ucan);
	buf_release(&b);
	return text;
}

static void a_revoked_ucan_does_not_come_back_under_its_other_signature(void **state)
{
	struct scene *x = *state;
	char *twin = twin_of(x->ub), *again = twin_of(twin), *parent = twin_of(x->ua);
	char *child =
		plain_party_ucan(&x->alice, x->bob.did, &x->space, "/space/write", relay_now(&x->r.relay) + 9, parent);
	char hex[ID32_TEXT_SIZE];
	struct id32 cid;
	struct params p;

	assert_string_equal(again, x->ub);
	push_ok(x, x->b, SPACE, twin, R1, "one", 0, 1);
	push_ok(x, x->b, SPACE, child, R1, "two", 1, 2);
	for (int i = 0; i < 2; i++) { /* bob's, then what alice stands on herself */
		ucan_cid(bytes_str(i ? x->ua : x->ub), &cid);
		id32_format(&cid, hex);
		begin(&p, 3);
		put_text(&p, "space", SPACE);
		put_text(&p, "ucan", x->ua);
		put_text(&p, "ucan_cid", hex);
		refused_not(call(x, x->a, "membership.revoke", &p));
		push_refused(x, x->b, SPACE, twin, R2, 0, "forbidden");
	}
	push_refused(x, x->b, SPACE, child, R2, 0, "forbidden");
	push_refused(x, x->a, SPACE, parent, R2, 0, "forbidden");
	free(twin);
	free(again);
	free(parent);
	free(child);
}

static void rights_end_with_their_time(void **state)
{
	struct scene *x = *state;

	push_ok(x, x->b, SPACE, x->ub, R1, "one", 0, 1);
	fake_env_advance(x->r.env, 2000 * 1000000000ll);
	push_refused(x, x->b, SPACE, x->ub, R2, 0, "forbidden");
}

/* A right that was asked for in time is none any more once its time is over: a pull that waits for room ends. */
static void a_right_asked_for_in_time_ends_too(void **state)
{
	struct scene *x = *state;
	struct plain_right right;
	struct depot_plain sp;

	plain_ask(&x->r.relay, x->b, &x->space, bytes_str(x->ub), UCAN_READ, &right);
	assert_int_equal(plain_open(&x->r.relay, x->r.reader, &x->space, &right, &sp), 0);
	fake_env_advance(x->r.env, 2000 * 1000000000ll);
	assert_int_equal(plain_open(&x->r.relay, x->r.reader, &x->space, &right, &sp), ERR_FORBIDDEN);
}

/* --- epochs --- */

static struct answer rewrap(struct scene *x, const char *id, uint8_t epoch)
{
	struct params p;

	begin(&p, 3);
	put_text(&p, "space", SPACE);
	put_text(&p, "ucan", x->ua);
	array(&p, "deks", 1);
	cbor_put_map(&p.e, 2);
	put_text(&p, "id", id);
	put_dek(&p, epoch);
	return call(x, x->a, "deks.rewrap", &p);
}

static void a_key_turns_once(void **state)
{
	struct scene *x = *state;
	struct answer a;
	struct params p;
	struct bytes name, data;

	push_ok(x, x->a, SPACE, x->ua, R1, "one", 0, 1);
	begin(&p, 4);
	put_text(&p, "space", SPACE);
	put_text(&p, "ucan", x->ua);
	put_uint(&p, "epoch", 2);
	cbor_put_text(&p.e, "set_min_key_generation");
	cbor_put_bool(&p.e, true);
	a = call(x, x->a, "epoch.begin", &p);
	assert_int_equal(answer_uint(&a, "epoch"), 2);
	answer_release(&a);
	a = ask(x, x->b, "epoch.begin", x->ub, "epoch", 2);
	assert_true(answer_refused(&a, "epoch_conflict")); /* a result, and this very word */
	assert_false(a.last.is_error);
	assert_int_equal(answer_uint(&a, "rewrap_epoch"), 2);
	answer_release(&a);
	refused(rewrap(x, R1, 1), "conflict", "DEK epoch does not match current key generation");
	refused(rewrap(x, R2, 2), "bad_request", "one or more DEK records were not found");
	a = rewrap(x, R1, 2);
	assert_int_equal(answer_uint(&a, "count"), 1);
	answer_release(&a);
	a = ask(x, x->b, "deks.get", x->ub, "since", 0);
	assert_int_equal(a.chunks, 1); /* the public client reads these, and not the result's */
	assert_int_equal(answer_uint(&a, "_chunks"), 1);
	data = answer_chunk(&a, 0, &name);
	assert_true(cbor_text_is(name, "deks.record"));
	assert_int_equal(param_bytes(data, "dek", 44, &data), 0);
	assert_int_equal(data.p[3], 2);
	answer_release(&a);
	push_refused(x, x->b, SPACE, x->ub, R2, 0, "key_generation_stale");
	refused(ask(x, x->a, "epoch.complete", x->ua, "epoch", 3), "conflict", "epoch mismatch");
	a = ask(x, x->a, "epoch.complete", x->ua, "epoch", 2);
	assert_false(a.last.is_error);
	answer_release(&a);
}

static void file_keys_need_their_scope(void **state)
{
	struct scene *x = *state;
	struct answer a = ask(x, x->a, "deks.getFiles", x->ua, "since", 0);

	assert_int_equal(answer_uint(&a, "_chunks"), 0);
	answer_release(&a);
	x->a->plain.files = false;
	refused(ask(x, x->a, "deks.getFiles", x->ua, "since", 0), "forbidden", "files scope required");
}

/* --- spaces --- */

static void refuse_space(struct scene *x, const char *id, const uint8_t *key, size_t n, const char *code)
{
	struct params p;

	begin(&p, 2);
	put_text(&p, "id", id);
	put_bytes(&p, "root_public_key", key, n);
	refused(call(x, x->a, "space.create", &p), code, NULL);
}

static void a_space_is_made_once_and_not_of_anybodys_id(void **state)
{
	struct scene *x = *state;
	uint8_t off[33] = { 2, 5 };

	refuse_space(x, SPACE, x->root.point, 33, "conflict");
	refuse_space(x, R1, x->root.point, 32, "bad_request");
	memset(off + 1, 0xff, 32);
	refuse_space(x, R1, off, 33, "bad_request"); /* not on the curve */
	refuse_space(x, x->personal, x->root.point, 33, "bad_request");
	refuse_space(
		x, "5cf1d1e5-6e0a-8b3c-9a52-1f6f2a3b4c5d", x->root.point, 33, "bad_request"); /* a Coffer space's */
}

static void the_plain_methods_are_refused_in_a_coffer_space(void **state)
{
	struct scene *x = *state;
	struct party alice;
	struct new_space s;
	struct caller *c;
	char id[ID16_TEXT_SIZE];

	party_init(&alice, "laptop");
	party_space(&alice, &s);
	c = bench_caller(&alice);
	bench_space(&x->r, c, &s);
	id16_format(log_space(s.log), id);
	push_refused(x, c, id, NULL, R1, 0, "forbidden");
	push_refused(x, x->a, id, x->ua, R1, 0, "forbidden");
	struct answer a = pull(x, c, id, NULL, 0);
	assert_int_equal(a.chunks, 0);
	answer_release(&a);
	caller_unref(c);
	new_space_release(&s);
	party_release(&alice);
}

static struct answer try_space(struct scene *x, struct party *p)
{
	struct caller *c = bench_caller(p);
	struct buf params = BUF_INIT(FRAME_MAX);
	struct new_space s;
	struct answer a;

	party_space(p, &s);
	params_append(&params, log_space(s.log), s.blobs, 3);
	a = bench_call(&x->r, c, "coffer.append", &params);
	new_space_release(&s);
	caller_unref(c);
	return a;
}

static void only_owners_make_spaces(void **state)
{
	struct scene *x = *state;
	struct party owner, other;
	struct answer a;

	party_init(&owner, "laptop");
	party_init(&other, "phone");
	x->r.relay.strangers = STRANGERS_OWNERS;
	x->r.relay.owners[x->r.relay.n_owners++] = *identity_person(owner.id);
	refused(try_space(x, &other), "forbidden", "only whom its owners let in makes spaces on this relay");
	a = try_space(x, &owner);
	assert_true(answer_ok(&a));
	answer_release(&a);
	x->a->plain.trusted = false;
	refuse_space(x, R1, x->root.point, 33, "forbidden");
	x->a->plain.trusted = true;
	refuse_space(x, SPACE, x->root.point, 33, "conflict");
	party_release(&owner);
	party_release(&other);
}

/* --- mail --- */

static struct answer invite(struct scene *x, const char *mailbox, const char *payload)
{
	struct params p;

	begin(&p, 2);
	put_text(&p, "mailbox_id", mailbox);
	put_text(&p, "payload", payload);
	return call(x, x->a, "invitation.create", &p);
}

static struct answer mail(struct scene *x, struct caller *c, const char *method, const char *key, const char *v)
{
	struct params p;

	begin(&p, key ? 1 : 0);
	if (key)
		put_text(&p, key, v);
	return call(x, c, method, &p);
}

static size_t count_mail(struct scene *x, struct caller *c, const char *after)
{
	struct answer a = mail(x, c, "invitation.list", after ? "after" : NULL, after);
	struct cbor_dec d;
	size_t n;

	assert_int_equal(param_array(a.last.value, "invitations", 300, &d, &n), 0);
	answer_release(&a);
	return n;
}

static void letters_reach_their_mailbox_alone(void **state)
{
	struct scene *x = *state;
	char box[ID32_TEXT_SIZE], id[ID16_TEXT_SIZE];
	struct answer a;
	struct bytes v;

	id32_format(&x->b->plain.mailbox, box);
	refused(invite(x, "", "x"), "bad_request", "missing mailbox_id");
	refused(invite(x, "abc", "x"), "bad_request", "mailbox_id must be 64-char hex string");
	refused(invite(x, box, ""), "bad_request", "missing payload");
	a = invite(x, box, "sealed");
	assert_int_equal(param_text(a.last.value, "id", 36, &v), 0);
	snprintf(id, sizeof id, "%.*s", (int)v.len, (const char *)v.p);
	assert_int_equal(param_text(a.last.value, "created_at", 40, &v), 0);
	assert_int_equal(v.p[v.len - 1], 'Z');
	answer_release(&a);
	assert_int_equal(count_mail(x, x->b, NULL), 1);
	assert_int_equal(count_mail(x, x->b, id), 0);
	assert_int_equal(count_mail(x, x->a, NULL), 0);
	refused(mail(x, x->a, "invitation.get", "id", id), "not_found", "not found");
	refused(mail(x, x->a, "invitation.delete", "id", id), "not_found", "not found");
	refused(mail(x, x->b, "invitation.get", "id", "x"), "bad_request", NULL);
	a = mail(x, x->b, "invitation.get", "id", id);
	assert_int_equal(param_text(a.last.value, "payload", 40, &v), 0);
	assert_true(cbor_text_is(v, "sealed"));
	answer_release(&a);
	fake_env_advance(x->r.env, (7 * 86400 + 1) * 1000000000ll);
	assert_int_equal(count_mail(x, x->b, NULL), 0);
	refused(mail(x, x->b, "invitation.delete", "id", id), "not_found", NULL);
}

static void ten_letters_an_hour(void **state)
{
	struct scene *x = *state;
	char box[ID32_TEXT_SIZE];

	id32_format(&x->b->plain.mailbox, box);
	for (int i = 0; i < 10; i++) {
		struct answer a = invite(x, box, "x");

		assert_false(a.last.is_error);
		answer_release(&a);
	}
	refused(invite(x, box, "x"), "rate_limited", "rate limit exceeded: max 10 invitations per hour");
	fake_env_advance(x->r.env, 3601 * 1000000000ll);
	struct answer a = invite(x, box, "x");
	assert_false(a.last.is_error);
	answer_release(&a);
}

/* --- files --- */

static void strangers_write_letters_only_where_they_are_welcome(void **state)
{
	struct scene *x = *state;
	char box[ID32_TEXT_SIZE];

	id32_format(&x->b->plain.mailbox, box);
	x->r.relay.strangers = STRANGERS_OWNERS;
	refused_not(invite(x, box, "from an issuer's person"));
	x->a->plain.trusted = false;
	refused(invite(x, box, "spam"), "forbidden", NULL);
	x->r.relay.strangers = STRANGERS_OPEN;
	x->a->plain.counted = false;
	for (uint64_t i = 1; i < relay_config(&x->r.relay)->limits.letters_burst; i++)
		refused_not(invite(x, box, "spam"));
	refused(invite(x, box, "spam"), "rate_limited", "too many letters");
	fake_env_advance(x->r.env, 2000000000ll);
	refused_not(invite(x, box, "one more"));
}

static void on_a_full_disk_nothing_is_taken(void **state)
{
	struct scene *x = *state;
	struct quota *q = &x->r.relay.quota;
	struct id32 hash;
	char box[ID32_TEXT_SIZE];

	push_ok(x, x->b, SPACE, x->ub, R1, "one", 0, 1);
	q->looked_at = x->r.relay.env->mono_ns(x->r.relay.env->ctx);
	q->available = 0;
	id32_format(&x->b->plain.mailbox, box);
	push_refused(x, x->b, SPACE, x->ub, R2, 0, "storage_full");
	refused(invite(x, box, "letter"), "storage_full", NULL);
	refused(append(x, 0, NULL, "entry", &hash), "storage_full", NULL);
	q->available = UINT64_MAX;
	push_ok(x, x->b, SPACE, x->ub, R2, "two", 0, 2);
}

static void a_files_bytes_go_an_hour_after_its_record(void **state)
{
	struct scene *x = *state;
	const struct id16 object = { { 9 } };
	struct depot_plain sp;
	struct depot_item it = { .kind = DEPOT_FILE, .cursor = 2, .size = 5, .object = bytes_of(object.b, 16) };
	struct id16 record;

	push_ok(x, x->a, SPACE, x->ua, R1, "one", 0, 1);
	assert_int_equal(id16_parse(R1, 36, &record), 0);
	assert_int_equal(id16_parse(R2, 36, &it.id), 0);
	it.link = bytes_of(record.b, 16);
	assert_int_equal(blob_put(x->r.relay.blobs, &x->space, &object, bytes_str("bytes")), 0);
	assert_int_equal(depot_plain_find(x->r.relay.store, &x->space, &sp), 0);
	assert_int_equal(depot_item_put(x->r.relay.store, sp.no, &it), 0);
	push_ok(x, x->a, SPACE, x->ua, R1, NULL, 1, 2);
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

	push_ok(x, x->a, SPACE, x->ua, R1, "one", 0, 1);
	assert_int_equal(presence_set(x->r.relay.presence, &x->space, 77, bytes_str("here")), 0);
	begin(&p, 1);
	array(&p, "spaces", 4);
	for (int i = 0; i < 4; i++) {
		static const char *const ids[] = { SPACE, "nonsense", SPACE, R2 };

		cbor_put_map(&p.e, 4);
		put_text(&p, "id", ids[i]);
		if (i == 2)
			undefined(&p, "ucan");
		else
			put_text(&p, "ucan", x->ub);
		put_uint(&p, "since", 0);
		cbor_put_text(&p.e, "presence");
		cbor_put_bool(&p.e, true);
	}
	a = call(x, x->b, "subscribe", &p);
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

static void an_unused_subscription_is_known_bytes(void **state)
{
	struct scene *x = *state;
	struct params p;
	struct answer a;

	assert_int_equal(id16_parse("da29e793-3f05-51c3-9f72-63cc953f9c05", 36, &x->a->plain.personal), 0);
	begin(&p, 1);
	array(&p, "spaces", 1);
	cbor_put_map(&p.e, 4);
	put_text(&p, "id", "da29e793-3f05-51c3-9f72-63cc953f9c05");
	undefined(&p, "ucan");
	put_uint(&p, "since", 0);
	cbor_put_text(&p.e, "presence");
	cbor_put_bool(&p.e, true);
	a = call(x, x->a, "subscribe", &p);
	/* known answer 3, with the bench's id */
	expect_bytes(a.message, "a36474797065016269646131"
				"66726573756c74a16673706163657381a3626964782464613239653739332d336630352d353163332d3966"
				"37322d363363633935"
				"336639633035"
				"66637572736f72006e6b65795f67656e65726174696f6e01");
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
	char long_data[PRESENCE_DATA_MAX + 1] = "";
	char one[PRESENCE_PEER_SIZE], two[PRESENCE_PEER_SIZE];
	int n = 0;

	assert_int_equal(presence_set(p, &x->space, 1, bytes_of(long_data, sizeof long_data)), ERR_RANGE);
	for (uint64_t i = 1; i <= PRESENCE_SPACE_MAX; i++)
		assert_int_equal(presence_set(p, &x->space, i, bytes_str("x")), 0);
	assert_int_equal(presence_set(p, &x->space, 1000, bytes_str("x")), ERR_RANGE);
	assert_int_equal(presence_set(p, &x->space, 5, bytes_str("y")), 0); /* a refresh */
	assert_int_equal(presence_set(p, &other, 5, bytes_str("y")), 0);
	presence_list(p, &x->space, 5, count_left, &n);
	assert_int_equal(n, PRESENCE_SPACE_MAX - 1);
	presence_peer(p, 5, &x->space, one);
	presence_peer(p, 5, &other, two);
	assert_string_not_equal(one, two);
	assert_true(presence_clear(p, &x->space, 7));
	assert_false(presence_clear(p, &x->space, 7));
	n = 0;
	presence_leave(p, 5, count_left, &n);
	assert_int_equal(n, 2);
	fake_env_advance(x->r.env, 44 * 1000000000ll);
	assert_int_equal(presence_set(p, &x->space, 1, bytes_str("x")), 0);
	fake_env_advance(x->r.env, 2 * 1000000000ll);
	n = 0;
	presence_sweep(p, count_left, &n);
	assert_int_equal(n, PRESENCE_SPACE_MAX - 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_personal_space_begins_with_its_first_push),
		TEST(a_push_is_compared_and_swapped),
		TEST(a_push_is_all_or_nothing),
		TEST(others_are_told_what_was_pushed),
		TEST(a_push_too_large_to_be_told_makes_others_pull),
		TEST(a_pull_tells_what_it_counts),
		TEST(a_long_pull_comes_in_slices),
		TEST(members_stand_in_one_chain),
		TEST(a_long_list_of_members_comes_in_parts),
		TEST(ten_appends_an_hour),
		TEST(a_revoked_chain_opens_nothing),
		TEST(a_revoked_ucan_does_not_come_back_under_its_other_signature),
		TEST(rights_end_with_their_time),
		TEST(a_right_asked_for_in_time_ends_too),
		TEST(a_key_turns_once),
		TEST(file_keys_need_their_scope),
		TEST(a_space_is_made_once_and_not_of_anybodys_id),
		TEST(the_plain_methods_are_refused_in_a_coffer_space),
		TEST(only_owners_make_spaces),
		TEST(letters_reach_their_mailbox_alone),
		TEST(ten_letters_an_hour),
		TEST(strangers_write_letters_only_where_they_are_welcome),
		TEST(on_a_full_disk_nothing_is_taken),
		TEST(a_files_bytes_go_an_hour_after_its_record),
		TEST(a_subscription_tells_where_the_space_stands),
		TEST(an_unused_subscription_is_known_bytes),
		TEST(presence_is_bounded_and_fades),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
