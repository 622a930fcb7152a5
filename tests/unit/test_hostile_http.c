/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile client sends to a real relay as HTTP: each is refused, and nobody else notices. */
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/lib/s3_endpoint.h"
#include "tests/lib/victim.h"

#define SPACE "5cf1d1e5-6e0a-4b3c-9a52-1f6f2a3b4c5d"
#define CHUNK "0f8fad5b-d9cb-469f-a165-70867728950e"
#define HEALTH "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
#define LAST "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
#define MEMORY_MIB 96

static const char *const standard[] = { NULL };

static int send_new(const struct victim *v, struct bytes text)
{
	int fd = rpc_dial(MALLORY, v->relay.port);

	send_some(fd, text);
	return fd;
}

/* Sends text and reads until the relay closes. */
static void talk(const struct victim *v, const char *text, struct buf *ret_all)
{
	int fd = send_new(v, bytes_str(text));

	buf_clear(ret_all);
	read_to_end(fd, ret_all);
	close(fd);
}

/* The status is the only answer: what follows a request of doubtful length is not taken for another one. */
static void doubtful_lengths_end_the_connection(void **state)
{
	static const struct {
		const char *head;
		int status;
	} cases[] = {
		{ "GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
		{ "GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 400 },
		{ "GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nhello!", 400 },
		{ "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 400 },
		{ "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 411 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 411 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			411 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\n\r\n", 411 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", 411 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", 400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5 5\r\n\r\nhello", 400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello", 400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\ncontent-length: 5\r\n\r\nhello!", 400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551617\r\n\r\nx", 400 },
		{ "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 401 },
		{ "PUT /api/v1/coffer/spaces/" SPACE "/chunks/" CHUNK " HTTP/1.1\r\nHost: x\r\n"
		  "Content-Length: 999999999999\r\n\r\nx",
			413 },
	};
	struct buf all = BUF_INIT(1u << 20), text = BUF_INIT(1u << 20);
	struct victim v;

	(void)state;
	victim_start(&v, standard);
	for (size_t i = 0; i < COUNT(cases); i++) {
		char line[32];

		buf_clear(&text);
		assert_int_equal(buf_printf(&text, "%s" HEALTH, cases[i].head), 0);
		assert_int_equal(buf_put_u8(&text, 0), 0);
		talk(&v, (const char *)text.data, &all);
		snprintf(line, sizeof line, "HTTP/1.1 %d ", cases[i].status);
		if (count_in(&all, line) != 1 || count_in(&all, "HTTP/1.1 ") != 1)
			fail_msg("%zu: %.*s", i, (int)all.len, (const char *)all.data);
	}
	buf_release(&all);
	buf_release(&text);
	victim_stop(&v, MEMORY_MIB);
}

static void other_protocols_are_not_spoken(void **state)
{
	static const char *const cases[] = {
		"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
		"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		"GET /api/v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
		"HTTP2-Settings: AAMAAABkAAQAAP__\r\nSec-WebSocket-Protocol: betterbase-rpc-v1\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
		"GET /api/v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
		"websocket\r\nSec-WebSocket-Version: 12\r\n"
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: other\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n",
		"GET\r\n\r\n",
		"\r\n\r\n\r\n\r\nGET\r\n\r\n",
	};
	struct buf all = BUF_INIT(1u << 20);
	struct victim v;

	(void)state;
	victim_start(&v, standard);
	for (size_t i = 0; i < COUNT(cases); i++) {
		talk(&v, cases[i], &all);
		if (count_in(&all, " 101 ") || count_in(&all, " 200 ") || count_in(&all, "HTTP/1.1 ") > 1)
			fail_msg("%zu: %.*s", i, (int)all.len, (const char *)all.data);
	}
	buf_release(&all);
	victim_stop(&v, MEMORY_MIB);
}

#define WEBSOCKET \
	"Host: x\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " \
	"AAAAAAAAAAAAAAAAAAAAAA==\r\n"

/* On a connection that was kept the library frees the header before it asks about the upgrade. */
static void an_unknown_upgrade_is_refused_once(void **state)
{
	static const char *const after[] = { "", HEALTH, "GET /health HTTP/1.1\r\n" };
	struct buf all = BUF_INIT(1u << 20);
	struct victim v;

	(void)state;
	victim_start(&v, standard);
	for (size_t i = 0; i < 3 * COUNT(after); i++) {
		char text[512];

		snprintf(text, sizeof text,
			"%sGET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n%s",
			i % 3 ? HEALTH : "", i % 3 == 1 ? "foo" : "foofoofoofoofoofoofoofoofoofoofoofoofoofoo",
			after[i / 3]);
		talk(&v, text, &all);
		if (count_in(&all, " 403 Forbidden") != 1)
			fail_msg("%zu: %.*s", i, (int)all.len, (const char *)all.data);
		assert_int_equal(count_in(&all, "HTTP/1."), i % 3 ? 2 : 1);
		assert_int_equal(count_in(&all, "x-protocol-version: 1\r\n"), i % 3 ? 2 : 1);
	}
	buf_release(&all);
	victim_stop(&v, MEMORY_MIB);
}

static void upgrades_are_answered_by_path_and_subprotocol(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{ "GET /api/v1/ws HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: other\r\n" WEBSOCKET, 400 },
		{ "GET /api/v1/ws HTTP/1.1\r\nUpgrade: websocket\r\n" WEBSOCKET, 400 },
		{ "GET /api/v1/ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", 400 },
		{ "GET /api/v1/federation/ws HTTP/1.1\r\nUpgrade: websocket\r\n" WEBSOCKET, 400 },
		{ "GET /api/v1/federation/ws HTTP/1.1\r\nUpgrade: websocket\r\n"
		  "Sec-WebSocket-Protocol: betterbase-rpc-v1\r\n" WEBSOCKET,
			404 },
		{ "GET /api/v1/federation/ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", 400 },
		{ "GET /api/v1/federation/ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\nSec-WebSocket-Protocol: "
		  "betterbase-rpc-v1\r\n",
			404 },
	};
	static const char *const headers[] = { "content-length: 0\r\n", "x-protocol-version: 1\r\n",
		"access-control-allow-origin: *\r\n", "access-control-expose-headers: X-Wrapped-DEK, ETag\r\n",
		"access-control-max-age: 86400\r\n", "access-control-allow-methods: GET, PUT, HEAD, POST, OPTIONS\r\n",
		"access-control-allow-headers: Content-Type, Content-Length, Authorization, X-UCAN, X-Wrapped-DEK, "
		"X-Record-ID\r\n" };
	struct buf all = BUF_INIT(1u << 20);
	struct victim v;
	uint8_t byte;

	(void)state;
	victim_start(&v, standard);
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[512], status[16];

		snprintf(text, sizeof text, "%s\r\n", cases[i].text);
		snprintf(status, sizeof status, " %d ", cases[i].status);
		talk(&v, text, &all);
		if (all.len < 13 || memcmp(all.data + 8, status, 5) != 0 || count_in(&all, "HTTP/1.") != 1)
			fail_msg("%zu: %.*s", i, (int)all.len, (const char *)all.data);
		for (size_t k = 0; k < COUNT(headers); k++)
			assert_int_equal(count_in(&all, headers[k]), 1);
		assert_memory_equal(all.data + all.len - 4, "\r\n\r\n", 4);
	}
	int fd = send_new(&v, bytes_str("GET /api/v1/ws HTTP/1.1\r\nUpgrade: WebSocket\r\n"
					"Sec-WebSocket-Protocol: a, betterbase-rpc-v1\r\n" WEBSOCKET "\r\n"));
	assert_int_equal(recv(fd, &byte, 1, MSG_WAITALL), 1);
	buf_clear(&all);
	assert_int_equal(buf_reserve(&all, 100), 0);
	assert_int_equal(recv(fd, all.data, 12, MSG_WAITALL), 12);
	assert_memory_equal(all.data, "TTP/1.1 101 ", 12);
	close(fd);
	buf_release(&all);
	victim_stop(&v, MEMORY_MIB);
}

static void what_is_public_needs_no_token(void **state)
{
	static const struct {
		const char *text, *want;
		bool empty;
	} cases[] = {
		{ "GET /.well-known/jwks.json", "cache-control: public, max-age=3600, stale-while-revalidate=86400\r\n",
			false },
		{ "GET /.well-known/jwks.json", "{\"keys\":[]}", false },
		{ "HEAD /.well-known/jwks.json", "content-length: 11\r\n", true },
		{ "GET /health", "{\"status\":\"healthy\"}", false },
		{ "HEAD /health", "content-length: 20\r\n", true },
		{ "OPTIONS /any/where", "HTTP/1.1 204 ", true },
	};
	struct buf all = BUF_INIT(1u << 20);
	struct victim v;

	(void)state;
	victim_start(&v, standard);
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[256];

		snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", cases[i].text);
		talk(&v, text, &all);
		if (!count_in(&all, cases[i].want) || count_in(&all, "HTTP/1.1 2") != 1)
			fail_msg("%zu: %.*s", i, (int)all.len, (const char *)all.data);
		assert_int_equal(memcmp(all.data + all.len - 4, "\r\n\r\n", 4) == 0, cases[i].empty);
	}
	buf_release(&all);
	victim_stop(&v, MEMORY_MIB);
}

static void requests_in_a_row_are_answered_in_a_row(void **state)
{
	struct buf all = BUF_INIT(1u << 20);
	struct victim v;
	const uint8_t *first;

	(void)state;
	victim_start(&v, standard);
	talk(&v, HEALTH "GET /none HTTP/1.1\r\nHost: x\r\n\r\n" HEALTH LAST HEALTH, &all);
	assert_int_equal(count_in(&all, "HTTP/1.1 200 "), 3);
	assert_int_equal(count_in(&all, "HTTP/1.1 401 "), 1);
	first = memmem(all.data, all.len, "HTTP/1.1 401 ", 13);
	assert_int_equal(
		count_in(&(struct buf){ .data = all.data, .len = (size_t)(first - all.data) }, "HTTP/1.1 200 "), 1);
	buf_release(&all);
	victim_stop(&v, MEMORY_MIB);
}

/* Ten thousand requests at once, and no answer is read: the relay stops to read, and soon to wait. */
static void requests_whose_answers_nobody_reads(void **state)
{
	struct buf many = BUF_INIT(8u << 20);
	struct victim v;
	struct pollfd p;
	size_t sent = 0;
	int small = 4096;

	(void)state;
	victim_start(&v, standard);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(buf_put(&many, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 34), 0);
	p = (struct pollfd){ .fd = rpc_dial(MALLORY, v.relay.port), .events = POLLOUT };
	setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	while (sent < many.len && poll(&p, 1, RPC_DEADLINE_S * 1000) == 1) {
		ssize_t n = send(p.fd, many.data + sent, many.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	p.events = POLLRDHUP;
	assert_int_equal(poll(&p, 1, RPC_DEADLINE_S * 1000), 1);
	assert_true(p.revents & (POLLRDHUP | POLLERR | POLLHUP));
	close(p.fd);
	buf_release(&many);
	victim_stop(&v, MEMORY_MIB);
}

/* A byte now and then is no reason to wait longer. */
static void trickle(int fd, const char *byte)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };

	for (int i = 0; i < RPC_DEADLINE_S * 20; i++) {
		if (poll(&p, 1, 50) == 1)
			return;
		if (send(fd, byte, 1, MSG_NOSIGNAL) < 0)
			return;
	}
	fail_msg("the relay still waits");
}

static void headers_byte_by_byte(void **state)
{
	struct victim v;
	int fds[2];

	(void)state;
	victim_start(&v, (const char *const[]){ "LIMITS_HTTP_HEADER_SECONDS=1", "LIMITS_HTTP_IDLE_SECONDS=1", NULL });
	fds[0] = send_new(&v, bytes_str("GET /health HTTP/1.1\r\nX-Slow: "));
	trickle(fds[0], "x");
	fds[1] = send_new(&v, bytes_str(HEALTH "GET /health HTTP/1.1\r\nX-Slow: ")); /* the second on its connection */
	assert_int_equal(recv(fds[1], &(char[1]){ 0 }, 1, 0), 1);
	while (recv(fds[1], &(char[512]){ 0 }, 512, MSG_DONTWAIT) > 0)
		;
	trickle(fds[1], "x");
	close(fds[0]);
	close(fds[1]);
	victim_stop(&v, MEMORY_MIB);
}

/* A connection on which an upload has begun. */
static int begin_upload(const struct victim *v, const char *from, size_t length)
{
	struct buf token = BUF_INIT(65536), b = BUF_INIT(65536);
	int fd = rpc_dial(from, v->relay.port);

	rpc_token(&v->mallory, v->relay.url, &token);
	assert_int_equal(buf_printf(&b,
				 "PUT /api/v1/coffer/spaces/" SPACE "/chunks/" CHUNK " HTTP/1.1\r\nHost: x\r\n"
				 "Authorization: Bearer %.*s\r\nContent-Length: %zu\r\n\r\nbegin",
				 (int)token.len, (const char *)token.data, length),
		0);
	send_some(fd, buf_bytes(&b));
	buf_release(&token);
	buf_release(&b);
	return fd;
}

static void bodies_byte_by_byte(void **state)
{
	struct victim v;
	int fd;

	(void)state;
	victim_start(&v, (const char *const[]){ "LIMITS_HTTP_BODY_SECONDS=1", NULL });
	fd = begin_upload(&v, MALLORY, 60000);
	trickle(fd, "x");
	close(fd);
	victim_stop(&v, MEMORY_MIB);
}

static void uploads_of_one_address_are_bounded(void **state)
{
	static const char rest[995];
	struct buf all = BUF_INIT(1u << 20);
	struct victim v;
	struct pollfd p[3];
	char status[12];
	int other;

	(void)state;
	victim_start(&v, (const char *const[]){ "LIMITS_HTTP_UPLOADS_PER_ADDRESS=2", NULL });
	for (size_t i = 0; i < COUNT(p); i++)
		p[i] = (struct pollfd){ .fd = begin_upload(&v, MALLORY, 1000), .events = POLLIN };
	assert_int_equal(poll(p, COUNT(p), RPC_DEADLINE_S * 1000), 1);
	for (size_t i = 0; i < COUNT(p); i++)
		if (p[i].revents)
			read_to_end(p[i].fd, &all);
	assert_int_equal(count_in(&all, "HTTP/1.1 503 "), 1);
	other = begin_upload(&v, "127.0.0.3", 1000);
	send_some(other, bytes_of(rest, sizeof rest));
	assert_int_equal(recv(other, status, sizeof status, MSG_WAITALL), sizeof status);
	assert_memory_equal(status, "HTTP/1.1 404", sizeof status); /* taken whole, for no space */
	close(other);
	for (size_t i = 0; i < COUNT(p); i++)
		close(p[i].fd);
	buf_release(&all);
	victim_stop(&v, MEMORY_MIB);
}

/* A whole chunk of alice's from MALLORY; the relay does not answer while the bucket does not. */
static int send_chunk(const struct victim *v)
{
	struct buf token = BUF_INIT(65536), b = BUF_INIT(1u << 20);
	struct sealed c;
	char space[ID16_TEXT_SIZE], id[ID16_TEXT_SIZE];
	int fd = rpc_dial(MALLORY, v->relay.port);

	sealed_chunk(&v->s, NULL, 100000, &c);
	id16_format(&v->space, space);
	id16_format(&c.id, id);
	rpc_token(&v->alice, v->relay.url, &token);
	assert_int_equal(buf_printf(&b,
				 "PUT /api/v1/coffer/spaces/%s/chunks/%s HTTP/1.1\r\nHost: x\r\n"
				 "Authorization: Bearer %.*s\r\nContent-Length: %zu\r\n\r\n",
				 space, id, (int)token.len, (const char *)token.data, c.blob.len),
		0);
	assert_int_equal(buf_put(&b, c.blob.data, c.blob.len), 0);
	send_some(fd, buf_bytes(&b));
	sealed_release(&c);
	buf_release(&token);
	buf_release(&b);
	return fd;
}

/* Their bodies wait with the relay for the bucket, whether their clients do or not. */
static void uploads_count_until_they_are_stored(void **state)
{
	static const char *const script[] = {
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<ListBucketResult></ListBucketResult>", ""
	};
	char endpoint[96], status[12];
	struct s3_script e;
	struct victim v;
	int fd;

	(void)state;
	s3_script_start(&e, script, COUNT(script));
	snprintf(endpoint, sizeof endpoint, "STORAGE_S3_ENDPOINT=%s", e.url);
	victim_start(&v, (const char *const[]){ "LIMITS_HTTP_UPLOADS_PER_ADDRESS=2", "STORAGE_BACKEND=s3", endpoint,
				 "STORAGE_S3_BUCKET=coffer", "STORAGE_S3_ACCESS_KEY=test",
				 "STORAGE_S3_SECRET_KEY=testing", "STORAGE_S3_TIMEOUT_SECONDS=20", NULL });
	for (uint64_t i = 1; i <= 2; i++) {
		fd = send_chunk(&v);
		victim_await(&v, "requests_queued", i + 1); /* with that for the metrics */
		close(fd);
	}
	victim_serves(&v);
	fd = send_chunk(&v);
	assert_int_equal(recv(fd, status, sizeof status, MSG_WAITALL), sizeof status);
	assert_memory_equal(status, "HTTP/1.1 503", sizeof status);
	close(fd);
	victim_stop(&v, MEMORY_MIB);
	s3_script_stop(&e);
}

static int get_from(const struct victim *v, const char *from, const char *extra, struct bytes token)
{
	struct buf b = BUF_INIT(65536), all = BUF_INIT(1u << 20);
	int fd = rpc_dial(from, v->relay.port), status = 0;

	assert_int_equal(buf_printf(&b,
				 "GET /api/v1/coffer/spaces/" SPACE "/chunks/" CHUNK " HTTP/1.1\r\nHost: x\r\n"
				 "Connection: close\r\n%s"
				 "Authorization: Bearer %.*s\r\n\r\n",
				 extra, (int)token.len, (const char *)token.p),
		0);
	send_some(fd, buf_bytes(&b));
	read_to_end(fd, &all);
	for (int s = 400; s < 500; s++) {
		char line[32];

		snprintf(line, sizeof line, "HTTP/1.1 %d ", s);
		status = count_in(&all, line) ? s : status;
	}
	close(fd);
	buf_release(&all);
	buf_release(&b);
	return status;
}

static int get_with(const struct victim *v, struct bytes token)
{
	return get_from(v, MALLORY, "", token);
}

/* The relay has not seen the token before; what it is good for is all the same. */
static int get_new(const struct victim *v, const char *from, const char *extra)
{
	struct buf token = BUF_INIT(65536);
	int status;

	rpc_token(&v->mallory, "https://elsewhere.example", &token);
	status = get_from(v, from, extra, buf_bytes(&token));
	buf_release(&token);
	return status;
}

/* A proxy's word is the last address of the header: what stands before it the client said. From others it is nobody's word. */
static void who_comes_through_a_proxy_is_counted_by_its_word(void **state)
{
	static const char one[] = "X-Forwarded-For: 192.0.2.9, 192.0.2.1\r\n",
			  lie[] = "X-Forwarded-For: 192.0.2.8, 192.0.2.1\r\n";
	static const char two[] = "X-Forwarded-For: 192.0.2.2\r\n", real[] = "X-Real-IP: 192.0.2.3\r\n";
	struct victim v;

	(void)state;
	victim_start(&v, (const char *const[]){ "SERVER_TRUSTED_PROXIES=" MALLORY, "LIMITS_AUTHS_BURST=1",
				 "LIMITS_AUTHS_PER_MINUTE=1", NULL });
	assert_int_equal(get_new(&v, MALLORY, one), 401);
	assert_int_equal(get_new(&v, MALLORY, one), 429);
	assert_int_equal(get_new(&v, MALLORY, lie), 429);
	assert_int_equal(get_new(&v, MALLORY, two), 401);
	assert_int_equal(get_new(&v, MALLORY, real), 401);
	assert_int_equal(get_new(&v, MALLORY, real), 429);
	for (int i = 0; i < 3; i++)
		assert_int_equal(get_new(&v, MALLORY, ""), 401); /* the proxy's own: never counted */
	assert_int_equal(get_new(&v, "127.0.0.3", two), 401);
	assert_int_equal(get_new(&v, "127.0.0.3", "X-Forwarded-For: 192.0.2.77\r\n"), 429);
	victim_stop(&v, MEMORY_MIB);
}

/* Each new token costs the relay signatures; one that it knows costs nothing. */
static void new_tokens_of_one_address_are_counted(void **state)
{
	struct buf known = BUF_INIT(65536), other = BUF_INIT(65536);
	struct victim v;

	(void)state;
	victim_start(&v, (const char *const[]){ "LIMITS_AUTHS_BURST=3", "LIMITS_AUTHS_PER_MINUTE=1", NULL });
	rpc_token(&v.mallory, v.relay.url, &known);
	for (int i = 0; i < 10; i++)
		assert_int_equal(get_with(&v, buf_bytes(&known)), 404);
	for (int i = 0; i < 5; i++) {
		buf_clear(&other);
		rpc_token(i % 2 ? &v.mallory : &v.alice, "https://elsewhere.example", &other);
		assert_int_equal(get_with(&v, buf_bytes(&other)), i < 2 ? 401 : 429);
	}
	assert_int_equal(get_with(&v, buf_bytes(&known)), 404);
	buf_release(&known);
	buf_release(&other);
	victim_stop(&v, MEMORY_MIB);
}

static void sockets_of_one_address_are_bounded(void **state)
{
	struct victim v;
	int fds[40];
	size_t open = 0;
	char byte;

	(void)state;
	victim_start(&v, (const char *const[]){ "LIMITS_SOCKETS_PER_ADDRESS=10", NULL });
	for (size_t i = 0; i < COUNT(fds); i++)
		fds[i] = send_new(&v, bytes_str(HEALTH));
	for (size_t i = 0; i < COUNT(fds); i++)
		open += recv(fds[i], &byte, 1, 0) == 1;
	for (size_t i = 0; i < COUNT(fds); i++)
		close(fds[i]);
	assert_int_equal(open, 10);
	victim_stop(&v, MEMORY_MIB);
}

static void endless_headers_are_not_kept(void **state)
{
	static const char *const starts[] = { "GET /", "GET /health HTTP/1.1\r\nX-Long: ", "" };
	static char much[65536];
	struct buf all = BUF_INIT(1u << 20);
	struct victim v;

	(void)state;
	memset(much, 'a', sizeof much);
	victim_start(&v, standard);
	for (size_t i = 0; i < COUNT(starts); i++) {
		int fd = send_new(&v, bytes_str(starts[i]));

		for (size_t k = 0; k < 64; k++)
			send_some(fd, bytes_of(much, sizeof much));
		read_to_end(fd, &all);
		close(fd);
	}
	assert_int_equal(count_in(&all, " 200 "), 0);
	buf_release(&all);
	victim_stop(&v, MEMORY_MIB);
}

static void who_has_said_all_is_answered_and_forgotten(void **state)
{
	struct buf all = BUF_INIT(1u << 20);
	struct victim v;
	struct rpc_client c;
	int fd;

	(void)state;
	victim_start(&v, standard);
	fd = send_new(&v, bytes_str(LAST));
	shutdown(fd, SHUT_WR);
	read_to_end(fd, &all);
	close(fd);
	fd = begin_upload(&v, MALLORY, 1000);
	shutdown(fd, SHUT_WR);
	read_to_end(fd, &all);
	close(fd);
	victim_enter(&v, &c);
	victim_await(&v, "connections_active", 2);
	shutdown(c.fd, SHUT_WR);
	(void)rpc_wait_close(&c);
	victim_await(&v, "connections_active", 1);
	rpc_close(&c);
	buf_release(&all);
	victim_stop(&v, MEMORY_MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubtful_lengths_end_the_connection),
		cmocka_unit_test(other_protocols_are_not_spoken),
		cmocka_unit_test(an_unknown_upgrade_is_refused_once),
		cmocka_unit_test(upgrades_are_answered_by_path_and_subprotocol),
		cmocka_unit_test(what_is_public_needs_no_token),
		cmocka_unit_test(requests_in_a_row_are_answered_in_a_row),
		cmocka_unit_test(requests_whose_answers_nobody_reads),
		cmocka_unit_test(headers_byte_by_byte),
		cmocka_unit_test(bodies_byte_by_byte),
		cmocka_unit_test(uploads_of_one_address_are_bounded),
		cmocka_unit_test(uploads_count_until_they_are_stored),
		cmocka_unit_test(new_tokens_of_one_address_are_counted),
		cmocka_unit_test(who_comes_through_a_proxy_is_counted_by_its_word),
		cmocka_unit_test(sockets_of_one_address_are_bounded),
		cmocka_unit_test(endless_headers_are_not_kept),
		cmocka_unit_test(who_has_said_all_is_answered_and_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
