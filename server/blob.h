/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob: the relay's large objects: chunks over 64 KiB and the plain protocol's files, one object each. An object is
 * named by its space and by an id that was drawn for this one upload: nothing is ever overwritten, two uploads never
 * meet under one name, and what was taken away never comes back. Which chunk or file an object belongs to stands in the
 * store (depot.h).
 *
 *	blob_put(b, &space, &object, bytes)    // whole under its name
 *	blob_sync(b, &space, objects, n)       // durable: at the latest before a push that names them is acknowledged
 *
 * Two engines carry it out. The folder (blob_dir.c) keeps files DIR/SPACE/HH/OBJECT (HH: the id's first two hex
 * digits); a put writes a temporary name and renames, and is durable after blob_sync. S3 (blob_s3.c) keeps objects
 * PREFIX/SPACE/OBJECT of a bucket; a put is durable when it returns, since the 200 of a PUT or of
 * CompleteMultipartUpload says so.
 *
 * Any thread may call anything. On S3 every call may wait for the network, so neither the network thread nor the writer
 * does. Errors besides those named: ERR_OFFLINE (S3 does not answer, after some tries), ERR_PERMISSION (it refuses the
 * key), ERR_IO.
 */
#ifndef COFFER_SERVER_BLOB_H
#define COFFER_SERVER_BLOB_H

#include "base/buf.h"
#include "base/env.h"
#include "base/id.h"
#include "server/s3.h"

struct blobs;

struct blob_place {
	const char *dir;             /* made if absent: objects stand here, or on S3 only files on their way in */
	const struct s3_options *s3; /* NULL: the folder is the engine */
};

/* Removes what dead processes left on their way in. S3: also asks whether the bucket can be used: ERR_ABSENT (no such
 * bucket), ERR_FORBIDDEN (the key is refused), ERR_TIMEOUT (no answer). */
int blob_open(const struct env *env, const struct blob_place *place, struct blobs **ret_b) MUST_CHECK;
/* For looking only, also while a relay runs: get, size and list. */
int blob_open_beside(const struct env *env, const struct blob_place *place, struct blobs **ret_b) MUST_CHECK;
void blob_close(struct blobs *b);
/* Calls under way and later ones end soon, with ERR_CANCELLED where they wait for the network. */
void blob_give_up(struct blobs *b);
/* Whether objects stand across the network: a put is durable without blob_sync, and every call may take long. */
bool blob_is_remote(const struct blobs *b);

int blob_put(struct blobs *b, const struct id16 *space, const struct id16 *object, struct bytes data) MUST_CHECK;
/* Makes n objects and their names durable in one go. */
int blob_sync(struct blobs *b, const struct id16 *space, const struct id16 *objects, size_t n) MUST_CHECK;
/* Appends n bytes from `from`. ERR_NOT_FOUND; ERR_CORRUPT if the object is shorter. */
int blob_get(struct blobs *b, const struct id16 *space, const struct id16 *object, uint64_t from, size_t n,
	struct buf *ret) MUST_CHECK;
/* OK also if there is none. */
int blob_remove(struct blobs *b, const struct id16 *space, const struct id16 *object) MUST_CHECK;
/* Size of an object, or a negative error. */
int64_t blob_size(struct blobs *b, const struct id16 *space, const struct id16 *object);

/* A sum that tells whether a disk changed the bytes (XXH3, 128 bits: 0.1 ms a MiB, where SHA-256 would hold up
 * uploads). Who wants to deceive is found out by the readers, who hold the keys. */
struct id16 blob_sum(struct bytes data);
/* The same over a stored object of `size` bytes, read piece by piece. ERR_NOT_FOUND, ERR_CORRUPT if it is shorter. */
int blob_sum_stored(struct blobs *b, const struct id16 *space, const struct id16 *object, uint64_t size,
	struct id16 *ret_sum) MUST_CHECK;

/* --- what is there --- */
struct blob_seen {
	struct id16 space, object;
	int64_t modified; /* unix s */
};

/* Objects after (space, object) of `after`, zeros for the first, in order; about 1,000 at a time, and how many: 0 at
 * the end. each() may stop with a value != 0, which is returned if it is negative. */
typedef int blob_each(void *ctx, const struct blob_seen *seen);
int blob_list(struct blobs *b, const struct blob_seen *after, blob_each *each, void *ctx) MUST_CHECK;
/* Removes what processes that are dead left half done, on S3 what was begun before `before` (unix s). */
int blob_tidy(struct blobs *b, int64_t before) MUST_CHECK;

/* --- files on their way in --- */
/* Written piece by piece to a temporary file of this machine, by one thread at a time, and then kept under a name.
 *
 *	struct blob_spool *s;
 *	blob_spool_new(b, &s); blob_spool_write(s, bytes); ...   // the disk alone: the network thread may
 *	err = blob_spool_keep(s, &space, &object);               // durable; slow
 *	blob_spool_free(s);                                      // removes what was not kept
 */
struct blob_spool;
int blob_spool_new(struct blobs *b, struct blob_spool **ret_s) MUST_CHECK;
int blob_spool_write(struct blob_spool *s, struct bytes data) MUST_CHECK;
uint64_t blob_spool_size(const struct blob_spool *s);
struct id16 blob_spool_sum(const struct blob_spool *s); /* of all that was written */
int blob_spool_keep(struct blob_spool *s, const struct id16 *space, const struct id16 *object) MUST_CHECK;
void blob_spool_free(struct blob_spool *s); /* NULL is allowed */

#endif
