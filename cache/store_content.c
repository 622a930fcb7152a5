/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File-system calls on content. Reading looks the pieces up under the lock and opens them outside of it; a keep stands for the
 * reader meanwhile, so that no segment it needs is freed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "cache/txn.h"

enum { PIECES = 64 };

static int get_file(struct store *s, uint64_t ino, struct node *ret)
{
	int err = index_node_get(s->index, ino, ret);
	if (err < 0)
		return err;
	return ret->kind == NODE_FILE || ret->kind == NODE_PROFILE ? 0
	       : ret->kind == NODE_DIR                             ? ERR_IS_DIR
								   : ERR_INVALID;
}

/* ---- reading ---- */

struct pieces {
	struct piece small[PIECES], *p;
	size_t n, max;
};

static int grow(struct pieces *ps)
{
	size_t max = ps->max * 4;
	struct piece *p = ps->p == ps->small ? malloc(max * sizeof *p) : realloc(ps->p, max * sizeof *p);
	if (!p)
		return ERR_NOMEM;
	if (ps->p == ps->small)
		memcpy(p, ps->small, sizeof ps->small);
	ps->p = p;
	ps->max = max;
	return 0;
}

static void pieces_init(struct pieces *ps)
{
	ps->p = ps->small;
	ps->n = 0;
	ps->max = PIECES;
}

static void pieces_release(struct pieces *ps)
{
	if (ps->p != ps->small)
		free(ps->p);
}

static int add_piece(struct pieces *ps, const struct piece *p)
{
	if (ps->n == ps->max) {
		int err = grow(ps);
		if (err < 0)
			return err;
	}
	ps->p[ps->n++] = *p;
	return 0;
}

/* Adds the local pieces under [from, from+len) of a chunk, as pieces of the file at `off`. */
static int add_chunk(struct store *s, struct pieces *ps, const struct piece *ref, uint64_t *ret_chunk)
{
	struct chunk_row c;
	int err = index_chunk_get(s->index, ref->at.pos, &c);
	secret_wipe(c.key, sizeof c.key);
	if (err < 0)
		return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
	if (!c.here) {
		*ret_chunk = c.row;
		return ERR_ABSENT;
	}
	use_note(s, c.row);
	for (uint64_t at = ref->at.skip, end = at + ref->len; at < end;) {
		struct piece p;
		err = index_extent_next(s->index, c.row, at, &p);
		if (err < 0 || p.off >= end)
			return err == ERR_NOT_FOUND ? 0 : err;
		if (p.len > end - p.off)
			p.len = end - p.off;
		at = p.off + p.len;
		p.off = p.off - ref->at.skip + ref->off;
		if (p.at.segment == 0)
			return ERR_CORRUPT;
		err = add_piece(ps, &p);
		if (err < 0)
			return err;
	}
	return 0;
}

static int find_pieces(
	struct store *s, uint64_t owner, uint64_t off, uint64_t len, struct pieces *ps, uint64_t *ret_chunk)
{
	struct piece found[PIECES];
	for (uint64_t at = off, end = off + len; at < end;) {
		size_t n;
		int err = index_extents(s->index, owner, at, end - at, found, PIECES, &n);
		for (size_t i = 0; err == 0 && i < n; i++)
			err = found[i].at.segment != 0 ? add_piece(ps, &found[i])
						       : add_chunk(s, ps, &found[i], ret_chunk);
		if (err < 0)
			return err;
		if (n < PIECES)
			break;
		at = found[n - 1].off + found[n - 1].len;
	}
	return 0;
}

/* Fills p with [off, off+len): pieces where they are, zeros between. No lock. */
static int read_pieces(struct store *s, const struct pieces *ps, uint64_t off, uint8_t *p, size_t len)
{
	uint64_t at = off;
	for (size_t i = 0; i < ps->n; i++) {
		const struct piece *piece = &ps->p[i];
		memset(p + (at - off), 0, (size_t)(piece->off - at));
		int err = segments_read(s->segments, &piece->at, p + (piece->off - off), (size_t)piece->len);
		if (err < 0)
			return err;
		at = piece->off + piece->len;
	}
	memset(p + (at - off), 0, len - (size_t)(at - off));
	return 0;
}

int store_read(struct store *s, uint64_t ino, uint64_t off, void *p, size_t len, size_t *ret_len, uint64_t *ret_chunk)
{
	struct node n;
	struct pieces ps;
	struct store_keep keep = { .snapshot = false };
	int err = store_lock(s);
	if (err < 0)
		return err;
	pieces_init(&ps);
	err = get_file(s, ino, &n);
	if (err == 0) {
		len = off >= n.size ? 0 : len > n.size - off ? (size_t)(n.size - off) : len;
		err = find_pieces(s, ino, off, len, &ps, ret_chunk);
	}
	keep_add(s, &keep);
	store_unlock(s);
	if (err == 0)
		err = read_pieces(s, &ps, off, p, len);
	pieces_release(&ps);
	pthread_mutex_lock(&s->lock);
	keep_drop(s, &keep);
	pthread_mutex_unlock(&s->lock);
	if (err == 0)
		*ret_len = len;
	return err;
}

int store_read_extents(
	struct store *s, const struct extent *e, size_t n, uint64_t off, void *p, size_t len, uint64_t *ret_chunk)
{
	struct pieces ps;
	uint64_t end = off + len;
	int err = store_lock(s);
	if (err < 0)
		return err;
	pieces_init(&ps);
	for (size_t i = 0; err == 0 && i < n; i++) {
		uint64_t from = e[i].off > off ? e[i].off : off;
		uint64_t to = e[i].off + e[i].len < end ? e[i].off + e[i].len : end;
		if (from >= to)
			continue;
		struct piece piece = { .off = from, .len = to - from };
		if (e[i].chunk != 0)
			piece.at = (struct place){ 0, e[i].chunk, 0, e[i].from + (from - e[i].off) };
		else
			piece.at = (struct place){ e[i].segment, e[i].pos, e[i].run, e[i].skip + (from - e[i].off) };
		err = e[i].chunk != 0 ? add_chunk(s, &ps, &piece, ret_chunk) : add_piece(&ps, &piece);
	}
	store_unlock(s);
	if (err == 0)
		err = read_pieces(s, &ps, off, p, len);
	pieces_release(&ps);
	return err;
}

int store_read_chunk(struct store *s, uint64_t chunk, struct buf *out)
{
	struct chunk_row c;
	struct pieces ps;
	struct store_keep keep = { .snapshot = false };
	uint64_t absent;
	uint8_t *p;
	int err = store_lock(s);
	if (err < 0)
		return err;
	pieces_init(&ps);
	err = index_chunk_get(s->index, chunk, &c);
	secret_wipe(c.key, sizeof c.key);
	if (err == 0) {
		struct piece whole = { .off = 0, .len = c.len, .at = { .pos = chunk } };
		err = add_chunk(s, &ps, &whole, &absent);
	}
	keep_add(s, &keep);
	store_unlock(s);
	size_t had = out->len;
	if (err == 0)
		err = buf_grow(out, c.len, &p);
	if (err == 0)
		err = read_pieces(s, &ps, 0, p, c.len);
	if (err < 0)
		out->len = had;
	pieces_release(&ps);
	pthread_mutex_lock(&s->lock);
	keep_drop(s, &keep);
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* ---- writing ---- */

static void content_changed(struct store_txn *t, struct node *n, bool hole)
{
	n->flags |= hole ? NODE_HOLES : 0;
	n->mtime = n->ctime = store_now(t->s);
	txn_touch(t, n, CHANGE_CONTENT);
}

/* A lost slot only means that the pieces stay small until they are compacted. */
static void note_append(struct store *s, uint64_t ino, uint64_t off)
{
	struct tail *slot = &s->tails[0];
	for (size_t i = 0; i < TAILS; i++) {
		struct tail *t = &s->tails[i];
		if (t->ino == ino) {
			t->count++;
			t->from = off < t->from ? off : t->from;
			return;
		}
		if (t->count < slot->count)
			slot = t;
	}
	*slot = (struct tail){ .ino = ino, .from = off, .count = 1 };
}

static int stage_write(struct store_txn *t, const struct node *before, uint64_t off, const void *p, size_t len)
{
	struct node n = *before;
	if (off > INT64_MAX || len > INT64_MAX - off)
		return ERR_FILE_TOO_BIG;
	if (len > JOURNAL_MAX_DATA)
		return ERR_RANGE;
	if (len == 0)
		return 0;
	if (t->tight)
		t->tight = !aside_use(t->s, n.ino, len);
	n.size = off + len > n.size ? off + len : n.size;
	content_changed(t, &n, off > before->size);
	t->data_view = bytes_of(p, len);
	if (len < SEGMENT_UNIT && off == before->size)
		note_append(t->s, n.ino, off);
	int err = txn_stage(t, &(struct op){ .type = OP_EXTENT_DATA, .ino = n.ino, .off = off, .len = len });
	return err < 0 ? err : txn_put_node(t, &n, before);
}

static int write_once(struct store *s, uint64_t ino, uint64_t off, const void *p, size_t len)
{
	struct store_txn *t;
	struct node n;
	int err = txn_call(s, &t);
	if (err < 0)
		return err;
	err = get_file(s, ino, &n);
	return txn_end(t, err < 0 ? err : stage_write(t, &n, off, p, len));
}

static int append_once(struct store *s, uint64_t ino, const void *p, size_t len, uint64_t *ret_off)
{
	struct store_txn *t;
	struct node n;
	int err = txn_call(s, &t);
	if (err < 0)
		return err;
	err = get_file(s, ino, &n);
	err = txn_end(t, err < 0 ? err : stage_write(t, &n, n.size, p, len));
	if (err == 0)
		*ret_off = n.size;
	return err;
}

/* txn_call() waits on a disk that is nearly full; that a quota of it is, only the refusal says. */
int store_write(struct store *s, uint64_t ino, uint64_t off, const void *p, size_t len)
{
	struct timespec until = { .tv_sec = 0 };
	int err;
	do
		err = write_once(s, ino, off, p, len);
	while (err_is_full(err) && tend_gives(s, &until));
	return err;
}

int store_append(struct store *s, uint64_t ino, const void *p, size_t len, uint64_t *ret_off)
{
	struct timespec until = { .tv_sec = 0 };
	int err;
	do
		err = append_once(s, ino, p, len, ret_off);
	while (err_is_full(err) && tend_gives(s, &until));
	return err;
}

static int room_for(struct store *s, uint64_t len)
{
	struct statvfs below;
	if (fstatvfs(s->config.dirfd, &below) < 0)
		return 0;
	return len > (uint64_t)below.f_bavail * below.f_frsize ? ERR_NO_SPACE : 0;
}

/* Where room cannot be set aside there must at least be some. */
static int set_aside(struct store_txn *t, const struct node *n, uint64_t off, uint64_t len, bool cleared)
{
	int err = aside_more(t, n, off, len, cleared);
	return err == ERR_RANGE || err == ERR_UNSUPPORTED ? room_for(t->s, len) : err;
}

static int collapse(struct store_txn *t, struct node *n, uint64_t off, uint64_t len)
{
	if (off + len >= n->size)
		return ERR_INVALID;
	int err = txn_stage(t, &(struct op){ .type = OP_EXTENT_CLEAR, .ino = n->ino, .off = off, .len = len });
	if (err == 0)
		err = aside_hole(t, n->ino, len);
	n->size -= len;
	return err < 0 ? err
		       : txn_stage(t, &(struct op){ .type = OP_EXTENT_SHIFT,
					      .ino = n->ino,
					      .off = off + len,
					      .delta = -(int64_t)len });
}

/* The piece at the gap is cut by sharing its tail aside: clear what begins before and goes on behind, then shift. */
static int insert(struct store_txn *t, struct node *n, uint64_t off, uint64_t len)
{
	if (off >= n->size)
		return ERR_INVALID;
	if (n->size > INT64_MAX - len)
		return ERR_FILE_TOO_BIG;
	struct piece p;
	int err = index_extent_next(t->s->index, n->ino, off, &p);
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	bool cut = err == 0 && p.off == off; /* perhaps the tail of a piece: put it again as a piece of its own */
	uint64_t aside = n->size + len;      /* beyond everything */
	err = 0;
	if (cut) {
		err = txn_stage(t, &(struct op){ .type = OP_EXTENT_SHARE,
					   .ino = n->ino,
					   .off = off,
					   .len = p.len,
					   .chunk = n->ino,
					   .from = aside });
		if (err == 0)
			err = txn_stage(
				t, &(struct op){ .type = OP_EXTENT_CLEAR, .ino = n->ino, .off = off, .len = p.len });
		if (err == 0)
			err = txn_stage(t, &(struct op){ .type = OP_EXTENT_SHARE,
						   .ino = n->ino,
						   .off = aside,
						   .len = p.len,
						   .chunk = n->ino,
						   .from = off });
		if (err == 0)
			err = txn_stage(
				t, &(struct op){ .type = OP_EXTENT_CLEAR, .ino = n->ino, .off = aside, .len = p.len });
	}
	n->size += len;
	return err < 0 ? err
		       : txn_stage(t,
				 &(struct op){
					 .type = OP_EXTENT_SHIFT, .ino = n->ino, .off = off, .delta = (int64_t)len });
}

static int allocate(struct store_txn *t, struct node *n, int mode, uint64_t off, uint64_t len)
{
	uint64_t end = off + len;
	int err = 0;
	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case FALLOC_FL_COLLAPSE_RANGE:
		return mode & FALLOC_FL_KEEP_SIZE ? ERR_INVALID : collapse(t, n, off, len);
	case FALLOC_FL_INSERT_RANGE:
		return mode & FALLOC_FL_KEEP_SIZE ? ERR_INVALID : insert(t, n, off, len);
	case FALLOC_FL_PUNCH_HOLE:
		if (!(mode & FALLOC_FL_KEEP_SIZE))
			return ERR_UNSUPPORTED;
		err = txn_stage(t, &(struct op){ .type = OP_EXTENT_CLEAR, .ino = n->ino, .off = off, .len = len });
		if (err == 0)
			err = aside_hole(t, n->ino, len);
		break;
	case FALLOC_FL_ZERO_RANGE:
		err = set_aside(t, n, off, len, true);
		if (err == 0)
			err = txn_stage(
				t, &(struct op){ .type = OP_EXTENT_CLEAR, .ino = n->ino, .off = off, .len = len });
		break;
	case 0:
		err = set_aside(t, n, off, len, false);
		break;
	default:
		return ERR_UNSUPPORTED;
	}
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > n->size)
		n->size = end;
	return err;
}

static bool lets_go(int mode)
{
	int what = mode & ~FALLOC_FL_KEEP_SIZE;
	return what == FALLOC_FL_PUNCH_HOLE || what == FALLOC_FL_COLLAPSE_RANGE;
}

static int fallocate_once(struct store *s, uint64_t ino, int mode, uint64_t off, uint64_t len)
{
	struct store_txn *t;
	struct node before, n;
	int err = lets_go(mode) ? txn_call_freeing(s, &t) : txn_call(s, &t);
	if (err < 0)
		return err;
	err = get_file(s, ino, &before);
	n = before;
	if (err == 0)
		err = allocate(t, &n, mode, off, len);
	if (err == 0 && ((mode & ~FALLOC_FL_KEEP_SIZE) != 0 || n.size != before.size)) {
		content_changed(t, &n, true);
		err = txn_put_node(t, &n, &before);
	}
	return txn_end(t, err);
}

/* Room that was just given up is there some turns later. */
int store_fallocate(struct store *s, uint64_t ino, int mode, uint64_t off, uint64_t len)
{
	struct timespec until = { .tv_sec = 0 };
	int err;
	if (len == 0 || off > INT64_MAX || len > INT64_MAX - off)
		return len == 0 ? ERR_INVALID : ERR_FILE_TOO_BIG;
	do
		err = fallocate_once(s, ino, mode, off, len);
	while (err_is_full(err) && tend_gives(s, &until));
	return err;
}

int store_copy_range(struct store *s, uint64_t from, uint64_t from_off, uint64_t to, uint64_t to_off, uint64_t len,
	uint64_t *ret_len)
{
	struct store_txn *t;
	struct node source, before, n;
	int err = txn_call(s, &t);
	if (err < 0)
		return err;
	err = get_file(s, from, &source);
	if (err == 0)
		err = get_file(s, to, &before);
	if (err == 0) {
		len = from_off >= source.size ? 0 : len > source.size - from_off ? source.size - from_off : len;
		if (to_off > INT64_MAX || len > INT64_MAX - to_off)
			err = ERR_FILE_TOO_BIG;
		else if (source.space != before.space)
			err = ERR_CROSS_SPACE;
		else if (from == to && from_off < to_off + len && to_off < from_off + len && len > 0)
			err = ERR_INVALID;
	}
	if (err == 0 && len > 0) {
		n = before;
		n.size = to_off + len > n.size ? to_off + len : n.size;
		content_changed(t, &n, to_off > before.size || source.flags & NODE_HOLES);
		err = txn_stage(t, &(struct op){ .type = OP_EXTENT_SHARE,
					   .ino = from,
					   .off = from_off,
					   .len = len,
					   .chunk = to,
					   .from = to_off });
		if (err == 0)
			err = txn_put_node(t, &n, &before);
	}
	err = txn_end(t, err);
	if (err == 0)
		*ret_len = len;
	return err;
}

/* ---- seeking ---- */

static int seek(struct store *s, const struct node *n, uint64_t off, int whence, uint64_t *ret_off)
{
	struct piece p;
	int err = 0;
	while (off < n->size && (err = index_extent_next(s->index, n->ino, off, &p)) == 0) {
		if (whence == SEEK_DATA || p.off > off) {
			*ret_off = whence == SEEK_DATA ? p.off : off;
			return p.off < n->size || whence == SEEK_HOLE ? 0 : ERR_NO_DATA;
		}
		off = p.off + p.len;
	}
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	if (whence == SEEK_DATA)
		return ERR_NO_DATA;
	*ret_off = off < n->size ? off : n->size;
	return 0;
}

int store_seek(struct store *s, uint64_t ino, uint64_t off, int whence, uint64_t *ret_off)
{
	struct node n;
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return ERR_INVALID;
	int err = store_lock(s);
	if (err < 0)
		return err;
	err = get_file(s, ino, &n);
	if (err == 0)
		err = off >= n.size ? ERR_NO_DATA : seek(s, &n, off, whence, ret_off);
	store_unlock(s);
	return err;
}
