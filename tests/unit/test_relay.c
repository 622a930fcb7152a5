/* SPDX-License-Identifier: Apache-2.0 */
/* A real coffer-relay over its port: transport, authentication, notifications, chunk routes, framing, restarts. */
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tests/lib/relay_process.h"
#include "tests/lib/rpc_client.h"

struct scene {
	struct relay_process relay;
	struct party alice, bob;
	struct new_space s;
	struct id16 space;
	struct rpc_client c;
	uint64_t number;
};

static int setup(void **state)
{
	struct scene *x = calloc(1, sizeof *x);
	struct buf params = BUF_INIT(FRAME_MAX);
	struct reply r;

	assert_non_null(x);
	relay_process_start(&x->relay);
	party_init(&x->alice, "laptop");
	party_init(&x->bob, "phone");
	party_space(&x->alice, &x->s);
	x->space = *log_space(x->s.log);
	rpc_open(&x->c, x->relay.port);
	rpc_auth(&x->c, &x->alice, x->relay.url);
	params_append(&params, &x->space, x->s.blobs, 3);
	r = rpc_call(&x->c, "coffer.append", &params);
	assert_true(reply_ok(&r));
	reply_release(&r);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct scene *x = *state;

	rpc_close(&x->c);
	new_space_release(&x->s);
	party_release(&x->alice);
	party_release(&x->bob);
	relay_process_remove(&x->relay);
	free(x);
	return 0;
}

static void send_push(struct scene *x, const struct sealed *r, size_t n)
{
	struct buf params = BUF_INIT(FRAME_MAX);

	params_push(&params, &x->space, ++x->number, -1, r, n, NULL, 0, bytes_of(NULL, 0));
	rpc_send_request(&x->c, "coffer.push", buf_bytes(&params));
	buf_release(&params);
}

static void push_ok(struct scene *x, const struct sealed *r)
{
	struct reply reply;

	send_push(x, r, 1);
	reply = rpc_reply(&x->c);
	assert_true(reply_ok(&reply));
	reply_release(&reply);
}

static void expect_auth_close(struct scene *x, struct bytes first, bool binary)
{
	struct rpc_client c;

	rpc_open(&c, x->relay.port);
	rpc_send(&c, first, binary);
	assert_int_equal(rpc_wait_close(&c), 4000);
	rpc_close(&c);
}

static void test_auth(void **state)
{
	struct scene *x = *state;
	struct buf b = BUF_INIT(FRAME_MAX);
	struct cbor_enc e = cbor_enc_init(&b);
	struct rpc_client c;

	expect_auth_close(x, bytes_str("hello"), false);
	expect_auth_close(x, bytes_str("hello"), true);
	frame_begin_request(&e, bytes_str("1"), bytes_str("coffer.pull"));
	cbor_put_map(&e, 0);
	expect_auth_close(x, buf_bytes(&b), true);
	rpc_open(&c, x->relay.port);
	rpc_auth(&c, &x->alice, "http://relay.example:5379"); /* a token for another relay */
	assert_int_equal(rpc_wait_close(&c), 4000);
	rpc_close(&c);
	buf_release(&b);
}

static void test_auth_deadline(void **state)
{
	struct scene *x = *state;
	struct rpc_client c;

	rpc_open(&c, x->relay.port);
	assert_int_equal(rpc_wait_close(&c), 4000); /* after 5 s */
	rpc_close(&c);
}

static void test_protocol_errors(void **state)
{
	struct scene *x = *state;
	static const uint8_t garbage[] = { 0xa1, 0x61 };
	struct rpc_client c;
	struct reply r;

	rpc_open(&c, x->relay.port);
	rpc_auth(&c, &x->alice, x->relay.url);
	rpc_send_request(&c, "no.such", bytes_of("\xa0", 1));
	r = rpc_reply(&c);
	assert_true(reply_refused(&r, "method_not_found"));
	reply_release(&r);
	rpc_send_request(&c, "push", bytes_of("\xa0", 1));
	r = rpc_reply(&c);
	assert_true(reply_refused(&r, "invalid_params"));
	reply_release(&r);
	rpc_send_request(&c, "coffer.pull", bytes_of("\x01", 1));
	r = rpc_reply(&c);
	assert_true(reply_refused(&r, "invalid_params"));
	reply_release(&r);
	rpc_send(&c, bytes_of(garbage, sizeof garbage), true);
	assert_int_equal(rpc_wait_close(&c), 4005);
	rpc_close(&c);
	rpc_open(&c, x->relay.port);
	rpc_auth(&c, &x->alice, x->relay.url);
	rpc_send(&c, bytes_str("text"), false);
	assert_int_equal(rpc_wait_close(&c), 4005);
	rpc_close(&c);
}

static void test_too_large(void **state)
{
	struct scene *x = *state;
	uint8_t *big = calloc(1, FRAME_MAX + 1);
	struct rpc_client c;

	assert_non_null(big);
	rpc_open(&c, x->relay.port);
	rpc_auth(&c, &x->alice, x->relay.url);
	rpc_send(&c, bytes_of(big, FRAME_MAX + 1), true);
	(void)rpc_wait_close(&c); /* 1009, or a reset when the rest is still on its way */
	rpc_close(&c);
	free(big);
}

static void test_oldest_connection_is_replaced(void **state)
{
	struct scene *x = *state;
	struct buf params = BUF_INIT(FRAME_MAX);
	struct rpc_client c[3];
	struct reply r;

	for (int i = 0; i < 3; i++) {
		rpc_open(&c[i], x->relay.port);
		rpc_auth(&c[i], &x->alice, x->relay.url);
		params_space(&params, "space", &x->space);
		r = rpc_call(&c[i], "coffer.head", &params);
		assert_false(r.f.is_error);
		reply_release(&r);
	}
	assert_int_equal(rpc_wait_close(&x->c), 4006);
	for (int i = 0; i < 3; i++)
		rpc_close(&c[i]);
}

static void test_notification(void **state)
{
	struct scene *x = *state;
	struct buf params = BUF_INIT(FRAME_MAX);
	struct sealed one, two;
	struct rpc_client c;
	struct reply r;
	struct frame f;

	rpc_open(&c, x->relay.port);
	rpc_auth(&c, &x->alice, x->relay.url);
	params_subscribe(&params, &x->space);
	r = rpc_call(&c, "subscribe", &params);
	assert_false(r.f.is_error);
	reply_release(&r);
	sealed_record(&x->alice, &x->s, (struct sealed_params){ 0 }, &one);
	push_ok(x, &one);
	f = rpc_notice(&c);
	assert_true(cbor_text_is(f.name, "coffer.sync"));
	assert_non_null(memmem(f.value.p, f.value.len, one.blob.data, one.blob.len));
	/* a stranger's subscription is refused and hears nothing */
	rpc_close(&c);
	rpc_open(&c, x->relay.port);
	rpc_auth(&c, &x->bob, x->relay.url);
	params_subscribe(&params, &x->space);
	r = rpc_call(&c, "subscribe", &params);
	assert_non_null(memmem(r.raw.data, r.raw.len, "forbidden", 9));
	reply_release(&r);
	sealed_record(&x->alice, &x->s, (struct sealed_params){ 0 }, &two);
	push_ok(x, &two);
	rpc_send_request(&c, "no.such", bytes_of("\xa0", 1));
	r = rpc_reply(&c);
	assert_int_equal(c.notices.len, 0);
	reply_release(&r);
	rpc_close(&c);
	sealed_release(&one);
	sealed_release(&two);
}

static int http(struct scene *x, const char *verb, const struct party *p, const struct sealed *c, const char *extra,
	bool body, struct buf *ret)
{
	buf_clear(ret);
	return http_chunk(x->relay.port, verb, p, x->relay.url, &x->space, &c->id, extra,
		body ? buf_bytes(&c->blob) : bytes_of(NULL, 0), ret);
}

static struct bytes body_of(const struct buf *answer)
{
	uint8_t *end = memmem(answer->data, answer->len, "\r\n\r\n", 4);

	assert_non_null(end);
	return bytes_of(end + 4, answer->len - (size_t)(end + 4 - answer->data));
}

static void test_chunk_routes(void **state)
{
	struct scene *x = *state;
	struct buf a = BUF_INIT(8u << 20);
	struct sealed big, small, file;

	sealed_chunk(&x->s, NULL, 1 << 20, &big);
	sealed_chunk(&x->s, NULL, 500, &small);
	assert_int_equal(http(x, "GET", &x->alice, &big, "", false, &a), 404);
	assert_int_equal(http(x, "PUT", &x->bob, &big, "", true, &a), 404);
	assert_int_equal(http(x, "PUT", &x->alice, &big, "", true, &a), 201);
	assert_int_equal(http(x, "PUT", &x->alice, &big, "Expect: 100-continue\r\n", true, &a), 100);
	assert_int_equal(http(x, "PUT", &x->alice, &big, "", true, &a), 204);
	assert_int_equal(http(x, "PUT", &x->alice, &small, "", true, &a), 201);
	assert_int_equal(http(x, "GET", &x->alice, &big, "", false, &a), 200);
	unit_assert_bytes(body_of(&a), buf_bytes(&big.blob));
	assert_int_equal(http(x, "GET", &x->alice, &big, "Range: bytes=1000-1999\r\n", false, &a), 206);
	unit_assert_bytes(body_of(&a), bytes_of(big.blob.data + 1000, 1000));
	assert_int_equal(http(x, "GET", &x->alice, &small, "Range: bytes=-10\r\n", false, &a), 206);
	unit_assert_bytes(body_of(&a), bytes_of(small.blob.data + small.blob.len - 10, 10));
	assert_int_equal(http(x, "GET", &x->alice, &big, "Range: bytes=99999999-\r\n", false, &a), 416);
	assert_int_equal(http(x, "HEAD", &x->alice, &big, "", false, &a), 200);
	assert_int_equal(http(x, "GET", &x->bob, &big, "", false, &a), 404);
	big.blob.data[big.blob.len - 1] ^= 1;
	assert_int_equal(http(x, "PUT", &x->alice, &big, "", true, &a), 409);
	big.id = sealed_id(); /* under another id than its own */
	assert_int_equal(http(x, "PUT", &x->alice, &big, "", true, &a), 400);
	sealed_record(&x->alice, &x->s, (struct sealed_params){ .chunks = &small.id, .n_chunks = 1 }, &file);
	push_ok(x, &file);
	sealed_release(&big);
	sealed_release(&small);
	sealed_release(&file);
	buf_release(&a);
}

static void test_framing(void **state)
{
	struct scene *x = *state;
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{ "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", 200 },
		{ "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200 },
		{ "GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 400 },
		{ "GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\n\r\n", 411 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello", 400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", 400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello", 400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nhello", 400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 401 },
		{ "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", 401 },
		{ "GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
		  "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
			400 },
		{ "GET /api/v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
			400 },
		{ "GET /api/v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
		  "Sec-WebSocket-Protocol: other\r\n\r\n",
			400 },
		{ "GET /elsewhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
		  "Sec-WebSocket-Protocol: betterbase-rpc-v1\r\n\r\n",
			400 },
	};
	struct buf a = BUF_INIT(1u << 20);

	for (size_t i = 0; i < COUNT(cases); i++) {
		buf_clear(&a);
		if (http_raw(x->relay.port, bytes_str(cases[i].text), &a) != cases[i].status)
			fail_msg("%zu: %.*s", i, (int)a.len, (const char *)a.data);
	}
	buf_release(&a);
}

/* --listen 127.0.0.1 listens there, and nowhere else. */
static void test_listens_on_loopback_only(void **state)
{
	struct scene *x = *state;
	char line[512], v4[32], any[16];
	int found = 0;

	snprintf(v4, sizeof v4, " 0100007F:%04X 00000000:0000 0A", x->relay.port);
	snprintf(any, sizeof any, ":%04X ", x->relay.port);
	for (int i = 0; i < 2; i++) {
		FILE *f = fopen(i ? "/proc/net/tcp6" : "/proc/net/tcp", "r");

		while (f && fgets(line, sizeof line, f)) {
			if (!strstr(line, " 0A ") || !strstr(line, any))
				continue;
			found++;
			assert_non_null(strstr(line, v4));
		}
		if (f)
			fclose(f);
	}
	assert_int_equal(found, 1);
}

static struct sealed *make_records(struct scene *x, size_t n)
{
	struct sealed *r = calloc(n, sizeof *r);

	assert_non_null(r);
	for (size_t i = 0; i < n; i++)
		sealed_record(&x->alice, &x->s, (struct sealed_params){ 0 }, &r[i]);
	return r;
}

static void free_records(struct sealed *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sealed_release(&r[i]);
	free(r);
}

/* Everything acknowledged before a SIGKILL is there after it. */
static void test_killed_under_load(void **state)
{
	enum { ROUNDS = 20, PER_ROUND = 40 };
	struct scene *x = *state;
	struct sealed *r = make_records(x, ROUNDS * PER_ROUND);
	uint64_t seed = 11;
	bool acknowledged[ROUNDS * PER_ROUND] = { false };

	for (size_t round = 0; round < ROUNDS; round++) {
		size_t wait_for = unit_random(&seed) % PER_ROUND;

		for (size_t i = 0; i < PER_ROUND; i++)
			send_push(x, &r[round * PER_ROUND + i], 1);
		for (size_t i = 0; i < wait_for; i++) {
			struct reply reply = rpc_reply(&x->c);

			acknowledged[round * PER_ROUND + i] = reply_ok(&reply);
			assert_true(reply_ok(&reply));
			reply_release(&reply);
		}
		relay_process_kill(&x->relay, SIGKILL);
		rpc_close(&x->c);
		relay_process_start(&x->relay);
		rpc_open(&x->c, x->relay.port);
		rpc_auth(&x->c, &x->alice, x->relay.url);
	}
	{
		struct buf params = BUF_INIT(FRAME_MAX);
		struct reply reply;

		params_pull(&params, &x->space, 0, "records", -1);
		reply = rpc_call(&x->c, "coffer.pull", &params);
		assert_false(reply.f.is_error);
		for (size_t i = 0; i < ROUNDS * PER_ROUND; i++)
			if (acknowledged[i])
				assert_non_null(
					memmem(reply.frames.data, reply.frames.len, r[i].blob.data, r[i].blob.len));
		reply_release(&reply);
	}
	free_records(r, ROUNDS * PER_ROUND);
}

static struct reply push_chunks(struct scene *x, const struct sealed *file, const struct sealed *chunks, size_t n)
{
	struct buf params = BUF_INIT(FRAME_MAX);

	params_push(&params, &x->space, ++x->number, -1, file, 1, chunks, n, bytes_of(NULL, 0));
	return rpc_call(&x->c, "coffer.push", &params);
}

/* Pushes files of 20 small chunks until one is refused; returns how many were taken. */
static size_t fill_disk(struct scene *x)
{
	size_t taken = 0;
	bool full = false;

	while (!full && taken < 100) {
		struct sealed chunks[20], file;
		struct id16 ids[20];
		struct reply r;

		for (size_t i = 0; i < COUNT(chunks); i++) {
			sealed_chunk(&x->s, NULL, 60000, &chunks[i]);
			ids[i] = chunks[i].id;
		}
		sealed_record(&x->alice, &x->s, (struct sealed_params){ .chunks = ids, .n_chunks = 20 }, &file);
		r = push_chunks(x, &file, chunks, COUNT(chunks));
		full = !reply_ok(&r);
		if (full)
			assert_true(reply_refused(&r, "storage_full"));
		taken += !full;
		reply_release(&r);
		for (size_t i = 0; i < COUNT(chunks); i++)
			sealed_release(&chunks[i]);
		sealed_release(&file);
	}
	assert_true(full);
	return taken;
}

static void expect_cursor(struct scene *x, uint64_t cursor)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	struct reply r;

	params_pull(&params, &x->space, 0, "records", -1);
	r = rpc_call(&x->c, "coffer.pull", &params);
	assert_false(r.f.is_error);
	assert_int_equal(r.chunks, cursor + 2); /* begin, one step for each cursor, commit */
	reply_release(&r);
}

/* A full disk refuses whole pushes, loses nothing, and is no obstacle to reading or to a restart. */
static void test_full_disk(void **state)
{
	struct scene x = { 0 };
	struct buf params = BUF_INIT(FRAME_MAX);
	struct reply r;
	size_t taken;

	(void)state;
	snprintf(x.relay.dir, sizeof x.relay.dir, "/tmp/relay-full.XXXXXX");
	assert_non_null(mkdtemp(x.relay.dir));
	if (mount("tmpfs", x.relay.dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=12m") < 0) {
		assert_int_equal(rmdir(x.relay.dir), 0);
		skip();
	}
	relay_process_start(&x.relay);
	party_init(&x.alice, "laptop");
	party_space(&x.alice, &x.s);
	x.space = *log_space(x.s.log);
	rpc_open(&x.c, x.relay.port);
	rpc_auth(&x.c, &x.alice, x.relay.url);
	params_append(&params, &x.space, x.s.blobs, 3);
	r = rpc_call(&x.c, "coffer.append", &params);
	assert_true(reply_ok(&r));
	reply_release(&r);
	taken = fill_disk(&x);
	assert_true(taken > 0);
	expect_cursor(&x, taken + 1);
	relay_process_kill(&x.relay, SIGKILL);
	rpc_close(&x.c);
	relay_process_start(&x.relay);
	rpc_open(&x.c, x.relay.port);
	rpc_auth(&x.c, &x.alice, x.relay.url);
	expect_cursor(&x, taken + 1);
	relay_process_kill(&x.relay, SIGKILL);
	rpc_close(&x.c);
	assert_int_equal(umount(x.relay.dir), 0);
	assert_int_equal(rmdir(x.relay.dir), 0);
	new_space_release(&x.s);
	party_release(&x.alice);
}

/* A subscriber that does not read is closed, and nobody else waits for it. */
static void test_slow_consumer(void **state)
{
	struct scene *x = *state;
	struct buf params = BUF_INIT(FRAME_MAX), metrics = BUF_INIT(1u << 20);
	struct rpc_client slow;
	struct reply r;

	rpc_open(&slow, x->relay.port);
	rpc_auth(&slow, &x->alice, x->relay.url);
	params_subscribe(&params, &x->space);
	r = rpc_call(&slow, "subscribe", &params);
	assert_false(r.f.is_error);
	reply_release(&r);
	for (int i = 0; i < 40; i++) {
		struct sealed chunks[20], file;

		for (size_t k = 0; k < COUNT(chunks); k++)
			sealed_chunk(&x->s, NULL, 60000, &chunks[k]);
		sealed_record(&x->alice, &x->s, (struct sealed_params){ 0 }, &file);
		r = push_chunks(x, &file, chunks, COUNT(chunks));
		assert_true(reply_ok(&r));
		reply_release(&r);
		for (size_t k = 0; k < COUNT(chunks); k++)
			sealed_release(&chunks[k]);
		sealed_release(&file);
	}
	assert_int_equal(http_raw(x->relay.port, bytes_str("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), &metrics), 200);
	assert_non_null(memmem(metrics.data, metrics.len, "\ncoffer_relay_slow_consumers_total 1\n", 37));
	rpc_close(&slow);
	buf_release(&metrics);
}

static void send_all(int fd, struct bytes b)
{
	for (size_t sent = 0; sent < b.len;) {
		ssize_t n = send(fd, b.p + sent, b.len - sent, MSG_NOSIGNAL);

		assert_true(n > 0);
		sent += (size_t)n;
	}
}

static bool receive_some(int fd, struct buf *b)
{
	uint8_t piece[4096];
	ssize_t n = recv(fd, piece, sizeof piece, 0);

	assert_true(n >= 0);
	assert_int_equal(buf_put(b, piece, (size_t)n), 0);
	return n > 0;
}

static void test_sigterm_closes(void **state)
{
	struct scene *x = *state;
	int status;

	kill(x->relay.pid, SIGTERM);
	assert_int_equal(rpc_wait_close(&x->c), 1001);
	assert_int_equal(waitpid(x->relay.pid, &status, 0), x->relay.pid);
	x->relay.pid = 0;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* An upload whose second half comes when the relay is stopping is stored and answered. */
static void test_sigterm_waits_for_http(void **state)
{
	struct scene *x = *state;
	struct buf b = BUF_INIT(8u << 20), token = BUF_INIT(4096), answer = BUF_INIT(1u << 20);
	char space[ID16_TEXT_SIZE], id[ID16_TEXT_SIZE];
	struct sealed chunk;
	int status, fd = rpc_dial("127.0.0.1", x->relay.port);

	sealed_chunk(&x->s, NULL, 300000, &chunk);
	id16_format(&x->space, space);
	id16_format(&chunk.id, id);
	rpc_token(&x->alice, x->relay.url, &token);
	assert_int_equal(buf_put_u8(&token, 0), 0);
	assert_int_equal(buf_printf(&b,
				 "PUT /api/v1/coffer/spaces/%s/chunks/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n"
				 "Authorization: Bearer %s\r\nExpect: 100-continue\r\n\r\n",
				 space, id, chunk.blob.len, (char *)token.data),
		0);
	send_all(fd, buf_bytes(&b));
	receive_some(fd, &answer); /* 100: it was let in */
	kill(x->relay.pid, SIGTERM);
	assert_int_equal(rpc_wait_close(&x->c), 1001);
	send_all(fd, buf_bytes(&chunk.blob));
	while (receive_some(fd, &answer))
		;
	assert_non_null(memmem(answer.data, answer.len, "HTTP/1.1 201 ", 13));
	close(fd);
	assert_int_equal(waitpid(x->relay.pid, &status, 0), x->relay.pid);
	x->relay.pid = 0;
	assert_int_equal(WEXITSTATUS(status), 0);
	sealed_release(&chunk);
	buf_release(&answer);
	buf_release(&token);
	buf_release(&b);
}

static void test_token_refresh(void **state)
{
	struct scene *x = *state;
	struct buf token = BUF_INIT(4096), params = BUF_INIT(FRAME_MAX);
	struct reply r;

	for (int i = 0; i < 2; i++) {
		struct cbor_enc e = cbor_enc_init(&params);

		buf_clear(&token);
		rpc_token(i ? &x->bob : &x->alice, x->relay.url, &token);
		cbor_put_map(&e, 1);
		cbor_put_text(&e, "token");
		cbor_put_text_n(&e, (const char *)token.data, token.len);
		r = rpc_call(&x->c, "token.refresh", &params);
		assert_int_equal(reply_ok(&r), i == 0);
		reply_release(&r);
	}
	buf_release(&token);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_auth),
		T(test_auth_deadline),
		T(test_protocol_errors),
		T(test_too_large),
		T(test_oldest_connection_is_replaced),
		T(test_notification),
		T(test_chunk_routes),
		T(test_framing),
		T(test_listens_on_loopback_only),
		T(test_killed_under_load),
		cmocka_unit_test(test_full_disk),
		T(test_slow_consumer),
		T(test_sigterm_closes),
		T(test_sigterm_waits_for_http),
		T(test_token_refresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
