/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions of sync on content, chunks, the outbox and the list of local changes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "cache/txn.h"

enum { BLOB_MAX = 2 << 20, MARKS_A_TURN = 64 };

/* ---- content ---- */

int txn_extents(struct store_txn *t, uint64_t ino, struct extent **ret_e, size_t *ret_n)
{
	FREE_AFTER struct extent *e = NULL;
	size_t n = 0, alloc = 0;
	struct piece p[64];
	for (uint64_t at = 0;;) {
		size_t found;
		int err = index_extents(t->s->index, ino, at, INT64_MAX, p, 64, &found);
		if (err < 0)
			return err;
		struct extent *more = array_room(e, &alloc, n + found, sizeof *e);
		if (!more)
			return ERR_NOMEM;
		e = more;
		for (size_t i = 0; i < found; i++) {
			const struct place *where = &p[i].at;
			e[n] = (struct extent){ .off = p[i].off, .len = p[i].len };
			if (where->segment == 0) {
				e[n].chunk = where->pos;
				e[n].from = (uint32_t)where->skip;
			} else {
				e[n].segment = where->segment;
				e[n].pos = where->pos;
				e[n].run = where->run;
				e[n].skip = where->skip;
			}
			n++;
		}
		if (found < 64)
			break;
		at = p[found - 1].off + p[found - 1].len;
	}
	*ret_e = STEAL(&e);
	*ret_n = n;
	return 0;
}

static int set_partial(struct store_txn *t, uint64_t ino, bool partial)
{
	struct node before, n;
	int err = index_node_get(t->s->index, ino, &before);
	if (err < 0)
		return err == ERR_NOT_FOUND ? 0 : err;
	n = before;
	n.flags = partial ? n.flags | NODE_PARTIAL : n.flags & ~(uint32_t)NODE_PARTIAL;
	return n.flags == before.flags ? 0 : txn_put_node(t, &n, &before);
}

int txn_content_clear(struct store_txn *t, uint64_t ino)
{
	int err = txn_stage(t, &(struct op){ .type = OP_EXTENT_CLEAR, .ino = ino, .off = 0, .len = INT64_MAX });
	return err < 0 ? err : set_partial(t, ino, false);
}

int txn_content_data(struct store_txn *t, uint64_t ino, uint64_t off, struct bytes data)
{
	uint64_t from;
	if (data.len == 0)
		return 0;
	if (off > INT64_MAX || data.len > INT64_MAX - off)
		return ERR_FILE_TOO_BIG;
	int err = txn_add_data(t, data, &from);
	return err < 0 ? err
		       : txn_stage(t, &(struct op){ .type = OP_EXTENT_DATA,
					      .ino = ino,
					      .off = off,
					      .len = data.len,
					      .from = from });
}

int txn_content_ref(struct store_txn *t, uint64_t ino, uint64_t off, uint64_t len, uint64_t chunk, uint32_t from)
{
	struct chunk_row c;
	int err = index_chunk_get(t->s->index, chunk, &c);
	secret_wipe(c.key, sizeof c.key);
	if (err < 0)
		return err;
	if (len == 0 || from > c.len || len > c.len - from || off > INT64_MAX - len)
		return ERR_INVALID;
	err = txn_stage(
		t, &(struct op){
			   .type = OP_EXTENT_REF, .ino = ino, .off = off, .len = len, .chunk = chunk, .from = from });
	return err < 0 || c.here ? err : set_partial(t, ino, true);
}

/* ---- chunks ---- */

int txn_chunk_find(struct store_txn *t, uint32_t space, const struct id16 *id, struct chunk_row *ret)
{
	uint64_t row;
	int err = index_chunk_find(t->s->index, space, id, &row);
	return err < 0 ? err : index_chunk_get(t->s->index, row, ret);
}

int txn_chunk_get(struct store_txn *t, uint64_t row, struct chunk_row *ret)
{
	return index_chunk_get(t->s->index, row, ret);
}

int txn_chunk_add(struct store_txn *t, struct chunk_row *c)
{
	uint64_t row;
	int err = index_chunk_find(t->s->index, c->space, &c->id, &row);
	if (err != ERR_NOT_FOUND)
		return err < 0 ? err : ERR_EXISTS;
	if (c->len == 0 || c->len > CHUNK_MAX_PLAIN)
		return ERR_INVALID;
	row = txn_new_row(t);
	struct chunk_row add = *c;
	add.row = row;
	add.here = false;
	err = txn_stage(t, &(struct op){ .type = OP_CHUNK_PUT, .chunk_row = &add });
	secret_wipe(add.key, sizeof add.key);
	if (err == 0) {
		c->row = row;
		c->here = false;
	}
	return err;
}

static int chunk_put(struct store_txn *t, struct chunk_row *c)
{
	int err = txn_stage(t, &(struct op){ .type = OP_CHUNK_PUT, .chunk_row = c });
	secret_wipe(c->key, sizeof c->key);
	return err;
}

int txn_chunk_confirm(struct store_txn *t, uint64_t row)
{
	struct chunk_row c;
	int err = index_chunk_get(t->s->index, row, &c);
	if (err < 0 || c.confirmed)
		return err;
	c.confirmed = true;
	return chunk_put(t, &c);
}

/* The hint of a file; one that has none takes another's. */
static struct absent *absent_hint(struct store *s, uint64_t ino)
{
	for (size_t i = 0; i < ABSENT; i++)
		if (s->absent[i].ino == ino)
			return &s->absent[i];
	struct absent *hint = &s->absent[s->next_absent++ % ABSENT];
	*hint = (struct absent){ .ino = ino };
	return hint;
}

/* Whether a chunk is absent in [from, to) of ino; where is noted, to look there first the next time: a file that comes chunk after
 * chunk is walked once in all, not once for each. */
static int find_absent(
	struct store_txn *t, uint64_t ino, uint64_t from, uint64_t to, struct absent *hint, bool *ret_found)
{
	struct piece p;
	int err = 0;
	*ret_found = false;
	for (uint64_t at = from; at < to && (err = index_extent_next(t->s->index, ino, at, &p)) == 0;
		at = p.off + p.len) {
		struct chunk_row c;
		if (p.at.segment != 0)
			continue;
		err = index_chunk_get(t->s->index, p.at.pos, &c);
		secret_wipe(c.key, sizeof c.key);
		if (err < 0)
			return err;
		if (c.here)
			continue;
		hint->off = p.off;
		*ret_found = true;
		return 0;
	}
	return err == ERR_NOT_FOUND ? 0 : err;
}

/* Nothing of ino is missing any more? */
static int refresh_partial(struct store_txn *t, uint64_t ino)
{
	struct node n;
	bool absent;
	int err = index_node_get(t->s->index, ino, &n);
	if (err < 0 || !(n.flags & NODE_PARTIAL))
		return err == ERR_NOT_FOUND ? 0 : err;
	struct absent *hint = absent_hint(t->s, ino);
	uint64_t from = hint->off;
	err = find_absent(t, ino, from, INT64_MAX, hint, &absent);
	if (err == 0 && !absent)
		err = find_absent(t, ino, 0, from, hint, &absent);
	return err < 0 || absent ? err : set_partial(t, ino, false);
}

#define MARKS_KEY "marks/" /* docs/FORMAT.md */

static void marks_key(uint64_t chunk, char key[32])
{
	snprintf(key, 32, MARKS_KEY "%016" PRIx64, chunk);
}

/* Of the files that name the chunk, those after `owner`; if they are very many the rest waits for housekeeping. */
static int refresh_owners(struct store_txn *t, uint64_t chunk, uint64_t owner, bool *ret_all)
{
	uint64_t next = owner;
	size_t n = 0;
	int err;
	while ((err = index_chunk_used(t->s->index, chunk, &next)) == 0 && n++ < CHUNK_OWNERS) {
		owner = next;
		err = refresh_partial(t, owner);
		if (err < 0)
			return err;
	}
	*ret_all = err == ERR_NOT_FOUND;
	if (err < 0)
		return *ret_all ? 0 : err;
	char key[32];
	uint8_t value[sizeof owner];
	marks_key(chunk, key);
	bytes_put_le(value, owner, sizeof value);
	return txn_meta_put(t, key, bytes_of(value, sizeof value));
}

struct marks {
	uint64_t chunk, owner;
	int err;
};

static int take_marks(void *ctx, const char *key, struct bytes value)
{
	struct marks *m = ctx;
	m->err = value.len == sizeof m->owner && sscanf(key, MARKS_KEY "%16" SCNx64, &m->chunk) == 1 ? 0 : ERR_CORRUPT;
	if (m->err == 0)
		m->owner = bytes_get_le(value.p, sizeof m->owner);
	return 0;
}

/* Some files of the first chunk that is on the list. */
static int refresh_more(struct store_txn *t)
{
	struct marks m = { .err = ERR_NOT_FOUND };
	bool all;
	char key[32];
	int err = txn_meta_each(t, MARKS_KEY, take_marks, &m);
	if (err == 0)
		err = m.err;
	if (err == 0)
		err = refresh_owners(t, m.chunk, m.owner, &all);
	if (err < 0 || !all)
		return err;
	marks_key(m.chunk, key);
	return txn_meta_del(t, key);
}

int store_refresh_marks(struct store *s)
{
	int err = journal_broken(s->journal) ? ERR_NOT_FOUND : 0;
	for (int i = 0; err == 0 && i < MARKS_A_TURN; i++) {
		struct store_txn *t;
		err = txn_call_inside(s, &t);
		if (err < 0)
			return err;
		t->frees = false;
		t->keeps_house = true;
		err = txn_end(t, refresh_more(t));
	}
	return err == ERR_NOT_FOUND || err_is_full(err) ? 0 : err;
}

static int now_here(struct store_txn *t, struct chunk_row *c)
{
	uint64_t row = c->row;
	c->here = true;
	use_note(t->s, row);
	bool all;
	int err = chunk_put(t, c);
	return err < 0 ? err : refresh_owners(t, row, 0, &all);
}

int txn_chunk_fill(struct store_txn *t, uint64_t row, struct bytes plain)
{
	struct chunk_row c;
	uint64_t from;
	int err = index_chunk_get(t->s->index, row, &c);
	if (err < 0 || c.here)
		return err;
	if (plain.len != c.len)
		return ERR_INVALID;
	err = txn_add_data(t, plain, &from);
	if (err == 0)
		err = txn_stage(t,
			&(struct op){ .type = OP_EXTENT_DATA, .ino = row, .off = 0, .len = plain.len, .from = from });
	return err < 0 ? err : now_here(t, &c);
}

/* The pieces of ino in [off, off+len) are those of seen there. */
static int unchanged(
	struct store_txn *t, uint64_t ino, uint64_t off, uint64_t len, const struct extent *seen, size_t n_seen)
{
	uint64_t end = off + len;
	for (size_t i = 0; i < n_seen; i++) {
		const struct extent *e = &seen[i];
		if (e->off + e->len <= off || e->off >= end)
			continue;
		uint64_t from = e->off > off ? e->off : off, to = e->off + e->len < end ? e->off + e->len : end;
		for (uint64_t at = from;
			at < to;) { /* one piece then may be several by now, side by side in the same place */
			struct piece p;
			int err = index_extent_next(t->s->index, ino, at, &p);
			if (err < 0 || p.off != at)
				return err < 0 && err != ERR_NOT_FOUND ? err : ERR_CONFLICT;
			if (e->chunk != 0 || p.at.segment != e->segment || p.at.pos != e->pos ||
				p.at.skip != e->skip + (at - e->off))
				return ERR_CONFLICT;
			at = p.off + p.len;
		}
	}
	return 0;
}

/* Bytes of [off, off+len) that pieces cover. */
static int covered(struct index *ix, uint64_t ino, uint64_t off, uint64_t len, uint64_t *ret)
{
	uint64_t end = off + len, sum = 0;
	for (uint64_t at = off; at < end;) {
		struct piece p;
		int err = index_extent_next(ix, ino, at, &p);
		if (err < 0 && err != ERR_NOT_FOUND)
			return err;
		if (err < 0 || p.off >= end)
			break;
		uint64_t to = p.off + p.len < end ? p.off + p.len : end;
		sum += to - p.off;
		at = to;
	}
	*ret = sum;
	return 0;
}

static int seen_bytes(const struct extent *seen, size_t n_seen, uint64_t off, uint64_t len, uint64_t *ret)
{
	uint64_t end = off + len, sum = 0;
	for (size_t i = 0; i < n_seen; i++) {
		uint64_t from = seen[i].off > off ? seen[i].off : off;
		uint64_t to = seen[i].off + seen[i].len < end ? seen[i].off + seen[i].len : end;
		if (from < to)
			sum += to - from;
	}
	*ret = sum;
	return 0;
}

int txn_chunk_adopt(struct store_txn *t, uint64_t row, uint64_t ino, uint64_t off, uint64_t len,
	const struct extent *seen, size_t n_seen)
{
	struct chunk_row c;
	uint64_t had, has;
	int err = index_chunk_get(t->s->index, row, &c);
	if (err < 0)
		return err;
	if (len != c.len || c.here) {
		secret_wipe(c.key, sizeof c.key);
		return ERR_INVALID;
	}
	err = unchanged(t, ino, off, len, seen, n_seen);
	if (err == 0)
		err = seen_bytes(seen, n_seen, off, len, &had);
	if (err == 0)
		err = covered(t->s->index, ino, off, len, &has);
	if (err == 0 && has != had)
		err = ERR_CONFLICT;
	if (err == 0)
		err = txn_stage(
			t, &(struct op){ .type = OP_EXTENT_SHARE, .ino = ino, .off = off, .len = len, .chunk = row });
	if (err == 0)
		err = txn_stage(
			t, &(struct op){ .type = OP_EXTENT_REF, .ino = ino, .off = off, .len = len, .chunk = row });
	if (err == 0)
		return now_here(t, &c);
	secret_wipe(c.key, sizeof c.key);
	return err;
}

/* ---- outbox ---- */

int txn_outbox_add(struct store_txn *t, struct outbox_row *row, struct bytes blob, uint64_t version,
	const uint64_t *chunks, size_t n_chunks)
{
	struct node before, n;
	struct outbox_row r = *row;
	int err = index_node_get(t->s->index, row->ino, &before);
	if (err < 0)
		return err;
	r.row = txn_new_row(t);
	err = txn_stage(t, &(struct op){ .type = OP_OUTBOX_PUT, .outbox = &r, .value = blob });
	for (size_t i = 0; err == 0 && i < n_chunks; i++)
		err = txn_stage(t, &(struct op){ .type = OP_OUTBOX_CHUNK, .row = r.row, .chunk = chunks[i] });
	n = before;
	n.version = version;
	n.base = row->hash;
	if (n.change == row->change) {
		n.change = 0;
		n.change_bits = 0;
	}
	if (err == 0)
		err = txn_put_node(t, &n, &before);
	if (err == 0)
		row->row = r.row;
	return err;
}

int txn_outbox_each(struct store_txn *t, uint32_t space, uint64_t after_row,
	int (*fn)(void *ctx, const struct outbox_row *row, struct bytes blob), void *ctx)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(BLOB_MAX);
	struct outbox_row r;
	uint64_t row = after_row;
	int err;
	while ((err = index_outbox_next(t->s->index, &row, &r, &blob)) == 0)
		if (r.space == space && fn(ctx, &r, buf_bytes(&blob)) == 0)
			return 0;
	return err == ERR_NOT_FOUND ? 0 : err;
}

int txn_outbox_chunks(struct store_txn *t, uint64_t row, uint64_t **ret_chunks, size_t *ret_n)
{
	FREE_AFTER uint64_t *list = NULL;
	size_t n = 0, alloc = 0;
	int err;
	for (uint64_t chunk = 0; (err = index_outbox_chunk_next(t->s->index, row, &chunk)) == 0;) {
		struct chunk_row c;
		err = index_chunk_get(t->s->index, chunk, &c);
		secret_wipe(c.key, sizeof c.key);
		if (err < 0)
			return err;
		if (c.confirmed)
			continue;
		uint64_t *more = array_room(list, &alloc, n + 1, sizeof *list);
		if (!more)
			return ERR_NOMEM;
		list = more;
		list[n++] = chunk;
	}
	if (err != ERR_NOT_FOUND)
		return err;
	*ret_chunks = STEAL(&list);
	*ret_n = n;
	return 0;
}

int txn_outbox_del(struct store_txn *t, uint64_t row)
{
	return txn_stage(t, &(struct op){ .type = OP_OUTBOX_DEL, .row = row });
}

/* ---- local changes ---- */

int txn_dirty_each(struct store_txn *t, uint32_t space, uint64_t after_change,
	int (*fn)(void *ctx, const struct node *node), void *ctx)
{
	uint64_t change = after_change, ino = UINT64_MAX >> 1;
	int err;
	while ((err = index_dirty_next(t->s->index, space, &change, &ino)) == 0) {
		struct node n;
		err = index_node_get(t->s->index, ino, &n);
		if (err < 0)
			return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
		if (fn(ctx, &n) == 0)
			return 0;
	}
	return err == ERR_NOT_FOUND ? 0 : err;
}

int txn_mark_changed(struct store_txn *t, uint64_t ino, uint32_t change_bits)
{
	struct node before, n;
	int err = index_node_get(t->s->index, ino, &before);
	if (err < 0)
		return err;
	n = before;
	txn_touch(t, &n, change_bits);
	return txn_put_node(t, &n, &before);
}

int txn_mark_clean(struct store_txn *t, uint64_t ino)
{
	struct node before, n;
	int err = index_node_get(t->s->index, ino, &before);
	if (err < 0)
		return err;
	n = before;
	n.change = 0;
	n.change_bits = 0;
	return txn_put_node(t, &n, &before);
}
