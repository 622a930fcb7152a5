/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index: the tables of the store in SQLite: what the journal says, looked up by key. docs/FORMAT.md "Index".
 *
 * One connection, one transaction that is always open: index_commit() ends it and begins the next. Everything that
 * changes rows is called by op_apply_all() alone (cache/op.h), so that replay does what happened. Functions that change
 * rows report what they give and take of a segment's live bytes to `live`.
 *
 *	index_open(&config, &ix); ... index_commit(ix, &at); index_close(ix);
 *
 * Not thread-safe: the store's lock guards it. ERR_NOMEM, ERR_NO_SPACE, ERR_IO, ERR_CORRUPT; ERR_NOT_FOUND for absent
 * rows. What nodes became may wait in memory for index_commit() (index_held.c); every function here sees it. After an
 * error of a changing function the transaction may hold half of it: the caller rolls back.
 */
#ifndef COFFER_CACHE_INDEX_H
#define COFFER_CACHE_INDEX_H

#include "cache/row.h"
#include "cache/store.h"

struct index;

/* The journal position that a committed index reflects, and the counters that go on from it. */
struct index_state {
	uint64_t segment, pos,
		seq;       /* the entry after the last one applied begins at pos of segment; seq is the last applied */
	uint64_t next_row; /* of nodes, chunks, spaces and outbox rows: one space of ids */
	uint64_t next_segment;
	uint64_t nodes, claims; /* rows of node and claim */
};

/* Where bytes of an extent are. */
struct place {
	uint64_t segment; /* 0: in a chunk */
	uint64_t pos;     /* local: file position of the run's first unit; chunk: its row */
	uint64_t run;     /* local: plaintext length of the run */
	uint64_t skip;    /* of the extent's first byte in the run or chunk */
};

#define PLACE_PENDING UINT32_MAX /* segment of data that is not appended yet */

struct piece {
	uint64_t off, len;
	struct place at;
};

struct index_config {
	const char *vfs; /* name of a registered SQLite VFS; NULL: the default */
	const char *path;
	const uint8_t *name_key; /* 16 bytes, kept until index_close: hash of names */
	void (*live)(void *ctx, uint64_t segment, int64_t delta);
	void *ctx;
	bool fresh; /* there is no file yet */
};

int index_open(const struct index_config *config, struct index **ret_ix) MUST_CHECK;
void index_close(struct index *ix);            /* rolls the open transaction back; NULL is fine */
int index_commit(struct index *ix) MUST_CHECK; /* writes the state, ends the transaction, begins the next */
/* True after an error with which SQLite rolled back everything since the last commit: only index_rollback() works
 * then. */
bool index_lost(const struct index *ix);
int index_rollback(struct index *ix) MUST_CHECK; /* back to the last commit; the state too */
int index_savepoint(struct index *ix) MUST_CHECK;
int index_release(struct index *ix) MUST_CHECK;
int index_rollback_to(struct index *ix) MUST_CHECK; /* and releases */
int index_checkpoint(
	struct index *ix, bool truncate) MUST_CHECK; /* right after index_commit; truncate: the log file too */
struct index_state *index_state(struct index *ix);

/* Nodes and links. */
int index_node_get(struct index *ix, uint64_t ino, struct node *ret) MUST_CHECK;
int index_node_find(struct index *ix, uint32_t space, const struct id16 *id, uint64_t *ret_ino) MUST_CHECK;
int index_node_add(struct index *ix, const struct node *n) MUST_CHECK;
int index_node_put(struct index *ix, const struct node *n, uint64_t was_change, uint32_t was_flags) MUST_CHECK;
int index_node_del(struct index *ix, uint64_t ino) MUST_CHECK; /* with xattrs, target and extents; links must be gone */
int index_target_get(struct index *ix, uint64_t ino, struct buf *out) MUST_CHECK;
int index_target_put(struct index *ix, uint64_t ino, struct bytes target) MUST_CHECK;
int index_dirty_next(
	struct index *ix, uint32_t space, uint64_t *change, uint64_t *ino) MUST_CHECK; /* the one after (both) */
/* Nodes without a name of which something may have to be given back at the next start: unseen ones, tombstones with
 * content. */
int index_orphan_next(struct index *ix, uint64_t *ino) MUST_CHECK;
int index_orphan_del(struct index *ix, uint64_t ino) MUST_CHECK; /* bookkeeping only: not journaled */
int index_dirty_count(struct index *ix, uint64_t *ret) MUST_CHECK;

int index_link_shown(struct index *ix, uint64_t parent, struct bytes name, struct link *ret) MUST_CHECK;
int index_link_get(struct index *ix, const struct id16 *id, struct link *ret) MUST_CHECK;
int index_link_put(
	struct index *ix, const struct link *l) MUST_CHECK; /* ERR_EXISTS: the shown name is another link's */
int index_link_del(struct index *ix, const struct id16 *id) MUST_CHECK;
int index_link_new(struct index *ix, const struct link *l) MUST_CHECK; /* its id is new and its shown name free */
/* Walks the shown links of parent; *cookie is the one before on entry, the found one's on return. */
int index_link_next(struct index *ix, uint64_t parent, uint64_t *cookie, struct link *ret) MUST_CHECK;
/* Walks the links of a node in no particular order; *at = {0,0} to begin. */
int index_link_of_next(struct index *ix, uint64_t ino, struct link_at *at, struct link *ret) MUST_CHECK;
/* Walks the links whose register is (parent, name) or, with name.len 0, in parent, but which are shown elsewhere or
 * not. */
int index_claim_next(struct index *ix, uint64_t parent, struct bytes name, uint64_t *hash, struct id16 *id,
	struct link *ret) MUST_CHECK;

int index_xattr_get(struct index *ix, uint64_t ino, struct bytes name, struct buf *out) MUST_CHECK;
int index_xattr_put(struct index *ix, uint64_t ino, struct bytes name, struct bytes value) MUST_CHECK;
int index_xattr_del(struct index *ix, uint64_t ino, struct bytes name) MUST_CHECK;
/* Walks by name; *name (cap 255) is the one before on entry (empty: begin). value may be NULL. */
int index_xattr_next(struct index *ix, uint64_t ino, struct buf *name, struct buf *value) MUST_CHECK;

/* Content: what [off, off+len) of an owner (ino or chunk row) is made of. */
int index_extent_clear(struct index *ix, uint64_t owner, uint64_t off, uint64_t len) MUST_CHECK;
int index_extent_put(struct index *ix, uint64_t owner, const struct piece *p) MUST_CHECK; /* replaces what is there */
int index_extent_shift(
	struct index *ix, uint64_t owner, uint64_t from, int64_t delta) MUST_CHECK; /* all at or after from */
/* Copies (share) or moves the pieces of [off, off+len) of one owner over [to_off, ...) of another. */
int index_extent_share(
	struct index *ix, uint64_t owner, uint64_t off, uint64_t len, uint64_t to, uint64_t to_off) MUST_CHECK;
/* The first piece that ends after off, cut to begin at off if it contains it. ERR_NOT_FOUND. */
int index_extent_next(struct index *ix, uint64_t owner, uint64_t off, struct piece *ret) MUST_CHECK;
/* Pieces overlapping [off, off+len) into p[0..max), cut to it; *ret_n of them (max: there may be more). */
int index_extents(struct index *ix, uint64_t owner, uint64_t off, uint64_t len, struct piece *p, size_t max,
	size_t *ret_n) MUST_CHECK;
int index_extent_sum(struct index *ix, uint64_t owner, uint64_t *ret_bytes) MUST_CHECK; /* that pieces cover */
/* The next pieces of all owners after (*owner, *off), at most max of them, those in chunks too; moves *owner and *off
 * on. */
struct owned {
	uint64_t owner;
	struct piece p;
};
int index_extent_walk(
	struct index *ix, uint64_t *owner, uint64_t *off, struct owned *o, size_t max, size_t *ret_n) MUST_CHECK;
int index_chunk_used(
	struct index *ix, uint64_t chunk, uint64_t *ret_owner) MUST_CHECK; /* an owner after *ret_owner that names it */

/* Sync. Each _next walks in key order; keys hold the one before on entry. */
int index_chunk_get(struct index *ix, uint64_t row, struct chunk_row *ret) MUST_CHECK;
int index_chunk_find(struct index *ix, uint32_t space, const struct id16 *id, uint64_t *ret_row) MUST_CHECK;
int index_chunk_put(struct index *ix, const struct chunk_row *c) MUST_CHECK;
int index_chunk_del(struct index *ix, uint64_t row) MUST_CHECK; /* with its extents */
int index_chunk_next(struct index *ix, uint64_t *row) MUST_CHECK;
int index_chunk_queued(struct index *ix, uint64_t row, bool *ret_queued) MUST_CHECK; /* an outbox row needs it */
int index_loose_next(struct index *ix, uint64_t *row) MUST_CHECK;                    /* chunks that lost a reference */
int index_loose_del(struct index *ix, uint64_t row) MUST_CHECK; /* bookkeeping only: not journaled */
int index_loose_put(struct index *ix, uint64_t row) MUST_CHECK;

/* When a chunk or node was last used (cache/use.h). Bookkeeping only: not journaled. */
int index_used_put(struct index *ix, uint64_t row, uint64_t stamp) MUST_CHECK;
int index_used_get(struct index *ix, uint64_t row, uint64_t *ret_stamp) MUST_CHECK;
int index_used_next(struct index *ix, uint64_t *row) MUST_CHECK;
int index_used_del(struct index *ix, uint64_t row) MUST_CHECK;

int index_space_put(struct index *ix, const struct space_row *r) MUST_CHECK;
int index_space_get(struct index *ix, uint32_t row, struct space_row *ret) MUST_CHECK;
int index_space_next(struct index *ix, uint32_t *row, struct space_row *ret) MUST_CHECK;
int index_space_del(struct index *ix, uint32_t row) MUST_CHECK; /* its row, log entries, records and outbox */
int index_space_node_next(struct index *ix, uint32_t space, struct id16 *id,
	uint64_t *ret_ino) MUST_CHECK; /* ids in order; the zero id not */

int index_entry_put(struct index *ix, uint32_t space, uint64_t seq, struct bytes blob) MUST_CHECK;
int index_entry_get(
	struct index *ix, uint32_t space, uint64_t *seq, struct buf *blob) MUST_CHECK; /* the first at or after *seq */

int index_record_put(struct index *ix, uint32_t space, const struct id16 *id, const struct id32 *hash, uint64_t cursor,
	struct bytes blob) MUST_CHECK;
int index_record_get(struct index *ix, uint32_t space, const struct id16 *id, struct id32 *ret_hash,
	uint64_t *ret_cursor, struct buf *blob) MUST_CHECK;
/* The record after *at, and moves it on. blob: replaced, or NULL. */
int index_record_next(struct index *ix, uint32_t space, struct record_at *at, struct buf *blob) MUST_CHECK;

int index_outbox_put(struct index *ix, const struct outbox_row *r, struct bytes blob) MUST_CHECK;
int index_outbox_next(struct index *ix, uint64_t *row, struct outbox_row *ret, struct buf *blob) MUST_CHECK;
int index_outbox_del(struct index *ix, uint64_t row) MUST_CHECK;
int index_outbox_chunk_put(struct index *ix, uint64_t row, uint64_t chunk) MUST_CHECK;
int index_outbox_chunk_next(struct index *ix, uint64_t row, uint64_t *chunk) MUST_CHECK;
int index_outbox_count(struct index *ix, uint64_t *ret) MUST_CHECK;

int index_meta_get(struct index *ix, struct bytes key, struct buf *out) MUST_CHECK;
int index_meta_put(struct index *ix, struct bytes key, struct bytes value) MUST_CHECK;
int index_meta_del(struct index *ix, struct bytes key) MUST_CHECK;
int index_meta_next(struct index *ix, struct buf *key, struct buf *value) MUST_CHECK; /* the first after *key */

int index_touched_put(struct index *ix, uint64_t parent, struct bytes name) MUST_CHECK;
int index_touched_del(struct index *ix, uint64_t parent, struct bytes name) MUST_CHECK;
int index_touched_next(struct index *ix, uint64_t *parent, struct buf *name) MUST_CHECK; /* the first after these */

int index_segment_put(struct index *ix, uint64_t number, uint64_t size, uint64_t live) MUST_CHECK;
int index_segment_del(struct index *ix, uint64_t number) MUST_CHECK;
int index_segment_next(struct index *ix, uint64_t *number, uint64_t *ret_size, uint64_t *ret_live) MUST_CHECK;

#endif
