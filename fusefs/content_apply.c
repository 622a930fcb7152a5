/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving side of content.h: a body's slices, index chunks resolved, become extents that name chunk rows. */
#include <stdlib.h>
#include "base/array.h"

#include "crypto/secret.h"
#include "fusefs/content.h"

#define FLAT_MAX (1u << 22) /* slices of one file: 4 TiB of whole chunks */

/* What one transaction of content_apply_ahead holds at most: a row takes some 110 bytes of it, an index chunk its bytes. */
#define AHEAD_ROWS 16384
#define AHEAD_BYTES (16u << 20)

struct flattening {
	content_index_fn fn;
	void *ctx;
	struct content_flat *f;
	size_t alloc, alloc_index;
};

static int add_slices(struct flattening *w, const struct slice *s, size_t n)
{
	struct content_flat *f = w->f;

	if (f->n_slices + n > FLAT_MAX)
		return ERR_RANGE;
	struct slice *more = array_room(f->slices, &w->alloc, f->n_slices + n, sizeof *more);
	if (!more)
		return ERR_NOMEM;
	f->slices = more;
	memcpy(f->slices + f->n_slices, s, n * sizeof *s);
	f->n_slices += n;
	return OK;
}

static int flatten(struct flattening *w, const struct slice *entries, size_t n, unsigned depth)
{
	if (depth == 0)
		return add_slices(w, entries, n);
	for (size_t i = 0; i < n; i++) {
		struct content_flat *f = w->f;
		struct content_index *more = array_room(f->index, &w->alloc_index, f->n_index + 1, sizeof *more);
		struct slice *sub = NULL;
		size_t n_sub = 0;

		if (!more)
			return ERR_NOMEM;
		f->index = more;
		struct content_index *ix = &f->index[f->n_index++];
		*ix = (struct content_index){ .entry = entries[i], .plain = BUF_INIT_SECRET(CHUNK_MAX_PLAIN) };
		int err = w->fn(w->ctx, &entries[i], &ix->plain);
		if (err == OK)
			err = index_decode(buf_bytes(&ix->plain), &sub, &n_sub);
		if (err == OK)
			err = slices_check(sub, n_sub, depth - 1, entries[i].at, entries[i].at + entries[i].len);
		if (err == OK)
			err = flatten(w, sub, n_sub, depth - 1);
		if (sub)
			secret_wipe(sub, n_sub * sizeof *sub);
		free(sub);
		if (err < 0)
			return err;
	}
	return OK;
}

int content_flatten(const struct node_body *body, content_index_fn fn, void *ctx, struct content_flat *f)
{
	*f = (struct content_flat){ .slices = NULL };
	if (body->form != CONTENT_SLICES)
		return OK;
	if (body->depth == 0) {
		f->slices = body->slices;
		f->n_slices = body->n_slices;
		return OK;
	}
	f->owned = true;
	struct flattening w = { .fn = fn, .ctx = ctx, .f = f };
	int err = flatten(&w, body->slices, body->n_slices, body->depth);
	if (err < 0)
		content_flat_release(f);
	return err;
}

void content_flat_release(struct content_flat *f)
{
	if (f->owned && f->slices) {
		secret_wipe(f->slices, f->n_slices * sizeof *f->slices);
		free(f->slices);
	}
	for (size_t i = 0; i < f->n_index; i++)
		buf_release(&f->index[i].plain);
	free(f->index);
	*f = (struct content_flat){ .slices = NULL };
}

int content_chunk_row(struct store_txn *t, uint32_t space, const struct slice *s, bool index, struct chunk_row *ret_row)
{
	int err = txn_chunk_find(t, space, &s->chunk, ret_row);

	if (err == ERR_NOT_FOUND) {
		*ret_row = (struct chunk_row){ .space = space,
			.id = s->chunk,
			.len = s->chunk_len,
			.hash = s->hash,
			.confirmed = true,
			.index = index };
		memcpy(ret_row->key, s->key, sizeof ret_row->key);
		return txn_chunk_add(t, ret_row);
	}
	if (err < 0)
		return err;
	if (ret_row->len != s->chunk_len || !id32_equal(&ret_row->hash, &s->hash) || ret_row->index != index ||
		memcmp(ret_row->key, s->key, sizeof s->key) != 0)
		return ERR_TAMPERED;
	return OK;
}

/* Rows of some slices and index chunks from *at on (index chunks first), in a transaction of their own. */
static int some_rows(struct store *store, uint32_t space, const struct content_flat *f, size_t *at)
{
	size_t all = f->n_index + f->n_slices, end = *at, bytes = 0;
	struct chunk_row row = { .row = 0 };
	struct store_txn *t = NULL;
	int err = store_begin(store, &t);

	if (err < 0)
		return err;
	for (; err == OK && end < all && end - *at < AHEAD_ROWS && bytes < AHEAD_BYTES; end++) {
		bool index = end < f->n_index;
		const struct slice *s = index ? &f->index[end].entry : &f->slices[end - f->n_index];

		if (row.row != 0 && row.index == index && id16_equal(&row.id, &s->chunk))
			continue;
		err = content_chunk_row(t, space, s, index, &row);
		if (err == OK && index && !row.here) {
			err = txn_chunk_fill(t, row.row, buf_bytes(&f->index[end].plain));
			bytes += f->index[end].plain.len;
		}
	}
	secret_wipe(row.key, sizeof row.key);
	if (err < 0) {
		store_abort(&t);
		return err;
	}
	*at = end;
	return store_commit(&t);
}

int content_apply_ahead(struct store *store, uint32_t space, const struct content_flat *f)
{
	int err = OK;

	for (size_t at = 0; at < f->n_index + f->n_slices && err == OK;)
		err = some_rows(store, space, f, &at);
	return err;
}

int content_apply(
	struct store_txn *t, uint32_t space, uint64_t ino, const struct node_body *body, const struct content_flat *f)
{
	struct chunk_row row = { .row = 0 };
	int err = txn_content_clear(t, ino);

	if (err == OK && body->form == CONTENT_INLINE)
		err = txn_content_data(t, ino, 0, body->inline_data);
	for (size_t i = 0; i < f->n_index && err == OK; i++) {
		err = content_chunk_row(t, space, &f->index[i].entry, true, &row);
		if (err == OK && !row.here)
			err = txn_chunk_fill(t, row.row, buf_bytes(&f->index[i].plain));
	}
	for (size_t i = 0; i < f->n_slices && err == OK; i++) {
		const struct slice *s = &f->slices[i];

		if (row.row == 0 || row.index || !id16_equal(&row.id, &s->chunk))
			err = content_chunk_row(t, space, s, false, &row);
		if (err == OK)
			err = txn_content_ref(t, ino, s->at, s->len, row.row, s->from);
	}
	secret_wipe(row.key, sizeof row.key);
	return err;
}

bool content_has_holes(const struct node_body *body, const struct content_flat *f)
{
	uint64_t covered = body->form == CONTENT_INLINE ? body->inline_data.len : 0;

	for (size_t i = 0; i < f->n_slices; i++)
		covered += f->slices[i].len;
	return covered < body->size;
}

int content_equal(const struct node_body *a, const struct node_body *b)
{
	if (a->size != b->size || a->form != b->form)
		return 0;
	if (a->form == CONTENT_INLINE)
		return bytes_equal(a->inline_data, b->inline_data);
	if (a->form != CONTENT_SLICES)
		return 1;
	if (a->depth != b->depth || a->n_slices != b->n_slices)
		return 0;
	for (size_t i = 0; i < a->n_slices; i++) {
		const struct slice *x = &a->slices[i], *y = &b->slices[i];

		if (x->at != y->at || x->len != y->len || x->from != y->from || x->chunk_len != y->chunk_len ||
			!id32_equal(&x->hash, &y->hash))
			return 0;
	}
	return 1;
}
