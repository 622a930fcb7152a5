/* SPDX-License-Identifier: Apache-2.0 */
/* The plain protocol over a real relay's port: what others are told, presence, letters, and in which order. */
#include "crypto/hash.h"
#include "server/plain.h"
#include "server/rpc.h"
#include "tests/lib/plain_net.h"

#define WORDS 1000

/* The protocol's known answer 19, but for the space and the peer's name, which differs by space and run. */
static void expect_presence(struct rpc_client *c)
{
	struct frame f = net_expect_notice(c, "presence");
	struct buf hex = BUF_INIT(1024);
	struct bytes peer;

	assert_int_equal(param_text(f.value, "peer", 64, &peer), 0);
	assert_int_equal(peer.len, 32);
	assert_int_equal(
		buf_printf(&hex, "a3647479706502666d6574686f646870726573656e636566706172616d73a36573706163657824"), 0);
	for (const char *p = NET_SPACE; *p; p++)
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
	struct plain_net *x = *state;
	struct rpc_client a, b;
	struct buf params;
	struct cbor_enc e;
	struct id32 cid;
	char hex[ID32_TEXT_SIZE], long_data[5000] = "";

	net_come(x, &a, &x->alice, "alice");
	net_come(x, &b, &x->bob, "bob");
	net_make_space(x, &a);
	net_subscribe(&a, x->ua);
	net_subscribe(&b, x->ub);
	net_push(&a, x->ua, "one", 0);
	net_expect_notice(&b, "sync");
	memset(long_data, 'x', sizeof long_data - 1);
	net_send_live(&a, "presence.set", long_data); /* too long: ignored */
	net_send_live(&a, "presence.set", "\4\11");
	expect_presence(&b);
	net_send_live(&a, "presence.clear", NULL);
	net_expect_notice(&b, "presence.leave");
	net_send_live(&a, "event.send", "now");
	net_expect_notice(&b, "event");
	net_send_live(&b, "presence.set", "bob");
	net_expect_notice(&a, "presence");
	rpc_close(&b);
	net_expect_notice(&a, "presence.leave");
	/* who was let in by a revoked UCAN is told, and then of nothing more */
	net_come(x, &b, &x->bob, "bob");
	net_subscribe(&b, x->ub);
	ucan_cid(bytes_str(x->ub), &cid);
	id32_format(&cid, hex);
	net_begin(&params, &e, x->ua, 1);
	cbor_put_text(&e, "ucan_cid");
	cbor_put_text(&e, hex);
	net_call_ok(&a, "membership.revoke", &params, &e);
	net_expect_notice(&b, "revoked");
	net_push(&a, x->ua, "two", 1);
	net_send_live(&b, "event.send", "ignored");
	params = (struct buf)BUF_INIT(FRAME_MAX);
	e = cbor_enc_init(&params);
	cbor_put_map(&e, 0);
	net_call_ok(&b, "invitation.list", &params, &e);
	assert_int_equal(b.notices.len, 0);
	rpc_close(&a);
	rpc_close(&b);
}

/* Bob hears both of his spaces, his second connection one; an event is told where it was said and nowhere else. */
static void an_event_of_one_space_is_not_heard_in_another(void **state)
{
	struct plain_net *x = *state;
	struct rpc_client a, b, c;
	struct frame f;
	struct bytes data;

	net_come(x, &a, &x->alice, "alice");
	net_come(x, &b, &x->bob, "bob");
	net_come(x, &c, &x->bob, "bob");
	net_make_space(x, &a);
	net_make_named_space(x, &a, NET_OTHER_SPACE);
	net_subscribe(&a, x->ua);
	net_subscribe_to(&b, x->ub, NET_SPACE);
	net_subscribe_to(&b, x->ub_other, NET_OTHER_SPACE);
	net_subscribe_to(&c, x->ub_other, NET_OTHER_SPACE);
	net_send_live(&a, "event.send", "here");
	f = net_expect_notice(&b, "event");
	assert_non_null(memmem(f.value.p, f.value.len, NET_SPACE, 36));
	assert_int_equal(param_bytes(f.value, "data", 64, &data), 0);
	unit_assert_bytes(data, bytes_str("here"));
	net_subscribe_to(&a, x->ua_other, NET_OTHER_SPACE);
	net_send_live_to(&a, NET_OTHER_SPACE, "event.send", "there");
	for (int i = 0; i < 2; i++) {
		f = net_expect_notice(i ? &c : &b, "event"); /* the first that the second connection hears */
		assert_non_null(memmem(f.value.p, f.value.len, NET_OTHER_SPACE, 36));
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
	struct plain_net *x = *state;
	struct rpc_client a;
	struct buf params;
	struct cbor_enc e;
	unsigned first;
	uint64_t cursor = 0;

	net_come(x, &a, &x->alice, "alice");
	net_make_space(x, &a);
	first = a.next_id;
	for (unsigned i = 0; i <= PUSHES; i++) {
		if (i == PULL_AT) {
			params = (struct buf)BUF_INIT(FRAME_MAX);
			e = cbor_enc_init(&params);
			net_put_spaces(&e, x->ua);
			ask(&a, "pull", &params, &e);
		} else {
			net_begin_push(&params, &e, x->ua, "text", cursor++);
			ask(&a, "push", &params, &e);
		}
	}
	for (unsigned i = 0; i <= PUSHES; i++)
		expect_answer(&a, first + i);
	net_push(&a, x->ua, "last", cursor);
	rpc_close(&a);
}

/* More than a connection may say at once: the rest is dropped, so that those who listen are not drowned. */
static void who_talks_too_much_is_not_repeated(void **state)
{
	struct plain_net *x = *state;
	struct rpc_client a, b;
	size_t heard = 0;

	net_come(x, &a, &x->alice, "alice");
	net_come(x, &b, &x->bob, "bob");
	net_make_space(x, &a);
	net_subscribe(&a, x->ua);
	net_subscribe(&b, x->ub);
	for (size_t i = 0; i < WORDS; i++)
		net_send_live(&a, "event.send", "word");
	net_push(&a, x->ua, "one", 0);
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
	cbor_put_text(&e, NET_SPACE);
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
	cbor_put_text(&e, NET_SPACE);
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

static void expect_metric(const struct plain_net *x, const char *line)
{
	struct buf answer = BUF_INIT(1u << 20);

	assert_int_equal(http_raw(x->relay.port, bytes_str("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), &answer), 200);
	if (!memmem(answer.data, answer.len, line, strlen(line)))
		fail_msg("no%s in %.*s", line, (int)answer.len, (const char *)answer.data);
	buf_release(&answer);
}

static void pushes_and_refusals_are_counted(void **state)
{
	struct plain_net *x = *state;
	struct rpc_client a;
	struct buf b = BUF_INIT(1024);
	struct cbor_enc e;
	struct reply r;

	net_come(x, &a, &x->alice, "alice");
	net_make_space(x, &a);
	net_push(&a, x->ua, "one", 0);
	net_push(&a, x->ua, "two", 1);
	net_begin_push(&b, &e, x->ua, "late", 1);
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
	struct plain_net *x = *state;
	struct rpc_client a, b;
	struct reply r;

	net_come(x, &b, &x->alice, "alice");
	net_make_space(x, &b);
	rpc_close(&b);
	net_come(x, &b, &x->bob, "bob");
	for (int i = 0; i < 10; i++) {
		begin_subscribe(&b, x->ub);
		net_send_live(&b, "presence.set", "here");
		rpc_send_request(&b, "no.such", bytes_of("\xa0", 1));
		r = rpc_reply(&b);
		assert_false(r.f.is_error);
		reply_release(&r);
		r = rpc_reply(&b);
		assert_true(r.f.is_error);
		reply_release(&r);
		net_come(x, &a, &x->alice, "alice");
		begin_subscribe(&a, x->ua);
		r = rpc_reply(&a);
		assert_non_null(memmem(r.f.value.p, r.f.value.len, "here", 4)); /* bob's presence */
		reply_release(&r);
		begin_subscribe(&b, x->ub);
		unsubscribe(&b);
		r = rpc_reply(&b);
		reply_release(&r);
		net_expect_notice(&a, "presence.leave");
		net_push(&a, x->ua, i ? "again" : "first", (uint64_t)i); /* of which bob hears nothing */
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
	net_call_ok(c, "invitation.create", &params, &e);
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

static void refresh(struct rpc_client *c, const char *text)
{
	struct reply r = net_refresh(c, text);

	assert_true(reply_ok(&r));
	reply_release(&r);
}

static void a_letter_is_announced(void **state)
{
	struct plain_net *x = *state;
	struct rpc_client a, b;

	net_come(x, &a, &x->alice, "alice");
	net_come(x, &b, &x->bob, "bob");
	assert_false(has_letter(&b, "sealed")); /* bob is in before alice writes */
	write_letter(&a, "bob", "sealed");
	net_expect_notice(&b, "invitation");
	unit_assert_hex(buf_bytes(&b.message), /* the protocol's known answer 18 */
		"a3647479706502666d6574686f646a696e7669746174696f6e66706172616d73a0");
	assert_true(has_letter(&b, "sealed"));
	rpc_close(&a);
	rpc_close(&b);
}

/* The issuer puts the claim in once the client has registered a mailbox. */
static void a_refreshed_token_moves_what_is_read_not_what_is_heard_of(void **state)
{
	struct plain_net *x = *state;
	struct rpc_client a, b;
	char *other = net_token_of_mailbox(x, &x->bob, "bob", "k", "elsewhere");

	net_come(x, &a, &x->alice, "alice");
	net_come(x, &b, &x->bob, "bob");
	refresh(&b, other);
	free(other);
	assert_false(has_letter(&b, "old home")); /* his new token counts before alice writes */
	write_letter(&a, "bob", "old home");
	net_expect_notice(&b, "invitation");
	assert_false(has_letter(&b, "old home"));
	write_letter(&a, "elsewhere", "new home");
	assert_true(has_letter(&b, "new home"));
	rpc_close(&a);
	rpc_close(&b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(others_are_told_and_nobody_else),
		TEST(an_event_of_one_space_is_not_heard_in_another),
		TEST(requests_are_answered_in_their_order),
		TEST(who_talks_too_much_is_not_repeated),
		TEST(pushes_and_refusals_are_counted),
		TEST(what_comes_behind_a_request_waits_for_it),
		TEST(a_letter_is_announced),
		TEST(a_refreshed_token_moves_what_is_read_not_what_is_heard_of),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
