/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunk: a piece of content, sealed under a key of its own, as bytes. docs/FORMAT.md "Chunk".
 *
 * blob   = [ header map, sealed bytes ]       strict CBOR, at most CHUNK_MAX_BLOB bytes
 * header = { 0: format 1, 1: space 16, 2: id 16, 3: chunks named (n*16 ascending, unique; empty but for index chunks) }
 * The AEAD's additional data is CHUNK_LABEL and the encoded header. Not signed: the slice that names it is.
 */
#ifndef COFFER_WIRE_CHUNK_H
#define COFFER_WIRE_CHUNK_H

#include "base/buf.h"
#include "base/id.h"

#define CHUNK_FORMAT 1
#define CHUNK_LABEL "coffer/chunk/1"
#define CHUNK_MAX_NAMED 512
#define CHUNK_MAX_BLOB ((1u << 20) + 16384) /* a full plaintext, what sealing adds, and 512 named ids */
#define CHUNK_SMALL_BLOB (64u * 1024) /* up to this size a chunk travels inside pushes, steps and notifications */

struct chunk {
	struct id16 space, id;
	struct bytes named;  /* concatenated 16-byte ids */
	struct bytes header; /* its encoding inside the blob */
	struct bytes sealed;
};

int chunk_put_header(struct buf *b, const struct id16 *space, const struct id16 *id, struct bytes named) MUST_CHECK;
int chunk_put(struct buf *b, struct bytes header, struct bytes sealed) MUST_CHECK;
int chunk_decode(struct bytes blob, struct chunk *ret_c) MUST_CHECK; /* views point into blob */

#endif
