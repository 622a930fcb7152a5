/* SPDX-License-Identifier: Apache-2.0 */
/* What a client tries against a real relay over its port. */
#include <poll.h>
#include <sys/socket.h>
#include "tests/lib/relay_process.h"
#include "tests/lib/rpc_client.h"

#define PUSHED_MAX (64u << 20)

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_that_nobody_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
