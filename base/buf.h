/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf: a growing byte buffer with a hard cap, and the only way that outside bytes are collected or produced.
 *
 *	CLEANUP(buf_release) struct buf b = BUF_INIT(64 * 1024);
 *	if ((err = buf_put(&b, p, n)) < 0) return err;
 *	use(b.data, b.len);
 *
 * Exceeding the cap gives ERR_RANGE, a failed allocation ERR_NOMEM; the buffer then keeps what it had.
 * Not thread-safe. A buf does not wipe itself unless `secret` is set (then release and every growth wipe the old
 * memory).
 */
#ifndef COFFER_BASE_BUF_H
#define COFFER_BASE_BUF_H

#include <stdbool.h>
#include "base/bytes.h"
#include "base/err.h"

struct buf {
	uint8_t *data; /* NULL while empty */
	size_t len;    /* bytes in use */
	size_t alloc;  /* bytes allocated */
	size_t cap;    /* `len` never passes this */
	bool secret;   /* wipe on growth and release */
};

#define BUF_INIT(cap_) { .data = NULL, .len = 0, .alloc = 0, .cap = (cap_), .secret = false }
#define BUF_INIT_SECRET(cap_) { .data = NULL, .len = 0, .alloc = 0, .cap = (cap_), .secret = true }

/* Frees the memory (wiped if secret). The buffer is empty and usable again. */
void buf_release(struct buf *b);

/* Empties, keeps the memory (wiped if secret). */
void buf_clear(struct buf *b);

/* Appends n bytes copied from p (p may be NULL if n is 0). */
int buf_put(struct buf *b, const void *p, size_t n) MUST_CHECK;

/* Appends n uninitialised bytes and sets *ret_p to the first; valid until the next call that grows. */
int buf_grow(struct buf *b, size_t n, uint8_t **ret_p) MUST_CHECK;

/* Makes room for n more bytes without changing len, so that the next n bytes of puts cannot fail. */
int buf_reserve(struct buf *b, size_t n) MUST_CHECK;

/* Appends one byte / big-endian / little-endian integers. */
int buf_put_u8(struct buf *b, uint8_t v) MUST_CHECK;
int buf_put_u16be(struct buf *b, uint16_t v) MUST_CHECK;
int buf_put_u32be(struct buf *b, uint32_t v) MUST_CHECK;
int buf_put_u64be(struct buf *b, uint64_t v) MUST_CHECK;

/* Appends printf-formatted text without the terminating NUL. */
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3))) MUST_CHECK;

/* Removes the first n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);

/* The content as a view, valid until the next change. */
static inline struct bytes buf_bytes(const struct buf *b)
{
	return bytes_of(b->data, b->len);
}

/* Hands the memory over: *ret_p must be freed with free(); the buffer is empty. */
void buf_steal(struct buf *b, uint8_t **ret_p, size_t *ret_len);

#endif
