/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile client sends to a real relay over its WebSocket: each ends with a code that says why, and nobody else notices. */
#include <signal.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "crypto/hash.h"
#include "server/jwt.h"
#include "tests/lib/victim.h"

#define DEEP 100000
#define MEMORY_MIB 128

static const char *const standard[] = { NULL };

/* A frame's first bytes as they stand, a mask of zeros, payload. `length` is what the head says, not what comes. */
static void send_frame(struct rpc_client *c, uint8_t first, uint64_t length, struct bytes payload)
{
	struct buf b = BUF_INIT(64u << 10);

	assert_int_equal(buf_put_u8(&b, first), 0);
	if (length < 126) {
		assert_int_equal(buf_put_u8(&b, (uint8_t)(0x80 | length)), 0);
	} else if (length < 65536) {
		assert_int_equal(buf_put_u8(&b, 0x80 | 126), 0);
		assert_int_equal(buf_put_u16be(&b, (uint16_t)length), 0);
	} else {
		assert_int_equal(buf_put_u8(&b, 0x80 | 127), 0);
		assert_int_equal(buf_put_u64be(&b, length), 0);
	}
	assert_int_equal(buf_put_u32be(&b, 0), 0);
	assert_int_equal(buf_put(&b, payload.p, payload.len), 0);
	send_some(c->fd, buf_bytes(&b));
	buf_release(&b);
}

static void frames_against_the_rules_end_the_connection(void **state)
{
	static const uint8_t close_short[] = { 3 }, bad_text[] = { 0xc3, 0x28 };
	static const struct {
		uint8_t first;
		uint64_t length;
		struct bytes payload;
		int code;
	} cases[] = {
		{ 0x83, 1, { (const uint8_t *)"x", 1 }, 1002 }, /* opcodes that nobody has defined */
		{ 0x87, 1, { (const uint8_t *)"x", 1 }, 1002 }, { 0x8b, 1, { (const uint8_t *)"x", 1 }, 1002 },
		{ 0x8f, 0, { NULL, 0 }, 1002 }, { 0xc2, 1, { (const uint8_t *)"x", 1 }, 1002 }, /* reserved bits */
		{ 0xa2, 1, { (const uint8_t *)"x", 1 }, 1002 },
		{ 0x09, 1, { (const uint8_t *)"x", 1 }, 1002 }, /* half a ping */
		{ 0x89, 126, { NULL, 0 }, -1 },                 /* a long one */
		{ 0x80, 1, { (const uint8_t *)"x", 1 }, 1002 }, /* the rest of nothing */
		{ 0x81, 2, { bad_text, 2 }, 1007 }, { 0x82, 0, { NULL, 0 }, 4005 },
		{ 0x81, 1, { (const uint8_t *)"x", 1 }, 4005 }, { 0x82, 1, { (const uint8_t *)"\xff", 1 }, 4005 },
		{ 0x82, FRAME_MAX + 1, { (const uint8_t *)"x", 1 }, 1009 },
		{ 0x82, 1ull << 40, { (const uint8_t *)"x", 1 }, 1009 },
		{ 0x82, UINT64_MAX, { (const uint8_t *)"x", 1 }, -1 },
		{ 0x88, 1, { close_short, 1 }, 0 }, /* whichever: it wants to go */
	};
	struct victim v;

	(void)state;
	victim_start(&v, standard);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct rpc_client c;
		int code;

		victim_enter(&v, &c);
		send_frame(&c, cases[i].first, cases[i].length, cases[i].payload);
		code = rpc_wait_close(&c);
		if (cases[i].code && code != cases[i].code)
			fail_msg("%zu: %d", i, code);
		rpc_close(&c);
	}
	victim_await(&v, "connections_active", 1);
	victim_stop(&v, MEMORY_MIB);
}

/* A request of one byte a frame, with pings between them, is a request; a message that starts in the midst of one is none. */
static void a_message_in_pieces(void **state)
{
	struct buf one = BUF_INIT(1024);
	struct cbor_enc e = cbor_enc_init(&one);
	struct rpc_client c;
	struct victim v;
	struct reply r;

	(void)state;
	frame_begin_request(&e, bytes_str("1"), bytes_str("no.such"));
	cbor_put_map(&e, 0);
	assert_int_equal(cbor_enc_end(&e), 0);
	victim_start(&v, standard);
	victim_enter(&v, &c);
	for (size_t i = 0; i < one.len; i++) {
		send_frame(&c, i ? 0x00 : 0x02, 1, bytes_of(one.data + i, 1));
		send_frame(&c, 0x89, 4, bytes_str("ping"));
	}
	send_frame(&c, 0x80, 0, bytes_of(NULL, 0));
	r = rpc_reply(&c);
	assert_true(reply_refused(&r, "method_not_found"));
	reply_release(&r);
	send_frame(&c, 0x02, 1, bytes_str("x"));
	send_frame(&c, 0x82, 1, bytes_str("x"));
	assert_int_equal(rpc_wait_close(&c), 1002);
	rpc_close(&c);
	buf_release(&one);
	victim_stop(&v, MEMORY_MIB);
}

static void pieces_without_end_are_too_much(void **state)
{
	static const uint8_t part[32768];
	struct rpc_client c;
	struct victim v;

	(void)state;
	victim_start(&v, standard);
	victim_enter(&v, &c);
	for (size_t sent = 0; sent <= FRAME_MAX; sent += sizeof part)
		send_frame(&c, sent ? 0x00 : 0x02, sizeof part, bytes_of(part, sizeof part));
	assert_int_equal(rpc_wait_close(&c), 1009);
	rpc_close(&c);
	victim_stop(&v, MEMORY_MIB);
}

static void put_deep(struct buf *b, uint8_t byte)
{
	for (size_t i = 0; i < DEEP; i++)
		assert_int_equal(buf_put_u8(b, byte), 0);
}

/* As a message, as parameters of a request, and as what should be a token; arrays, maps, tags. */
static void nesting_without_end(void **state)
{
	static const uint8_t bytes[] = { 0x81, 0xa1, 0xc1, 0x9f, 0xd8 };
	struct buf deep = BUF_INIT(FRAME_MAX), b = BUF_INIT(FRAME_MAX);
	struct rpc_client c;
	struct victim v;

	(void)state;
	victim_start(&v, standard);
	for (size_t i = 0; i < COUNT(bytes); i++) {
		buf_clear(&deep);
		put_deep(&deep, bytes[i]);
		victim_enter(&v, &c);
		rpc_send(&c, buf_bytes(&deep), true);
		assert_int_equal(rpc_wait_close(&c), 4005);
		rpc_close(&c);
		for (int request = 0; request < 2; request++) {
			struct cbor_enc e = cbor_enc_init(&b);

			if (request)
				frame_begin_request(&e, bytes_str("1"), bytes_str("coffer.pull"));
			else
				frame_begin_notification(&e, bytes_str("auth"));
			cbor_put_raw(&e, buf_bytes(&deep));
			assert_int_equal(cbor_enc_end(&e), 0);
			if (request)
				victim_enter(&v, &c);
			else
				rpc_open_from(&c, MALLORY, v.relay.port);
			rpc_send(&c, buf_bytes(&b), true);
			assert_int_equal(rpc_wait_close(&c), request ? 4005 : 4000);
			rpc_close(&c);
			buf_clear(&b);
		}
		victim_serves(&v);
	}
	buf_release(&deep);
	buf_release(&b);
	victim_stop(&v, MEMORY_MIB);
}

/* A message may take as long as is set, however it is cut. */
static void messages_byte_by_byte(void **state)
{
	struct rpc_client c;
	struct victim v;
	struct pollfd p;
	int i;

	(void)state;
	victim_start(&v, (const char *const[]){ "LIMITS_MESSAGE_SECONDS=1", "LIMITS_AUTH_SECONDS=1", NULL });
	victim_enter(&v, &c);
	send_frame(&c, 0x82, 60000, bytes_str("x"));
	p = (struct pollfd){ .fd = c.fd, .events = POLLIN };
	for (i = 0; i < RPC_DEADLINE_S * 20 && poll(&p, 1, 50) == 0; i++)
		send_some(c.fd, bytes_str("x"));
	assert_true(i < RPC_DEADLINE_S * 20);
	assert_int_equal(rpc_wait_close(&c), 4006);
	rpc_close(&c);
	rpc_open_from(&c, MALLORY, v.relay.port); /* nobody yet */
	send_frame(&c, 0x82, 1000, bytes_str("x"));
	assert_int_equal(rpc_wait_close(&c), 4000);
	rpc_close(&c);
	victim_stop(&v, MEMORY_MIB);
}

static void connections_of_one_address_are_bounded(void **state)
{
	struct rpc_client c[5];
	struct victim v;

	(void)state;
	victim_start(&v, (const char *const[]){ "LIMITS_CONNECTIONS_PER_ADDRESS=4", NULL });
	for (size_t i = 0; i < COUNT(c); i++)
		rpc_open_from(&c[i], MALLORY, v.relay.port);
	assert_int_equal(rpc_wait_close(&c[4]), -1);
	victim_await(&v, "connections_active", 5); /* with the bystander's */
	for (size_t i = 0; i < COUNT(c); i++)
		rpc_close(&c[i]);
	victim_await(&v, "connections_active", 1);
	victim_stop(&v, MEMORY_MIB);
}

static bool refreshes(struct victim *v, struct rpc_client *c)
{
	struct buf token = BUF_INIT(4096), params = BUF_INIT(8192);
	struct cbor_enc e = cbor_enc_init(&params);
	struct reply r;
	bool ok;

	rpc_token(&v->mallory, v->relay.url, &token);
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "token");
	cbor_put_text_n(&e, (const char *)token.data, token.len);
	assert_int_equal(cbor_enc_end(&e), 0);
	r = rpc_call(c, "token.refresh", &params);
	ok = reply_ok(&r);
	reply_release(&r);
	buf_release(&token);
	return ok;
}

/* Each token costs the relay signatures, whether a connection is new or goes on. */
static void tokens_of_one_address_are_counted(void **state)
{
	struct rpc_client c, d;
	struct victim v;

	(void)state;
	victim_start(&v, (const char *const[]){ "LIMITS_AUTHS_BURST=4", "LIMITS_AUTHS_PER_MINUTE=1", NULL });
	victim_enter(&v, &c);
	for (int i = 0; i < 3; i++)
		assert_true(refreshes(&v, &c));
	assert_false(refreshes(&v, &c));
	rpc_open_from(&d, MALLORY, v.relay.port);
	rpc_auth(&d, &v.mallory, v.relay.url);
	assert_int_equal(rpc_wait_close(&d), 4007);
	rpc_close(&d);
	rpc_close(&c);
	victim_stop(&v, MEMORY_MIB);
}

static bool asks_for_an_invite(struct rpc_client *c, const char *code)
{
	struct buf params = BUF_INIT(256);
	struct cbor_enc e = cbor_enc_init(&params);
	struct id16 id = sealed_id();
	char text[ID16_TEXT_SIZE];
	struct reply r;
	bool is;

	id16_format(&id, text);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "since");
	cbor_put_uint(&e, 0);
	cbor_put_text(&e, "invite");
	cbor_put_text(&e, text);
	assert_int_equal(cbor_enc_end(&e), 0);
	r = rpc_call(c, "coffer.log", &params);
	is = reply_refused(&r, code);
	reply_release(&r);
	return is;
}

static void makes_space(struct rpc_client *c, const struct party *p, const char *refusal)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	struct new_space s;
	struct reply r;

	party_space(p, &s);
	params_append(&params, log_space(s.log), s.blobs, 3);
	r = rpc_call(c, "coffer.append", &params);
	assert_true(refusal ? reply_refused(&r, refusal) : reply_ok(&r));
	reply_release(&r);
	new_space_release(&s);
}

/* By address, whoever asks there: another device of that address gets no more, another address is not concerned. */
static void guesses_and_spaces_are_counted_by_address(void **state)
{
	struct rpc_client c, d;
	struct victim v;

	(void)state;
	victim_start(&v, (const char *const[]){ "LIMITS_SPACES_BURST=2", "LIMITS_SPACES_PER_MINUTE=1", NULL });
	victim_enter(&v, &c);
	for (int i = 0; i < 3; i++)
		assert_true(asks_for_an_invite(&c, "not_found") || i > 0);
	assert_true(asks_for_an_invite(&c, "rate_limited"));
	makes_space(&c, &v.mallory, NULL);
	makes_space(&c, &v.mallory, NULL);
	makes_space(&c, &v.mallory, "rate_limited");
	rpc_open_from(&d, MALLORY, v.relay.port);
	rpc_auth(&d, &v.alice, v.relay.url);
	assert_true(asks_for_an_invite(&d, "rate_limited"));
	makes_space(&d, &v.alice, "rate_limited");
	assert_true(asks_for_an_invite(&v.by, "not_found"));
	makes_space(&v.by, &v.alice, NULL);
	rpc_close(&c);
	rpc_close(&d);
	victim_stop(&v, MEMORY_MIB);
}

/* All who come through a proxy that does not say from where have one address: one of them uses nothing up for the others. */
static void a_proxys_own_address_is_not_counted(void **state)
{
	struct rpc_client c;
	struct victim v;

	(void)state;
	victim_start(&v, (const char *const[]){ "SERVER_TRUSTED_PROXIES=" MALLORY, "LIMITS_SPACES_BURST=2",
				 "LIMITS_SPACES_PER_MINUTE=1", NULL });
	victim_enter(&v, &c);
	for (int i = 0; i < 12; i++)
		assert_true(asks_for_an_invite(&c, "not_found"));
	for (int i = 0; i < 4; i++)
		makes_space(&c, &v.mallory, NULL);
	rpc_close(&c);
	victim_stop(&v, MEMORY_MIB);
}

/* Over all its connections, and no other device of the address. */
static void requests_of_one_device_are_counted(void **state)
{
	struct buf params = BUF_INIT(1024);
	struct rpc_client c[3];
	size_t done = 0, limited = 0;
	struct victim v;
	struct reply r;

	(void)state;
	victim_start(&v, (const char *const[]){
				 "LIMITS_DEVICE_REQUESTS_BURST=20", "LIMITS_DEVICE_REQUESTS_PER_MINUTE=1", NULL });
	victim_enter(&v, &c[0]);
	victim_enter(&v, &c[1]);
	rpc_open_from(&c[2], MALLORY, v.relay.port);
	rpc_auth(&c[2], &v.alice, v.relay.url);
	for (int i = 0; i < 30; i++) {
		params_space(&params, "space", &v.space);
		r = rpc_call(&c[i % 2], "coffer.head", &params);
		done += reply_refused(&r, "forbidden");
		limited += reply_refused(&r, "rate_limited");
		reply_release(&r);
	}
	assert_int_equal(done, 20);
	assert_int_equal(limited, 10);
	params_space(&params, "space", &v.space);
	r = rpc_call(&c[2], "coffer.head", &params);
	assert_false(r.f.is_error);
	reply_release(&r);
	for (size_t i = 0; i < COUNT(c); i++)
		rpc_close(&c[i]);
	victim_stop(&v, MEMORY_MIB);
}

/* The protocol's known answer 20, as a whole message: whoever hears it knows that the relay is there. */
static void a_keepalive_is_one_byte(void **state)
{
	struct rpc_client c;
	struct victim v;
	uint8_t got[3];

	(void)state;
	victim_start(&v, (const char *const[]){ "LIMITS_KEEPALIVE_SECONDS=1", NULL });
	victim_enter(&v, &c);
	assert_int_equal(recv(c.fd, got, sizeof got, MSG_WAITALL), sizeof got);
	assert_memory_equal(got, "\x82\x01\xf6", sizeof got);
	rpc_close(&c);
	victim_stop(&v, MEMORY_MIB);
}

/* Pushes of 1 MiB go to a subscriber that reads nothing. */
static void who_reads_nothing_is_cut(void **state)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	struct rpc_client slow;
	struct victim v;
	time_t noticed;
	int code;
	struct reply r;

	(void)state;
	victim_start(&v, (const char *const[]){ "LIMITS_QUEUE_BYTES=8388608", NULL });
	rpc_open_from(&slow, MALLORY, v.relay.port);
	rpc_auth(&slow, &v.alice, v.relay.url);
	params_subscribe(&params, &v.space);
	r = rpc_call(&slow, "subscribe", &params);
	assert_false(r.f.is_error);
	reply_release(&r);
	for (uint64_t i = 1; i <= 60 && !victim_metric(&v, "slow_consumers_total"); i++) {
		struct sealed chunks[18], file;

		for (size_t k = 0; k < COUNT(chunks); k++)
			sealed_chunk(&v.s, NULL, 60000, &chunks[k]);
		sealed_record(&v.alice, &v.s, (struct sealed_params){ 0 }, &file);
		params_push(&params, &v.space, i, -1, &file, 1, chunks, COUNT(chunks), bytes_of(NULL, 0));
		r = rpc_call(&v.by, "coffer.push", &params);
		assert_true(reply_ok(&r));
		reply_release(&r);
		for (size_t k = 0; k < COUNT(chunks); k++)
			sealed_release(&chunks[k]);
		sealed_release(&file);
	}
	assert_int_equal(victim_metric(&v, "slow_consumers_total"), 1);
	noticed = time(NULL);
	code = rpc_wait_close(&slow);
	if (code != 4006 &&
		(code != -1 || time(NULL) < noticed + 5)) /* who takes long to read it all is not waited for */
		fail_msg("%d", code);
	rpc_close(&slow);
	victim_stop(&v, MEMORY_MIB);
}

/* An entry of 1 MiB in the chain of mallory's own space of the plain protocol. */
static void append_large(struct victim *v, struct rpc_client *c, const char *space, uint64_t version, struct id32 *last)
{
	struct buf payload = BUF_INIT(FRAME_MAX), params = BUF_INIT(FRAME_MAX);
	struct cbor_enc e = cbor_enc_init(&params);
	struct reply r;
	uint8_t *p;

	(void)v;
	assert_int_equal(buf_grow(&payload, 1u << 20, &p), 0);
	memset(p, (int)version, 1u << 20);
	cbor_put_map(&e, version ? 5 : 4);
	cbor_put_text(&e, "space");
	cbor_put_text(&e, space);
	cbor_put_text(&e, "expected_version");
	cbor_put_uint(&e, version);
	if (version) {
		cbor_put_text(&e, "prev_hash");
		cbor_put_bytes(&e, last->b, sizeof last->b);
	}
	hash_sha256(buf_bytes(&payload), last);
	cbor_put_text(&e, "entry_hash");
	cbor_put_bytes(&e, last->b, sizeof last->b);
	cbor_put_text(&e, "payload");
	cbor_put_bytes(&e, payload.data, payload.len);
	assert_int_equal(cbor_enc_end(&e), 0);
	r = rpc_call(c, "membership.append", &params);
	assert_false(r.f.is_error);
	reply_release(&r);
	buf_release(&payload);
}

/* Each answer has some 2 MiB. What was asked waits until what was answered has gone. */
static void answers_that_nobody_reads(void **state)
{
	char person[DID_KEY_TEXT_SIZE], device[DID_KEY_TEXT_SIZE], space[ID16_TEXT_SIZE];
	struct buf params = BUF_INIT(1024);
	struct cbor_enc e = cbor_enc_init(&params);
	struct rpc_client c;
	struct victim v;
	struct id32 last;
	struct id16 id;

	(void)state;
	victim_start(&v, standard);
	id32_format_did(identity_person(v.mallory.id), person);
	id32_format_did(identity_device(v.mallory.id), device);
	assert_int_equal(jwt_personal_space(bytes_str(person), bytes_str(person), bytes_str(device), &id), 0);
	id16_format(&id, space);
	victim_enter(&v, &c);
	for (uint64_t i = 0; i < 3; i++)
		append_large(&v, &c, space, i, &last);
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "space");
	cbor_put_text(&e, space);
	assert_int_equal(cbor_enc_end(&e), 0);
	for (int i = 0; i < 200; i++)
		rpc_send_request(&c, "membership.list", buf_bytes(&params));
	victim_await(&v, "requests_queued", 1); /* that for the metrics */
	victim_serves(&v);
	for (int i = 0; i < 200; i++) { /* and who reads after all gets all */
		struct reply r = rpc_reply(&c);

		assert_true(r.raw.len > 2u << 20);
		reply_release(&r);
	}
	rpc_close(&c);
	buf_release(&params);
	victim_stop(&v, MEMORY_MIB);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Stops the relay within half a second after it let a connection in. */
static void open_and_stop(struct victim *v, struct rpc_client *c)
{
	for (;;) {
		const int64_t start = now_ms();

		rpc_open(c, v->relay.port);
		assert_int_equal(kill(v->relay.pid, SIGSTOP), 0);
		if (now_ms() < start + 500)
			return;
		assert_int_equal(kill(v->relay.pid, SIGCONT), 0);
		rpc_close(c);
	}
}

/* What came in while the relay had no processor is not late: it is read before anybody's time is up. */
static void who_came_while_the_relay_stood_still_is_let_in(void **state)
{
	const struct timespec a_while = { .tv_sec = 2, .tv_nsec = 200000000 };
	struct buf params = BUF_INIT(FRAME_MAX);
	struct rpc_client c;
	struct victim v;
	struct reply r;

	(void)state;
	victim_start(&v, (const char *const[]){ "LIMITS_AUTH_SECONDS=1", NULL });
	open_and_stop(&v, &c);
	rpc_auth(&c, &v.alice, v.relay.url);
	params_subscribe(&params, &v.space);
	rpc_send_request(&c, "subscribe", buf_bytes(&params));
	buf_release(&params);
	nanosleep(&a_while, NULL);
	assert_int_equal(kill(v.relay.pid, SIGCONT), 0);
	r = rpc_reply(&c);
	assert_false(r.f.is_error);
	reply_release(&r);
	rpc_close(&c);
	victim_stop(&v, MEMORY_MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_against_the_rules_end_the_connection),
		cmocka_unit_test(a_message_in_pieces),
		cmocka_unit_test(pieces_without_end_are_too_much),
		cmocka_unit_test(nesting_without_end),
		cmocka_unit_test(messages_byte_by_byte),
		cmocka_unit_test(connections_of_one_address_are_bounded),
		cmocka_unit_test(tokens_of_one_address_are_counted),
		cmocka_unit_test(guesses_and_spaces_are_counted_by_address),
		cmocka_unit_test(a_proxys_own_address_is_not_counted),
		cmocka_unit_test(requests_of_one_device_are_counted),
		cmocka_unit_test(a_keepalive_is_one_byte),
		cmocka_unit_test(who_came_while_the_relay_stood_still_is_let_in),
		cmocka_unit_test(who_reads_nothing_is_cut),
		cmocka_unit_test(answers_that_nobody_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
