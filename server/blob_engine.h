/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob_engine: what an engine of blob.h gives, and what blob.c and blob_spool.c keep for all of them. For the blob*.c
 * files alone.
 */
#ifndef COFFER_SERVER_BLOB_ENGINE_H
#define COFFER_SERVER_BLOB_ENGINE_H

#include <stdatomic.h>
#include "server/blob.h"

#define BLOB_TMP_SIZE 64

/* Each as the function of blob.h with its name. */
struct blob_engine {
	bool remote;
	void (*close)(struct blobs *b);
	void (*give_up)(struct blobs *b);
	int (*put)(struct blobs *b, const struct id16 *space, const struct id16 *object, struct bytes data);
	int (*sync)(struct blobs *b, const struct id16 *space, const struct id16 *objects, size_t n);
	int (*get)(struct blobs *b, const struct id16 *space, const struct id16 *object, uint64_t from, size_t n,
		struct buf *ret);
	int (*remove)(struct blobs *b, const struct id16 *space, const struct id16 *object);
	int64_t (*size)(struct blobs *b, const struct id16 *space, const struct id16 *object);
	int (*list)(struct blobs *b, const struct blob_seen *after, blob_each *each, void *ctx);
	int (*tidy)(struct blobs *b, int64_t before);
	/* Takes the spooled file `tmp` (a path in b->dir; open as fd, `size` bytes) in under the name; durable. It may
	 * rename the file away: *ret_moved. */
	int (*keep)(struct blobs *b, int fd, const char *tmp, uint64_t size, const struct id16 *space,
		const struct id16 *object, bool *ret_moved);
};

struct blobs {
	const struct blob_engine *engine;
	const struct env *env;
	int dir;                 /* place.dir */
	int own;                 /* tmp/NAME in it, this process's own, locked; -1: looks only */
	char own_name[24];       /* NAME */
	atomic_ullong next;      /* temporary names */
};

/* Opens dir and makes the process's own folder for temporary files in it / without that. blob_base_release closes
 * both. */
int blob_base_open(
	struct blobs *b, const struct blob_engine *engine, const struct env *env, const char *dir) MUST_CHECK;
int blob_base_open_beside(
	struct blobs *b, const struct blob_engine *engine, const struct env *env, const char *dir) MUST_CHECK;
void blob_base_release(struct blobs *b);
/* A fresh path in b->dir. */
void blob_tmp_name(struct blobs *b, char out[BLOB_TMP_SIZE]);
/* Removes the temporary files of processes that are gone. */
void blob_tmp_tidy(struct blobs *b);

struct XXH3_state_s;
/* blob_sum of what went into the state. */
struct id16 blob_sum_digest(const struct XXH3_state_s *state);

int blob_dir_open(const struct env *env, const char *dir, bool beside, struct blobs **ret_b) MUST_CHECK;
int blob_s3_open(const struct env *env, const struct blob_place *place, bool beside, struct blobs **ret_b) MUST_CHECK;

#endif
