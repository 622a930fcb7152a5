/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query: the prepared statements of the index, for the files index_*.c alone.
 *
 *	if ((err = query_row(ix, Q_NODE_GET, "i", ino)) < 0) return err;      // ERR_NOT_FOUND if no row
 *	struct bytes attr = query_blob(ix, Q_NODE_GET, 0); ... query_done(ix, Q_NODE_GET);
 *	return query_run(ix, Q_NODE_DEL, "i", ino);                           // statements without rows
 *
 * Types of arguments: i uint64_t, b struct bytes, t const char *. Views of a row are valid until query_done().
 */
#ifndef COFFER_CACHE_QUERY_H
#define COFFER_CACHE_QUERY_H

#include <sqlite3.h>
#include "cache/index.h"

enum query {
	Q_BEGIN,
	Q_COMMIT,
	Q_ROLLBACK,
	Q_SAVEPOINT,
	Q_RELEASE,
	Q_ROLLBACK_TO,
	Q_STATE_GET,
	Q_STATE_PUT,
	Q_SEGMENT_PUT,
	Q_SEGMENT_DEL,
	Q_SEGMENT_NEXT,
	Q_NODE_GET,
	Q_NODE_PUT,
	Q_NODE_DEL,
	Q_NODE_ID_ADD,
	Q_NODE_ID_GET,
	Q_NODE_ID_DEL,
	Q_NODE_ID_NEXT,
	Q_TARGET_GET,
	Q_TARGET_PUT,
	Q_TARGET_DEL,
	Q_DIRTY_PUT,
	Q_DIRTY_DEL,
	Q_DIRTY_NEXT,
	Q_DIRTY_COUNT,
	Q_ORPHAN_PUT,
	Q_ORPHAN_DEL,
	Q_ORPHAN_NEXT,
	Q_LINK_SHOWN,
	Q_LINK_AT,
	Q_LINK_ADD,
	Q_LINK_PUT,
	Q_LINK_DEL,
	Q_LINK_NEXT,
	Q_LINK_ID_GET,
	Q_LINK_ID_PUT,
	Q_LINK_ID_DEL,
	Q_LINK_INO_ADD,
	Q_LINK_INO_DEL,
	Q_LINK_INO_NEXT,
	Q_CLAIM_PUT,
	Q_CLAIM_DEL,
	Q_CLAIM_NEXT,
	Q_XATTR_ANY,
	Q_XATTR_GET,
	Q_XATTR_PUT,
	Q_XATTR_DEL,
	Q_XATTR_NEXT,
	Q_XATTR_CLEAR,
	Q_EXTENT_BEFORE,
	Q_EXTENT_BELOW,
	Q_EXTENT_FROM,
	Q_EXTENT_ADD,
	Q_EXTENT_LEN,
	Q_EXTENT_DEL,
	Q_EXTENT_LAST,
	Q_EXTENT_MOVE,
	Q_EXTENT_WALK,
	Q_EXTENT_CHUNK,
	Q_EXTENT_SUM,
	Q_CHUNK_GET,
	Q_CHUNK_PUT,
	Q_CHUNK_DEL,
	Q_CHUNK_NEXT,
	Q_CHUNK_ID_GET,
	Q_CHUNK_ID_PUT,
	Q_CHUNK_ID_DEL,
	Q_CHUNK_QUEUED,
	Q_LOOSE_PUT,
	Q_LOOSE_DEL,
	Q_LOOSE_NEXT,
	Q_USED_PUT,
	Q_USED_GET,
	Q_USED_NEXT,
	Q_USED_DEL,
	Q_SPACE_GET,
	Q_SPACE_PUT,
	Q_SPACE_DEL,
	Q_SPACE_NEXT,
	Q_SPACE_ENTRIES_DEL,
	Q_SPACE_RECORDS_DEL,
	Q_ENTRY_PUT,
	Q_ENTRY_GET,
	Q_RECORD_GET,
	Q_RECORD_PUT,
	Q_RECORD_NEXT,
	Q_OUTBOX_PUT,
	Q_OUTBOX_NEXT,
	Q_OUTBOX_DEL,
	Q_OUTBOX_COUNT,
	Q_OUTBOX_CHUNK_PUT,
	Q_OUTBOX_CHUNK_NEXT,
	Q_OUTBOX_CHUNK_DEL,
	Q_META_GET,
	Q_META_PUT,
	Q_META_DEL,
	Q_META_NEXT,
	Q_TOUCHED_PUT,
	Q_TOUCHED_DEL,
	Q_TOUCHED_NEXT,
	Q_COUNT
};

struct held_node; /* index_held.c */

/* What the pieces of an owner sum up to, of those that were asked for last; index_extent.c. */
struct extent_sum {
	uint64_t owner, bytes; /* owner 0: free */
};
enum { EXTENT_SUMS = 256 };

/* The last piece of an owner, of those that were written to last; index_extent.c. */
struct extent_last {
	uint64_t owner; /* 0: free */
	struct piece p; /* len 0: it has none */
};
enum { EXTENT_LASTS = 256 };

/* What the last look-up of a shown name found, for those that follow: they are often of the same name. */
struct seen_link {
	enum { SEEN_NOTHING, SEEN_LINK, SEEN_ABSENT } what; /* absent: no name of that hash */
	struct link_at at;
	struct link link;
};

struct index {
	sqlite3 *db;
	sqlite3_stmt *st[Q_COUNT];
	struct index_config config;
	bool begun; /* the transaction that is always open has been begun */
	bool lost;  /* SQLite rolled it back after an error: nothing may run until index_rollback() */
	struct index_state state, at_commit, at_savepoint;
	struct buf row;         /* scratch for packed rows */
	struct held_node *held; /* the nodes in memory: held_init() to held_free() */
	size_t unwritten;       /* of them are not yet in the tables */
	struct extent_sum sums[EXTENT_SUMS]; /* each in the one slot that its owner's number gives */
	struct extent_last lasts[EXTENT_LASTS]; /* the same */
	struct seen_link seen;
	bool xattrs; /* there may be some */
};

void extent_forget(struct index *ix); /* what is known of pieces, when the tables go back */

int held_init(struct index *ix) MUST_CHECK;
void held_free(struct index *ix);
/* Writes what the tables lack: before a commit, a savepoint, a walk of the tables. */
int held_write(struct index *ix) MUST_CHECK;
bool held_ends_by(struct index *ix, uint64_t ino, uint64_t off); /* it is held, and no longer than that */
void held_forget(struct index *ix); /* when the tables go back; the link that was seen as well */

int query_error(struct index *ix, int rc);
int query_row(struct index *ix, enum query q, const char *types, ...) MUST_CHECK;
/* The next row of a query_row() that is not done. ERR_NOT_FOUND at the end; query_done() is due in any case. */
int query_next(struct index *ix, enum query q) MUST_CHECK;
int query_run(struct index *ix, enum query q, const char *types, ...) MUST_CHECK;
void query_done(struct index *ix, enum query q);
uint64_t query_u64(struct index *ix, enum query q, int column);
struct bytes query_blob(struct index *ix, enum query q, int column);
int query_copy(struct index *ix, enum query q, int column, struct buf *out) MUST_CHECK; /* replaces what is in out */

#endif
