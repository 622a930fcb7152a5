/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lets go of content that the relay has confirmed: the chunk's row stays, its bytes do not. Never of what is pinned, open, changed
 * here, or needed by a record that is not sent yet. For the limit, what was not used for longest goes first.
 */
#include <stdlib.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "cache/txn.h"
#include "crypto/secret.h"

#define LIMIT_KEY "store limit"

enum { BATCH = 128, BATCH_OWNERS = 4096, BATCH_BODY = 1 << 20, SEEN_A_TURN = 4096 };

/* What one transaction lets go of. */
struct batch {
	struct store_txn *t;
	uint64_t freed, marked; /* marked: the file that was marked last; staged, it still reads as whole */
	size_t rows, owners;    /* looked at, under one lock */
	int damaged;            /* a row was, of the chunk or of who names it: it stays */
};

static bool batch_full(const struct batch *b)
{
	return b->rows >= BATCH || b->owners >= BATCH_OWNERS || b->t->body.len >= BATCH_BODY;
}

static int mark_owners(struct batch *b, uint64_t chunk)
{
	struct index *ix = b->t->s->index;
	int err;
	for (uint64_t owner = 0; (err = index_chunk_used(ix, chunk, &owner)) == 0;) {
		struct node before, n;
		if (owner == b->marked)
			continue;
		err = index_node_get(ix, owner, &before);
		if (err == ERR_NOT_FOUND || (err == 0 && (before.flags & NODE_PARTIAL)))
			continue;
		n = before;
		n.flags |= NODE_PARTIAL;
		if (err == 0)
			err = txn_put_node(b->t, &n, &before);
		if (err < 0)
			return err;
		b->marked = owner;
	}
	return err == ERR_NOT_FOUND ? 0 : err;
}

/* Whether the file keeps its chunks here. */
static int keeps(struct store *s, uint64_t ino, bool *ret)
{
	struct node n;
	bool pinned = false;
	*ret = false;
	int err = index_node_get(s->index, ino, &n);
	if (err == 0)
		err = pin_has(s, &n, &pinned);
	if (err == 0)
		*ret = pinned || n.change != 0 || holds_has(&s->holds, ino);
	return err == ERR_NOT_FOUND ? 0 : err;
}

/* Nobody keeps the chunk here. One that very many files name stays: letting go of it would mark them all. */
static int may_go(struct store *s, const struct chunk_row *c, size_t *owners, bool *ret)
{
	bool queued, kept = false;
	*ret = false;
	int err = index_chunk_queued(s->index, c->row, &queued);
	if (err < 0 || queued || keep_snapshots(s) || !c->here || !c->confirmed || c->index)
		return err;
	size_t n = 0;
	for (uint64_t owner = 0; (err = index_chunk_used(s->index, c->row, &owner)) == 0; ++*owners) {
		if (++n > CHUNK_OWNERS)
			return 0;
		err = keeps(s, owner, &kept);
		if (err < 0 || kept)
			return err;
	}
	*ret = err == ERR_NOT_FOUND;
	return err == ERR_NOT_FOUND ? 0 : err;
}

/* The plaintext's own extents go; what is read of it next is ERR_ABSENT. */
static int drop_chunk(struct batch *b, struct chunk_row *c)
{
	c->here = false;
	int err = txn_stage(b->t, &(struct op){ .type = OP_CHUNK_PUT, .chunk_row = c });
	if (err == 0)
		err = txn_stage(
			b->t, &(struct op){ .type = OP_EXTENT_CLEAR, .ino = c->row, .off = 0, .len = INT64_MAX });
	return err < 0 ? err : mark_owners(b, c->row);
}

static int evict_row(struct batch *b, uint64_t row, bool *ret_kept)
{
	struct chunk_row c = { .here = true };
	bool go = false;
	int err = index_chunk_get(b->t->s->index, row, &c);
	b->rows++;
	if (err == 0)
		err = may_go(b->t->s, &c, &b->owners, &go);
	if (err == ERR_CORRUPT) {
		b->damaged = err;
		err = 0;
	}
	if (err == 0 && go) {
		b->freed += c.len;
		err = drop_chunk(b, &c);
	}
	*ret_kept = err == 0 && !go && c.here;
	secret_wipe(c.key, sizeof c.key);
	return err;
}

/* How far a file is through. */
struct file_walk {
	uint64_t ino, at, last; /* last: the chunk of the piece before `at` */
	bool busy;              /* something stays */
	bool done;
};

static int may_evict(struct store *s, uint64_t ino)
{
	struct node n;
	bool pinned = false;
	int err = index_node_get(s->index, ino, &n);
	if (err < 0)
		return err;
	if (n.kind != NODE_FILE)
		return n.kind == NODE_DIR ? ERR_IS_DIR : ERR_INVALID;
	err = pin_has(s, &n, &pinned);
	return err == 0 && (pinned || holds_has(&s->holds, ino)) ? ERR_BUSY : err;
}

static int evict_pieces(struct batch *b, struct file_walk *w)
{
	struct piece p;
	int err = may_evict(b->t->s, w->ino);
	while (err == 0 && !batch_full(b)) {
		bool kept = true;
		err = index_extent_next(b->t->s->index, w->ino, w->at, &p);
		w->done = err == ERR_NOT_FOUND;
		if (err < 0)
			return w->done ? 0 : err;
		w->at = p.off + p.len;
		if (p.at.segment == 0) {
			kept = false;
			/* A chunk in several pieces is dropped once: staged, it still reads as here. */
			if (p.at.pos != w->last)
				err = evict_row(b, p.at.pos, &kept);
			w->last = p.at.pos;
		}
		w->busy |= kept;
	}
	return err;
}

int store_evict(struct store *s, uint64_t ino, uint64_t *ret_freed)
{
	struct file_walk w = { .ino = ino };
	uint64_t freed = 0;
	int err = 0, damaged = 0;
	while (err == 0 && !w.done) {
		struct batch b = { .t = NULL };
		err = txn_call_freeing(s, &b.t);
		if (err < 0)
			return err;
		err = txn_end(b.t, evict_pieces(&b, &w));
		freed += err == 0 ? b.freed : 0;
		damaged = damaged < 0 ? damaged : b.damaged;
	}
	if (freed == 0 && err == 0 && w.busy)
		err = damaged < 0 ? damaged : ERR_BUSY;
	if (freed > 0 && (err == ERR_BUSY || err == ERR_NOT_FOUND)) /* opened, or gone, in the middle */
		err = 0;
	if (err == 0)
		*ret_freed = freed;
	return err;
}

/* ---- under a limit ---- */

struct candidate {
	uint64_t row, stamp;
};

struct candidates {
	struct candidate *c;
	size_t n, alloc, seen;
	int damaged; /* rows were passed over */
};

/* A file that was opened uses all its chunks: reads that the kernel answers never come here. */
static int last_use(struct store *s, uint64_t row, size_t *owners, uint64_t *ret_stamp)
{
	uint64_t stamp = 0, one = 0;
	size_t n = 0;
	int err = use_last(s, row, &stamp);
	for (uint64_t owner = 0; err == 0 && (err = index_chunk_used(s->index, row, &owner)) == 0; ++*owners) {
		if (++n > CHUNK_OWNERS) /* it stays anyway */
			break;
		err = use_last(s, owner, &one);
		stamp = one > stamp ? one : stamp;
	}
	*ret_stamp = stamp;
	return err == ERR_NOT_FOUND ? 0 : err;
}

static int add_candidate(struct store *s, struct candidates *list, uint64_t row, size_t *owners)
{
	struct chunk_row c;
	uint64_t stamp = 0;
	int err = index_chunk_get(s->index, row, &c);
	secret_wipe(c.key, sizeof c.key);
	if (err < 0 || !c.here || !c.confirmed || c.index)
		return err;
	err = last_use(s, row, owners, &stamp);
	if (err < 0)
		return err;
	struct candidate *more = array_room(list->c, &list->alloc, list->n + 1, sizeof *more);
	if (!more)
		return ERR_NOMEM;
	list->c = more;
	list->c[list->n++] = (struct candidate){ row, stamp };
	return 0;
}

/* All chunks that may go, some at a time. ERR_NOT_FOUND: that was the last. */
static int list_some(struct store *s, struct candidates *list, uint64_t *row)
{
	size_t owners = 0;
	int err = store_lock(s);
	if (err < 0)
		return err;
	for (int i = 0; err == 0 && i < BATCH && owners < BATCH_OWNERS; i++) {
		err = index_chunk_next(s->index, row);
		if (err < 0)
			break;
		list->seen++;
		err = add_candidate(s, list, *row, &owners);
		if (err == ERR_CORRUPT) {
			list->damaged = err;
			err = 0;
		}
	}
	store_unlock(s);
	return err;
}

static int by_use(const void *va, const void *vb)
{
	const struct candidate *a = va, *b = vb;
	if (a->stamp != b->stamp)
		return a->stamp < b->stamp ? -1 : 1;
	return a->row < b->row ? -1 : a->row > b->row;
}

/* Stamps of rows that are gone. */
static int forget_some(struct store *s, uint64_t *row)
{
	struct chunk_row c;
	struct node n;
	int err = store_lock(s);
	if (err < 0)
		return err;
	for (int i = 0; err == 0 && i < BATCH; i++) {
		err = index_used_next(s->index, row);
		if (err < 0)
			break;
		err = index_chunk_get(s->index, *row, &c);
		secret_wipe(c.key, sizeof c.key);
		if (err == ERR_NOT_FOUND)
			err = index_node_get(s->index, *row, &n);
		if (err == ERR_NOT_FOUND)
			err = index_used_del(s->index, *row);
	}
	store_unlock(s);
	return err;
}

static int evict_batch(struct store *s, struct candidates *list, size_t *next, uint64_t want, uint64_t *freed)
{
	struct batch b = { .t = NULL };
	int err = txn_call_inside(s, &b.t);
	if (err < 0)
		return err;
	while (err == 0 && !batch_full(&b) && *freed + b.freed < want && *next < list->n) {
		bool kept;
		err = evict_row(&b, list->c[(*next)++].row, &kept);
		err = err == ERR_NOT_FOUND ? 0 : err; /* gone meanwhile */
	}
	err = txn_end(b.t, err);
	*freed += err == 0 ? b.freed : 0;
	list->damaged = list->damaged < 0 ? list->damaged : b.damaged;
	return err;
}

static int evict_oldest(struct store *s, uint64_t want)
{
	struct candidates list = { .c = NULL };
	uint64_t row = 0, freed = 0;
	size_t next = 0;
	int err;
	do {
		err = list_some(s, &list, &row);
	} while (err == 0);
	err = err == ERR_NOT_FOUND ? 0 : err;
	if (err == 0 && list.n > 0)
		qsort(list.c, list.n, sizeof *list.c, by_use);
	while (err == 0 && next < list.n && freed < want)
		err = evict_batch(s, &list, &next, want, &freed);
	free(list.c);
	if (freed < want)
		s->evict_rest = (unsigned)(list.seen / SEEN_A_TURN); /* no more may go now, and looking costs */
	for (row = 0; err == 0;)
		err = forget_some(s, &row);
	err = err == ERR_NOT_FOUND ? 0 : err;
	return err == 0 ? list.damaged : err;
}

int store_evict_some(struct store *s)
{
	uint64_t kept = segments_content(s->segments), limit = atomic_load(&s->limit);
	if (limit == 0 || kept <= limit || journal_broken(s->journal))
		return 0;
	if (s->evict_rest > 0 && s->evict_rest-- > 0)
		return 0;
	int err = evict_oldest(s, kept - limit / 10 * 9);
	return err_is_full(err) ? 0 : err;
}

static int use_limit(struct store *s, uint64_t limit)
{
	int err = 0;
	pthread_mutex_lock(&s->lock);
	if (limit != 0 && !s->uses && !(s->uses = calloc(1, sizeof *s->uses)))
		err = ERR_NOMEM;
	if (err == 0)
		atomic_store(&s->limit, limit);
	pthread_mutex_unlock(&s->lock);
	return err;
}

int store_set_limit(struct store *s, uint64_t limit)
{
	struct store_txn *t;
	int err = store_begin(s, &t);
	if (err < 0)
		return err;
	err = txn_meta_put(t, LIMIT_KEY, bytes_of(&limit, sizeof limit));
	if (err == 0)
		err = store_commit(&t);
	else
		store_abort(&t);
	if (err == 0)
		err = use_limit(s, limit);
	tend_kick(s);
	return err;
}

int evict_load_limit(struct store *s)
{
	CLEANUP(buf_release) struct buf value = BUF_INIT(sizeof(uint64_t));
	uint64_t limit = s->config.limit;
	int err = store_lock(s);
	if (err < 0)
		return err;
	err = index_meta_get(s->index, bytes_str(LIMIT_KEY), &value);
	store_unlock(s);
	if (err == 0 && limit == 0 && value.len == sizeof limit)
		memcpy(&limit, value.data, sizeof limit);
	return err < 0 && err != ERR_NOT_FOUND ? err : use_limit(s, limit);
}
