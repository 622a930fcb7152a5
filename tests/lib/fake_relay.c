/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/unit.h"

#define DEADLINE_S 20
#define READ_SIZE 65536
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define MAX (32u << 20)

void fake_relay_listen(struct fake_relay *r)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;

	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(r->fd >= 0);
	assert_int_equal(bind(r->fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(r->fd, 16), 0);
	assert_int_equal(getsockname(r->fd, (struct sockaddr *)&a, &len), 0);
	r->port = ntohs(a.sin_port);
	snprintf(r->url, sizeof r->url, "http://127.0.0.1:%u", r->port);
}

void fake_relay_close(struct fake_relay *r)
{
	close(r->fd);
}

static void set_deadline(int fd)
{
	const struct timeval t = { .tv_sec = DEADLINE_S };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t), 0);
}

static ssize_t read_more(struct peer *p)
{
	uint8_t *room;
	ssize_t n;

	assert_int_equal(buf_grow(&p->in, READ_SIZE, &room), OK);
	n = recv(p->fd, room, READ_SIZE, 0);
	p->in.len -= READ_SIZE - (n > 0 ? (size_t)n : 0);
	return n;
}

static void need(struct peer *p, size_t n)
{
	while (p->in.len < n)
		assert_true(read_more(p) > 0);
}

void peer_read_body(struct peer *p, size_t n)
{
	need(p, n);
	buf_clear(&p->message);
	assert_int_equal(buf_put(&p->message, p->in.data, n), OK);
	buf_consume(&p->in, n);
}

static size_t head_size(struct bytes in)
{
	const uint8_t *end = in.len ? memmem(in.p, in.len, "\r\n\r\n", 4) : NULL;

	return end ? (size_t)(end - in.p) + 4 : 0;
}

/* The next request on the same connection. */
static void read_head(struct peer *p)
{
	size_t n;

	while ((n = head_size(buf_bytes(&p->in))) == 0)
		assert_true(read_more(p) > 0);
	peer_read_body(p, n);
}

void peer_accept(struct fake_relay *r, struct peer *p)
{
	set_deadline(r->fd);
	*p = (struct peer){ .in = BUF_INIT(MAX), .message = BUF_INIT(MAX) };
	p->fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(p->fd >= 0);
	set_deadline(p->fd);
	read_head(p);
}

bool peer_head_has(const struct peer *p, const char *text)
{
	return memmem(p->message.data, p->message.len, text, strlen(text)) != NULL;
}

void peer_send_raw(struct peer *p, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;

	while (n > 0) {
		ssize_t sent = send(p->fd, at, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return; /* the other end may have had enough */
		at += sent;
		n -= (size_t)sent;
	}
}

void peer_write(struct peer *p, const char *text)
{
	peer_send_raw(p, text, strlen(text));
}

void peer_upgrade(struct peer *p, const char *subprotocol)
{
	static const char name[] = "Sec-WebSocket-Key: ";
	const uint8_t *key = memmem(p->message.data, p->message.len, name, sizeof name - 1);
	unsigned char hash[SHA_DIGEST_LENGTH], text[64];
	char joined[128], answer[512];

	assert_non_null(key);
	snprintf(joined, sizeof joined, "%.24s%s", (const char *)key + sizeof name - 1, GUID);
	SHA1((const unsigned char *)joined, strlen(joined), hash);
	EVP_EncodeBlock(text, hash, sizeof hash);
	snprintf(answer, sizeof answer,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: %s\r\n%s%s%s\r\n",
		text, subprotocol ? "Sec-WebSocket-Protocol: " : "", subprotocol ? subprotocol : "",
		subprotocol ? "\r\n" : "");
	peer_write(p, answer);
}

/* One WebSocket frame from the client: masked. Returns the opcode. */
static unsigned receive_one(struct peer *p)
{
	size_t head = 2, n;
	unsigned opcode;
	uint8_t mask[4], *out;

	need(p, 2);
	opcode = p->in.data[0] & 0x0f;
	n = p->in.data[1] & 0x7f;
	if (n == 126)
		head = 4;
	else if (n == 127)
		head = 10;
	need(p, head + 4);
	if (head > 2)
		n = 0;
	for (size_t i = 2; i < head; i++)
		n = n << 8 | p->in.data[i];
	memcpy(mask, p->in.data + head, 4);
	need(p, head + 4 + n);
	buf_clear(&p->message);
	assert_int_equal(buf_grow(&p->message, n, &out), OK);
	for (size_t i = 0; i < n; i++)
		out[i] = p->in.data[head + 4 + i] ^ mask[i % 4];
	buf_consume(&p->in, head + 4 + n);
	return opcode;
}

struct bytes peer_receive(struct peer *p)
{
	while (receive_one(p) != 2)
		;
	return buf_bytes(&p->message);
}

struct frame peer_receive_frame(struct peer *p)
{
	struct frame f;

	assert_int_equal(frame_decode(peer_receive(p), &f), OK);
	return f;
}

static void send_one(struct peer *p, uint8_t first, struct bytes payload)
{
	struct buf b = BUF_INIT(MAX);

	assert_int_equal(buf_put_u8(&b, first), OK);
	if (payload.len < 126) {
		assert_int_equal(buf_put_u8(&b, (uint8_t)payload.len), OK);
	} else if (payload.len < 65536) {
		assert_int_equal(buf_put_u8(&b, 126), OK);
		assert_int_equal(buf_put_u16be(&b, (uint16_t)payload.len), OK);
	} else {
		assert_int_equal(buf_put_u8(&b, 127), OK);
		assert_int_equal(buf_put_u64be(&b, payload.len), OK);
	}
	assert_int_equal(buf_put(&b, payload.p, payload.len), OK);
	peer_send_raw(p, b.data, b.len);
	buf_release(&b);
}

void peer_send(struct peer *p, struct bytes message)
{
	send_one(p, 0x82, message);
}

void peer_send_close(struct peer *p, unsigned code, const char *reason)
{
	struct buf b = BUF_INIT(125);

	assert_int_equal(buf_put_u16be(&b, (uint16_t)code), OK);
	assert_int_equal(buf_put(&b, reason, strlen(reason)), OK);
	send_one(p, 0x88, buf_bytes(&b));
	buf_release(&b);
}

void peer_respond(struct peer *p, struct bytes id, struct bytes result)
{
	struct buf b = BUF_INIT(MAX);
	struct cbor_enc e = cbor_enc_init(&b);

	frame_begin_response(&e, id);
	if (result.len)
		cbor_put_raw(&e, result);
	else
		cbor_put_map(&e, 0);
	assert_int_equal(cbor_enc_end(&e), OK);
	peer_send(p, buf_bytes(&b));
	buf_release(&b);
}

void peer_accept_online(struct fake_relay *r, struct peer *p)
{
	struct frame f;

	peer_accept(r, p);
	assert_true(peer_head_has(p, "GET /api/v1/ws HTTP/1.1\r\n"));
	assert_true(peer_head_has(p, "Sec-WebSocket-Protocol: " FRAME_SUBPROTOCOL "\r\n"));
	assert_false(peer_head_has(p, "permessage-deflate"));
	peer_upgrade(p, FRAME_SUBPROTOCOL);
	f = peer_receive_frame(p);
	assert_int_equal(f.type, FRAME_NOTIFICATION);
	unit_assert_bytes(f.name, bytes_str("auth"));
	f = peer_receive_frame(p);
	assert_int_equal(f.type, FRAME_REQUEST);
	unit_assert_bytes(f.name, bytes_str("subscribe"));
	peer_respond(p, f.id, bytes_of(NULL, 0));
}

bool peer_closed(struct peer *p)
{
	ssize_t n;

	do {
		buf_clear(&p->in);
		n = read_more(p);
	} while (n > 0);
	return n == 0;
}

void peer_drop(struct peer *p)
{
	close(p->fd);
	buf_release(&p->in);
	buf_release(&p->message);
}
