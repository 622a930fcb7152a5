/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunks: chunks wherever they stand: small ones (CHUNK_SMALL_BLOB) in the store, others as blobs.
 */
#ifndef COFFER_SERVER_CHUNKS_H
#define COFFER_SERVER_CHUNKS_H

#include "server/depot.h"

struct relay;

/* A sum that tells whether a disk changed the bytes (XXH3, 128 bits: 0.1 ms a MiB, where SHA-256 would hold up uploads). Who
 * wants to deceive is found out by the readers, who hold the keys. */
struct id16 chunk_sum(struct bytes blob);

/* Appends n bytes from `from` of a chunk. */
int chunk_read(struct relay *r, struct depot *store, const struct id16 *space, const struct depot_chunk *c,
	uint64_t from, size_t n, struct buf *ret) MUST_CHECK;

/* 1 if a stored chunk is exactly these bytes, 0 if not. */
int chunk_same(struct relay *r, struct depot *store, const struct id16 *space, const struct depot_chunk *c,
	struct bytes blob) MUST_CHECK;

/* Stores a chunk (decoded by the caller: `named` is its list), in the writer's transaction. 1: new; 0: these bytes
 * were here; ERR_CONFLICT: others are. */
int chunk_store(struct relay *r, uint64_t no, const struct id16 *space, const struct id16 *id, struct bytes blob,
	struct bytes named) MUST_CHECK;

#endif
