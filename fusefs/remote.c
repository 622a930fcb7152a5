/* SPDX-License-Identifier: Apache-2.0 */
/* Opening what came, before any transaction: signature, keys, body, index chunks, small chunks. */
#include <stdlib.h>

#include "crypto/hash.h"
#include "crypto/open_chunk.h"
#include "crypto/secret.h"
#include "fusefs/apply.h"

struct index_source {
	const struct content_maker *m;
	struct space *space;
	const struct chunk_blob *chunks;
	size_t n_chunks;
	struct slice missing;
};

static int compare_id(const void *id, const void *blob)
{
	return id16_compare(id, &((const struct chunk_blob *)blob)->id);
}

static const struct chunk_blob *find_blob(const struct chunk_blob *chunks, size_t n, const struct id16 *id)
{
	return n ? bsearch(id, chunks, n, sizeof *chunks, compare_id) : NULL;
}

static int index_from_store(const struct index_source *src, const struct slice *entry, struct buf *plain)
{
	struct store_txn *t = NULL;
	struct chunk_row row;
	int err = store_begin(src->m->store, &t);

	if (err < 0)
		return err;
	err = txn_chunk_find(t, src->space->row.row, &entry->chunk, &row);
	store_abort(&t);
	if (err == ERR_NOT_FOUND || (err == OK && !row.here))
		return ERR_ABSENT;
	if (err == OK && (row.len != entry->chunk_len || !id32_equal(&row.hash, &entry->hash)))
		err = ERR_TAMPERED;
	if (err == OK)
		err = store_read_chunk(src->m->store, row.row, plain);
	secret_wipe(row.key, sizeof row.key);
	return err;
}

static int read_index(void *ctx, const struct slice *entry, struct buf *plain)
{
	struct index_source *src = ctx;
	const struct chunk_blob *b = find_blob(src->chunks, src->n_chunks, &entry->chunk);
	int err;

	if (!b) {
		err = index_from_store(src, entry, plain);
		if (err == ERR_ABSENT)
			src->missing = *entry;
		return err;
	}
	struct slice *slices = NULL;
	size_t n = 0;
	err = open_index(&src->space->row.id, entry, src->m->hash_key, b->blob, &slices, &n);
	if (err < 0)
		return err;
	err = index_put(plain, slices, n);
	secret_wipe(slices, n * sizeof *slices);
	free(slices);
	return err;
}

static int open_small_chunks(const struct content_maker *m, struct space *space, const struct chunk_blob *chunks,
	size_t n_chunks, struct remote *r)
{
	if (n_chunks == 0 || r->flat.n_slices == 0)
		return OK;
	r->chunks = calloc(r->flat.n_slices < n_chunks ? r->flat.n_slices : n_chunks, sizeof *r->chunks);
	if (!r->chunks)
		return ERR_NOMEM;
	for (size_t i = 0; i < r->flat.n_slices && r->n_chunks < n_chunks; i++) {
		const struct slice *s = &r->flat.slices[i];
		const struct chunk_blob *b = find_blob(chunks, n_chunks, &s->chunk);
		struct remote_chunk *c = &r->chunks[r->n_chunks];

		if (!b || (r->n_chunks > 0 && id16_equal(&c[-1].id, &s->chunk)))
			continue;
		c->id = s->chunk;
		c->plain = (struct buf)BUF_INIT_SECRET(CHUNK_MAX_PLAIN);
		r->n_chunks++;
		/* A chunk that does not open is left to be fetched when it is read: the record stands. */
		if (open_chunk(&space->row.id, s, m->hash_key, b->blob, &c->plain) < 0) {
			buf_release(&c->plain);
			r->n_chunks--;
		}
	}
	return OK;
}

int remote_prepare(const struct content_maker *m, struct space *space, struct bytes blob, uint64_t cursor,
	const struct chunk_blob *chunks, size_t n_chunks, struct remote *r, struct slice *ret_missing)
{
	struct index_source src = { .m = m, .space = space, .chunks = chunks, .n_chunks = n_chunks };

	*r = (struct remote)REMOTE_INIT;
	r->blob = blob;
	hash_sha256(blob, &r->hash);
	int err = space_accept_record(space, blob, cursor, &r->o);
	if (err == OK)
		err = content_flatten(&r->o.body, read_index, &src, &r->flat);
	if (err == OK)
		err = open_small_chunks(m, space, chunks, n_chunks, r);
	if (err < 0)
		remote_release(r);
	if (err == ERR_ABSENT)
		*ret_missing = src.missing;
	return err;
}

void remote_release(struct remote *r)
{
	for (size_t i = 0; i < r->n_chunks; i++)
		buf_release(&r->chunks[i].plain);
	free(r->chunks);
	r->chunks = NULL;
	r->n_chunks = 0;
	content_flat_release(&r->flat);
	opened_record_release(&r->o);
}
