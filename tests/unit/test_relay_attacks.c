/* SPDX-License-Identifier: Apache-2.0 */
/* What a client tries against a real relay over its port. */
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/lib/relay_process.h"
#include "tests/lib/rpc_client.h"

#define PUSHED_MAX (64u << 20)
#define HALF_HEADERS 400

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

/* Half a header on more sockets than there were header tables once: others are answered all the same, and not only after
 * these have timed out. */
static void half_a_header_on_many_sockets(void **state)
{
	static const char half[] = "GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ";
	static const char whole[] = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	struct relay_process relay = { .pid = 0 };
	struct buf answer = BUF_INIT(65536);
	int fds[HALF_HEADERS];
	char byte;

	(void)state;
	relay_process_start(&relay);
	for (size_t i = 0; i < COUNT(fds); i++) {
		struct sockaddr_in a = { .sin_family = AF_INET,
			.sin_port = htons(relay.port),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_true(fds[i] >= 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&a, sizeof a), 0);
		assert_int_equal(send(fds[i], half, sizeof half - 1, MSG_NOSIGNAL), sizeof half - 1);
	}
	assert_int_equal(http_raw(relay.port, bytes_str(whole), &answer), 200);
	assert_int_equal(recv(fds[0], &byte, 1, MSG_DONTWAIT), -1); /* still open */
	for (size_t i = 0; i < COUNT(fds); i++)
		close(fds[i]);
	buf_release(&answer);
	relay_process_remove(&relay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_that_nobody_reads),
		cmocka_unit_test(half_a_header_on_many_sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
