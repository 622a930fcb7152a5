/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op: the row changes that journal entries are made of. Their numbers and encodings are a format (docs/FORMAT.md
 * "Journal"): never change one, only add. They hold results, no rules: applying the same ops to the same index gives
 * the same index.
 *
 *	op_put(&body, &op);                          // when a call decides what changes
 *	op_apply_all(ix, body, &data_place);         // then, and again in replay
 */
#ifndef COFFER_CACHE_OP_H
#define COFFER_CACHE_OP_H

#include "cache/index.h"

enum op_type {
	OP_NODE_ADD = 1,      /* node */
	OP_NODE_PUT = 2,      /* node; was: its change before; was_flags */
	OP_NODE_DEL = 3,      /* ino */
	OP_TARGET_PUT = 4,    /* ino, value */
	OP_LINK_PUT = 5,      /* link */
	OP_LINK_DEL = 6,      /* id */
	OP_XATTR_PUT = 7,     /* ino, key, value */
	OP_XATTR_DEL = 8,     /* ino, key */
	OP_EXTENT_DATA = 9,   /* ino, off, len, from: offset in this entry's data */
	OP_EXTENT_CLEAR = 10, /* ino, off, len */
	OP_EXTENT_REF = 11,   /* ino, off, len, chunk, from */
	OP_EXTENT_SHARE = 12, /* ino, off, len -> chunk (any owner), from: its offset */
	OP_EXTENT_SHIFT = 13, /* ino, off, delta */
	OP_CHUNK_PUT = 14,    /* chunk_row */
	OP_CHUNK_DEL = 15,    /* chunk */
	OP_SPACE_PUT = 16,    /* space */
	OP_SPACE_DEL = 17,    /* row */
	OP_ENTRY_PUT = 18,    /* row: space; seq, value */
	OP_RECORD_PUT = 19,   /* row: space; id, hash, seq: cursor, value */
	OP_OUTBOX_PUT = 20,   /* outbox, value */
	OP_OUTBOX_DEL = 21,   /* row */
	OP_OUTBOX_CHUNK = 22, /* row, chunk */
	OP_META_PUT = 23,     /* key, value */
	OP_META_DEL = 24,     /* key */
	OP_TOUCHED_PUT = 25,  /* ino, key */
	OP_TOUCHED_DEL = 26,  /* ino, key */
	/* 27 and 28 were used and stay free */
	OP_LINK_NEW = 29      /* link; its id is new and its name free */
};

struct op {
	enum op_type type;
	uint64_t ino, off, len, chunk, from, row, seq, was;
	uint32_t was_flags;
	int64_t delta;
	struct bytes key, value;
	struct id16 id;
	struct id32 hash;
	const struct node *node;
	const struct link *link;
	const struct chunk_row *chunk_row;
	const struct space_row *space;
	const struct outbox_row *outbox;
};

int op_put(struct buf *body, const struct op *op) MUST_CHECK;

/* Applies every op of body; `data` is where the entry's data is. */
int op_apply_all(struct index *ix, struct bytes body, const struct place *data) MUST_CHECK;

#endif
