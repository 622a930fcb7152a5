/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain protocol over a real relay's port, with tokens of an issuer that this test plays: authentication, files, what others
 * are told, presence, the limit of connections.
 */
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "crypto/hash.h"
#include "server/jwt.h"
#include "server/plain.h"
#include "server/rpc.h"
#include "tests/lib/plain_party.h"
#include "tests/lib/relay_process.h"
#include "tests/lib/rpc_client.h"

#define SPACE "5cf1d1e5-6e0a-4b3c-9a52-1f6f2a3b4c5d"
#define OTHER_SPACE "6cf1d1e5-6e0a-4b3c-9a52-1f6f2a3b4c5d"
#define R1 "019400e8-7b5d-7000-8000-000000000001"
#define FILE_ID "0f8fad5b-d9cb-469f-a165-70867728950e"
#define WORDS 1000
/* 00000001 and 40 times aa */
#define DEK "AAAAAaqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo="

struct scene {
	struct key_server keys;
	struct relay_process relay;
	struct plain_party issuer, root, alice, bob;
	char iss[64];
	char *ua, *ub, *ua_other, *ub_other;
};

static char *token_of_mailbox(
	const struct scene *x, const struct plain_party *p, const char *name, const char *kid, const char *mailbox_name)
{
	struct id32 mailbox;
	char box[ID32_TEXT_SIZE], header[64], claims[1024];

	hash_sha256(bytes_str(mailbox_name), &mailbox);
	id32_format(&mailbox, box);
	snprintf(header, sizeof header, "{\"alg\":\"ES256\",\"kid\":\"%s\"}", kid);
	snprintf(claims, sizeof claims,
		"{\"iss\":\"%s\",\"sub\":\"%s\",\"client_id\":\"app\",\"exp\":%lld,\"scope\":\"sync "
		"files\",\"did\":\"%s\","
		"\"mailbox_id\":\"%s\"}",
		x->iss, name, (long long)time(NULL) + 600, p->did, box);
	return plain_party_sign(&x->issuer, header, claims);
}

static char *token(const struct scene *x, const struct plain_party *p, const char *name, const char *kid)
{
	return token_of_mailbox(x, p, name, kid, name);
}

static void authenticate(struct rpc_client *c, const char *text)
{
	struct buf b = BUF_INIT(65536);
	struct cbor_enc e = cbor_enc_init(&b);

	frame_begin_notification(&e, bytes_str("auth"));
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "token");
	cbor_put_text(&e, text);
	assert_int_equal(cbor_enc_end(&e), 0);
	rpc_send(c, buf_bytes(&b), true);
	buf_release(&b);
}

static void come(struct scene *x, struct rpc_client *c, const struct plain_party *p, const char *name)
{
	char *text = token(x, p, name, "k");

	rpc_open(c, x->relay.port);
	authenticate(c, text);
	free(text);
}

/* {space, ucan} and, after them, n more. */
static void begin(struct buf *b, struct cbor_enc *e, const char *ucan, size_t n)
{
	*b = (struct buf)BUF_INIT(FRAME_MAX);
	*e = cbor_enc_init(b);
	cbor_put_map(e, 2 + n);
	cbor_put_text(e, "space");
	cbor_put_text(e, SPACE);
	cbor_put_text(e, "ucan");
	cbor_put_text(e, ucan);
}

static void call_ok(struct rpc_client *c, const char *method, struct buf *params, struct cbor_enc *e)
{
	struct reply r;

	assert_int_equal(cbor_enc_end(e), 0);
	r = rpc_call(c, method, params);
	if (r.f.is_error)
		fail_msg("%s: %.*s", method, (int)r.f.message.len, (const char *)r.f.message.p);
	reply_release(&r);
}

static void make_named_space(struct scene *x, struct rpc_client *c, const char *id)
{
	struct buf b = BUF_INIT(1024);
	struct cbor_enc e = cbor_enc_init(&b);

	cbor_put_map(&e, 2);
	cbor_put_text(&e, "id");
	cbor_put_text(&e, id);
	cbor_put_text(&e, "root_public_key");
	cbor_put_bytes(&e, x->root.point, 33);
	call_ok(c, "space.create", &b, &e);
}

static void make_space(struct scene *x, struct rpc_client *c)
{
	make_named_space(x, c, SPACE);
}

static void begin_push(struct buf *b, struct cbor_enc *ret_e, const char *ucan, const char *blob, uint64_t expected)
{
	struct cbor_enc e;

	begin(b, &e, ucan, 1);
	cbor_put_text(&e, "changes");
	cbor_put_array(&e, 1);
	cbor_put_map(&e, blob ? 3 : 2);
	cbor_put_text(&e, "id");
	cbor_put_text(&e, R1);
	cbor_put_text(&e, "expected_cursor");
	cbor_put_uint(&e, expected);
	if (blob) {
		cbor_put_text(&e, "blob");
		cbor_put_bytes(&e, blob, strlen(blob));
	}
	*ret_e = e;
}

static void push(struct scene *x, struct rpc_client *c, const char *ucan, const char *blob, uint64_t expected)
{
	struct buf b;
	struct cbor_enc e;

	(void)x;
	begin_push(&b, &e, ucan, blob, expected);
	call_ok(c, "push", &b, &e);
}

/* The space from its beginning, as subscribe and pull want it. */
static void put_one_space(struct cbor_enc *e, const char *ucan, const char *id)
{
	cbor_put_map(e, 1);
	cbor_put_text(e, "spaces");
	cbor_put_array(e, 1);
	cbor_put_map(e, 3);
	cbor_put_text(e, "id");
	cbor_put_text(e, id);
	cbor_put_text(e, "ucan");
	cbor_put_text(e, ucan);
	cbor_put_text(e, "since");
	cbor_put_uint(e, 0);
}

static void put_spaces(struct cbor_enc *e, const char *ucan)
{
	put_one_space(e, ucan, SPACE);
}

static void subscribe_to(struct rpc_client *c, const char *ucan, const char *id)
{
	struct buf b = BUF_INIT(FRAME_MAX);
	struct cbor_enc e = cbor_enc_init(&b);

	put_one_space(&e, ucan, id);
	call_ok(c, "subscribe", &b, &e);
}

static void subscribe(struct rpc_client *c, const char *ucan)
{
	subscribe_to(c, ucan, SPACE);
}

static int setup(void **state)
{
	struct scene *x = calloc(1, sizeof *x);
	struct id16 space;
	char keys[512];
	int64_t exp = time(NULL) + 600;

	assert_non_null(x);
	plain_party_init(&x->issuer, 9);
	plain_party_init(&x->root, 1);
	plain_party_init(&x->alice, 2);
	plain_party_init(&x->bob, 3);
	key_server_start(&x->keys);
	snprintf(keys, sizeof keys,
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"x\":\"%s\",\"y\":\"%s\"}]}", x->issuer.x,
		x->issuer.y);
	key_server_say(&x->keys, 200, keys);
	snprintf(x->iss, sizeof x->iss, "http://127.0.0.1:%u", x->keys.port);
	setenv("TRUSTED_ISSUERS", x->iss, 1);
	relay_process_start(&x->relay);
	unsetenv("TRUSTED_ISSUERS");
	assert_int_equal(id16_parse(SPACE, 36, &space), 0);
	x->ua = plain_party_ucan(&x->root, x->alice.did, &space, "/space/admin", exp, NULL);
	x->ub = plain_party_ucan(&x->alice, x->bob.did, &space, "/space/write", exp, x->ua);
	assert_int_equal(id16_parse(OTHER_SPACE, 36, &space), 0);
	x->ua_other = plain_party_ucan(&x->root, x->alice.did, &space, "/space/admin", exp, NULL);
	x->ub_other = plain_party_ucan(&x->alice, x->bob.did, &space, "/space/write", exp, x->ua_other);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct scene *x = *state;

	relay_process_remove(&x->relay);
	key_server_stop(&x->keys);
	plain_party_release(&x->issuer);
	plain_party_release(&x->root);
	plain_party_release(&x->alice);
	plain_party_release(&x->bob);
	free(x->ua);
	free(x->ub);
	free(x->ua_other);
	free(x->ub_other);
	free(x);
	return 0;
}

static void refuse(struct scene *x, const char *text, int code)
{
	struct rpc_client c;

	rpc_open(&c, x->relay.port);
	authenticate(&c, text);
	assert_int_equal(rpc_wait_close(&c), code);
	rpc_close(&c);
}

static void tokens_open_and_close(void **state)
{
	struct scene *x = *state;
	struct rpc_client c[4];
	char *text = token(x, &x->alice, "alice", "unknown");

	refuse(x, text, 4000); /* after a fetch, if that is due; the issuer has no such key */
	free(text);
	text = plain_party_sign(&x->issuer, "{\"alg\":\"ES256\",\"kid\":\"k\"}",
		"{\"iss\":\"https://other.example\",\"sub\":\"u\",\"client_id\":\"c\",\"scope\":\"sync\"}");
	refuse(x, text, 4000);
	free(text);
	for (int i = 0; i < 3; i++) {
		come(x, &c[i], &x->alice, "alice");
		if (!i)
			make_space(x, &c[i]);
		subscribe(&c[i], x->ua);
	}
	come(x, &c[3], &x->alice, "alice");
	assert_int_equal(rpc_wait_close(&c[3]), 4003); /* the newest, not the oldest */
	subscribe(&c[0], x->ua);
	for (int i = 0; i < 4; i++)
		rpc_close(&c[i]);
}

static struct frame expect_notice(struct rpc_client *c, const char *name)
{
	struct frame f = rpc_notice(c);

	if (!cbor_text_is(f.name, name))
		fail_msg("%.*s instead of %s", (int)f.name.len, (const char *)f.name.p, name);
	return f;
}

static void send_live_to(struct rpc_client *c, const char *space, const char *name, const char *data)
{
	struct buf b = BUF_INIT(65536);
	struct cbor_enc e = cbor_enc_init(&b);

	frame_begin_notification(&e, bytes_str(name));
	cbor_put_map(&e, data ? 2 : 1);
	cbor_put_text(&e, "space");
	cbor_put_text(&e, space);
	if (data) {
		cbor_put_text(&e, "data");
		cbor_put_bytes(&e, data, strlen(data));
	}
	assert_int_equal(cbor_enc_end(&e), 0);
	rpc_send(c, buf_bytes(&b), true);
	buf_release(&b);
}

static void send_live(struct rpc_client *c, const char *name, const char *data)
{
	send_live_to(c, SPACE, name, data);
}

/* The protocol's known answer 19, but for the space and the peer's name, which differs by space and run. */
static void expect_presence(struct rpc_client *c)
{
	struct frame f = expect_notice(c, "presence");
	struct buf hex = BUF_INIT(1024);
	struct bytes peer;

	assert_int_equal(param_text(f.value, "peer", 64, &peer), 0);
	assert_int_equal(peer.len, 32);
	assert_int_equal(
		buf_printf(&hex, "a3647479706502666d6574686f646870726573656e636566706172616d73a36573706163657824"), 0);
	for (const char *p = SPACE; *p; p++)
		assert_int_equal(buf_printf(&hex, "%02x", *p), 0);
	assert_int_equal(buf_printf(&hex, "64706565727820"), 0);
	for (size_t i = 0; i < peer.len; i++)
		assert_int_equal(buf_printf(&hex, "%02x", peer.p[i]), 0);
	assert_int_equal(buf_printf(&hex, "6464617461420409"), 0);
	assert_int_equal(buf_put_u8(&hex, 0), 0);
	unit_assert_hex(buf_bytes(&c->message), (const char *)hex.data);
	buf_release(&hex);
}

static void others_are_told_and_nobody_else(void **state)
{
	struct scene *x = *state;
	struct rpc_client a, b;
	struct buf params;
	struct cbor_enc e;
	struct id32 cid;
	char hex[ID32_TEXT_SIZE], long_data[5000] = "";

	come(x, &a, &x->alice, "alice");
	come(x, &b, &x->bob, "bob");
	make_space(x, &a);
	subscribe(&a, x->ua);
	subscribe(&b, x->ub);
	push(x, &a, x->ua, "one", 0);
	expect_notice(&b, "sync");
	memset(long_data, 'x', sizeof long_data - 1);
	send_live(&a, "presence.set", long_data); /* too long: ignored */
	send_live(&a, "presence.set", "\4\11");
	expect_presence(&b);
	send_live(&a, "presence.clear", NULL);
	expect_notice(&b, "presence.leave");
	send_live(&a, "event.send", "now");
	expect_notice(&b, "event");
	send_live(&b, "presence.set", "bob");
	expect_notice(&a, "presence");
	rpc_close(&b);
	expect_notice(&a, "presence.leave");
	/* who was let in by a revoked UCAN is told, and then of nothing more */
	come(x, &b, &x->bob, "bob");
	subscribe(&b, x->ub);
	ucan_cid(bytes_str(x->ub), &cid);
	id32_format(&cid, hex);
	begin(&params, &e, x->ua, 1);
	cbor_put_text(&e, "ucan_cid");
	cbor_put_text(&e, hex);
	call_ok(&a, "membership.revoke", &params, &e);
	expect_notice(&b, "revoked");
	push(x, &a, x->ua, "two", 1);
	send_live(&b, "event.send", "ignored");
	params = (struct buf)BUF_INIT(FRAME_MAX);
	e = cbor_enc_init(&params);
	cbor_put_map(&e, 0);
	call_ok(&b, "invitation.list", &params, &e);
	assert_int_equal(b.notices.len, 0);
	rpc_close(&a);
	rpc_close(&b);
}

/* Bob hears both of his spaces, his second connection one; an event is told where it was said and nowhere else. */
static void an_event_of_one_space_is_not_heard_in_another(void **state)
{
	struct scene *x = *state;
	struct rpc_client a, b, c;
	struct frame f;
	struct bytes data;

	come(x, &a, &x->alice, "alice");
	come(x, &b, &x->bob, "bob");
	come(x, &c, &x->bob, "bob");
	make_space(x, &a);
	make_named_space(x, &a, OTHER_SPACE);
	subscribe(&a, x->ua);
	subscribe_to(&b, x->ub, SPACE);
	subscribe_to(&b, x->ub_other, OTHER_SPACE);
	subscribe_to(&c, x->ub_other, OTHER_SPACE);
	send_live(&a, "event.send", "here");
	f = expect_notice(&b, "event");
	assert_non_null(memmem(f.value.p, f.value.len, SPACE, 36));
	assert_int_equal(param_bytes(f.value, "data", 64, &data), 0);
	unit_assert_bytes(data, bytes_str("here"));
	subscribe_to(&a, x->ua_other, OTHER_SPACE);
	send_live_to(&a, OTHER_SPACE, "event.send", "there");
	for (int i = 0; i < 2; i++) {
		f = expect_notice(i ? &c : &b, "event"); /* the first that the second connection hears */
		assert_non_null(memmem(f.value.p, f.value.len, OTHER_SPACE, 36));
		assert_int_equal(param_bytes(f.value, "data", 64, &data), 0);
		unit_assert_bytes(data, bytes_str("there"));
	}
	rpc_close(&a);
	rpc_close(&b);
	rpc_close(&c);
}

static void ask(struct rpc_client *c, const char *method, struct buf *params, struct cbor_enc *e)
{
	assert_int_equal(cbor_enc_end(e), 0);
	rpc_send_request(c, method, buf_bytes(params));
	buf_release(params);
}

static void expect_answer(struct rpc_client *c, unsigned id)
{
	struct reply r = rpc_reply(c);
	char text[16];

	snprintf(text, sizeof text, "%u", id);
	assert_false(r.f.is_error);
	if (!cbor_text_is(r.f.id, text))
		fail_msg("%.*s answered before %s", (int)r.f.id.len, (const char *)r.f.id.p, text);
	reply_release(&r);
}

/* Each push stands on the one before it, and none waits for an answer. */
static void requests_are_answered_in_their_order(void **state)
{
	enum { PUSHES = 40, PULL_AT = 20 };
	struct scene *x = *state;
	struct rpc_client a;
	struct buf params;
	struct cbor_enc e;
	unsigned first;
	uint64_t cursor = 0;

	come(x, &a, &x->alice, "alice");
	make_space(x, &a);
	first = a.next_id;
	for (unsigned i = 0; i <= PUSHES; i++) {
		if (i == PULL_AT) {
			params = (struct buf)BUF_INIT(FRAME_MAX);
			e = cbor_enc_init(&params);
			put_spaces(&e, x->ua);
			ask(&a, "pull", &params, &e);
		} else {
			begin_push(&params, &e, x->ua, "text", cursor++);
			ask(&a, "push", &params, &e);
		}
	}
	for (unsigned i = 0; i <= PUSHES; i++)
		expect_answer(&a, first + i);
	push(x, &a, x->ua, "last", cursor);
	rpc_close(&a);
}

/* More than a connection may say at once: the rest is dropped, so that those who listen are not drowned. */
static void who_talks_too_much_is_not_repeated(void **state)
{
	struct scene *x = *state;
	struct rpc_client a, b;
	size_t heard = 0;

	come(x, &a, &x->alice, "alice");
	come(x, &b, &x->bob, "bob");
	make_space(x, &a);
	subscribe(&a, x->ua);
	subscribe(&b, x->ub);
	for (size_t i = 0; i < WORDS; i++)
		send_live(&a, "event.send", "word");
	push(x, &a, x->ua, "one", 0);
	while (cbor_text_is(rpc_notice(&b).name, "event"))
		heard++;
	if (heard < 50 || heard >= WORDS)
		fail_msg("%zu words heard", heard);
	rpc_close(&a);
	rpc_close(&b);
}

static void unsubscribe(struct rpc_client *c)
{
	struct buf b = BUF_INIT(1024);
	struct cbor_enc e = cbor_enc_init(&b);

	frame_begin_notification(&e, bytes_str("unsubscribe"));
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "spaces");
	cbor_put_array(&e, 1);
	cbor_put_text(&e, SPACE);
	assert_int_equal(cbor_enc_end(&e), 0);
	rpc_send(c, buf_bytes(&b), true);
	buf_release(&b);
}

/* Sends a subscribe and does not wait for the answer. */
static void begin_subscribe(struct rpc_client *c, const char *ucan)
{
	struct buf b = BUF_INIT(FRAME_MAX);
	struct cbor_enc e = cbor_enc_init(&b);

	cbor_put_map(&e, 1);
	cbor_put_text(&e, "spaces");
	cbor_put_array(&e, 1);
	cbor_put_map(&e, 4);
	cbor_put_text(&e, "id");
	cbor_put_text(&e, SPACE);
	cbor_put_text(&e, "ucan");
	cbor_put_text(&e, ucan);
	cbor_put_text(&e, "since");
	cbor_put_uint(&e, 0);
	cbor_put_text(&e, "presence");
	cbor_put_bool(&e, true);
	assert_int_equal(cbor_enc_end(&e), 0);
	rpc_send_request(c, "subscribe", buf_bytes(&b));
	buf_release(&b);
}

static void expect_metric(const struct scene *x, const char *line)
{
	struct buf answer = BUF_INIT(1u << 20);

	assert_int_equal(http_raw(x->relay.port, bytes_str("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), &answer), 200);
	if (!memmem(answer.data, answer.len, line, strlen(line)))
		fail_msg("no%s in %.*s", line, (int)answer.len, (const char *)answer.data);
	buf_release(&answer);
}

static void pushes_and_refusals_are_counted(void **state)
{
	struct scene *x = *state;
	struct rpc_client a;
	struct buf b = BUF_INIT(1024);
	struct cbor_enc e;
	struct reply r;

	come(x, &a, &x->alice, "alice");
	make_space(x, &a);
	push(x, &a, x->ua, "one", 0);
	push(x, &a, x->ua, "two", 1);
	begin_push(&b, &e, x->ua, "late", 1);
	assert_int_equal(cbor_enc_end(&e), 0);
	r = rpc_call(&a, "push", &b);
	assert_true(reply_refused(&r, "conflict"));
	reply_release(&r);
	assert_int_equal(http_raw(x->relay.port, bytes_str("GET /x HTTP/1.1\r\nHost: x\r\n\r\n"), &b), 401);
	expect_metric(x, "\ncoffer_relay_pushes_total 2\n");
	expect_metric(x, "\ncoffer_relay_push_conflicts_total 1\n");
	expect_metric(x, "\ncoffer_relay_auth_failures_total 1\n");
	buf_release(&b);
	rpc_close(&a);
}

static void what_comes_behind_a_request_waits_for_it(void **state)
{
	struct scene *x = *state;
	struct rpc_client a, b;
	struct reply r;

	come(x, &b, &x->alice, "alice");
	make_space(x, &b);
	rpc_close(&b);
	come(x, &b, &x->bob, "bob");
	for (int i = 0; i < 10; i++) {
		begin_subscribe(&b, x->ub);
		send_live(&b, "presence.set", "here");
		rpc_send_request(&b, "no.such", bytes_of("\xa0", 1));
		r = rpc_reply(&b);
		assert_false(r.f.is_error);
		reply_release(&r);
		r = rpc_reply(&b);
		assert_true(r.f.is_error);
		reply_release(&r);
		come(x, &a, &x->alice, "alice");
		begin_subscribe(&a, x->ua);
		r = rpc_reply(&a);
		assert_non_null(memmem(r.f.value.p, r.f.value.len, "here", 4)); /* bob's presence */
		reply_release(&r);
		begin_subscribe(&b, x->ub);
		unsubscribe(&b);
		r = rpc_reply(&b);
		reply_release(&r);
		expect_notice(&a, "presence.leave");
		push(x, &a, x->ua, i ? "again" : "first", (uint64_t)i); /* of which bob hears nothing */
		rpc_close(&a);
	}
	rpc_close(&b);
}

static void write_letter(struct rpc_client *c, const char *mailbox_name, const char *payload)
{
	struct buf params = BUF_INIT(1024);
	struct cbor_enc e = cbor_enc_init(&params);
	struct id32 box;
	char hex[ID32_TEXT_SIZE];

	hash_sha256(bytes_str(mailbox_name), &box);
	id32_format(&box, hex);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "mailbox_id");
	cbor_put_text(&e, hex);
	cbor_put_text(&e, "payload");
	cbor_put_text(&e, payload);
	call_ok(c, "invitation.create", &params, &e);
}

static bool has_letter(struct rpc_client *c, const char *payload)
{
	struct buf params = BUF_INIT(64);
	struct cbor_enc e = cbor_enc_init(&params);
	struct reply r;
	bool has;

	cbor_put_map(&e, 0);
	assert_int_equal(cbor_enc_end(&e), 0);
	r = rpc_call(c, "invitation.list", &params);
	assert_false(r.f.is_error);
	has = memmem(r.f.value.p, r.f.value.len, payload, strlen(payload)) != NULL;
	reply_release(&r);
	return has;
}

static struct reply try_refresh(struct rpc_client *c, const char *text)
{
	struct buf params = BUF_INIT(8192);
	struct cbor_enc e = cbor_enc_init(&params);

	cbor_put_map(&e, 1);
	cbor_put_text(&e, "token");
	cbor_put_text(&e, text);
	assert_int_equal(cbor_enc_end(&e), 0);
	return rpc_call(c, "token.refresh", &params);
}

static void refresh(struct rpc_client *c, const char *text)
{
	struct reply r = try_refresh(c, text);

	assert_true(reply_ok(&r));
	reply_release(&r);
}

static void a_letter_is_announced(void **state)
{
	struct scene *x = *state;
	struct rpc_client a, b;

	come(x, &a, &x->alice, "alice");
	come(x, &b, &x->bob, "bob");
	assert_false(has_letter(&b, "sealed")); /* bob is in before alice writes */
	write_letter(&a, "bob", "sealed");
	expect_notice(&b, "invitation");
	unit_assert_hex(buf_bytes(&b.message), /* the protocol's known answer 18 */
		"a3647479706502666d6574686f646a696e7669746174696f6e66706172616d73a0");
	assert_true(has_letter(&b, "sealed"));
	rpc_close(&a);
	rpc_close(&b);
}

/* The issuer puts the claim in once the client has registered a mailbox. */
static void a_refreshed_token_moves_what_is_read_not_what_is_heard_of(void **state)
{
	struct scene *x = *state;
	struct rpc_client a, b;
	char *other = token_of_mailbox(x, &x->bob, "bob", "k", "elsewhere");

	come(x, &a, &x->alice, "alice");
	come(x, &b, &x->bob, "bob");
	refresh(&b, other);
	free(other);
	assert_false(has_letter(&b, "old home")); /* his new token counts before alice writes */
	write_letter(&a, "bob", "old home");
	expect_notice(&b, "invitation");
	assert_false(has_letter(&b, "old home"));
	write_letter(&a, "elsewhere", "new home");
	assert_true(has_letter(&b, "new home"));
	rpc_close(&a);
	rpc_close(&b);
}

/* --- files --- */

static int http(struct scene *x, const char *verb, const char *id, const struct plain_party *p, const char *ucan,
	const char *more, struct bytes body, struct buf *answer)
{
	struct buf b = BUF_INIT(8u << 20);
	char *text = p ? token(x, p, p == &x->alice ? "alice" : "bob", "k") : NULL;
	int status;

	buf_clear(answer);
	assert_int_equal(
		buf_printf(&b, "%s /api/v1/spaces/" SPACE "/files/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s",
			verb, id, more),
		0);
	if (text)
		assert_int_equal(buf_printf(&b, "Authorization: Bearer %s\r\n", text), 0);
	if (ucan)
		assert_int_equal(buf_printf(&b, "X-UCAN: %s\r\n", ucan), 0);
	if (verb[0] == 'P')
		assert_int_equal(buf_printf(&b, "Content-Length: %zu\r\n", body.len), 0);
	assert_int_equal(buf_put(&b, "\r\n", 2), 0);
	assert_int_equal(buf_put(&b, body.p, body.len), 0);
	status = http_raw(x->relay.port, buf_bytes(&b), answer);
	buf_release(&b);
	free(text);
	return status;
}

static void expect(struct scene *x, int status, const char *text, const char *verb, const char *id,
	const struct plain_party *p, const char *ucan, const char *more)
{
	struct buf answer = BUF_INIT(8u << 20);
	int got = http(x, verb, id, p, ucan, more, verb[0] == 'P' ? bytes_str("body") : bytes_of(NULL, 0), &answer);

	if (got != status)
		fail_msg("%d instead of %d: %.*s", got, status, (int)answer.len, (const char *)answer.data);
	if (text && !memmem(answer.data, answer.len, text, strlen(text)))
		fail_msg("%.*s", (int)answer.len, (const char *)answer.data);
	buf_release(&answer);
}

#define HEADERS "X-Record-ID: " R1 "\r\nX-Wrapped-DEK: " DEK "\r\n"

static void files_are_refused_in_the_protocols_words(void **state)
{
	struct scene *x = *state;
	struct rpc_client a;
	char huge[61442];

	memset(huge, 'a', sizeof huge);
	huge[sizeof huge - 1] = 0;
	come(x, &a, &x->alice, "alice");
	subscribe(&a, x->ua); /* answered: the issuer's keys are here */
	expect(x, 404, "space not found", "PUT", FILE_ID, &x->alice, x->ua, HEADERS);
	make_space(x, &a);
	expect(x, 401, "missing authorization", "PUT", FILE_ID, NULL, x->ua, HEADERS);
	expect(x, 400, "invalid file ID", "PUT", "x", &x->alice, x->ua, HEADERS);
	expect(x, 401, "authorization required", "PUT", FILE_ID, &x->alice, NULL, HEADERS);
	expect(x, 403, "access denied", "PUT", FILE_ID, &x->bob, x->ua, HEADERS);
	expect(x, 401, "authorization required", "PUT", FILE_ID, &x->alice, NULL, ""); /* whatever else is wrong */
	expect(x, 403, "access denied", "PUT", FILE_ID, &x->bob, x->ua, "X-Record-ID: 7\r\n");
	expect(x, 401, "X-UCAN header too large", "GET", FILE_ID, &x->alice, huge, "");
	expect(x, 404, "file not found", "GET", FILE_ID, &x->alice, x->ua, "");
	expect(x, 400, "X-Record-ID header required", "PUT", FILE_ID, &x->alice, x->ua, "");
	expect(x, 400, "X-Record-ID must be a valid UUID", "PUT", FILE_ID, &x->alice, x->ua, "X-Record-ID: 7\r\n");
	expect(x, 400, "X-Wrapped-DEK header required", "PUT", FILE_ID, &x->alice, x->ua, "X-Record-ID: " R1 "\r\n");
	expect(x, 400, "X-Wrapped-DEK must be valid base64", "PUT", FILE_ID, &x->alice, x->ua,
		"X-Record-ID: " R1 "\r\nX-Wrapped-DEK: ?\r\n");
	expect(x, 400, "X-Wrapped-DEK must decode to exactly 44 bytes", "PUT", FILE_ID, &x->alice, x->ua,
		"X-Record-ID: " R1 "\r\nX-Wrapped-DEK: AAAA\r\n");
	expect(x, 400, "record not found in this space", "PUT", FILE_ID, &x->alice, x->ua, HEADERS);
	expect(x, 404, "file not found", "GET", FILE_ID, &x->alice, x->ua, "");
	rpc_close(&a);
}

static void a_file_comes_back_as_it_was(void **state)
{
	struct scene *x = *state;
	const size_t size = (5u << 20) + 12345;
	struct buf body = BUF_INIT(8u << 20), answer = BUF_INIT(8u << 20);
	struct rpc_client a;
	struct frame f;
	uint8_t *p;

	come(x, &a, &x->alice, "alice");
	make_space(x, &a);
	subscribe(&a, x->ua);
	push(x, &a, x->ua, "one", 0);
	assert_int_equal(buf_grow(&body, size, &p), 0);
	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)(i * 7 + (i >> 13));
	assert_int_equal(http(x, "PUT", FILE_ID, &x->alice, x->ua, HEADERS, buf_bytes(&body), &answer), 201);
	f = expect_notice(&a, "file");                              /* the uploader's connections, too */
	assert_non_null(memmem(f.value.p, f.value.len, SPACE, 36)); /* with hyphens */
	assert_int_equal(http(x, "PUT", FILE_ID, &x->bob, x->ub, HEADERS, bytes_str("other"), &answer), 204);
	relay_process_kill(&x->relay, SIGKILL); /* what was answered is durable */
	rpc_close(&a);
	setenv("TRUSTED_ISSUERS", x->iss, 1);
	relay_process_start(&x->relay);
	unsetenv("TRUSTED_ISSUERS");
	come(x, &a, &x->alice, "alice"); /* waits for the keys, where HTTP would say 503 */
	subscribe(&a, x->ua);
	assert_int_equal(http(x, "GET", FILE_ID, &x->bob, x->ub, "", bytes_of(NULL, 0), &answer), 200);
	assert_true(answer.len > size);
	assert_memory_equal(answer.data + answer.len - size, body.data, size);
	assert_non_null(memmem(answer.data, answer.len, DEK, strlen(DEK)));
	assert_non_null(memmem(answer.data, answer.len, "\"" FILE_ID "\"", 38));
	assert_int_equal(http(x, "HEAD", FILE_ID, &x->bob, x->ub, "", bytes_of(NULL, 0), &answer), 200);
	assert_non_null(memmem(answer.data, answer.len, "5255225", 7));
	push(x, &a, x->ua, NULL, 1); /* a tombstone takes the record's files along */
	assert_int_equal(http(x, "HEAD", FILE_ID, &x->bob, x->ub, "", bytes_of(NULL, 0), &answer), 404);
	buf_release(&body);
	buf_release(&answer);
	rpc_close(&a);
}

static void start_with(struct scene *x, const char *name, const char *value)
{
	relay_process_kill(&x->relay, SIGTERM);
	setenv("TRUSTED_ISSUERS", x->iss, 1);
	setenv(name, value, 1);
	relay_process_start(&x->relay);
	unsetenv("TRUSTED_ISSUERS");
}

static void sizes_are_settings(void **state)
{
	struct scene *x = *state;
	struct rpc_client a, b;
	struct buf answer = BUF_INIT(1u << 20);
	/* the beginning of a masked message of 4 MiB and a byte */
	static const uint8_t long_frame[] = { 0x82, 0xff, 0, 0, 0, 0, 0, 0x40, 0, 1, 0, 0, 0, 0, 0xa0 };
	static const uint8_t long_file[1025];

	start_with(x, "COFFER_RELAY_LIMITS_EVENT_BYTES", "3");
	start_with(x, "COFFER_RELAY_LIMITS_PRESENCE_BYTES", "4");
	start_with(x, "COFFER_RELAY_LIMITS_FILE_BYTES", "1024");
	start_with(x, "COFFER_RELAY_LIMITS_MESSAGE_BYTES", "4194304");
	come(x, &a, &x->alice, "alice");
	make_space(x, &a);
	come(x, &b, &x->bob, "bob");
	subscribe(&a, x->ua);
	subscribe(&b, x->ub);
	send_live(&a, "event.send", "four"); /* ignored */
	send_live(&a, "presence.set", "fives");
	send_live(&a, "event.send", "yes");
	expect_notice(&b, "event");
	send_live(&a, "presence.set", "four");
	expect_notice(&b, "presence");
	assert_int_equal(
		http(x, "PUT", FILE_ID, &x->alice, x->ua, HEADERS, bytes_of(long_file, sizeof long_file), &answer),
		413);
	assert_non_null(memmem(answer.data, answer.len, "file exceeds 1024 byte limit", 28));
	buf_release(&answer);
	assert_int_equal(write(a.fd, long_frame, sizeof long_frame), sizeof long_frame);
	assert_int_equal(rpc_wait_close(&a), 1009);
	rpc_close(&a);
	rpc_close(&b);
	unsetenv("COFFER_RELAY_LIMITS_EVENT_BYTES");
	unsetenv("COFFER_RELAY_LIMITS_PRESENCE_BYTES");
	unsetenv("COFFER_RELAY_LIMITS_FILE_BYTES");
	unsetenv("COFFER_RELAY_LIMITS_MESSAGE_BYTES");
}

/* The relay's settings from now on: issuer and origin it believes in. */
static void write_settings(const struct scene *x, const char *issuer, const char *origin)
{
	FILE *f = fopen(x->relay.config, "w");

	assert_non_null(f);
	fprintf(f, "[server]\nreturn_seconds = 0\norigins = ['%s']\n[auth]\ntrusted_issuers = ['%s']\n", origin,
		issuer);
	fprintf(f, "self_issued = 'open'\n");
	assert_int_equal(fclose(f), 0);
}

static void reload(const struct scene *x, const char *issuer, const char *origin)
{
	write_settings(x, issuer, origin);
	assert_int_equal(kill(x->relay.pid, SIGHUP), 0);
}

/* Until the relay lets alice in, as it will once it has read its settings. */
static void come_in_the_end(struct scene *x, struct rpc_client *c)
{
	const time_t until = time(NULL) + RPC_DEADLINE_S;
	char *text = token(x, &x->alice, "alice", "k");
	struct bytes answer;

	for (;;) {
		rpc_open(c, x->relay.port);
		authenticate(c, text);
		rpc_send_request(c, "no.such", bytes_of("\xa0", 1));
		if (!rpc_receive(c, &answer))
			break;
		rpc_close(c);
		assert_true(time(NULL) < until);
	}
	free(text);
}

static void who_is_not_trusted_any_more_is_shut_out(void **state)
{
	struct scene *x = *state;
	struct rpc_client a, d;
	struct party device;
	char *text = token(x, &x->alice, "alice", "k");
	struct buf b = BUF_INIT(65536);
	struct cbor_enc e = cbor_enc_init(&b);

	relay_process_kill(&x->relay, SIGTERM);
	snprintf(x->relay.config, sizeof x->relay.config, "%.4000s/relay.toml", x->relay.dir);
	write_settings(x, x->iss, x->relay.url);
	relay_process_start(&x->relay);
	party_init(&device, "laptop");
	come(x, &a, &x->alice, "alice");
	make_space(x, &a);
	rpc_open(&d, x->relay.port);
	rpc_auth(&d, &device, x->relay.url);
	cbor_put_map(&e, 0);
	call_ok(&d, "invitation.list", &b, &e);
	/* another name: devices come back, and are refused with tokens for the old one; issuers' clients stay */
	reload(x, x->iss, "https://relay.example.org");
	assert_int_equal(rpc_wait_close(&d), 4001);
	rpc_close(&d);
	rpc_open(&d, x->relay.port);
	rpc_auth(&d, &device, x->relay.url);
	assert_int_equal(rpc_wait_close(&d), 4000);
	rpc_close(&d);
	subscribe(&a, x->ua);
	/* another issuer */
	reload(x, "http://127.0.0.1:1", "https://relay.example.org");
	assert_int_equal(rpc_wait_close(&a), 4001);
	rpc_close(&a);
	refuse(x, text, 4000);
	expect(x, 401, "untrusted token issuer", "GET", FILE_ID, &x->alice, x->ua, "");
	/* both again */
	reload(x, x->iss, x->relay.url);
	come_in_the_end(x, &a);
	subscribe(&a, x->ua);
	rpc_open(&d, x->relay.port);
	rpc_auth(&d, &device, x->relay.url);
	b = (struct buf)BUF_INIT(64);
	e = cbor_enc_init(&b);
	cbor_put_map(&e, 0);
	call_ok(&d, "invitation.list", &b, &e);
	rpc_close(&a);
	rpc_close(&d);
	party_release(&device);
	free(text);
}

/* The issuer has turned its key, and signs with one that the relay has to ask for. */
static void a_refresh_waits_for_a_new_key(void **state)
{
	struct scene *x = *state;
	const time_t until = time(NULL) + RPC_DEADLINE_S;
	struct plain_party next;
	struct rpc_client a;
	struct reply r;
	char keys[1024], header[] = "{\"alg\":\"ES256\",\"kid\":\"new\"}", claims[512], *text;
	bool ok = false;

	start_with(x, "COFFER_RELAY_AUTH_KEYS_RETRY_SECONDS", "1");
	unsetenv("COFFER_RELAY_AUTH_KEYS_RETRY_SECONDS");
	come(x, &a, &x->alice, "alice");
	make_space(x, &a);
	plain_party_init(&next, 12);
	snprintf(keys, sizeof keys,
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"new\",\"x\":\"%s\",\"y\":\"%s\"}]}", next.x,
		next.y);
	key_server_say(&x->keys, 200, keys);
	snprintf(claims, sizeof claims,
		"{\"iss\":\"%s\",\"sub\":\"alice\",\"client_id\":\"app\",\"exp\":%lld,\"scope\":\"sync\"}", x->iss,
		(long long)time(NULL) + 600);
	text = plain_party_sign(&next, header, claims);
	while (!ok) { /* for a second after it was asked the issuer is not asked again */
		r = try_refresh(&a, text);
		ok = reply_ok(&r);
		if (!ok && !reply_refused(&r, "invalid auth token"))
			fail_msg("%.*s", (int)r.f.value.len, (const char *)r.f.value.p);
		reply_release(&r);
		assert_true(time(NULL) < until);
	}
	subscribe(&a, x->ua); /* and the connection goes on */
	free(text);
	plain_party_release(&next);
	rpc_close(&a);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tokens_open_and_close),
		TEST(others_are_told_and_nobody_else),
		TEST(an_event_of_one_space_is_not_heard_in_another),
		TEST(requests_are_answered_in_their_order),
		TEST(who_talks_too_much_is_not_repeated),
		TEST(pushes_and_refusals_are_counted),
		TEST(what_comes_behind_a_request_waits_for_it),
		TEST(a_letter_is_announced),
		TEST(a_refreshed_token_moves_what_is_read_not_what_is_heard_of),
		TEST(files_are_refused_in_the_protocols_words),
		TEST(a_file_comes_back_as_it_was),
		TEST(sizes_are_settings),
		TEST(who_is_not_trusted_any_more_is_shut_out),
		TEST(a_refresh_waits_for_a_new_key),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
