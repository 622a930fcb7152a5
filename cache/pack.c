/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/pack.h"

struct pack pack_init(struct buf *b)
{
	return (struct pack){ .b = b, .err = 0 };
}

static size_t put_u64(uint8_t *out, uint64_t v)
{
	size_t n = 0;
	for (; v >= 0x80; v >>= 7)
		out[n++] = (uint8_t)(v | 0x80);
	out[n++] = (uint8_t)v;
	return n;
}

/* Straight into the buffer if any integer fits there, as nearly always. */
void pack_u64(struct pack *k, uint64_t v)
{
	struct buf *b = k->b;
	uint8_t out[PACK_U64_MAX];
	if (k->err == 0 && b->len + PACK_U64_MAX <= b->alloc && b->len + PACK_U64_MAX <= b->cap)
		b->len += put_u64(b->data + b->len, v);
	else
		pack_fixed(k, out, put_u64(out, v));
}

void pack_i64(struct pack *k, int64_t v)
{
	pack_u64(k, (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0));
}

void pack_fixed(struct pack *k, const void *p, size_t n)
{
	if (k->err == 0)
		k->err = buf_put(k->b, p, n);
}

void pack_bytes(struct pack *k, struct bytes v)
{
	pack_u64(k, v.len);
	pack_fixed(k, v.p, v.len);
}

struct unpack unpack_init(struct bytes in)
{
	return (struct unpack){ .p = in.p, .end = in.p + in.len, .err = 0 };
}

static void unpack_fail(struct unpack *u, int err)
{
	if (u->err == 0)
		u->err = err;
}

uint64_t unpack_u64(struct unpack *u)
{
	uint64_t v = 0;
	for (unsigned shift = 0; u->err == 0; shift += 7) {
		if (u->p == u->end || shift > 63 || (shift == 63 && *u->p > 1)) {
			unpack_fail(u, ERR_CORRUPT);
			break;
		}
		uint8_t byte = *u->p++;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return v;
	}
	return 0;
}

uint32_t unpack_u32(struct unpack *u)
{
	uint64_t v = unpack_u64(u);
	if (v > UINT32_MAX) {
		unpack_fail(u, ERR_CORRUPT);
		return 0;
	}
	return (uint32_t)v;
}

int64_t unpack_i64(struct unpack *u)
{
	uint64_t v = unpack_u64(u);
	return (int64_t)(v >> 1 ^ (v & 1 ? UINT64_MAX : 0));
}

void unpack_fixed(struct unpack *u, void *out, size_t n)
{
	if (u->err == 0 && (size_t)(u->end - u->p) >= n) {
		memcpy(out, u->p, n);
		u->p += n;
		return;
	}
	unpack_fail(u, ERR_CORRUPT);
	memset(out, 0, n);
}

struct bytes unpack_bytes(struct unpack *u, size_t max)
{
	uint64_t n = unpack_u64(u);
	if (u->err != 0 || n > max || n > (size_t)(u->end - u->p)) {
		unpack_fail(u, ERR_CORRUPT);
		return bytes_of(NULL, 0);
	}
	struct bytes v = bytes_of(u->p, (size_t)n);
	u->p += n;
	return v;
}

int unpack_end(const struct unpack *u)
{
	if (u->err != 0)
		return u->err;
	return u->p == u->end ? 0 : ERR_CORRUPT;
}
