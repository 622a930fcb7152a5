/* SPDX-License-Identifier: Apache-2.0 */
/* coffer-syncd between two ends of which one does not read: its memory stays bounded, and nothing is lost. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/lib/fake_relay.h"
#include "tests/lib/syncd_driver.h"
#include "tests/lib/unit.h"

#define MESSAGES 64
#define SIZE (1u << 20)
#define HELD_MAX (16u << 20)
/* held, one message more, and what the kernel buffers of two sockets may take */
#define STALL_MAX (HELD_MAX + (6u << 20) + (16u << 20))

struct scene {
	struct fake_relay relay;
	struct syncd syncd;
	struct peer peer;
};

static void open_scene(struct scene *s)
{
	fake_relay_listen(&s->relay);
	syncd_start(&s->syncd);
	syncd_delegate(&s->syncd, s->relay.url, 3600);
	syncd_configure(&s->syncd, s->relay.url);
	peer_accept_online(&s->relay, &s->peer);
	syncd_expect_state(&s->syncd, MSG_ONLINE, "");
}

static void close_scene(struct scene *s)
{
	syncd_end(&s->syncd);
	peer_drop(&s->peer);
	fake_relay_close(&s->relay);
}

static bool ready(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, ms) == 1;
}

/* Writes until the other side takes no more for a while; returns how far it is. */
static size_t write_some(int fd, struct bytes all, size_t at, int patience_ms)
{
	while (at < all.len) {
		ssize_t n = send(fd, all.p + at, all.len - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			at += (size_t)n;
		else if (n == 0 || errno != EAGAIN)
			fail_msg("the connection broke");
		else if (!ready(fd, POLLOUT, patience_ms))
			break;
	}
	return at;
}

/* Writes until there is something to read at the other end, or all is written. */
static size_t write_until_readable(int fd, struct bytes all, size_t at, int reader)
{
	while (at < all.len && !ready(reader, POLLIN, 0))
		at = write_some(fd, all, at, 10);
	return at;
}

#ifndef __SANITIZE_ADDRESS__
static long resident_kb(pid_t pid)
{
	char path[64], line[256];
	long kb = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "VmRSS: %ld", &kb) == 1)
			break;
	fclose(f);
	return kb;
}
#endif

/* Notifications n = 0, 1, 2...: WebSocket frames as the relay sends them. */
static void put_notification(struct buf *b, uint64_t n, const uint8_t *blob)
{
	struct buf m = BUF_INIT(2 * SIZE);
	struct cbor_enc e = cbor_enc_init(&m);

	frame_begin_notification(&e, bytes_str("coffer.sync"));
	cbor_put_array(&e, 2);
	cbor_put_uint(&e, n);
	cbor_put_bytes(&e, blob, SIZE);
	assert_int_equal(cbor_enc_end(&e), OK);
	assert_int_equal(buf_put(b, "\x82\x7f", 2), OK);
	assert_int_equal(buf_put_u64be(b, m.len), OK);
	assert_int_equal(buf_put(b, m.data, m.len), OK);
	buf_release(&m);
}

static void does_not_read_the_relay_while_coffer_fs_does_not_read(void **state)
{
	uint8_t *blob = calloc(1, SIZE);
	struct buf all = BUF_INIT((size_t)MESSAGES * 2 * SIZE);
	struct scene s;
	size_t at;

	(void)state;
	assert_non_null(blob);
	open_scene(&s);
	for (uint64_t i = 0; i < MESSAGES; i++)
		put_notification(&all, i, blob);
	at = write_some(s.peer.fd, buf_bytes(&all), 0, 300);
	assert_true(at >= HELD_MAX && at <= STALL_MAX);
#ifndef __SANITIZE_ADDRESS__
	assert_true(resident_kb(s.syncd.pid) < 96 * 1024);
#endif
	for (uint64_t i = 0; i < MESSAGES; i++) {
		struct msg m;
		struct cbor_dec d;

		at = write_until_readable(s.peer.fd, buf_bytes(&all), at, s.syncd.fd);
		m = syncd_expect(&s.syncd, MSG_NOTIFY);
		d = cbor_dec_init(m.item);
		assert_int_equal(cbor_get_array(&d, 2), 2);
		assert_int_equal(cbor_get_uint(&d), i);
		assert_int_equal(cbor_get_bytes(&d, SIZE).len, SIZE);
	}
	assert_int_equal(at, all.len);
	free(blob);
	buf_release(&all);
	close_scene(&s);
}

static void does_not_read_coffer_fs_while_the_relay_does_not_read(void **state)
{
	uint8_t *blob = calloc(1, SIZE);
	struct buf all = BUF_INIT((size_t)MESSAGES * 2 * SIZE), item = BUF_INIT(2 * SIZE);
	struct cbor_enc e = cbor_enc_init(&item);
	struct scene s;
	size_t at;

	(void)state;
	assert_non_null(blob);
	open_scene(&s);
	cbor_put_bytes(&e, blob, SIZE);
	for (uint64_t i = 0; i < MESSAGES; i++) {
		const struct msg m = {
			.type = MSG_CALL, .num = i, .text = bytes_str("coffer.push"), .item = buf_bytes(&item)
		};

		assert_int_equal(msg_put(&all, &m), OK);
	}
	at = write_some(s.syncd.fd, buf_bytes(&all), 0, 300);
	assert_true(at >= HELD_MAX && at <= STALL_MAX);
	for (uint64_t i = 0; i < MESSAGES; i++) {
		struct frame f;

		at = write_until_readable(s.syncd.fd, buf_bytes(&all), at, s.peer.fd);
		f = peer_receive_frame(&s.peer);
		unit_assert_bytes(f.value, buf_bytes(&item));
		peer_respond(&s.peer, f.id, bytes_of(NULL, 0));
		syncd_expect_result(&s.syncd, i, "");
	}
	assert_int_equal(at, all.len);
	free(blob);
	buf_release(&all);
	buf_release(&item);
	close_scene(&s);
}

static void tells_the_rates_in_the_end(void **state)
{
	struct scene s;
	struct msg m;

	(void)state;
	open_scene(&s);
	syncd_call(&s.syncd, "coffer.head", bytes_of(NULL, 0));
	peer_respond(&s.peer, peer_receive_frame(&s.peer).id, bytes_of(NULL, 0));
	syncd_expect_result(&s.syncd, s.syncd.num, "");
	do
		m = syncd_any(&s.syncd);
	while (m.type == MSG_RATE && m.received < 40);
	assert_int_equal(m.type, MSG_RATE);
	assert_true(m.sent > 100 && m.received >= 40);
	close_scene(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(does_not_read_the_relay_while_coffer_fs_does_not_read),
		cmocka_unit_test(does_not_read_coffer_fs_while_the_relay_does_not_read),
		cmocka_unit_test(tells_the_rates_in_the_end),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
