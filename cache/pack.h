/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack: the compact encoding inside journal entries and index rows: LEB128 integers, length-prefixed bytes, fixed
 * arrays. Only this program writes and reads it, under an AEAD; reading checks bounds all the same.
 *
 * Writing appends to a buf and keeps the first error; reading is a cursor that keeps the first error and then gives
 * zeros:
 *
 *	struct unpack u = unpack_init(bytes);
 *	ino = unpack_u64(&u); ...
 *	if ((err = unpack_end(&u)) < 0) return err;
 */
#ifndef COFFER_CACHE_PACK_H
#define COFFER_CACHE_PACK_H

#include "base/buf.h"

#define PACK_U64_MAX 10 /* bytes of the longest integer */

struct pack {
	struct buf *b;
	int err;
};

struct pack pack_init(struct buf *b);
void pack_u64(struct pack *k, uint64_t v);
void pack_i64(struct pack *k, int64_t v); /* zigzag: small either way is short */
void pack_fixed(struct pack *k, const void *p, size_t n);
void pack_bytes(struct pack *k, struct bytes v);

struct unpack {
	const uint8_t *p, *end;
	int err;
};

struct unpack unpack_init(struct bytes in);
uint64_t unpack_u64(struct unpack *u);
uint32_t unpack_u32(struct unpack *u); /* ERR_CORRUPT if larger */
int64_t unpack_i64(struct unpack *u);
void unpack_fixed(struct unpack *u, void *out, size_t n); /* zeros after an error */
struct bytes unpack_bytes(struct unpack *u, size_t max);  /* a view of the input */
int unpack_end(const struct unpack *u) MUST_CHECK; /* the first error, or ERR_CORRUPT if bytes remain */

#endif
