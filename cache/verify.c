/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens every local byte, reads every record, and opens every page of the index once, some at a time, so that the store goes on
 * meanwhile. The kernel is asked to forget what it has of the files, so that the disk is read.
 */
#include <fcntl.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "cache/pagevfs.h"
#include "cache/txn.h"

enum { SLICE = 1 << 20, BLOB_MAX = 2 << 20, PIECES = 64 };

struct check {
	struct store *s;
	void (*fn)(void *ctx, uint64_t ino, int err);
	void *ctx;
	uint64_t checked;
	uint8_t *slice;
};

/* Damage of a chunk is damage of every node that names it. */
static void report(struct check *c, uint64_t owner, int err)
{
	struct node n;
	uint64_t ino = 0;
	if (store_lock(c->s) < 0)
		return;
	bool is_node = index_node_get(c->s->index, owner, &n) == 0;
	if (is_node)
		ino = owner;
	while (is_node || index_chunk_used(c->s->index, owner, &ino) == 0) {
		store_unlock(c->s);
		c->fn(c->ctx, ino, err);
		if (is_node || store_lock(c->s) < 0)
			return;
	}
	store_unlock(c->s);
}

static int check_piece(struct check *c, uint64_t owner, const struct piece *p)
{
	int err = 0;
	for (uint64_t done = 0; err == 0 && done < p->len;) {
		struct place at = p->at;
		size_t n = p->len - done < SLICE ? (size_t)(p->len - done) : SLICE;
		at.skip += done;
		err = segments_read(c->s->segments, &at, c->slice, n);
		done += n;
	}
	c->checked++;
	if (err == ERR_TAMPERED || err == ERR_CORRUPT || err == ERR_IO) {
		report(c, owner, err);
		return 0;
	}
	return err;
}

static int check_extents(struct check *c)
{
	struct owned o[PIECES];
	uint64_t owner = 0, off = 0;
	size_t n = PIECES;
	while (n == PIECES) {
		struct store_keep keep = { .snapshot = false };
		int err = store_lock(c->s);
		if (err < 0)
			return err;
		err = index_extent_walk(c->s->index, &owner, &off, o, PIECES, &n);
		keep_add(c->s, &keep);
		store_unlock(c->s);
		for (size_t i = 0; err == 0 && i < n; i++)
			if (o[i].p.at.segment != 0)
				err = check_piece(c, o[i].owner, &o[i].p);
		pthread_mutex_lock(&c->s->lock);
		keep_drop(c->s, &keep);
		pthread_mutex_unlock(&c->s->lock);
		if (err < 0)
			return err;
	}
	return 0;
}

static int check_records(struct check *c, uint32_t space)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(BLOB_MAX);
	struct record_at at = { .begun = false };
	for (;;) {
		uint64_t ino = 0;
		int err = store_lock(c->s);
		if (err < 0)
			return err;
		err = index_record_next(c->s->index, space, &at, &blob);
		if (err == 0)
			(void)!index_node_find(c->s->index, space, &at.id, &ino);
		store_unlock(c->s);
		if (err < 0)
			return err == ERR_NOT_FOUND ? 0 : err;
		struct record r;
		c->checked++;
		err = record_decode(buf_bytes(&blob), &r);
		if (err < 0 && ino != 0)
			c->fn(c->ctx, ino, ERR_CORRUPT);
	}
}

static void forget_cached(struct store *s)
{
	struct segment_row row = { .number = 0 };
	while (segments_next(s->segments, row.number, &row)) {
		struct segment_ref ref;
		if (segments_get(s->segments, row.number, &ref) < 0)
			continue; /* reading it will tell */
		(void)!posix_fadvise(ref.fd, 0, 0, POSIX_FADV_DONTNEED);
		segments_put(s->segments, &ref);
	}
}

static int check_index(struct check *c)
{
	uint64_t pages, damaged;
	int err = pagevfs_verify(c->s->vfs, &pages, &damaged);
	if (err < 0)
		return err;
	c->checked += pages;
	if (damaged > 0)
		c->fn(c->ctx, 0, ERR_CORRUPT);
	return 0;
}

int store_verify(struct store *s, void (*fn)(void *ctx, uint64_t ino, int err), void *ctx, uint64_t *ret_checked)
{
	struct check c = { .s = s, .fn = fn, .ctx = ctx };
	FREE_AFTER uint8_t *slice = malloc(SLICE);
	struct space_row row;
	uint32_t space = 0;
	if (!slice)
		return ERR_NOMEM;
	c.slice = slice;
	forget_cached(s);
	int err = check_index(&c);
	if (err == 0)
		err = check_extents(&c);
	while (err == 0) {
		err = store_lock(s);
		if (err < 0)
			break;
		err = index_space_next(s->index, &space, &row);
		store_unlock(s);
		if (err == 0)
			err = check_records(&c, space);
	}
	if (err == ERR_NOT_FOUND)
		err = 0;
	if (err == 0)
		*ret_checked = c.checked;
	return err;
}
