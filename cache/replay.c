/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a store comes back: the index as it was committed, then the journal's entries since, applied in order; then nodes that lost
 * their last name and were only kept for open handles go. The same, without the last step, mends an index that fell behind.
 * On a read-only disk what is replayed stays in the index's open transaction, in memory.
 */
#include "cache/txn.h"

static int load_segments(struct store *s)
{
	uint64_t number = 0, size, live;
	int err;
	segments_reload(s->segments);
	while ((err = index_segment_next(s->index, &number, &size, &live)) == 0) {
		err = segments_add(s->segments, number, size, live);
		if (err < 0)
			return err;
		segments_saved(s->segments, number);
	}
	return err == ERR_NOT_FOUND ? 0 : err;
}

static int apply(void *ctx, const struct journal_entry *e)
{
	struct store *s = ctx;
	s->uncommitted++;
	return op_apply_all(s->index, e->body, &e->data);
}

static int make_root(struct store *s)
{
	struct node root;
	int err = index_node_get(s->index, STORE_ROOT_INO, &root);
	if (err != ERR_NOT_FOUND)
		return err;
	struct store_txn *t;
	err = txn_call(s, &t);
	if (err < 0)
		return err;
	int64_t now = store_now(s);
	root = (struct node){ .ino = STORE_ROOT_INO,
		.kind = NODE_DIR,
		.mode = 0555,
		.nlink = 2,
		.atime = now,
		.mtime = now,
		.ctime = now,
		.btime = now };
	return txn_end(t, txn_stage(t, &(struct op){ .type = OP_NODE_ADD, .node = &root }));
}

static int purge_one(struct store *s, uint64_t ino)
{
	struct store_txn *t;
	struct node n;
	struct piece p;
	int err = txn_call_inside(s, &t);
	if (err < 0)
		return err;
	err = index_node_get(s->index, ino, &n);
	if (err == 0 && n.version == 0)
		err = txn_stage(t, &(struct op){ .type = OP_NODE_DEL, .ino = ino });
	else if (err == 0 && index_extent_next(s->index, ino, 0, &p) == 0)
		err = txn_stage(t, &(struct op){ .type = OP_EXTENT_CLEAR, .ino = ino, .off = 0, .len = INT64_MAX });
	return txn_end(t, err == ERR_NOT_FOUND ? 0 : err);
}

/* So that no start looks at it again. */
static int strike(struct store *s, uint64_t ino)
{
	int err = store_lock(s);
	if (err < 0)
		return err;
	err = index_orphan_del(s->index, ino);
	s->uncommitted += s->uncommitted == 0; /* so that it goes with a commit */
	store_unlock(s);
	return err;
}

static int purge(struct store *s)
{
	int err;
	for (uint64_t ino = 0; (err = index_orphan_next(s->index, &ino)) == 0;) {
		err = purge_one(s, ino);
		if (err == 0)
			err = strike(s, ino);
		if (err < 0)
			return err;
	}
	return err == ERR_NOT_FOUND ? 0 : err;
}

int store_replay(struct store *s)
{
	int err = load_segments(s);
	s->at = *index_state(s->index);
	s->committed_seq = s->at.seq;
	if (err == 0)
		err = journal_replay(s->journal, &s->at, apply, s);
	if (err == 0 && s->frozen)
		return 0;
	if (err == 0)
		err = journal_start(s->journal, &s->at);
	if (err == 0)
		err = make_root(s);
	return err < 0 ? err : purge(s);
}

int store_recover(struct store *s)
{
	struct index_state want = s->at;
	s->behind = true;
	atomic_store(&s->is_late, false);
	txn_wipe_body(&s->late);
	int err = index_rollback(s->index);
	if (err == 0)
		err = load_segments(s);
	if (err < 0)
		return err;
	struct index_state at = *index_state(s->index);
	s->uncommitted = 0;
	err = journal_replay(s->journal, &at, apply, s);
	if (err == 0 && (at.seq != want.seq || at.segment != want.segment || at.pos != want.pos))
		err = ERR_CORRUPT;
	s->behind = err < 0;
	return err;
}
