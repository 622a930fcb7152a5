/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain protocol: who is a member, whose rights end and when, how keys turn, who may make spaces, letters to mailboxes, and what a
 * full disk refuses.
 */
#include <stdlib.h>
#include "crypto/hash.h"
#include "server/plain.h"
#include "server/rpc.h"
#include "tests/lib/plain_scene.h"

#define LONG_ENTRY 2000000

/* --- members --- */

static struct answer append(
	struct scene *x, uint64_t expected, const struct id32 *prev, const char *payload, struct id32 *hash)
{
	struct params p;

	hash_sha256(bytes_str(payload), hash);
	params_begin(&p, prev ? 6 : 5);
	params_text(&p, "space", SCENE_SPACE);
	params_text(&p, "ucan", x->ua);
	params_uint(&p, "expected_version", expected);
	if (prev)
		params_bytes(&p, "prev_hash", prev->b, 32);
	params_bytes(&p, "entry_hash", hash->b, 32);
	params_bytes(&p, "payload", payload, strlen(payload));
	return scene_call(x, x->a, "membership.append", &p);
}

/* The same with another hash than the payload's. */
static struct answer append_hash(struct scene *x, uint64_t expected, const struct id32 *prev, const char *payload,
	const struct id32 *hash, size_t n)
{
	struct params p;

	params_begin(&p, 6);
	params_text(&p, "space", SCENE_SPACE);
	params_text(&p, "ucan", x->ua);
	params_uint(&p, "expected_version", expected);
	params_bytes(&p, "prev_hash", prev->b, 32);
	params_bytes(&p, "entry_hash", hash->b, n);
	params_bytes(&p, "payload", payload, strlen(payload));
	return scene_call(x, x->a, "membership.append", &p);
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
	scene_refused(append(x, 0, NULL, "second", &h2), "conflict", "conflict");
	scene_refused(append(x, 1, NULL, "second", &h2), "conflict", NULL);
	scene_refused(append(x, 1, &h2, "second", &h2), "conflict", NULL);
	a = append(x, 1, &h1, "second", &h2);
	assert_int_equal(answer_uint(&a, "chain_seq"), 2);
	answer_release(&a);
	scene_refused(append(x, 2, &h2, "", &h3), "bad_request", "payload must not be empty");
	scene_refused(append_hash(x, 2, &h2, "third", &h2, 31), "bad_request", "entry_hash must be 32 bytes");
	scene_refused(append_hash(x, 2, &h2, "third", &h2, 32), "bad_request",
		"entry_hash does not match SHA-256 of payload");
	a = scene_ask(x, x->b, "membership.list", x->ub, "since_seq", 1);
	assert_int_equal(param_array(a.last.value, "entries", 10, &d, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(answer_uint(&a, "metadata_version"), 2);
	answer_release(&a);
	a = scene_pull(x, x->b, SCENE_SPACE, x->ub, 0);
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
		scene_not_refused(append(x, i, i ? &prev : NULL, payload, &hash));
		prev = hash;
	}
	for (; at < 5; parts++) {
		struct answer a = scene_ask(x, x->b, "membership.list", x->ub, "since_seq", at);
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

static void an_entry_that_nobody_could_read_is_refused(void **state)
{
	struct scene *x = *state;
	char *payload = malloc(PLAIN_MAX_ITEM + 2);
	struct id32 hash;

	assert_non_null(payload);
	memset(payload, 'x', PLAIN_MAX_ITEM + 1);
	payload[PLAIN_MAX_ITEM + 1] = '\0';
	scene_refused(append(x, 0, NULL, payload, &hash), "payload_too_large", NULL);
	payload[PLAIN_MAX_ITEM] = '\0';
	scene_not_refused(append(x, 0, NULL, payload, &hash));
	struct answer a = scene_pull(x, x->b, SCENE_SPACE, x->ub, 0);
	assert_int_equal(a.chunks, 3);
	for (const struct message_node *n = a.frames.first; n; n = n->next)
		assert_true(n->m->len <= PLAIN_MAX_FRAME);
	answer_release(&a);
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
	scene_refused(append(x, 10, &prev, "x", &hash), "rate_limited",
		"rate limit exceeded: max 10 membership appends per hour");
	relay_bench_restart(&x->r); /* the limit does not forget */
	scene_refused(append(x, 10, &prev, "x", &hash), "rate_limited", NULL);
	x->r.relay.config->limits.members_per_hour = 1;
	scene_refused(append(x, 10, &prev, "x", &hash), "rate_limited",
		"rate limit exceeded: max 1 membership appends per hour");
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

	scene_push_ok(x, x->b, SCENE_SPACE, x->ub, SCENE_R1, "one", 0, 1);
	ucan_cid(bytes_str(x->ua), &cid); /* the parent: all that stands on it falls */
	id32_format(&cid, hex);
	params_begin(&p, 3);
	params_text(&p, "space", SCENE_SPACE);
	params_text(&p, "ucan", x->ub);
	params_text(&p, "ucan_cid", hex);
	a = scene_call(x, x->b, "membership.revoke", &p);
	assert_false(a.last.is_error);
	assert_non_null(a.notice);
	answer_release(&a);
	scene_push_refused(x, x->b, SCENE_SPACE, x->ub, SCENE_R2, 0, "forbidden");
	scene_push_refused(x, x->a, SCENE_SPACE, x->ua, SCENE_R2, 0, "forbidden");
	a = scene_pull(x, x->b, SCENE_SPACE, x->ub, 0);
	assert_int_equal(a.chunks, 0);
	answer_release(&a);
	scene_refused(scene_ask(x, x->b, "membership.list", x->ub, "since_seq", 0), "forbidden", "forbidden");
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
	scene_push_ok(x, x->b, SCENE_SPACE, twin, SCENE_R1, "one", 0, 1);
	scene_push_ok(x, x->b, SCENE_SPACE, child, SCENE_R1, "two", 1, 2);
	for (int i = 0; i < 2; i++) { /* bob's, then what alice stands on herself */
		ucan_cid(bytes_str(i ? x->ua : x->ub), &cid);
		id32_format(&cid, hex);
		params_begin(&p, 3);
		params_text(&p, "space", SCENE_SPACE);
		params_text(&p, "ucan", x->ua);
		params_text(&p, "ucan_cid", hex);
		scene_not_refused(scene_call(x, x->a, "membership.revoke", &p));
		scene_push_refused(x, x->b, SCENE_SPACE, twin, SCENE_R2, 0, "forbidden");
	}
	scene_push_refused(x, x->b, SCENE_SPACE, child, SCENE_R2, 0, "forbidden");
	scene_push_refused(x, x->a, SCENE_SPACE, parent, SCENE_R2, 0, "forbidden");
	free(twin);
	free(again);
	free(parent);
	free(child);
}

static struct answer revoke(struct scene *x, uint8_t which)
{
	char hex[ID32_TEXT_SIZE];
	struct params p;

	id32_format(&(struct id32){ { which } }, hex);
	params_begin(&p, 3);
	params_text(&p, "space", SCENE_SPACE);
	params_text(&p, "ucan", x->ub);
	params_text(&p, "ucan_cid", hex);
	return scene_call(x, x->b, "membership.revoke", &p);
}

static uint64_t bytes_of_space(struct scene *x)
{
	struct depot_plain sp;

	assert_int_equal(depot_plain_find(x->r.reader, &x->space, &sp), 0);
	return sp.bytes;
}

/* Each once; and when records have filled the quota there is still room to take rights away. */
static void revocations_take_room(void **state)
{
	struct scene *x = *state;
	uint64_t before;
	uint8_t n = 0;

	scene_push_ok(x, x->b, SCENE_SPACE, x->ub, SCENE_R1, "one", 0, 1);
	before = bytes_of_space(x);
	scene_not_refused(revoke(x, ++n));
	assert_int_equal(bytes_of_space(x), before + DEPOT_REVOCATION_BYTES);
	scene_not_refused(revoke(x, n));
	assert_int_equal(bytes_of_space(x), before + DEPOT_REVOCATION_BYTES);
	/* A sixteenth over it, as far as records get. */
	x->r.relay.config->storage.space_bytes = 16 * 128;
	while (bytes_of_space(x) <= 17 * 128)
		scene_not_refused(revoke(x, ++n));
	scene_push_refused(x, x->b, SCENE_SPACE, x->ub, SCENE_R2, 0, "storage_full");
	scene_not_refused(revoke(x, ++n));
	while (bytes_of_space(x) + DEPOT_REVOCATION_BYTES <= 18 * 128)
		scene_not_refused(revoke(x, ++n));
	scene_refused(revoke(x, ++n), "storage_full", NULL);
	scene_not_refused(revoke(x, 1)); /* it is there */
	x->r.relay.config->storage.space_bytes = 0;
	scene_not_refused(revoke(x, n));
}

static void rights_end_with_their_time(void **state)
{
	struct scene *x = *state;

	scene_push_ok(x, x->b, SCENE_SPACE, x->ub, SCENE_R1, "one", 0, 1);
	fake_env_advance(x->r.env, 2000 * 1000000000ll);
	scene_push_refused(x, x->b, SCENE_SPACE, x->ub, SCENE_R2, 0, "forbidden");
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

static struct answer subscribe(struct scene *x, struct caller *c, const char *ucan)
{
	struct params p;

	params_begin(&p, 1);
	params_array(&p, "spaces", 1);
	cbor_put_map(&p.e, 2);
	params_text(&p, "id", SCENE_SPACE);
	params_text(&p, "ucan", ucan);
	return scene_call(x, c, "subscribe", &p);
}

/* Verifying one costs up to eight signatures; one that was verified lately costs nothing. */
static void chains_are_counted_unless_they_are_known(void **state)
{
	struct scene *x = *state;
	struct config *c = x->r.relay.config;
	const int64_t exp = relay_now(&x->r.relay) + 1000;
	char *wrong = plain_party_ucan(&x->bob, x->bob.did, &x->space, "/space/write", exp, NULL);
	struct answer a;

	c->limits.chains_burst = 2;
	c->limits.chains_per_minute = 1;
	limits_configure(x->r.relay.limits, c);
	for (int i = 0; i < 5; i++) {
		a = scene_pull(x, x->b, SCENE_SPACE, x->ub, 0);
		assert_int_equal(a.chunks, 2);
		answer_release(&a);
	}
	wrong[strlen(wrong) - 8] ^= 1; /* its signature */
	scene_not_refused(scene_pull(x, x->b, SCENE_SPACE, wrong, 0));
	scene_refused(scene_pull(x, x->b, SCENE_SPACE, wrong, 0), "rate_limited", "too many UCANs");
	scene_refused(scene_ask(x, x->b, "deks.get", wrong, "since", 0), "rate_limited", NULL);
	scene_push_refused(x, x->b, SCENE_SPACE, wrong, SCENE_R1, 0, "rate_limited");
	a = subscribe(x, x->b, wrong);
	assert_non_null(memmem(a.message->data + MESSAGE_HEADROOM, a.message->len, "rate_limited", 12));
	answer_release(&a);
	scene_push_ok(x, x->a, x->personal, NULL, SCENE_R1, "own", 0, 1); /* one's own space needs none */
	a = scene_pull(x, x->b, SCENE_SPACE, x->ub, 0);
	assert_int_equal(a.chunks, 2);
	answer_release(&a);
	fake_env_advance(x->r.env, 60 * 1000000000ll);
	scene_push_ok(x, x->b, SCENE_SPACE, x->ub, SCENE_R1, "one", 0, 1); /* to write is another thing to ask */
	scene_push_refused(x, x->a, SCENE_SPACE, x->ua, SCENE_R2, 0, "rate_limited"); /* of the same address */
	free(wrong);
}

/* --- epochs --- */

static struct answer rewrap(struct scene *x, const char *id, uint8_t epoch)
{
	struct params p;

	params_begin(&p, 3);
	params_text(&p, "space", SCENE_SPACE);
	params_text(&p, "ucan", x->ua);
	params_array(&p, "deks", 1);
	cbor_put_map(&p.e, 2);
	params_text(&p, "id", id);
	params_dek(&p, epoch);
	return scene_call(x, x->a, "deks.rewrap", &p);
}

static void a_key_turns_once(void **state)
{
	struct scene *x = *state;
	struct answer a;
	struct params p;
	struct bytes name, data;

	scene_push_ok(x, x->a, SCENE_SPACE, x->ua, SCENE_R1, "one", 0, 1);
	params_begin(&p, 4);
	params_text(&p, "space", SCENE_SPACE);
	params_text(&p, "ucan", x->ua);
	params_uint(&p, "epoch", 2);
	cbor_put_text(&p.e, "set_min_key_generation");
	cbor_put_bool(&p.e, true);
	a = scene_call(x, x->a, "epoch.begin", &p);
	assert_int_equal(answer_uint(&a, "epoch"), 2);
	answer_release(&a);
	a = scene_ask(x, x->b, "epoch.begin", x->ub, "epoch", 2);
	assert_true(answer_refused(&a, "epoch_conflict")); /* a result, and this very word */
	assert_false(a.last.is_error);
	assert_int_equal(answer_uint(&a, "rewrap_epoch"), 2);
	answer_release(&a);
	scene_refused(rewrap(x, SCENE_R1, 1), "conflict", "DEK epoch does not match current key generation");
	scene_refused(rewrap(x, SCENE_R2, 2), "bad_request", "one or more DEK records were not found");
	a = rewrap(x, SCENE_R1, 2);
	assert_int_equal(answer_uint(&a, "count"), 1);
	answer_release(&a);
	a = scene_ask(x, x->b, "deks.get", x->ub, "since", 0);
	assert_int_equal(a.chunks, 1); /* the public client reads these, and not the result's */
	assert_int_equal(answer_uint(&a, "_chunks"), 1);
	data = answer_chunk(&a, 0, &name);
	assert_true(cbor_text_is(name, "deks.record"));
	assert_int_equal(param_bytes(data, "dek", 44, &data), 0);
	assert_int_equal(data.p[3], 2);
	answer_release(&a);
	scene_push_refused(x, x->b, SCENE_SPACE, x->ub, SCENE_R2, 0, "key_generation_stale");
	scene_refused(scene_ask(x, x->a, "epoch.complete", x->ua, "epoch", 3), "conflict", "epoch mismatch");
	a = scene_ask(x, x->a, "epoch.complete", x->ua, "epoch", 2);
	assert_false(a.last.is_error);
	answer_release(&a);
}

static void file_keys_need_their_scope(void **state)
{
	struct scene *x = *state;
	struct answer a = scene_ask(x, x->a, "deks.getFiles", x->ua, "since", 0);

	assert_int_equal(answer_uint(&a, "_chunks"), 0);
	answer_release(&a);
	x->a->plain.files = false;
	scene_refused(scene_ask(x, x->a, "deks.getFiles", x->ua, "since", 0), "forbidden", "files scope required");
}

static void refuse_rewrap(struct scene *x, const char *method, const char *id, size_t dek_len, const char *message)
{
	static const uint8_t dek[64] = { 0, 0, 0, 1 };
	struct params p;

	params_begin(&p, 3);
	params_text(&p, "space", SCENE_SPACE);
	params_text(&p, "ucan", x->ua);
	params_array(&p, "deks", 1);
	cbor_put_map(&p.e, 2);
	params_text(&p, "id", id);
	params_bytes(&p, "dek", dek, dek_len);
	scene_refused(scene_call(x, x->a, method, &p), "bad_request", message);
}

static void refuse_with_text(struct scene *x, const char *method, const char *key, const char *v, const char *message)
{
	struct params p;

	params_begin(&p, 1);
	params_text(&p, key, v);
	scene_refused(scene_call(x, x->a, method, &p), "bad_request", message);
}

static void refusals_are_in_the_protocols_words(void **state)
{
	static const char *const rewraps[] = { "deks.rewrap", "file.deks.rewrap", "deks.rewrapFiles" };
	struct scene *x = *state;
	struct params p;

	for (size_t i = 0; i < COUNT(rewraps); i++) {
		refuse_rewrap(x, rewraps[i], "", 44, "invalid record: id must be non-empty string");
		refuse_rewrap(x, rewraps[i], SCENE_R1, 43, "invalid record: wrapped DEK must be exactly 44 bytes");
		refuse_rewrap(x, rewraps[i], "nonsense", 44,
			i ? "invalid record: id must be a valid UUID" : "one or more DEK records were not found");
		refuse_rewrap(x, rewraps[i], SCENE_R1, 44,
			i ? "one or more file DEK records were not found" : "one or more DEK records were not found");
	}
	refuse_with_text(x, "invitation.list", "after", "nonsense", "invalid invitation cursor");
	refuse_with_text(x, "invitation.get", "id", "nonsense", "invalid invitation id");
	refuse_with_text(x, "invitation.delete", "id", "nonsense", "invalid invitation id");
	params_begin(&p, 3);
	params_text(&p, "mailbox_id", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	params_text(&p, "payload", "sealed");
	params_text(&p, "server", "elsewhere.example");
	scene_refused(scene_call(x, x->a, "invitation.create", &p), "bad_request",
		"federation is not enabled on this server");
	params_begin(&p, 2);
	params_text(&p, "id", SCENE_SPACE);
	params_bytes(&p, "root_public_key", "short", 5);
	scene_refused(scene_call(x, x->a, "space.create", &p), "bad_request", "invalid root public key");
	params_begin(&p, 2);
	params_text(&p, "id", SCENE_SPACE);
	params_bytes(&p, "root_public_key", x->root.point, 33);
	scene_refused(scene_call(x, x->a, "space.create", &p), "conflict", "space already exists");
	params_begin(&p, 2);
	params_text(&p, "space", "nonsense");
	params_uint(&p, "since_seq", 0);
	scene_refused(scene_call(x, x->a, "membership.list", &p), "bad_request", "invalid space id");
}

/* --- spaces --- */

static void refuse_space(struct scene *x, const char *id, const uint8_t *key, size_t n, const char *code)
{
	struct params p;

	params_begin(&p, 2);
	params_text(&p, "id", id);
	params_bytes(&p, "root_public_key", key, n);
	scene_refused(scene_call(x, x->a, "space.create", &p), code, NULL);
}

static void a_space_is_made_once_and_not_of_anybodys_id(void **state)
{
	struct scene *x = *state;
	uint8_t off[33] = { 2, 5 };

	refuse_space(x, SCENE_SPACE, x->root.point, 33, "conflict");
	refuse_space(x, SCENE_R1, x->root.point, 32, "bad_request");
	memset(off + 1, 0xff, 32);
	refuse_space(x, SCENE_R1, off, 33, "bad_request"); /* not on the curve */
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
	scene_push_refused(x, c, id, NULL, SCENE_R1, 0, "forbidden");
	scene_push_refused(x, x->a, id, x->ua, SCENE_R1, 0, "forbidden");
	struct answer a = scene_pull(x, c, id, NULL, 0);
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
	x->r.relay.config->strangers = STRANGERS_OWNERS;
	x->r.relay.config->owners[x->r.relay.config->n_owners++] = *identity_person(owner.id);
	scene_refused(try_space(x, &other), "forbidden", "only whom its owners let in makes spaces on this relay");
	a = try_space(x, &owner);
	assert_true(answer_ok(&a));
	answer_release(&a);
	x->a->plain.trusted = false;
	refuse_space(x, SCENE_R1, x->root.point, 33, "forbidden");
	x->a->plain.trusted = true;
	refuse_space(x, SCENE_SPACE, x->root.point, 33, "conflict");
	party_release(&owner);
	party_release(&other);
}

/* --- mail --- */

static struct answer invite(struct scene *x, const char *mailbox, const char *payload)
{
	struct params p;

	params_begin(&p, 2);
	params_text(&p, "mailbox_id", mailbox);
	params_text(&p, "payload", payload);
	return scene_call(x, x->a, "invitation.create", &p);
}

static struct answer mail(struct scene *x, struct caller *c, const char *method, const char *key, const char *v)
{
	struct params p;

	params_begin(&p, key ? 1 : 0);
	if (key)
		params_text(&p, key, v);
	return scene_call(x, c, method, &p);
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
	scene_refused(invite(x, "", "x"), "bad_request", "missing mailbox_id");
	scene_refused(invite(x, "abc", "x"), "bad_request", "mailbox_id must be 64-char hex string");
	scene_refused(invite(x, box, ""), "bad_request", "missing payload");
	a = invite(x, box, "sealed");
	assert_int_equal(param_text(a.last.value, "id", 36, &v), 0);
	snprintf(id, sizeof id, "%.*s", (int)v.len, (const char *)v.p);
	assert_int_equal(param_text(a.last.value, "created_at", 40, &v), 0);
	assert_int_equal(v.p[v.len - 1], 'Z');
	answer_release(&a);
	assert_int_equal(count_mail(x, x->b, NULL), 1);
	assert_int_equal(count_mail(x, x->b, id), 0);
	assert_int_equal(count_mail(x, x->a, NULL), 0);
	scene_refused(mail(x, x->a, "invitation.get", "id", id), "not_found", "not found");
	scene_refused(mail(x, x->a, "invitation.delete", "id", id), "not_found", "not found");
	scene_refused(mail(x, x->b, "invitation.get", "id", "x"), "bad_request", NULL);
	a = mail(x, x->b, "invitation.get", "id", id);
	assert_int_equal(param_text(a.last.value, "payload", 40, &v), 0);
	assert_true(cbor_text_is(v, "sealed"));
	answer_release(&a);
	fake_env_advance(x->r.env, (7 * 86400 + 1) * 1000000000ll);
	assert_int_equal(count_mail(x, x->b, NULL), 0);
	scene_refused(mail(x, x->b, "invitation.delete", "id", id), "not_found", NULL);
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
	scene_refused(invite(x, box, "x"), "rate_limited", "rate limit exceeded: max 10 invitations per hour");
	fake_env_advance(x->r.env, 3601 * 1000000000ll);
	struct answer a = invite(x, box, "x");
	assert_false(a.last.is_error);
	answer_release(&a);
	x->r.relay.config->limits.invitations_per_hour = 1;
	scene_refused(invite(x, box, "x"), "rate_limited", "rate limit exceeded: max 1 invitations per hour");
}

static void strangers_write_letters_only_where_they_are_welcome(void **state)
{
	struct scene *x = *state;
	char box[ID32_TEXT_SIZE];

	id32_format(&x->b->plain.mailbox, box);
	x->r.relay.config->strangers = STRANGERS_OWNERS;
	scene_not_refused(invite(x, box, "from an issuer's person"));
	x->a->plain.trusted = false;
	scene_refused(invite(x, box, "spam"), "forbidden", NULL);
	x->r.relay.config->strangers = STRANGERS_OPEN;
	x->a->plain.counted = false;
	for (uint64_t i = 1; i < relay_config(&x->r.relay)->limits.letters_burst; i++)
		scene_not_refused(invite(x, box, "spam"));
	scene_refused(invite(x, box, "spam"), "rate_limited", "too many letters");
	fake_env_advance(x->r.env, 2000000000ll);
	scene_not_refused(invite(x, box, "one more"));
}

static void on_a_full_disk_nothing_is_taken(void **state)
{
	struct scene *x = *state;
	struct quota *q = &x->r.relay.quota;
	struct id32 hash;
	char box[ID32_TEXT_SIZE];

	scene_push_ok(x, x->b, SCENE_SPACE, x->ub, SCENE_R1, "one", 0, 1);
	q->looked_at = x->r.relay.env->mono_ns(x->r.relay.env->ctx);
	q->available = 0;
	id32_format(&x->b->plain.mailbox, box);
	scene_push_refused(x, x->b, SCENE_SPACE, x->ub, SCENE_R2, 0, "storage_full");
	scene_refused(invite(x, box, "letter"), "storage_full", NULL);
	scene_refused(append(x, 0, NULL, "entry", &hash), "storage_full", NULL);
	q->available = UINT64_MAX;
	scene_push_ok(x, x->b, SCENE_SPACE, x->ub, SCENE_R2, "two", 0, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(members_stand_in_one_chain),
		TEST(a_long_list_of_members_comes_in_parts),
		TEST(an_entry_that_nobody_could_read_is_refused),
		TEST(ten_appends_an_hour),
		TEST(a_revoked_chain_opens_nothing),
		TEST(revocations_take_room),
		TEST(a_revoked_ucan_does_not_come_back_under_its_other_signature),
		TEST(rights_end_with_their_time),
		TEST(a_right_asked_for_in_time_ends_too),
		TEST(chains_are_counted_unless_they_are_known),
		TEST(a_key_turns_once),
		TEST(file_keys_need_their_scope),
		TEST(refusals_are_in_the_protocols_words),
		TEST(a_space_is_made_once_and_not_of_anybodys_id),
		TEST(the_plain_methods_are_refused_in_a_coffer_space),
		TEST(only_owners_make_spaces),
		TEST(letters_reach_their_mailbox_alone),
		TEST(ten_letters_an_hour),
		TEST(strangers_write_letters_only_where_they_are_welcome),
		TEST(on_a_full_disk_nothing_is_taken),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
