/* SPDX-License-Identifier: Apache-2.0 */
/* What a client tries against a real relay over its port. */
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/lib/relay_process.h"
#include "tests/lib/rpc_client.h"

#define PUSHED_MAX (64u << 20)
#define HALF_HEADERS 400
#define SPACE "5cf1d1e5-6e0a-4b3c-9a52-1f6f2a3b4c5d"
#define CHUNK "0f8fad5b-d9cb-469f-a165-70867728950e"

/* Asks on and on and reads nothing: the relay must stop to read, not keep the answers. */
static void answers_that_nobody_reads(void **state)
{
	struct relay_process relay = { .pid = 0 };
	struct party alice;
	struct rpc_client c;
	struct buf one = BUF_INIT(1024), many = BUF_INIT(1u << 20);
	struct cbor_enc e = cbor_enc_init(&one);
	size_t pushed = 0;

	(void)state;
	relay_process_start(&relay);
	party_init(&alice, "laptop");
	rpc_open(&c, relay.port);
	rpc_auth(&c, &alice, relay.url);
	frame_begin_request(&e, bytes_str("1"), bytes_str("no.such.method.of.some.length.at.all"));
	cbor_put_map(&e, 0);
	assert_int_equal(cbor_enc_end(&e), 0);
	assert_true(one.len < 126);
	while (many.len + one.len + 6 < 512u << 10) {
		assert_int_equal(buf_put_u8(&many, 0x82), 0);
		assert_int_equal(buf_put_u8(&many, (uint8_t)(0x80 | one.len)), 0);
		assert_int_equal(buf_put_u32be(&many, 0), 0);
		assert_int_equal(buf_put(&many, one.data, one.len), 0);
	}
	while (pushed < PUSHED_MAX) {
		struct pollfd p = { .fd = c.fd, .events = POLLOUT };
		size_t at = pushed % many.len;
		ssize_t n;

		if (poll(&p, 1, 1000) == 0)
			break;
		n = send(c.fd, many.data + at, many.len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			break;
		pushed += (size_t)n;
	}
	assert_true(pushed < PUSHED_MAX);
	rpc_close(&c);
	party_release(&alice);
	buf_release(&one);
	buf_release(&many);
	relay_process_remove(&relay);
}

static int dial(uint16_t port)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

/* Half a header on more sockets than there were header tables once: others are answered all the same, and not only after
 * these have timed out. */
static void half_a_header_on_many_sockets(void **state)
{
	static const char half[] = "GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ";
	static const char whole[] = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	struct relay_process relay = { .pid = 0 };
	struct buf answer = BUF_INIT(1u << 20);
	int fds[HALF_HEADERS];
	char byte;

	(void)state;
	relay_process_start(&relay);
	for (size_t i = 0; i < COUNT(fds); i++) {
		fds[i] = dial(relay.port);
		assert_int_equal(send(fds[i], half, sizeof half - 1, MSG_NOSIGNAL), sizeof half - 1);
	}
	assert_int_equal(http_raw(relay.port, bytes_str(whole), &answer), 200);
	assert_int_equal(recv(fds[0], &byte, 1, MSG_DONTWAIT), -1); /* still open */
	for (size_t i = 0; i < COUNT(fds); i++)
		close(fds[i]);
	buf_release(&answer);
	relay_process_remove(&relay);
}

/* A connection on which an upload has begun and stopped. */
static int stop_in_an_upload(const struct relay_process *relay, const struct party *p)
{
	struct buf token = BUF_INIT(65536), b = BUF_INIT(65536);
	int fd = dial(relay->port);

	rpc_token(p, relay->url, &token);
	assert_int_equal(buf_printf(&b,
				 "PUT /api/v1/coffer/spaces/" SPACE "/chunks/" CHUNK " HTTP/1.1\r\nHost: x\r\n"
				 "Authorization: Bearer %.*s\r\nContent-Length: 1000\r\n\r\nbegin",
				 (int)token.len, (const char *)token.data),
		0);
	assert_int_equal(send(fd, b.data, b.len, MSG_NOSIGNAL), b.len);
	buf_release(&token);
	buf_release(&b);
	return fd;
}

static void an_upload_may_pause_as_long_as_is_set(void **state)
{
	struct relay_process relay = { .pid = 0 };
	struct party alice;
	struct pollfd p = { .events = POLLIN };
	char byte;

	(void)state;
	party_init(&alice, "laptop");
	relay_process_start(&relay); /* 20 s: longer than libwebsockets waits by itself */
	p.fd = stop_in_an_upload(&relay, &alice);
	assert_int_equal(poll(&p, 1, 7000), 0);
	close(p.fd);
	relay_process_kill(&relay, SIGKILL);
	setenv("COFFER_RELAY_LIMITS_HTTP_PAUSE_SECONDS", "1", 1);
	relay_process_start(&relay);
	unsetenv("COFFER_RELAY_LIMITS_HTTP_PAUSE_SECONDS");
	p.fd = stop_in_an_upload(&relay, &alice);
	assert_int_equal(poll(&p, 1, RPC_DEADLINE_S * 1000), 1);
	assert_true(recv(p.fd, &byte, 1, 0) <= 0);
	close(p.fd);
	party_release(&alice);
	relay_process_remove(&relay);
}

static void a_strangers_body_is_not_waited_for(void **state)
{
	static const char request[] = "PUT /api/v1/spaces/" SPACE "/files/" CHUNK " HTTP/1.1\r\nHost: x\r\n"
				      "Content-Length: 1000\r\n\r\nbegin";
	struct relay_process relay = { .pid = 0 };
	struct buf answer = BUF_INIT(1u << 20);

	(void)state;
	relay_process_start(&relay);
	assert_int_equal(http_raw(relay.port, bytes_str(request), &answer), 401);
	buf_release(&answer);
	relay_process_remove(&relay);
}

/* Most of a message that does not end. */
static void begin_message(struct rpc_client *c, const struct party *p, const struct relay_process *relay)
{
	static const uint8_t head[14] = { 0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0x60, 0, 0 }; /* 6 MiB, mask 0 */
	static const uint8_t part[5u << 20];

	rpc_open(c, relay->port);
	rpc_auth(c, p, relay->url);
	assert_int_equal(send(c->fd, head, sizeof head, MSG_NOSIGNAL), sizeof head);
	for (size_t sent = 0; sent < sizeof part;) {
		ssize_t n = send(c->fd, part + sent, sizeof part - sent, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* closed already */
		sent += (size_t)n;
	}
}

static void one_address_holds_its_share(void **state)
{
	struct relay_process relay = { .pid = 0 };
	struct party alice;
	struct rpc_client c[3];
	struct pollfd p[3];

	(void)state;
	party_init(&alice, "laptop");
	setenv("COFFER_RELAY_SERVER_TRUSTED_PROXIES", "192.0.2.1", 1); /* loopback is an address like others */
	setenv("COFFER_RELAY_LIMITS_INCOMING_BYTES", "33554432", 1);   /* more than all that is sent here */
	relay_process_start(&relay);
	unsetenv("COFFER_RELAY_SERVER_TRUSTED_PROXIES");
	unsetenv("COFFER_RELAY_LIMITS_INCOMING_BYTES");
	for (size_t i = 0; i < COUNT(c); i++) {
		begin_message(&c[i], &alice, &relay);
		p[i] = (struct pollfd){ .fd = c[i].fd, .events = POLLIN };
	}
	assert_true(poll(p, COUNT(p), RPC_DEADLINE_S * 1000) > 0);
	for (size_t i = 0; i < COUNT(c); i++) {
		if (p[i].revents & POLLIN)
			assert_int_equal(rpc_wait_close(&c[i]), 4007);
		rpc_close(&c[i]);
	}
	party_release(&alice);
	relay_process_remove(&relay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_that_nobody_reads),
		cmocka_unit_test(half_a_header_on_many_sockets),
		cmocka_unit_test(an_upload_may_pause_as_long_as_is_set),
		cmocka_unit_test(a_strangers_body_is_not_waited_for),
		cmocka_unit_test(one_address_holds_its_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
