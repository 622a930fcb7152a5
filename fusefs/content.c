/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing side. A file is cut into pieces: ranges of known chunks, and runs of local bytes. Runs become chunks. What fails leaves
 * the store as it was: all rows are written by content_store in the caller's transaction, together with the record.
 */
#include "fusefs/content.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "crypto/seal.h"
#include "fusefs/content_index.h"

/* What one transaction of content_store_ahead holds at most; a chunk takes up to 250 bytes of it, and mixed ones their bytes. */
#define AHEAD_CHUNKS 8192
#define AHEAD_BYTES (16u << 20)

struct piece {
	uint64_t at, len;
	const struct chunk_row *row; /* NULL: local, to become a chunk */
	uint32_t from;
	bool mixed;
};

struct pieces {
	struct piece *p;
	size_t n;
};

int content_snapshot(struct store_txn *t, const struct image *img, struct content *c)
{
	if (img->n_extents == 0)
		return OK;
	c->rows = calloc(img->n_extents, sizeof *c->rows);
	if (!c->rows)
		return ERR_NOMEM;
	c->n_rows = img->n_extents;
	for (size_t i = 0; i < img->n_extents; i++) {
		uint64_t chunk = img->extents[i].chunk;

		if (chunk == 0)
			continue;
		if (i > 0 && c->rows[i - 1].row == chunk) {
			c->rows[i] = c->rows[i - 1];
			continue;
		}
		int err = txn_chunk_get(t, chunk, &c->rows[i]);
		if (err < 0)
			return err;
	}
	return OK;
}

static bool joins(const struct piece *a, const struct piece *b)
{
	if (a->at + a->len != b->at)
		return false;
	if (!a->row || !b->row)
		return !a->row && !b->row;
	return a->row->row == b->row->row && a->from + a->len == b->from;
}

/* Extents as pieces, cut at the file's size, neighbours joined. */
static void gather(const struct image *img, const struct content *c, struct pieces *ps)
{
	for (size_t i = 0; i < img->n_extents; i++) {
		const struct extent *e = &img->extents[i];
		struct piece p = { .at = e->off, .len = e->len, .row = e->chunk ? &c->rows[i] : NULL, .from = e->from };

		if (p.at >= img->node.size)
			break;
		if (p.len > img->node.size - p.at)
			p.len = img->node.size - p.at;
		if (ps->n > 0 && joins(&ps->p[ps->n - 1], &p))
			ps->p[ps->n - 1].len += p.len;
		else
			ps->p[ps->n++] = p;
	}
}

static bool takes_along(const struct piece *run, const struct piece *other)
{
	return !run->row && other->row && run->len < CONTENT_MIN_RUN && other->len < CONTENT_MIN_RUN &&
	       other->row->here;
}

/* Short runs swallow short neighbours, so that appending a little again and again does not make a slice each time. */
static void swallow(struct pieces *ps)
{
	size_t out = 0;

	for (size_t i = 0; i < ps->n; i++) {
		struct piece p = ps->p[i];

		if (out > 0 && ps->p[out - 1].at + ps->p[out - 1].len == p.at) {
			struct piece *q = &ps->p[out - 1];

			bool both = !q->row && !p.row && q->len + p.len <= CHUNK_MAX_PLAIN;

			if (takes_along(q, &p) || takes_along(&p, q) || both) {
				q->mixed = q->mixed || p.mixed || q->row || p.row;
				q->row = NULL;
				q->len += p.len;
				continue;
			}
		}
		ps->p[out++] = p;
	}
	ps->n = out;
}

/* The first extent that ends behind `off`: a large file has many. */
static size_t extent_at(const struct image *img, uint64_t off)
{
	size_t first = 0, end = img->n_extents;

	while (first < end) {
		size_t middle = first + (end - first) / 2;
		const struct extent *e = &img->extents[middle];

		if (e->off + e->len <= off)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

static size_t extents_until(const struct image *img, size_t first, uint64_t end)
{
	size_t n = 0;

	while (first + n < img->n_extents && img->extents[first + n].off < end)
		n++;
	return n;
}

/* Only the extents of the range: each read would look at all of them under the store's lock. */
static int read_image(const struct content_maker *m, const struct image *img, uint64_t off, void *p, size_t len)
{
	size_t first = extent_at(img, off), n = extents_until(img, first, off + len);
	uint64_t chunk;

	return store_read_extents(m->store, img->extents + first, n, off, p, len, &chunk);
}

static void new_chunk(const struct content_maker *m, uint32_t space, struct chunk_row *row)
{
	*row = (struct chunk_row){ .space = space };
	m->env->random(m->env->ctx, row->id.b, sizeof row->id.b);
	m->env->random(m->env->ctx, row->key, sizeof row->key);
}

static struct slice slice_of(const struct chunk_row *row, uint64_t at, uint64_t len, uint32_t from)
{
	struct slice s = {
		.at = at, .len = len, .from = from, .chunk_len = row->len, .chunk = row->id, .hash = row->hash
	};

	memcpy(s.key, row->key, sizeof s.key);
	return s;
}

/* The chunks of one local run, not read yet. */
static void plan_run(const struct content_maker *m, const struct image *img, const struct piece *p, struct content *c)
{
	for (uint64_t at = p->at, end = p->at + p->len; at < end;) {
		uint64_t stop = (at / CHUNK_MAX_PLAIN + 1) * CHUNK_MAX_PLAIN;
		struct content_chunk *ch = &c->chunks[c->n_chunks++];

		if (stop > end)
			stop = end;
		ch->off = at;
		ch->len = stop - at;
		ch->mixed = p->mixed;
		ch->plain = (struct buf)BUF_INIT_SECRET(CHUNK_MAX_PLAIN);
		new_chunk(m, img->node.space, &ch->row);
		ch->row.len = (uint32_t)ch->len;
		at = stop;
	}
}

/* Reading and hashing one of them. */
struct hashing {
	struct work work; /* first */
	const struct content_maker *m;
	const struct image *img;
	struct content_chunk *ch;
	int err;
};

static void hash_one(struct work *w)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT_SECRET(CHUNK_MAX_PLAIN);
	struct hashing *h = (struct hashing *)w;
	struct content_chunk *ch = h->ch;
	uint8_t *p;

	h->err = buf_grow(&plain, ch->len, &p);
	if (h->err == OK)
		h->err = read_image(h->m, h->img, ch->off, p, ch->len);
	if (h->err < 0)
		return;
	chunk_hash(h->m->hash_key, buf_bytes(&plain), &ch->row.hash);
	if (h->m->fingerprint_key)
		ch->has_print = fingerprint_make(h->m->fingerprint_key, buf_bytes(&plain), &ch->print) == OK;
	if (!ch->mixed)
		return;
	ch->plain = plain;
	plain = (struct buf)BUF_INIT_SECRET(CHUNK_MAX_PLAIN);
}

static int hash_all(const struct content_maker *m, const struct image *img, struct content *c)
{
	FREE_AFTER struct hashing *h = calloc(c->n_chunks + 1, sizeof *h);
	FREE_AFTER struct work **works = calloc(c->n_chunks + 1, sizeof *works);
	int err = OK;

	if (!h || !works)
		return ERR_NOMEM;
	for (size_t i = 0; i < c->n_chunks; i++) {
		h[i] = (struct hashing){ .work = { .run = hash_one }, .m = m, .img = img, .ch = &c->chunks[i] };
		works[i] = &h[i].work;
	}
	workers_run_all(m->workers, works, c->n_chunks);
	for (size_t i = 0; i < c->n_chunks && err == OK; i++)
		err = h[i].err;
	return err;
}

static size_t count_slices(const struct pieces *ps)
{
	size_t n = 0;

	for (size_t i = 0; i < ps->n; i++) {
		const struct piece *p = &ps->p[i];
		n += p->row ? 1 : (size_t)((p->at + p->len - 1) / CHUNK_MAX_PLAIN - p->at / CHUNK_MAX_PLAIN + 1);
	}
	return n;
}

static int make_slices(const struct content_maker *m, const struct image *img, const struct pieces *ps,
	struct content *c, struct slice *slices, size_t *ret_n)
{
	const struct content_chunk *ch = c->chunks;
	size_t n = 0;
	int err;

	for (size_t i = 0; i < ps->n; i++) {
		if (!ps->p[i].row)
			plan_run(m, img, &ps->p[i], c);
	}
	if ((err = hash_all(m, img, c)) < 0)
		return err;
	for (size_t i = 0; i < ps->n; i++) {
		const struct piece *p = &ps->p[i];

		if (p->row)
			slices[n++] = slice_of(p->row, p->at, p->len, p->from);
		else
			for (; ch < c->chunks + c->n_chunks && ch->off < p->at + p->len; ch++)
				slices[n++] = slice_of(&ch->row, ch->off, ch->len, 0);
	}
	*ret_n = n;
	return OK;
}

static int make_inline(const struct content_maker *m, struct image *img)
{
	uint8_t *p = img->inline_data;

	if (img->node.kind == NODE_PROFILE) {
		p = img->profile = malloc(img->node.size);
		if (!p)
			return ERR_NOMEM;
	}
	int err = read_image(m, img, 0, p, img->node.size);
	if (err < 0)
		return err;
	img->body.form = CONTENT_INLINE;
	img->body.inline_data = bytes_of(p, img->node.size);
	return OK;
}

int content_make(const struct content_maker *m, struct image *img, const struct node_body *before, struct content *c)
{
	if (img->body.deleted || img->node.size == 0 || img->n_extents == 0)
		return OK;
	if (img->node.kind == NODE_PROFILE)
		return make_inline(m, img);
	if (img->node.kind != NODE_FILE)
		return OK;
	if (img->node.size <= NODE_INLINE_MAX) {
		int err = make_inline(m, img);

		if (err != ERR_ABSENT)
			return err;
	}
	FREE_AFTER struct piece *p = calloc(img->n_extents, sizeof *p);
	if (!p)
		return ERR_NOMEM;
	struct pieces ps = { .p = p };
	gather(img, c, &ps);
	swallow(&ps);
	size_t n = count_slices(&ps);
	if (n == 0)
		return OK;
	struct slice *slices = calloc(n, sizeof *slices);
	c->chunks = calloc(n + content_index_room(n), sizeof *c->chunks);
	if (!slices || !c->chunks) {
		free(slices);
		return ERR_NOMEM;
	}
	size_t made = 0;
	int err = make_slices(m, img, &ps, c, slices, &made);
	if (err == OK && made > NODE_MAX_SLICES)
		err = content_index_make(m, img->node.space, before, c, &slices, &made, &img->body.depth);
	if (err < 0) {
		secret_wipe(slices, made * sizeof *slices);
		free(slices);
		return err;
	}
	img->body.form = CONTENT_SLICES;
	img->body.slices = slices;
	img->body.n_slices = made;
	return OK;
}

static int store_chunk(struct store_txn *t, const struct image *img, bool changed, struct content_chunk *ch)
{
	int err = txn_chunk_add(t, &ch->row);

	if (err < 0)
		return err;
	if (ch->row.index)
		return txn_chunk_fill(t, ch->row.row, buf_bytes(&ch->plain));
	if (!ch->mixed && ch->plain.len == 0) {
		size_t first = extent_at(img, ch->off), n = extents_until(img, first, ch->off + ch->len);

		return txn_chunk_adopt(t, ch->row.row, img->node.ino, ch->off, ch->len, img->extents + first, n);
	}
	err = txn_chunk_fill(t, ch->row.row, buf_bytes(&ch->plain));
	/* A file that changed since keeps its own extents: the chunk serves the record alone. */
	if (err == OK && !changed)
		err = txn_content_ref(t, img->node.ino, ch->off, ch->len, ch->row.row, 0);
	return err;
}

static int note_unconfirmed(struct content *c, const struct chunk_row *row)
{
	if (row->row == 0 || row->confirmed ||
		(c->n_unconfirmed > 0 && c->unconfirmed[c->n_unconfirmed - 1] == row->row))
		return OK;
	uint64_t *more = array_room(c->unconfirmed, &c->alloc_unconfirmed, c->n_unconfirmed + 1, sizeof *more);
	if (!more)
		return ERR_NOMEM;
	c->unconfirmed = more;
	c->unconfirmed[c->n_unconfirmed++] = row->row;
	return OK;
}

int content_store(struct store_txn *t, const struct image *img, struct content *c)
{
	struct node now;
	int err = txn_node_get(t, img->node.ino, &now);
	if (err < 0)
		return err;
	bool changed = now.change != img->node.change;

	c->n_unconfirmed = 0;
	for (size_t i = 0; i < c->n_chunks; i++) {
		if (changed && c->chunks[i].mixed && c->chunks[i].plain.len == 0)
			return ERR_CONFLICT;
		if (!c->chunks[i].ahead)
			err = store_chunk(t, img, changed, &c->chunks[i]);
		if (err == OK)
			err = note_unconfirmed(c, &c->chunks[i].row);
		if (err < 0)
			return err;
	}
	for (size_t i = 0; i < c->n_rows && err == OK; i++)
		err = img->body.form == CONTENT_SLICES ? note_unconfirmed(c, &c->rows[i]) : OK;
	for (size_t i = 0; i < c->n_named_index && err == OK; i++)
		err = note_unconfirmed(c, &c->named_index[i]);
	return err;
}

/* Some chunks from *at on, in a transaction of their own. */
static int store_some(struct store *store, const struct image *img, struct content *c, size_t *at)
{
	struct store_txn *t = NULL;
	struct node now;
	size_t end = *at, bytes = 0;
	int err = store_begin(store, &t);

	if (err < 0)
		return err;
	err = txn_node_get(t, img->node.ino, &now);
	if (err == OK && now.change != img->node.change)
		err = ERR_CONFLICT;
	for (; err == OK && end < c->n_chunks && end - *at < AHEAD_CHUNKS && bytes < AHEAD_BYTES; end++) {
		if (c->chunks[end].ahead)
			continue;
		err = store_chunk(t, img, false, &c->chunks[end]);
		bytes += c->chunks[end].plain.len;
	}
	if (err < 0) {
		store_abort(&t);
		return err;
	}
	err = store_commit(&t);
	for (; err == OK && *at < end; ++*at)
		c->chunks[*at].ahead = true;
	return err;
}

int content_store_ahead(struct store *store, const struct image *img, struct content *c)
{
	int err = OK;

	for (size_t at = 0; at < c->n_chunks && err == OK;)
		err = store_some(store, img, c, &at);
	return err;
}

int content_keep_plain(const struct content_maker *m, const struct image *img, struct content *c, size_t cap)
{
	size_t total = 0;

	for (size_t i = 0; i < c->n_chunks; i++) {
		struct content_chunk *ch = &c->chunks[i];
		uint8_t *at;

		if (ch->plain.len > 0 || ch->ahead)
			continue;
		total += ch->len;
		if (total > cap)
			return ERR_RANGE;
		int err = buf_grow(&ch->plain, ch->len, &at);
		if (err == OK)
			err = read_image(m, img, ch->off, at, ch->len);
		if (err < 0)
			return err;
	}
	return OK;
}

void content_release(struct content *c)
{
	for (size_t i = 0; i < c->n_chunks; i++) {
		secret_wipe(c->chunks[i].row.key, sizeof c->chunks[i].row.key);
		buf_release(&c->chunks[i].plain);
	}
	if (c->rows)
		secret_wipe(c->rows, c->n_rows * sizeof *c->rows);
	free(c->rows);
	free(c->chunks);
	free(c->unconfirmed);
	free(c->named_index);
	*c = (struct content)CONTENT_INIT;
}
