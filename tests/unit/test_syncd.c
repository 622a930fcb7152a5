/* SPDX-License-Identifier: Apache-2.0 */
/* coffer-syncd as a process: between a test that plays coffer-fs and a relay that the test plays as well. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/token.h"
#include "tests/lib/fake_relay.h"
#include "tests/lib/syncd_driver.h"
#include "tests/lib/unit.h"

static const struct id16 space = { { 0x11 } }, chunk = { { 0x22 } };
static const uint8_t empty_map[] = { 0xa0 };

struct scene {
	struct fake_relay relay;
	struct syncd syncd;
	struct peer peer;
};

/* Relay listening, coffer-syncd online. */
static void open_scene(struct scene *s)
{
	struct msg m;

	fake_relay_listen(&s->relay);
	syncd_start(&s->syncd);
	syncd_delegate(&s->syncd, s->relay.url, 3600);
	syncd_configure(&s->syncd, s->relay.url);
	peer_accept_online(&s->relay, &s->peer);
	m = syncd_expect_state(&s->syncd, MSG_ONLINE, "");
	assert_int_equal(m.connection, 1);
}

static void close_scene(struct scene *s)
{
	syncd_end(&s->syncd);
	peer_drop(&s->peer);
	fake_relay_close(&s->relay);
}

static void sends_a_token_that_the_relay_can_verify(void **state)
{
	struct scene s;
	struct frame f;
	struct bytes item;
	struct cbor_dec d;
	struct token t;

	(void)state;
	fake_relay_listen(&s.relay);
	syncd_start(&s.syncd);
	syncd_delegate(&s.syncd, s.relay.url, 3600);
	syncd_configure(&s.syncd, s.relay.url);
	peer_accept(&s.relay, &s.peer);
	peer_upgrade(&s.peer, FRAME_SUBPROTOCOL);
	f = peer_receive_frame(&s.peer);
	assert_int_equal(cbor_map_find(f.value, CBOR_RPC, "token", &item), OK);
	d = cbor_dec_init(item);
	assert_int_equal(token_verify(cbor_get_text(&d, TOKEN_MAX), s.relay.url, time(NULL), &t), OK);
	assert_true(id32_equal(&t.person, &s.syncd.person));
	assert_true(id32_equal(&t.device, &s.syncd.device));
	assert_true(id32_equal(&t.session, &s.syncd.session));
	close_scene(&s);
}

static void carries_a_call_its_parts_and_its_result(void **state)
{
	struct scene s;
	struct buf b = BUF_INIT(1024);
	struct cbor_enc e = cbor_enc_init(&b);
	struct frame f;
	struct msg m;
	uint64_t num;

	(void)state;
	open_scene(&s);
	num = syncd_call(&s.syncd, "coffer.pull", bytes_of(empty_map, 1));
	f = peer_receive_frame(&s.peer);
	unit_assert_bytes(f.name, bytes_str("coffer.pull"));
	unit_assert_bytes(f.value, bytes_of(empty_map, 1));
	frame_begin_chunk(&e, f.id, bytes_str("coffer.step"));
	cbor_put_uint(&e, 7);
	peer_send(&s.peer, buf_bytes(&b));
	peer_respond(&s.peer, f.id, bytes_of("\x01", 1));
	m = syncd_expect(&s.syncd, MSG_PART);
	assert_int_equal(m.num, num);
	unit_assert_bytes(m.text, bytes_str("coffer.step"));
	unit_assert_hex(m.item, "07");
	m = syncd_expect_result(&s.syncd, num, "");
	unit_assert_hex(m.item, "01");
	buf_release(&b);
	close_scene(&s);
}

static void answers_offline_when_the_connection_drops_and_comes_back(void **state)
{
	struct scene s;
	struct msg m;
	uint64_t num;

	(void)state;
	open_scene(&s);
	num = syncd_call(&s.syncd, "coffer.head", bytes_of(empty_map, 1));
	(void)peer_receive_frame(&s.peer);
	peer_drop(&s.peer);
	syncd_expect_result(&s.syncd, num, "offline");
	syncd_expect_state(&s.syncd, MSG_OFFLINE, "closed");
	num = syncd_call(&s.syncd, "coffer.head", bytes_of(empty_map, 1));
	m = syncd_next(&s.syncd);
	if (m.type == MSG_STATE)
		m = syncd_next(&s.syncd);
	assert_int_equal(m.type, MSG_RESULT);
	assert_int_equal(m.num, num);
	peer_accept_online(&s.relay, &s.peer);
	m = syncd_expect_state(&s.syncd, MSG_ONLINE, "");
	assert_int_equal(m.connection, 2);
	close_scene(&s);
}

static void uploads_and_downloads_chunks(void **state)
{
	static uint8_t blob[1 << 20];
	struct scene s;
	struct peer http;
	struct msg m;
	uint64_t num;

	(void)state;
	for (size_t i = 0; i < sizeof blob; i++)
		blob[i] = (uint8_t)(i * 7 + i / 251);
	open_scene(&s);
	num = syncd_put(&s.syncd, &space, &chunk, bytes_of(blob, sizeof blob));
	peer_accept(&s.relay, &http);
	assert_true(peer_head_has(&http, "PUT /api/v1/coffer/spaces/11000000-0000-0000-0000-000000000000/chunks/"
					 "22000000-0000-0000-0000-000000000000 HTTP/1.1\r\n"));
	assert_true(peer_head_has(&http, "Authorization: Bearer ey"));
	assert_true(peer_head_has(&http, "Content-Length: 1048576\r\n"));
	peer_read_body(&http, sizeof blob);
	assert_memory_equal(http.message.data, blob, sizeof blob);
	peer_write(&http, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
	syncd_expect_result(&s.syncd, num, "");
	peer_drop(&http);

	num = syncd_get(&s.syncd, &space, &chunk);
	peer_accept(&s.relay, &http);
	assert_true(peer_head_has(&http, "GET /api/v1/coffer/spaces/11000000-"));
	peer_write(&http, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
	peer_send_raw(&http, blob, sizeof blob);
	m = syncd_expect(&s.syncd, MSG_DATA);
	assert_int_equal(m.num, num);
	unit_assert_bytes(m.blob, bytes_of(blob, sizeof blob));
	syncd_expect_result(&s.syncd, num, "");
	peer_drop(&http);
	close_scene(&s);
}

static void maps_http_answers_to_codes(void **state)
{
	static const struct {
		const char *answer, *code;
	} table[] = {
		{ "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "not_found" },
		{ "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}", "unauthorized" },
		{ "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "forbidden" },
		{ "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", "rate_limited" },
		{ "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", "offline" },
		{ "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "bad_response" },
		{ "HTTP/1.1 206 Part\r\nContent-Length: 1\r\n\r\nx", "bad_response" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "bad_response" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "offline" },
		{ "garbage\r\n\r\n", "offline" },
	};
	struct scene s;

	(void)state;
	open_scene(&s);
	for (size_t i = 0; i < COUNT(table); i++) {
		uint64_t num = syncd_get(&s.syncd, &space, &chunk);
		struct peer http;

		peer_accept(&s.relay, &http);
		peer_write(&http, table[i].answer);
		peer_drop(&http);
		syncd_expect_result(&s.syncd, num, table[i].code);
	}
	close_scene(&s);
}

static void refuses_a_server_that_is_no_relay(void **state)
{
	struct fake_relay relay;
	struct syncd syncd;
	struct peer p;

	(void)state;
	fake_relay_listen(&relay);
	syncd_start(&syncd);
	syncd_delegate(&syncd, relay.url, 3600);
	syncd_configure(&syncd, relay.url);
	peer_accept(&relay, &p);
	peer_write(&p, "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnope\n");
	peer_drop(&p);
	peer_accept(&relay, &p);
	assert_true(peer_head_has(&p, "GET /health HTTP/1.1\r\n"));
	assert_false(peer_head_has(&p, "Authorization"));
	peer_write(&p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	peer_drop(&p);
	syncd_expect_state(&syncd, MSG_REFUSED, "not-a-relay");
	syncd_end(&syncd);
	fake_relay_close(&relay);
}

static void refuses_a_relay_of_another_version(void **state)
{
	struct fake_relay relay;
	struct syncd syncd;
	struct peer p;

	(void)state;
	fake_relay_listen(&relay);
	syncd_start(&syncd);
	syncd_delegate(&syncd, relay.url, 3600);
	syncd_configure(&syncd, relay.url);
	peer_accept(&relay, &p);
	peer_upgrade(&p, NULL); /* without the subprotocol */
	assert_true(peer_closed(&p));
	peer_drop(&p);
	peer_accept(&relay, &p);
	peer_write(&p, "HTTP/1.1 200 OK\r\nX-Protocol-Version: 2\r\nContent-Length: 0\r\n\r\n");
	peer_drop(&p);
	syncd_expect_state(&syncd, MSG_REFUSED, "version");
	syncd_end(&syncd);
	fake_relay_close(&relay);
}

static void tells_refused_from_offline_by_the_close_code(void **state)
{
	static const struct {
		unsigned code;
		const char *text;
		enum msg_state state;
		const char *reason;
	} table[] = {
		{ 4000, "invalid auth token", MSG_REFUSED, "auth" },
		{ 4000, "auth timeout", MSG_OFFLINE, "timeout" },
		{ 4001, "connection timeout", MSG_OFFLINE, "closed" },
		{ 4002, "", MSG_REFUSED, "forbidden" },
		{ 4003, "too many connections", MSG_OFFLINE, "too-many" },
		{ 4004, "", MSG_OFFLINE, "closed" },
		{ 4005, "invalid cbor frame", MSG_OFFLINE, "closed" },
		{ 4006, "slow consumer", MSG_OFFLINE, "replaced" },
		{ 4007, "relay is busy", MSG_OFFLINE, "busy" },
		{ 1013, "", MSG_OFFLINE, "closed" },
		{ 1001, "", MSG_OFFLINE, "closed" },
	};
	struct scene s;

	(void)state;
	open_scene(&s);
	for (size_t i = 0; i < COUNT(table); i++) {
		peer_send_close(&s.peer, table[i].code, table[i].text);
		syncd_expect_state(&s.syncd, table[i].state, table[i].reason);
		peer_drop(&s.peer);
		syncd_configure(&s.syncd, s.relay.url); /* coffer-fs kicks: at once again */
		peer_accept_online(&s.relay, &s.peer);
		syncd_expect_state(&s.syncd, MSG_ONLINE, "");
	}
	close_scene(&s);
}

static void survives_hostile_bytes(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} table[] = {
		{ "\x82\x01\xa0", 3 },                              /* a map without a type */
		{ "\x82\x01\xff", 3 },                              /* not CBOR */
		{ "\x82\x02\xf6\xf6", 4 },                          /* two items */
		{ "\x81\x01x", 3 },                                 /* text */
		{ "\xc2\x01\xa0", 3 },                              /* compressed without agreement */
		{ "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10 }, /* a length of 2^63 */
		{ "\x82\x81\x00\x00\x00\x00\xa0", 7 },              /* masked by the server */
		{ "\x83\x01\xa0", 3 },                              /* reserved opcode */
	};
	struct scene s;

	(void)state;
	open_scene(&s);
	for (size_t i = 0; i < COUNT(table); i++) {
		peer_send_raw(&s.peer, table[i].bytes, table[i].n);
		shutdown(s.peer.fd, SHUT_WR);
		(void)peer_closed(&s.peer);
		peer_drop(&s.peer);
		peer_accept_online(&s.relay, &s.peer);
		syncd_expect_state(&s.syncd, MSG_ONLINE, "");
	}
	close_scene(&s);
}

static void refreshes_its_token_with_a_new_delegation(void **state)
{
	struct scene s;
	struct frame f;

	(void)state;
	open_scene(&s);
	syncd_delegate(&s.syncd, s.relay.url, 1800);
	f = peer_receive_frame(&s.peer);
	unit_assert_bytes(f.name, bytes_str("token.refresh"));
	peer_respond(&s.peer, f.id, bytes_of("\xa1\x62ok\xf5", 5));
	syncd_call(&s.syncd, "coffer.head", bytes_of(empty_map, 1));
	f = peer_receive_frame(&s.peer);
	unit_assert_bytes(f.name, bytes_str("coffer.head"));
	peer_respond(&s.peer, f.id, bytes_of(NULL, 0));
	syncd_expect_result(&s.syncd, s.syncd.num, "");
	close_scene(&s);
}

static void says_so_when_a_delegation_cannot_be_used(void **state)
{
	struct syncd syncd;

	(void)state;
	syncd_start(&syncd);
	syncd_configure(&syncd, "http://127.0.0.1:1");
	syncd_send(&syncd, &(struct msg){ .type = MSG_DELEGATE, .blob = bytes_str("nonsense") });
	syncd_expect_state(&syncd, MSG_REFUSED, "delegation");
	syncd_delegate(&syncd, "http://127.0.0.1:1", -10);
	syncd_expect_state(&syncd, MSG_REFUSED, "delegation");
	syncd_delegate(&syncd, "http://127.0.0.1:1", 3600);
	syncd_expect_state(&syncd, MSG_OFFLINE, "unreachable");
	syncd_end(&syncd);
}

static void an_unknown_name_is_offline(void **state)
{
	struct syncd syncd;

	(void)state;
	syncd_start(&syncd);
	syncd_delegate(&syncd, "http://relay.invalid", 3600);
	syncd_configure(&syncd, "http://relay.invalid");
	syncd_expect_state(&syncd, MSG_OFFLINE, "name");
	syncd_end(&syncd);
}

static void carries_large_messages_both_ways(void **state)
{
	const size_t size = 5u << 20;
	struct scene s;
	struct buf b = BUF_INIT(FRAME_MAX);
	struct cbor_enc e = cbor_enc_init(&b);
	struct frame f;
	struct msg m;
	uint8_t *blob = calloc(1, size);
	uint64_t num;

	(void)state;
	assert_non_null(blob);
	open_scene(&s);
	cbor_put_bytes(&e, blob, size);
	for (int i = 0; i < 8; i++) {
		num = syncd_call(&s.syncd, "coffer.push", buf_bytes(&b));
		f = peer_receive_frame(&s.peer);
		unit_assert_bytes(f.value, buf_bytes(&b));
		peer_respond(&s.peer, f.id, f.value);
		m = syncd_expect_result(&s.syncd, num, "");
		unit_assert_bytes(m.item, buf_bytes(&b));
	}
	free(blob);
	buf_release(&b);
	close_scene(&s);
}

static void ends_when_coffer_fs_is_gone(void **state)
{
	struct scene s;
	int status = -1;

	(void)state;
	open_scene(&s);
	close(s.syncd.fd);
	assert_int_equal(waitpid(s.syncd.pid, &status, 0), s.syncd.pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	syncd_release(&s.syncd);
	assert_true(peer_closed(&s.peer));
	peer_drop(&s.peer);
	fake_relay_close(&s.relay);
}

static void ends_when_coffer_fs_talks_nonsense(void **state)
{
	struct syncd s;
	int status = -1;

	(void)state;
	syncd_start(&s);
	assert_int_equal(write(s.fd, "\xff\xff\xff\xff", 4), 4);
	assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	close(s.fd);
	syncd_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_a_token_that_the_relay_can_verify),
		cmocka_unit_test(carries_a_call_its_parts_and_its_result),
		cmocka_unit_test(answers_offline_when_the_connection_drops_and_comes_back),
		cmocka_unit_test(uploads_and_downloads_chunks),
		cmocka_unit_test(maps_http_answers_to_codes),
		cmocka_unit_test(refuses_a_server_that_is_no_relay),
		cmocka_unit_test(refuses_a_relay_of_another_version),
		cmocka_unit_test(tells_refused_from_offline_by_the_close_code),
		cmocka_unit_test(survives_hostile_bytes),
		cmocka_unit_test(refreshes_its_token_with_a_new_delegation),
		cmocka_unit_test(says_so_when_a_delegation_cannot_be_used),
		cmocka_unit_test(an_unknown_name_is_offline),
		cmocka_unit_test(carries_large_messages_both_ways),
		cmocka_unit_test(ends_when_coffer_fs_is_gone),
		cmocka_unit_test(ends_when_coffer_fs_talks_nonsense),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
