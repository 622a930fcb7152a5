/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob: large chunks, one object each, named by space and id, never overwritten. blob_dir.c keeps them as files
 * DIR/SPACE/HH/ID (HH: the id's first two hex digits); another back end has the same functions.
 *
 *	blob_put(b, &space, &id, bytes)   // whole under its name, not yet durable
 *	blob_sync(b, &space, ids, n)      // durable: at the latest before a push that names them is acknowledged
 *
 * A put writes a temporary name and renames, so a name always holds a whole object while the machine runs; after a
 * power loss an object that was not synced may be short, which the store knows (its row is not `durable`). Used by the
 * writer thread; get and spools by any.
 */
#ifndef COFFER_SERVER_BLOB_H
#define COFFER_SERVER_BLOB_H

#include "base/buf.h"
#include "base/env.h"
#include "base/id.h"

struct blobs;

int blob_open(const struct env *env, const char *dir, struct blobs **ret_b) MUST_CHECK;
/* For looking only, also while a relay runs: get and size. */
int blob_open_beside(const struct env *env, const char *dir, struct blobs **ret_b) MUST_CHECK;
void blob_close(struct blobs *b);

/* ERR_EXISTS: the name holds these same bytes; ERR_CONFLICT: it holds others; ERR_NO_SPACE, ERR_IO. */
int blob_put(struct blobs *b, const struct id16 *space, const struct id16 *id, struct bytes data) MUST_CHECK;
/* Makes n objects and their names durable in one go. */
int blob_sync(struct blobs *b, const struct id16 *space, const struct id16 *ids, size_t n) MUST_CHECK;
/* Appends n bytes from `from`. ERR_NOT_FOUND; ERR_CORRUPT if the object is shorter. */
int blob_get(struct blobs *b, const struct id16 *space, const struct id16 *id, uint64_t from, size_t n,
	struct buf *ret) MUST_CHECK;
int blob_remove(struct blobs *b, const struct id16 *space, const struct id16 *id) MUST_CHECK;

/* A file on its way in, written piece by piece to a temporary name, by one thread at a time, and then kept under its own.
 *
 *	struct blob_spool *s;
 *	blob_spool_new(b, &s); blob_spool_write(s, bytes); ...
 *	err = blob_spool_keep(s, &space, &id);    // durable; slow, so not on the network thread
 *	blob_spool_free(s);                       // removes what was not kept
 */
struct blob_spool;
int blob_spool_new(struct blobs *b, struct blob_spool **ret_s) MUST_CHECK;
int blob_spool_write(struct blob_spool *s, struct bytes data) MUST_CHECK;
uint64_t blob_spool_size(const struct blob_spool *s);
int blob_spool_keep(struct blob_spool *s, const struct id16 *space, const struct id16 *id) MUST_CHECK;
void blob_spool_free(struct blob_spool *s); /* NULL is allowed */

/* Size of an object, or a negative error. */
int64_t blob_size(struct blobs *b, const struct id16 *space, const struct id16 *id);

#endif
