/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aside: room on the disk that fallocate(2) set aside for files, so that a full disk is ENOSPC there and not at a later
 * write.
 *
 * The store overwrites nothing, so there is no place that a file's bytes could be kept for them. Instead a file is
 * noted with its *target*: so many bytes may be allocated in it. What it lacks of that (index_extent_sum) is kept free
 * for it by a file of that size in the store's directory, which shrinks as the bytes come. The targets stand in meta
 * rows; the file is made anew from them.
 *
 *	aside_load(s);                                   // at the start
 *	aside_more(t, &node, off, len, cleared);         // fallocate; with the call's transaction
 *	aside_cut(t, ino, size); aside_hole(t, ino, n);  // truncated; a hole was made
 *	if (t->tight) t->tight = !aside_use(s, ino, n);  // a write on a full disk
 *	aside_tend(s);                                   // once a second
 *
 * Not more than is asked: bytes that are overwritten take room until they are compacted, and other programs may fill
 * the disk while the file is being made anew. At most ASIDE_FILES files; beyond them fallocate only looks whether there
 * is room now. The store's lock guards everything here; aside_tend takes it.
 */
#ifndef COFFER_CACHE_ASIDE_H
#define COFFER_CACHE_ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

#define ASIDE_FILES 1000

struct store;
struct store_txn;
struct node;

struct aside_file {
	uint64_t ino, target, end; /* end: of what was asked for, in the file; target is never more */
};

struct aside {
	struct aside_file *file;
	size_t n, alloc;
	uint64_t held; /* bytes of the file that keeps the room */
	bool lent;     /* its slack was given to the disk, which is full */
};

/* Reads the targets and makes the file fit; with no room for all of it, for what there is. */
int aside_load(struct store *s) MUST_CHECK;
void aside_release(struct aside *a);

/* What may be allocated in a file; 0: nothing was set aside. */
uint64_t aside_target(const struct store *s, uint64_t ino);
/* Sets aside what [off, off+len) of the file needs; `cleared`: all that is there goes with the same transaction.
 * ERR_NO_SPACE. */
int aside_more(struct store_txn *t, const struct node *n, uint64_t off, uint64_t len, bool cleared) MUST_CHECK;
/* A hole of so many bytes was made; or the file ends at `size` now. */
int aside_hole(struct store_txn *t, uint64_t ino, uint64_t bytes) MUST_CHECK;
int aside_cut(struct store_txn *t, uint64_t ino, uint64_t size) MUST_CHECK;
/* What the transaction changed holds now. */
void aside_done(struct store_txn *t);
/* Gives the disk what a write of len bytes takes, out of what was set aside for that file. False: there is nothing. */
bool aside_use(struct store *s, uint64_t ino, uint64_t len);
/* Forgets files that are full or gone, and makes the file fit what is left. */
int aside_tend(struct store *s) MUST_CHECK;

#endif
