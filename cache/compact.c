/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives space back: bytes that still count in segments that are less than half alive are written again at the journal's end,
 * as an entry like any other, so that the old segments fall empty and are freed (tend.c). And chunks that nothing names go.
 *
 * A walk over all extents finds the pieces, some at a time, going on where the last one ended. Bytes are read and opened
 * without the lock under a keep; a piece that changed meanwhile is left alone.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "cache/txn.h"

enum {
	VICTIMS = 64,
	VISITS = 256,
	ROUNDS = 64,
	BATCH_BYTES = 1 << 20,
	BATCH_PIECES = 128,
	COLLECT = 512,
	TAIL_LEAST = 16
};

struct victims {
	uint64_t number[VICTIMS];
	size_t n;
};

struct moved {
	uint64_t owner;
	struct piece p;
};

struct batch {
	struct moved m[BATCH_PIECES];
	size_t n, bytes;
	bool wrapped; /* the walk came to its end */
	struct buf data;
};

static void choose(struct store *s, struct victims *v)
{
	struct segment_row row = { .number = 0 };
	uint64_t current = journal_segment(s->journal);
	v->n = 0;
	while (v->n < VICTIMS && segments_next(s->segments, row.number, &row))
		if (row.number < current && row.live > 0 && row.live < (row.size - row.given) / 2)
			v->number[v->n++] = row.number;
}

static bool is_victim(const struct victims *v, uint64_t number)
{
	for (size_t i = 0; i < v->n; i++)
		if (v->number[i] == number)
			return true;
	return false;
}

/* Lock held. Pieces longer than what is left of the batch are taken in part; the rest comes next. */
static int gather(struct store *s, const struct victims *v, struct batch *b)
{
	for (int i = 0; i < VISITS && b->n < BATCH_PIECES && b->bytes < BATCH_BYTES; i++) {
		struct moved m = { .owner = s->walk_owner, .p = { .off = s->walk_off } };
		int err = index_extent_walk(s->index, &m.owner, &m.p);
		if (err == ERR_NOT_FOUND) {
			b->wrapped = true;
			s->walk_owner = s->walk_off = 0;
			return 0;
		}
		if (err < 0)
			return err;
		s->walk_owner = m.owner;
		s->walk_off = m.p.off;
		if (!is_victim(v, m.p.at.segment))
			continue;
		if (m.p.len > BATCH_BYTES - b->bytes) {
			m.p.len = BATCH_BYTES - b->bytes;
			s->walk_off = m.p.off - (m.p.off > 0); /* it begins further on then: look again */
		}
		b->m[b->n++] = m;
		b->bytes += m.p.len;
	}
	return 0;
}

static int read_batch(struct store *s, struct batch *b)
{
	buf_clear(&b->data);
	for (size_t i = 0; i < b->n; i++) {
		uint8_t *p;
		int err = buf_grow(&b->data, (size_t)b->m[i].p.len, &p);
		if (err == 0)
			err = segments_read(s->segments, &b->m[i].p.at, p, (size_t)b->m[i].p.len);
		if (err == ERR_TAMPERED ||
			err == ERR_CORRUPT) { /* damaged bytes stay where they are; verify tells of them */
			b->data.len -= (size_t)b->m[i].p.len;
			b->m[i] = b->m[--b->n];
			i--;
			continue;
		}
		if (err < 0)
			return err;
	}
	return 0;
}

static bool still_there(struct store *s, const struct moved *m)
{
	struct piece now;
	return index_extent_next(s->index, m->owner, m->p.off, &now) == 0 && now.off == m->p.off &&
	       now.len >= m->p.len && now.at.segment == m->p.at.segment && now.at.pos == m->p.at.pos &&
	       now.at.skip == m->p.at.skip;
}

static int write_batch(struct store *s, const struct batch *b)
{
	struct store_txn *t;
	uint64_t from = 0;
	int err = txn_call_inside(s, &t);
	if (err < 0)
		return err;
	for (size_t i = 0; err == 0 && i < b->n; i++) {
		const struct moved *m = &b->m[i];
		uint64_t to;
		if (still_there(s, m)) {
			err = txn_add_data(t, bytes_of(b->data.data + from, (size_t)m->p.len), &to);
			if (err == 0)
				err = txn_stage(t, &(struct op){ .type = OP_EXTENT_DATA,
							   .ino = m->owner,
							   .off = m->p.off,
							   .len = m->p.len,
							   .from = to });
		}
		from += m->p.len;
	}
	return txn_end(t, err);
}

static int move_some(struct store *s, const struct victims *v, struct batch *b)
{
	struct store_keep keep = { .snapshot = false };
	b->n = b->bytes = 0;
	int err = store_lock(s);
	if (err < 0)
		return err;
	err = gather(s, v, b);
	keep_add(s, &keep);
	store_unlock(s);
	if (err == 0)
		err = read_batch(s, b);
	if (err == 0 && b->n > 0)
		err = write_batch(s, b);
	pthread_mutex_lock(&s->lock);
	keep_drop(s, &keep);
	pthread_mutex_unlock(&s->lock);
	return err;
}

int store_compact(struct store *s)
{
	struct victims v;
	if (journal_broken(s->journal))
		return 0;
	choose(s, &v);
	if (v.n == 0)
		return 0;
	FREE_AFTER struct batch *b = calloc(1, sizeof *b);
	if (!b)
		return ERR_NOMEM;
	b->data = (struct buf)BUF_INIT(BATCH_BYTES);
	int err = 0;
	for (int i = 0; err == 0 && i < ROUNDS && !b->wrapped; i++)
		err = move_some(s, &v, b);
	buf_release(&b->data);
	return err == ERR_NO_SPACE ? 0 : err; /* there is no room to make room with: later */
}

/* ---- small appends ---- */

/* Lock held. The next small pieces of the file from *from on; nothing if there is but one. */
static int gather_tail(struct store *s, uint64_t ino, uint64_t *from, struct batch *b)
{
	struct piece p;
	int err = 0;
	b->n = b->bytes = 0;
	while (b->n < BATCH_PIECES && (err = index_extent_next(s->index, ino, *from, &p)) == 0) {
		bool small = p.at.segment != 0 && p.len < SEGMENT_UNIT * 4;
		bool adjoins = b->n == 0 || b->m[b->n - 1].p.off + b->m[b->n - 1].p.len == p.off;
		if (b->n > 0 && (!small || !adjoins))
			break;
		*from = p.off + p.len;
		if (small) {
			b->m[b->n++] = (struct moved){ .owner = ino, .p = p };
			b->bytes += p.len;
		}
	}
	b->wrapped = err == ERR_NOT_FOUND;
	if (b->n < 2)
		b->n = 0;
	return b->wrapped ? 0 : err;
}

static int join_some(struct store *s, struct tail *t, struct batch *b)
{
	struct store_keep keep = { .snapshot = false };
	int err = store_lock(s);
	if (err < 0)
		return err;
	err = gather_tail(s, t->ino, &t->from, b);
	keep_add(s, &keep);
	store_unlock(s);
	if (err == 0)
		err = read_batch(s, b);
	if (err == 0 && b->n > 0)
		err = write_batch(s, b);
	pthread_mutex_lock(&s->lock);
	keep_drop(s, &keep);
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* Each pass joins what came since the last; the joined pieces are too long to be joined again for ever. */
int store_coalesce(struct store *s)
{
	struct tail tails[TAILS];
	if (journal_broken(s->journal))
		return 0;
	pthread_mutex_lock(&s->lock);
	memcpy(tails, s->tails, sizeof tails);
	for (size_t i = 0; i < TAILS; i++)
		if (s->tails[i].count >= TAIL_LEAST)
			s->tails[i] = (struct tail){ .ino = 0 };
	pthread_mutex_unlock(&s->lock);
	struct batch *b = NULL;
	int err = 0;
	for (size_t i = 0; err == 0 && i < TAILS; i++) {
		if (tails[i].count < TAIL_LEAST)
			continue;
		if (!b && !(b = calloc(1, sizeof *b)))
			return ERR_NOMEM;
		b->data.cap = BATCH_BYTES;
		do {
			err = join_some(s, &tails[i], b);
		} while (err == 0 && !b->wrapped);
	}
	if (b)
		buf_release(&b->data);
	free(b);
	return err == ERR_NO_SPACE ? 0 : err;
}

/* ---- chunks that nothing names ---- */

static int look_at(struct store_txn *t, uint64_t row)
{
	struct index *ix = t->s->index;
	struct chunk_row c;
	uint64_t owner = 0;
	bool queued;
	int err = index_chunk_get(ix, row, &c);
	secret_wipe(c.key, sizeof c.key);
	if (err == ERR_NOT_FOUND)
		return index_loose_del(ix, row);
	if (err == 0)
		err = index_chunk_queued(ix, row, &queued);
	if (err < 0)
		return err;
	err = index_chunk_used(ix, row, &owner);
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	/* Index chunks are named by no extent; sync keeps them to send one path of the tree. */
	bool dead = err == ERR_NOT_FOUND && !queued && !c.index;
	return dead ? txn_stage(t, &(struct op){ .type = OP_CHUNK_DEL, .chunk = row }) : index_loose_del(ix, row);
}

int store_collect(struct store *s)
{
	struct store_txn *t;
	uint64_t row = 0;
	if (journal_broken(s->journal))
		return 0;
	int err = txn_call_inside(s, &t);
	if (err < 0)
		return err == ERR_NO_SPACE ? 0 : err;
	for (int i = 0; i < COLLECT && !keep_snapshots(s) && (err = index_loose_next(s->index, &row)) == 0; i++)
		if ((err = look_at(t, row)) < 0)
			break;
	err = txn_end(t, err == ERR_NOT_FOUND ? 0 : err);
	return err == ERR_NO_SPACE ? 0 : err;
}
