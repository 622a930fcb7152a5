/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply: writes records of others into the store: verified, merged with what changed here, shown by the tree's rules.
 *
 *	remote_prepare(&maker, space, blob, cursor, chunks, n, &r, &missing); // no transaction: opens and checks
 *	                                                                      // everything
 *	struct apply a = { .t = t, ... };                              // within a store transaction, one for each step
 *	apply_remote(&a, &r, cursor); ...  tree_settle(&a.tree);
 *	store_commit; use a.tree.inv; apply_release(&a); remote_release(&r);
 *
 * If a.conflicts holds anything at the end, both sides changed the content of these files, and the transaction must not
 * be committed: abort, make a copy of the local content of each under another name (apply_copy_conflict), note it in
 * a.copies, and do the steps again. Errors are the store's; a record that must not be applied never gets so far
 * (remote_prepare refuses it), or is passed over with r->refused set.
 */
#ifndef COFFER_FUSEFS_APPLY_H
#define COFFER_FUSEFS_APPLY_H

#include "fusefs/content.h"
#include "fusefs/space.h"
#include "base/table.h"
#include "fusefs/tree.h"

/* A sealed chunk that came along. */
struct chunk_blob {
	struct id16 id;
	struct bytes blob;
};

struct remote {
	struct bytes blob;
	struct id32 hash;
	struct opened_record o;
	struct content_flat flat;
	struct remote_chunk {
		struct id16 id;
		struct buf plain;
	} *chunks;          /* opened ones of the body's own slices */
	size_t n_chunks;
	int refused;        /* enum err why it is passed over, or 0 */
};

#define REMOTE_INIT { .o = OPENED_RECORD_INIT }

/* cursor: of the line. chunks: ascending by id. ERR_ABSENT: index chunks are missing, neither among the chunks nor in
 * the store: the first is *ret_missing; fetch it and try again. Errors of opening: the record is to be passed over, its
 * line counts. */
int remote_prepare(const struct content_maker *m, struct space *space, struct bytes blob, uint64_t cursor,
	const struct chunk_blob *chunks, size_t n_chunks, struct remote *ret_r, struct slice *ret_missing) MUST_CHECK;
void remote_release(struct remote *r);

struct apply {
	struct store_txn *t;
	struct space *space;
	const struct identity *who;
	int64_t now_wall;
	struct tree tree;
	/* What stands at a later cursor here may be of another history (sync_heal.h); UINT64_MAX: nothing is. */
	uint64_t common;
	const struct table *copies; /* ino -> change + 1 of the state that was copied */
	struct table *conflicts; /* ino -> struct remote *: files that need a copy before this is merged in */
	struct table merged;    /* ino -> change + 1 that a node had before this transaction merged something into it */
	/* The version of a node that was sealed and not confirmed: appends its blob and returns 1; 0 if there is none.
	 * And: it is merged away; its row is deleted in t. */
	int (*pending)(void *ctx, struct store_txn *t, uint64_t ino, struct buf *ret_blob);
	int (*drop)(void *ctx, struct store_txn *t, uint64_t ino);
	/* Whether the rights in a version of this owner and author count here (rights.h). */
	bool (*trusts)(void *ctx, const struct id32 *owner, const struct id32 *author);
	void *ctx;
	uint64_t *profiles;     /* NODE_PROFILE nodes that changed; free() */
	size_t n_profiles;
};

/* A relay replaces a version by one that follows it, so a later step has a higher number: r->refused = ERR_ROLLBACK
 * where it has not. A step from before ours, seen late because an own push was answered first, is passed over. */
int apply_remote(struct apply *a, struct remote *r, uint64_t cursor) MUST_CHECK;
void apply_release(struct apply *a);

/* tree.same_content for spaces: by the records in the store. ctx is the struct space. */
int apply_same_content(void *ctx, struct store_txn *t, const struct node *a, const struct node *b);

/* tree.last_links likewise. */
int apply_last_links(void *ctx, struct tree *tr, const struct node *dir) MUST_CHECK;

struct conflict_copy {
	uint64_t ino, change;      /* the copy; and which change of the file it holds */
	struct invalidation shown; /* mounts are to be told */
};

/* Makes `NAME (conflict, DEVICE, DATE).ext` beside the file (in the space's root, `root`, if it is shown nowhere), with
 * its content, mode and mtime, marked NODE_CONFLICT; without set-user-ID and set-group-ID, and with this process's uid
 * and gid unless `trusted`, whether the rights of the file count here. Outside of any transaction; it gets its name
 * last, so a crash or an error leaves nothing that is seen. ERR_NOT_FOUND: the file has no name any more. ERR_BUSY: the
 * directories it was in went again and again; try later. */
int apply_copy_conflict(struct store *s, const struct identity *who, int64_t now_wall, uint64_t root, uint64_t ino,
			bool trusted, struct conflict_copy *ret_copy) MUST_CHECK;

/* 1 if the file holds now, in its change *ret_change, what the record says: then nothing needs to be kept apart.
 * Outside of any transaction. 0: it does not, or that cannot be told without fetching. */
int apply_same_edit(
	const struct content_maker *m, uint64_t ino, const struct remote *r, uint64_t *ret_change) MUST_CHECK;

/* Conflict copies of a space that were made here and are still called so: renaming or removing one settles it. Those
 * that are settled are forgotten with the transaction, if it is committed. */
int conflict_count(struct store_txn *t, uint32_t space, uint64_t *ret_n) MUST_CHECK;
/* 1 if the node is one of these; negative: an error. */
int conflict_is(struct store_txn *t, const struct node *n) MUST_CHECK;

#endif
