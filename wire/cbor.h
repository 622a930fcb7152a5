/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cbor: strict deterministic CBOR (RFC 8949 §4.2.1): shortest heads, definite lengths, map keys unique and in bytewise
 * order of their encodings. No tags, no floats.
 *
 * Encoding appends to a struct buf; every put is checked once at the end, because the encoder keeps the first error:
 *
 *	struct cbor_enc e = cbor_enc_init(&b);
 *	cbor_put_map(&e, 2);
 *	cbor_put_uint(&e, 1); cbor_put_bytes(&e, p, n);
 *	cbor_put_text(&e, "id"); cbor_put_uint(&e, 7);
 *	if ((err = cbor_enc_end(&e)) < 0) return err;
 *
 * The encoder asserts nothing about key order of maps; the order is the caller's (and the tests').
 *
 * Decoding is a cursor over borrowed bytes; views returned point into the input. The decoder keeps the first error too
 * and then returns zeros, so that a sequence of gets is checked once with cbor_dec_end() (which also refuses trailing
 * bytes):
 *
 *	struct cbor_dec d = cbor_dec_init(bytes);
 *	size_t n = cbor_get_map(&d, 8);          // at most 8 pairs
 *	...
 *	if ((err = cbor_dec_end(&d)) < 0) return err;
 *
 * cbor_check() verifies a whole item structurally once (canonical form, depth, count), in one pass without recursion on
 * the C stack beyond CBOR_MAX_DEPTH; use it first on everything from outside. The getters check shortest form too, and
 * cbor_get_map's keys are checked for order by cbor_check.
 *
 * Two dialects: CBOR_STRICT (Coffer's own objects) and CBOR_RPC, which also accepts unsorted map keys, non-shortest
 * integers, and undefined (0xf7), as the RPC protocol's other clients send them.
 */
#ifndef COFFER_WIRE_CBOR_H
#define COFFER_WIRE_CBOR_H

#include <stdbool.h>
#include "base/buf.h"

#define CBOR_MAX_DEPTH 16

enum cbor_type {
	CBOR_UINT,
	CBOR_NINT,
	CBOR_BYTES,
	CBOR_TEXT,
	CBOR_ARRAY,
	CBOR_MAP,
	CBOR_FALSE,
	CBOR_TRUE,
	CBOR_NULL,
	CBOR_UNDEFINED,
	CBOR_NONE /* end of input or an error */
};

enum cbor_dialect { CBOR_STRICT, CBOR_RPC };

struct cbor_enc {
	struct buf *b;
	int err; /* first error, or OK */
};

struct cbor_enc cbor_enc_init(struct buf *b);
int cbor_enc_end(const struct cbor_enc *e) MUST_CHECK; /* the first error, or OK */
void cbor_put_uint(struct cbor_enc *e, uint64_t v);
void cbor_put_int(struct cbor_enc *e, int64_t v);
void cbor_put_bytes(struct cbor_enc *e, const void *p, size_t n);
void cbor_put_text(struct cbor_enc *e, const char *s);
void cbor_put_text_n(struct cbor_enc *e, const char *s, size_t n);
void cbor_put_array(struct cbor_enc *e, size_t n); /* n items follow */
void cbor_put_map(struct cbor_enc *e, size_t n);   /* n pairs follow */
void cbor_put_bool(struct cbor_enc *e, bool v);
void cbor_put_null(struct cbor_enc *e);
/* an item already encoded, not looked at; ERR_INVALID if empty */
void cbor_put_raw(struct cbor_enc *e, struct bytes item);

struct cbor_dec {
	const uint8_t *p, *end;
	enum cbor_dialect dialect;
	int err;
};

/* Checks that `in` is exactly one canonical item (dialect's rules), nested at most CBOR_MAX_DEPTH, with at most
 * max_items items in all (containers, keys and values count one each). ERR_TRUNCATED, ERR_NONCANONICAL, ERR_RANGE,
 * ERR_INVALID. */
int cbor_check(struct bytes in, enum cbor_dialect dialect, size_t max_items) MUST_CHECK;

struct cbor_dec cbor_dec_init(struct bytes in);     /* strict */
struct cbor_dec cbor_dec_init_rpc(struct bytes in);
/* The first error; else ERR_INVALID if bytes remain; else OK. */
int cbor_dec_end(const struct cbor_dec *d) MUST_CHECK;
int cbor_dec_error(const struct cbor_dec *d);       /* the first error, or OK; bytes may remain */

enum cbor_type cbor_peek(const struct cbor_dec *d);
uint64_t cbor_get_uint(struct cbor_dec *d);
int64_t cbor_get_int(struct cbor_dec *d);
struct bytes cbor_get_bytes(struct cbor_dec *d, size_t max);    /* ERR_RANGE if longer */
struct bytes cbor_get_text(struct cbor_dec *d, size_t max);     /* must be valid UTF-8; no NUL terminator */
void cbor_get_fixed(struct cbor_dec *d, void *out, size_t n);   /* byte string of exactly n bytes, copied */
size_t cbor_get_array(struct cbor_dec *d, size_t max);          /* number of items that follow */
size_t cbor_get_map(struct cbor_dec *d, size_t max);            /* number of pairs that follow */
bool cbor_get_bool(struct cbor_dec *d);
/* consumes null or undefined and returns true; false and nothing if another type */
bool cbor_get_null(struct cbor_dec *d);
struct bytes cbor_get_raw(struct cbor_dec *d); /* one whole item of any type, as a view of its encoding */
void cbor_skip(struct cbor_dec *d);            /* one whole item */
bool cbor_is_text(struct bytes s);             /* UTF-8 as RFC 3629 has it: what may stand in a text string */
bool cbor_text_is(struct bytes text, const char *s);
void cbor_dec_fail(struct cbor_dec *d, int err); /* records err if none is recorded yet */

/* Map access by text key, in any order: finds `key` in an encoded map; *ret_item is the value's encoding.
 * ERR_NOT_FOUND if absent, null or undefined. */
int cbor_map_find(struct bytes map, enum cbor_dialect dialect, const char *key, struct bytes *ret_item) MUST_CHECK;

#endif
