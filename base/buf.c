/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory grows by doubling, so that n appends cost O(n), and never shrinks before release. A secret buffer never goes
 * through realloc, which could leave a copy behind.
 */
#include "base/buf.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SMALLEST = 64 };

static void wipe(const struct buf *b)
{
	if (b->secret && b->data)
		explicit_bzero(b->data, b->alloc);
}

void buf_release(struct buf *b)
{
	wipe(b);
	free(b->data);
	b->data = NULL;
	b->len = 0;
	b->alloc = 0;
}

void buf_clear(struct buf *b)
{
	wipe(b);
	b->len = 0;
}

static uint8_t *resize(struct buf *b, size_t alloc)
{
	if (!b->secret)
		return realloc(b->data, alloc);
	uint8_t *p = malloc(alloc);
	if (!p)
		return NULL;
	if (b->len > 0)
		memcpy(p, b->data, b->len);
	wipe(b);
	free(b->data);
	return p;
}

/* Room for n more bytes that count against the cap, and `slack` that do not (a NUL to be dropped again). */
static int make_room(struct buf *b, size_t n, size_t slack)
{
	assert(b->data || b->alloc == 0);
	if (n > b->cap || b->len > b->cap - n)
		return ERR_RANGE;
	size_t need = b->len + n;
	if (slack > SIZE_MAX - need)
		return ERR_RANGE;
	need += slack;
	if (need <= b->alloc)
		return 0;
	size_t alloc = b->alloc > SIZE_MAX / 2 ? SIZE_MAX : b->alloc * 2;
	if (alloc > b->cap)
		alloc = b->cap;
	if (alloc < SMALLEST && b->cap >= SMALLEST)
		alloc = SMALLEST;
	if (alloc < need)
		alloc = need;
	uint8_t *p = resize(b, alloc);
	if (!p)
		return ERR_NOMEM;
	b->data = p;
	b->alloc = alloc;
	return 0;
}

int buf_reserve(struct buf *b, size_t n)
{
	return make_room(b, n, 0);
}

int buf_grow(struct buf *b, size_t n, uint8_t **ret_p)
{
	int err = make_room(b, n, 0);
	if (err < 0)
		return err;
	*ret_p = b->data ? b->data + b->len : NULL;
	b->len += n;
	return 0;
}

int buf_put(struct buf *b, const void *p, size_t n)
{
	uint8_t *to;
	int err = buf_grow(b, n, &to);
	if (err < 0)
		return err;
	if (n > 0)
		memcpy(to, p, n);
	return 0;
}

int buf_put_u8(struct buf *b, uint8_t v)
{
	return buf_put(b, &v, 1);
}

int buf_put_u16be(struct buf *b, uint16_t v)
{
	uint8_t be[2];

	bytes_put_be(be, v, sizeof be);
	return buf_put(b, be, sizeof be);
}

int buf_put_u32be(struct buf *b, uint32_t v)
{
	uint8_t be[4];

	bytes_put_be(be, v, sizeof be);
	return buf_put(b, be, sizeof be);
}

int buf_put_u64be(struct buf *b, uint64_t v)
{
	uint8_t be[8];

	bytes_put_be(be, v, sizeof be);
	return buf_put(b, be, sizeof be);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	int err = n < 0 ? ERR_INVALID : make_room(b, (size_t)n, 1);
	if (err == 0) {
		(void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
	return err;
}

void buf_consume(struct buf *b, size_t n)
{
	if (n > b->len)
		n = b->len;
	if (n == 0)
		return;
	b->len -= n;
	memmove(b->data, b->data + n, b->len);
	if (b->secret)
		explicit_bzero(b->data + b->len, n);
}

void buf_steal(struct buf *b, uint8_t **ret_p, size_t *ret_len)
{
	*ret_p = b->data;
	*ret_len = b->len;
	b->data = NULL;
	b->len = 0;
	b->alloc = 0;
}
