/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunks: chunks wherever they stand: small ones (CHUNK_SMALL_BLOB) in the store, others as blobs.
 */
#ifndef COFFER_SERVER_CHUNKS_H
#define COFFER_SERVER_CHUNKS_H

#include "server/depot.h"

struct relay;

/* Appends n bytes from `from` of a chunk. */
int chunk_read(struct relay *r, struct depot *store, const struct id16 *space, const struct depot_chunk *c,
	uint64_t from, size_t n, struct buf *ret) MUST_CHECK;

/* A chunk that was sent to be stored, decoded by the caller. */
struct chunk_new {
	struct id16 space, id;
	struct bytes blob, named;
	bool kept;          /* chunk_keep brought it into an object */
	struct id16 object; /* its name then */
};

/* Large chunks first: 1 when it is kept as an object, 0 if there is no need to: it is small, or these bytes are here;
 * ERR_CONFLICT: others are. Any thread; it may take as long as the network does. An object that chunk_store does not
 * take becomes garbage there; one that a crash cuts off from its row is found by sweep.h. */
int chunk_keep(struct relay *r, struct depot *store, uint64_t no, struct chunk_new *c) MUST_CHECK;

/* Stores a chunk, in the writer's transaction. 1: new, also when it is done again after a commit that seemed to fail;
 * 0: these bytes were here; ERR_CONFLICT: others are; ERR_AGAIN: it is large and was not kept, because the one that was
 * here then is gone: keep it, and try again. */
int chunk_store(struct relay *r, uint64_t no, const struct chunk_new *c) MUST_CHECK;
/* Stores n small chunks of one space. ERR_CONFLICT: of one others are here; of the rest some may be stored. */
int chunks_store(struct relay *r, uint64_t no, const struct chunk_new *c, size_t n) MUST_CHECK;

/* An object that was kept in vain, unless its row is there: it goes later. In the writer's transaction. */
int chunk_drop(struct relay *r, const struct chunk_new *c) MUST_CHECK;

#endif
