/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/rpc_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "crypto/delegation.h"
#include "crypto/session.h"

#define CAP (64u << 20)

/* -1 if nobody listens there. */
static int dial(const char *from, uint16_t port)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	struct sockaddr_in own = { .sin_family = AF_INET };
	struct timeval deadline = { .tv_sec = RPC_DEADLINE_S };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, from, &own.sin_addr), 1);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one); /* else ports run out */
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
		close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

int rpc_dial(const char *from, uint16_t port)
{
	int fd = dial(from, port);

	assert_true(fd >= 0);
	return fd;
}

/* False if the other end has closed. */
static bool write_all(int fd, const void *p, size_t n)
{
	const uint8_t *at = p;

	while (n) {
		ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		at += sent;
		n -= (size_t)sent;
	}
	return true;
}

/* Reads something more; false at the end. */
static bool read_more(int fd, struct buf *b)
{
	uint8_t *p;
	size_t before = b->len;
	ssize_t n;

	assert_int_equal(buf_grow(b, 65536, &p), 0);
	n = recv(fd, p, 65536, 0);
	b->len = before + (n > 0 ? (size_t)n : 0);
	if (n < 0 && errno == EAGAIN)
		fail_msg("the relay does not answer");
	return n > 0;
}

void rpc_open(struct rpc_client *c, uint16_t port)
{
	rpc_open_from(c, "127.0.0.1", port);
}

/* False if the relay ends before it has answered. */
static bool upgrade(struct rpc_client *c, const char *headers)
{
	char hello[1024];
	uint8_t *end;
	const int n = snprintf(hello, sizeof hello,
		"GET /api/v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
		"Sec-WebSocket-Protocol: betterbase-rpc-v1\r\n%s\r\n",
		headers);

	assert_true(n > 0 && (size_t)n < sizeof hello);
	if (!write_all(c->fd, hello, (size_t)n))
		return false;
	while (!(end = c->in.len ? memmem(c->in.data, c->in.len, "\r\n\r\n", 4) : NULL))
		if (!read_more(c->fd, &c->in))
			return false;
	assert_non_null(memmem(c->in.data, c->in.len, " 101 ", 5));
	assert_non_null(memmem(c->in.data, c->in.len, "betterbase-rpc-v1", 17));
	buf_consume(&c->in, (size_t)(end + 4 - c->in.data));
	return true;
}

static struct rpc_client client_of(int fd)
{
	return (struct rpc_client){ .fd = fd, .in = BUF_INIT(CAP), .message = BUF_INIT(CAP), .notices = BUF_INIT(CAP) };
}

void rpc_open_saying(struct rpc_client *c, const char *from, uint16_t port, const char *headers)
{
	*c = client_of(rpc_dial(from, port));
	if (!upgrade(c, headers))
		fail_msg("no answer to the upgrade");
}

void rpc_open_from(struct rpc_client *c, const char *from, uint16_t port)
{
	rpc_open_saying(c, from, port, "");
}

bool rpc_try_open(struct rpc_client *c, uint16_t port)
{
	int fd = dial("127.0.0.1", port);

	if (fd < 0)
		return false;
	*c = client_of(fd);
	if (upgrade(c, ""))
		return true;
	rpc_close(c);
	return false;
}

void rpc_close(struct rpc_client *c)
{
	close(c->fd);
	buf_release(&c->in);
	buf_release(&c->message);
	buf_release(&c->notices);
}

void rpc_token(const struct party *p, const char *url, struct buf *ret_token)
{
	struct buf dlg = BUF_INIT(DELEGATION_MAX);
	struct session *s;
	struct delegation d;
	int64_t now = time(NULL), exp;

	assert_int_equal(session_new(&s), 0);
	d = (struct delegation){ .person = *identity_person(p->id),
		.device = *identity_device(p->id),
		.session = *session_public(s),
		.aud = bytes_str(url),
		.not_after = now + 3000 };
	assert_int_equal(delegation_make(&d, identity_sign_secret(p->id), &dlg), 0);
	assert_int_equal(session_token(s, buf_bytes(&dlg), now, ret_token, &exp), 0);
	session_free(s);
	buf_release(&dlg);
}

void rpc_send(struct rpc_client *c, struct bytes message, bool binary)
{
	struct buf b = BUF_INIT(CAP);
	size_t n = message.len;

	assert_int_equal(buf_put_u8(&b, binary ? 0x82 : 0x81), 0);
	if (n < 126) {
		assert_int_equal(buf_put_u8(&b, (uint8_t)(0x80 | n)), 0);
	} else if (n < 65536) {
		assert_int_equal(buf_put_u8(&b, 0x80 | 126), 0);
		assert_int_equal(buf_put_u16be(&b, (uint16_t)n), 0);
	} else {
		assert_int_equal(buf_put_u8(&b, 0x80 | 127), 0);
		assert_int_equal(buf_put_u64be(&b, n), 0);
	}
	assert_int_equal(buf_put_u32be(&b, 0), 0); /* a mask of zeros */
	assert_int_equal(buf_put(&b, message.p, n), 0);
	(void)write_all(c->fd, b.data, b.len); /* a failure is seen at the next receive */
	buf_release(&b);
}

void rpc_auth(struct rpc_client *c, const struct party *p, const char *url)
{
	struct buf token = BUF_INIT(TOKEN_MAX), b = BUF_INIT(CAP);
	struct cbor_enc e = cbor_enc_init(&b);

	rpc_token(p, url, &token);
	frame_begin_notification(&e, bytes_str("auth"));
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "token");
	cbor_put_text_n(&e, (const char *)token.data, token.len);
	assert_int_equal(cbor_enc_end(&e), 0);
	rpc_send(c, buf_bytes(&b), true);
	buf_release(&token);
	buf_release(&b);
}

void rpc_send_request(struct rpc_client *c, const char *method, struct bytes params)
{
	struct buf b = BUF_INIT(CAP);
	struct cbor_enc e = cbor_enc_init(&b);
	char id[16];

	snprintf(id, sizeof id, "%u", c->next_id++);
	frame_begin_request(&e, bytes_str(id), bytes_str(method));
	cbor_put_raw(&e, params);
	assert_int_equal(cbor_enc_end(&e), 0);
	rpc_send(c, buf_bytes(&b), true);
	buf_release(&b);
}

/* Takes one frame off c->in: its opcode, payload to c->message. False if it is not complete. */
static bool take_frame(struct rpc_client *c, unsigned *ret_opcode)
{
	size_t head = 2, n;

	if (c->in.len < 2)
		return false;
	n = c->in.data[1] & 0x7f;
	if (n >= 126) {
		size_t bytes = n == 126 ? 2 : 8;

		if (c->in.len < 2 + bytes)
			return false;
		n = 0;
		for (size_t i = 0; i < bytes; i++)
			n = n << 8 | c->in.data[2 + i];
		head += bytes;
	}
	if (c->in.len < head + n)
		return false;
	*ret_opcode = c->in.data[0] & 15;
	if (*ret_opcode)
		buf_clear(&c->message);
	assert_int_equal(buf_put(&c->message, c->in.data + head, n), 0);
	if (!(c->in.data[0] & 0x80))
		*ret_opcode = 0;
	buf_consume(&c->in, head + n);
	return true;
}

int rpc_receive(struct rpc_client *c, struct bytes *ret_message)
{
	unsigned opcode;

	for (;;) {
		if (!take_frame(c, &opcode)) {
			if (!read_more(c->fd, &c->in))
				return -1;
			continue;
		}
		if (opcode == 8)
			return c->message.len >= 2 ? c->message.data[0] << 8 | c->message.data[1] : -1;
		if (opcode != 2 || frame_is_keepalive(buf_bytes(&c->message)))
			continue;
		*ret_message = buf_bytes(&c->message);
		return 0;
	}
}

int rpc_wait_close(struct rpc_client *c)
{
	struct bytes m;
	int code;

	while (!(code = rpc_receive(c, &m)))
		;
	return code;
}

static void keep(struct buf *list, struct bytes m)
{
	assert_int_equal(buf_put_u32be(list, (uint32_t)m.len), 0);
	assert_int_equal(buf_put(list, m.p, m.len), 0);
}

int rpc_try_reply(struct rpc_client *c, struct reply *ret)
{
	struct reply r = { .frames = BUF_INIT(CAP), .raw = BUF_INIT(CAP) };
	struct bytes m;
	int code;

	while (!(code = rpc_receive(c, &m))) {
		assert_int_equal(frame_decode(m, &r.f), 0);
		if (r.f.type == FRAME_NOTIFICATION) {
			keep(&c->notices, m);
		} else if (r.f.type == FRAME_CHUNK) {
			keep(&r.frames, m);
			r.chunks++;
		} else {
			assert_int_equal(buf_put(&r.raw, m.p, m.len), 0);
			assert_int_equal(frame_decode(buf_bytes(&r.raw), &r.f), 0);
			*ret = r;
			return 0;
		}
	}
	reply_release(&r);
	return code;
}

struct reply rpc_reply(struct rpc_client *c)
{
	struct reply r = { 0 };
	int code = rpc_try_reply(c, &r);

	if (code)
		fail_msg("the relay closed with %d", code);
	return r;
}

bool reply_chunk(const struct reply *r, size_t *at, struct frame *ret_f)
{
	const uint8_t *p = r->frames.data + *at;
	size_t len;

	if (*at >= r->frames.len)
		return false;
	len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	*at += 4 + len;
	assert_int_equal(frame_decode(bytes_of(p + 4, len), ret_f), 0);
	return true;
}

struct reply rpc_call(struct rpc_client *c, const char *method, struct buf *params)
{
	rpc_send_request(c, method, buf_bytes(params));
	buf_release(params);
	return rpc_reply(c);
}

void reply_release(struct reply *r)
{
	buf_release(&r->frames);
	buf_release(&r->raw);
}

bool reply_ok(const struct reply *r)
{
	struct bytes item;

	return !r->f.is_error && cbor_map_find(r->f.value, CBOR_RPC, "ok", &item) == OK && item.p[0] == 0xf5;
}

static struct bytes text_of(struct bytes map, const char *key)
{
	struct bytes item;
	struct cbor_dec d;

	if (cbor_map_find(map, CBOR_RPC, key, &item) < 0)
		return bytes_of(NULL, 0);
	d = cbor_dec_init_rpc(item);
	return cbor_get_text(&d, 256);
}

bool reply_refused(const struct reply *r, const char *code)
{
	return cbor_text_is(r->f.is_error ? r->f.code : text_of(r->f.value, "error"), code);
}

uint64_t reply_uint(const struct reply *r, const char *key)
{
	struct bytes item;
	struct cbor_dec d;
	uint64_t v;

	assert_int_equal(cbor_map_find(r->f.value, CBOR_RPC, key, &item), 0);
	d = cbor_dec_init_rpc(item);
	v = cbor_get_uint(&d);
	assert_int_equal(cbor_dec_end(&d), 0);
	return v;
}

struct frame rpc_notice(struct rpc_client *c)
{
	struct frame f;
	struct bytes m;
	int code;

	if (c->notices.len) {
		size_t n = (size_t)c->notices.data[0] << 24 | (size_t)c->notices.data[1] << 16 |
			   (size_t)c->notices.data[2] << 8 | c->notices.data[3];

		buf_clear(&c->message);
		assert_int_equal(buf_put(&c->message, c->notices.data + 4, n), 0);
		buf_consume(&c->notices, 4 + n);
		m = buf_bytes(&c->message);
	} else if ((code = rpc_receive(c, &m))) {
		fail_msg("the relay closed with %d", code);
	}
	assert_int_equal(frame_decode(m, &f), 0);
	assert_int_equal(f.type, FRAME_NOTIFICATION);
	return f;
}

/* The size of the whole answer if its head says it, else 0. */
static size_t answer_size(const struct buf *b)
{
	const char *end = b->len ? memmem(b->data, b->len, "\r\n\r\n", 4) : NULL;
	const char *length = end ? memmem(b->data, b->len, "content-length: ", 16) : NULL;

	if (!length || length > end)
		return 0;
	return (size_t)(end + 4 - (const char *)b->data) + strtoul(length + 16, NULL, 10);
}

int http_raw(uint16_t port, struct bytes request, struct buf *ret_answer)
{
	int fd = dial("127.0.0.1", port), status = 0;
	size_t size = 0;
	bool head = request.len > 4 && memcmp(request.p, "HEAD", 4) == 0;

	if (fd < 0)
		return 0;
	(void)write_all(fd, request.p, request.len); /* it may answer before it has read all */
	while ((!size || ret_answer->len < size) && read_more(fd, ret_answer))
		if ((size = answer_size(ret_answer)) && head)
			break;
	close(fd);
	if (ret_answer->len > 12)
		status = atoi((const char *)ret_answer->data + 9);
	return status;
}

int http_chunk(uint16_t port, const char *verb, const struct party *p, const char *url, const struct id16 *space,
	const struct id16 *chunk, const char *extra, struct bytes body, struct buf *ret_answer)
{
	struct buf b = BUF_INIT(CAP), token = BUF_INIT(TOKEN_MAX);
	char s[ID16_TEXT_SIZE], id[ID16_TEXT_SIZE];
	int status;

	id16_format(space, s);
	id16_format(chunk, id);
	rpc_token(p, url, &token);
	assert_int_equal(buf_printf(&b,
				 "%s /api/v1/coffer/spaces/%s/chunks/%s HTTP/1.1\r\nHost: x\r\nConnection: "
				 "close\r\nAuthorization: Bearer ",
				 verb, s, id),
		0);
	assert_int_equal(buf_put(&b, token.data, token.len), 0);
	assert_int_equal(buf_printf(&b, "\r\n%s", extra), 0);
	if (body.len)
		assert_int_equal(buf_printf(&b, "Content-Length: %zu\r\n", body.len), 0);
	assert_int_equal(buf_put(&b, "\r\n", 2), 0);
	assert_int_equal(buf_put(&b, body.p, body.len), 0);
	status = http_raw(port, buf_bytes(&b), ret_answer);
	buf_release(&b);
	buf_release(&token);
	return status;
}
