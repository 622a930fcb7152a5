/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lets go of content that the relay has confirmed: the chunk's row stays, its bytes do not. Never of what is pinned, open, or
 * needed by a record that is not sent yet. For the limit, the chunks that came first go first.
 */
#include "cache/txn.h"

enum { BATCH = 128 };

static int mark_owners(struct store_txn *t, uint64_t chunk)
{
	int err;
	for (uint64_t owner = 0; (err = index_chunk_used(t->s->index, chunk, &owner)) == 0;) {
		struct node before, n;
		err = index_node_get(t->s->index, owner, &before);
		if (err == ERR_NOT_FOUND || (err == 0 && (before.flags & NODE_PARTIAL)))
			continue;
		n = before;
		n.flags |= NODE_PARTIAL;
		if (err == 0)
			err = txn_put_node(t, &n, &before);
		if (err < 0)
			return err;
	}
	return err == ERR_NOT_FOUND ? 0 : err;
}

/* Nobody keeps the chunk here. */
static int may_go(struct store *s, const struct chunk_row *c, bool *ret)
{
	bool queued;
	*ret = false;
	int err = index_chunk_queued(s->index, c->row, &queued);
	if (err < 0 || queued || keep_snapshots(s) || !c->here || !c->confirmed || c->index)
		return err;
	for (uint64_t owner = 0; (err = index_chunk_used(s->index, c->row, &owner)) == 0;) {
		struct node n;
		err = index_node_get(s->index, owner, &n);
		if (err < 0 && err != ERR_NOT_FOUND)
			return err;
		if (err == 0 && ((n.flags & NODE_PINNED) || holds_has(&s->holds, owner)))
			return 0;
	}
	if (err == ERR_NOT_FOUND)
		*ret = true;
	return err == ERR_NOT_FOUND ? 0 : err;
}

/* The plaintext's own extents go; what is read of it next is ERR_ABSENT. */
static int drop_chunk(struct store_txn *t, struct chunk_row *c)
{
	c->here = false;
	int err = txn_stage(t, &(struct op){ .type = OP_CHUNK_PUT, .chunk_row = c });
	if (err == 0)
		err = txn_stage(t, &(struct op){ .type = OP_EXTENT_CLEAR, .ino = c->row, .off = 0, .len = INT64_MAX });
	return err < 0 ? err : mark_owners(t, c->row);
}

static int evict_row(struct store_txn *t, uint64_t row, uint64_t *freed, bool *ret_kept)
{
	struct chunk_row c;
	bool go;
	int err = index_chunk_get(t->s->index, row, &c);
	if (err == 0)
		err = may_go(t->s, &c, &go);
	if (err == 0 && go) {
		*freed += c.len;
		err = drop_chunk(t, &c);
	}
	*ret_kept = err == 0 && !go && c.here;
	secret_wipe(c.key, sizeof c.key);
	return err;
}

static int evict_node(struct store_txn *t, uint64_t ino, uint64_t *freed)
{
	struct node n;
	struct piece p;
	int err = index_node_get(t->s->index, ino, &n);
	if (err < 0)
		return err;
	if (n.kind != NODE_FILE)
		return n.kind == NODE_DIR ? ERR_IS_DIR : ERR_INVALID;
	if ((n.flags & NODE_PINNED) || holds_has(&t->s->holds, ino))
		return ERR_BUSY;
	bool busy = false;
	uint64_t last = 0;
	for (uint64_t at = 0; (err = index_extent_next(t->s->index, ino, at, &p)) == 0; at = p.off + p.len) {
		bool kept = false;
		if (p.at.segment != 0) {
			busy = true;
			continue;
		}
		if (p.at.pos != last) /* a chunk in several pieces is dropped once: staged, it still reads as here */
			err = evict_row(t, p.at.pos, freed, &kept);
		if (err < 0)
			return err;
		last = p.at.pos;
		busy |= kept;
	}
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	return busy && *freed == 0 ? ERR_BUSY : 0;
}

int store_evict(struct store *s, uint64_t ino, uint64_t *ret_freed)
{
	struct store_txn *t;
	uint64_t freed = 0;
	int err = txn_call(s, &t);
	if (err < 0)
		return err;
	err = txn_end(t, evict_node(t, ino, &freed));
	if (err == 0)
		*ret_freed = freed;
	return err;
}

/* One transaction's worth, from the row after *row on. */
static int evict_batch(struct store *s, uint64_t *row, uint64_t want, uint64_t *freed)
{
	struct store_txn *t;
	int err = txn_call_inside(s, &t);
	if (err < 0)
		return err;
	for (int i = 0; i < BATCH && *freed < want && (err = index_chunk_next(s->index, row)) == 0; i++) {
		bool kept;
		err = evict_row(t, *row, freed, &kept);
		if (err < 0)
			break;
	}
	bool end = err == ERR_NOT_FOUND;
	err = txn_end(t, end ? 0 : err);
	return err < 0 ? err : end ? ERR_NOT_FOUND : 0;
}

int store_evict_some(struct store *s)
{
	uint64_t live, freed = 0, row = 0;
	segments_bytes(s->segments, &live);
	if (s->config.limit == 0 || live <= s->config.limit || journal_broken(s->journal))
		return 0;
	uint64_t want = live - s->config.limit / 10 * 9;
	int err = 0;
	while (err == 0 && freed < want)
		err = evict_batch(s, &row, want, &freed);
	return err == ERR_NOT_FOUND || err == ERR_NO_SPACE ? 0 : err;
}
