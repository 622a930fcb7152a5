/* SPDX-License-Identifier: Apache-2.0 */
/* The plain protocol over a real relay's port: files, and the sizes that are settings. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "crypto/hash.h"
#include "tests/lib/plain_net.h"

#define FILE_ID "0f8fad5b-d9cb-469f-a165-70867728950e"
/* 00000001 and 40 times aa */
#define DEK "AAAAAaqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo="
#define HEADERS "X-Record-ID: " NET_R1 "\r\nX-Wrapped-DEK: " DEK "\r\n"

static void files_are_refused_in_the_protocols_words(void **state)
{
	struct plain_net *x = *state;
	struct rpc_client a;
	char huge[61442];

	memset(huge, 'a', sizeof huge);
	huge[sizeof huge - 1] = 0;
	net_come(x, &a, &x->alice, "alice");
	net_subscribe(&a, x->ua); /* answered: the issuer's keys are here */
	net_expect_file(x, 404, "space not found", "PUT", FILE_ID, &x->alice, x->ua, HEADERS);
	net_make_space(x, &a);
	net_expect_file(x, 401, "missing authorization", "PUT", FILE_ID, NULL, x->ua, HEADERS);
	net_expect_file(x, 400, "invalid file ID", "PUT", "x", &x->alice, x->ua, HEADERS);
	net_expect_file(x, 401, "authorization required", "PUT", FILE_ID, &x->alice, NULL, HEADERS);
	net_expect_file(x, 403, "access denied", "PUT", FILE_ID, &x->bob, x->ua, HEADERS);
	net_expect_file(
		x, 401, "authorization required", "PUT", FILE_ID, &x->alice, NULL, ""); /* whatever else is wrong */
	net_expect_file(x, 403, "access denied", "PUT", FILE_ID, &x->bob, x->ua, "X-Record-ID: 7\r\n");
	net_expect_file(x, 401, "X-UCAN header too large", "GET", FILE_ID, &x->alice, huge, "");
	net_expect_file(x, 404, "file not found", "GET", FILE_ID, &x->alice, x->ua, "");
	net_expect_file(x, 400, "X-Record-ID header required", "PUT", FILE_ID, &x->alice, x->ua, "");
	net_expect_file(
		x, 400, "X-Record-ID must be a valid UUID", "PUT", FILE_ID, &x->alice, x->ua, "X-Record-ID: 7\r\n");
	net_expect_file(x, 400, "X-Wrapped-DEK header required", "PUT", FILE_ID, &x->alice, x->ua,
		"X-Record-ID: " NET_R1 "\r\n");
	net_expect_file(x, 400, "X-Wrapped-DEK must be valid base64", "PUT", FILE_ID, &x->alice, x->ua,
		"X-Record-ID: " NET_R1 "\r\nX-Wrapped-DEK: ?\r\n");
	net_expect_file(x, 400, "X-Wrapped-DEK must decode to exactly 44 bytes", "PUT", FILE_ID, &x->alice, x->ua,
		"X-Record-ID: " NET_R1 "\r\nX-Wrapped-DEK: AAAA\r\n");
	net_expect_file(x, 400, "record not found in this space", "PUT", FILE_ID, &x->alice, x->ua, HEADERS);
	net_expect_file(x, 404, "file not found", "GET", FILE_ID, &x->alice, x->ua, "");
	rpc_close(&a);
}

static void a_file_comes_back_as_it_was(void **state)
{
	struct plain_net *x = *state;
	const size_t size = (5u << 20) + 12345;
	struct buf body = BUF_INIT(8u << 20), answer = BUF_INIT(8u << 20);
	struct rpc_client a;
	struct frame f;
	uint8_t *p;

	net_come(x, &a, &x->alice, "alice");
	net_make_space(x, &a);
	net_subscribe(&a, x->ua);
	net_push(&a, x->ua, "one", 0);
	assert_int_equal(buf_grow(&body, size, &p), 0);
	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)(i * 7 + (i >> 13));
	assert_int_equal(net_file(x, "PUT", FILE_ID, &x->alice, x->ua, HEADERS, buf_bytes(&body), &answer), 201);
	f = net_expect_notice(&a, "file");                              /* the uploader's connections, too */
	assert_non_null(memmem(f.value.p, f.value.len, NET_SPACE, 36)); /* with hyphens */
	assert_int_equal(net_file(x, "PUT", FILE_ID, &x->bob, x->ub, HEADERS, bytes_str("other"), &answer), 204);
	relay_process_kill(&x->relay, SIGKILL); /* what was answered is durable */
	rpc_close(&a);
	setenv("TRUSTED_ISSUERS", x->iss, 1);
	relay_process_start(&x->relay);
	unsetenv("TRUSTED_ISSUERS");
	net_come(x, &a, &x->alice, "alice"); /* waits for the keys, where HTTP would say 503 */
	net_subscribe(&a, x->ua);
	assert_int_equal(net_file(x, "GET", FILE_ID, &x->bob, x->ub, "", bytes_of(NULL, 0), &answer), 200);
	assert_true(answer.len > size);
	assert_memory_equal(answer.data + answer.len - size, body.data, size);
	assert_non_null(memmem(answer.data, answer.len, DEK, strlen(DEK)));
	assert_non_null(memmem(answer.data, answer.len, "\"" FILE_ID "\"", 38));
	assert_int_equal(net_file(x, "HEAD", FILE_ID, &x->bob, x->ub, "", bytes_of(NULL, 0), &answer), 200);
	assert_non_null(memmem(answer.data, answer.len, "5255225", 7));
	net_push(&a, x->ua, NULL, 1); /* a tombstone takes the record's files along */
	assert_int_equal(net_file(x, "HEAD", FILE_ID, &x->bob, x->ub, "", bytes_of(NULL, 0), &answer), 404);
	buf_release(&body);
	buf_release(&answer);
	rpc_close(&a);
}

static void sizes_are_settings(void **state)
{
	struct plain_net *x = *state;
	struct rpc_client a, b;
	struct buf answer = BUF_INIT(1u << 20);
	/* the beginning of a masked message of 4 MiB and a byte */
	static const uint8_t long_frame[] = { 0x82, 0xff, 0, 0, 0, 0, 0, 0x40, 0, 1, 0, 0, 0, 0, 0xa0 };
	static const uint8_t long_file[1025];

	net_start_with(x, "COFFER_RELAY_LIMITS_EVENT_BYTES", "3");
	net_start_with(x, "COFFER_RELAY_LIMITS_PRESENCE_BYTES", "4");
	net_start_with(x, "COFFER_RELAY_LIMITS_FILE_BYTES", "1024");
	net_start_with(x, "COFFER_RELAY_LIMITS_MESSAGE_BYTES", "4194304");
	net_come(x, &a, &x->alice, "alice");
	net_make_space(x, &a);
	net_come(x, &b, &x->bob, "bob");
	net_subscribe(&a, x->ua);
	net_subscribe(&b, x->ub);
	net_send_live(&a, "event.send", "four"); /* ignored */
	net_send_live(&a, "presence.set", "fives");
	net_send_live(&a, "event.send", "yes");
	net_expect_notice(&b, "event");
	net_send_live(&a, "presence.set", "four");
	net_expect_notice(&b, "presence");
	assert_int_equal(
		net_file(x, "PUT", FILE_ID, &x->alice, x->ua, HEADERS, bytes_of(long_file, sizeof long_file), &answer),
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(files_are_refused_in_the_protocols_words),
		TEST(a_file_comes_back_as_it_was),
		TEST(sizes_are_settings),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
