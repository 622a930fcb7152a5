/* SPDX-License-Identifier: Apache-2.0 */
#include "server/chunks.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "server/depot_plain.h"
#include "server/relay.h"
#include "wire/chunk.h"

int chunk_read(struct relay *r, struct depot *store, const struct id16 *space, const struct depot_chunk *c,
	uint64_t from, size_t n, struct buf *ret)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CHUNK_MAX_BLOB);
	int err;

	if (from > c->size || n > c->size - from)
		return ERR_RANGE;
	metrics_add(&r->metrics, chunks_out, 1);
	metrics_add(&r->metrics, chunk_bytes_out, n);
	if (!c->row)
		return blob_get(r->blobs, space, &c->object, from, n, ret);
	if ((err = depot_chunk_blob(store, c->row, &b)) < 0)
		return err;
	return b.len < from + n ? ERR_CORRUPT : buf_put(ret, b.data + from, n);
}

/* 1 if a stored chunk is exactly these bytes, 0 if not. */
static int is_same(struct relay *r, struct depot *store, const struct chunk_new *n, const struct depot_chunk *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CHUNK_MAX_BLOB);
	const struct id16 sum = blob_sum(n->blob);
	int err;

	if (c->size != n->blob.len)
		return 0;
	if (c->summed && !c->row)
		return id16_equal(&sum, &c->sum);
	err = c->row ? depot_chunk_blob(store, c->row, &b) : blob_get(r->blobs, &n->space, &c->object, 0, c->size, &b);
	return err < 0 ? err : bytes_equal(buf_bytes(&b), n->blob);
}

int chunk_keep(struct relay *r, struct depot *store, uint64_t no, struct chunk_new *n)
{
	struct depot_chunk c;
	int err;

	if (n->blob.len <= CHUNK_SMALL_BLOB)
		return 0;
	err = depot_chunk_find(store, no, &n->id, &c);
	if (err == OK && (err = is_same(r, store, n, &c)) >= 0)
		return err ? 0 : ERR_CONFLICT;
	if (err != ERR_NOT_FOUND)
		return err;
	r->env->random(r->env->ctx, n->object.b, sizeof n->object.b);
	err = blob_put(r->blobs, &n->space, &n->object, n->blob);
	n->kept = err == OK;
	return err < 0 ? err : 1;
}

int chunk_drop(struct relay *r, const struct chunk_new *n)
{
	return n->kept ? depot_garbage_put_vain(r->store, &n->space, &n->object, relay_now(r)) : OK;
}

/* A chunk of this id is here already: 1, 0 or ERR_CONFLICT as chunk_store. */
static int again(struct relay *r, const struct chunk_new *n, const struct depot_chunk *c)
{
	int err;

	if (n->kept && !c->row && id16_equal(&c->object, &n->object))
		return 1; /* by an earlier try, whose commit stood although its answer was lost */
	if ((err = is_same(r, r->store, n, c)) < 0)
		return err;
	metrics_add(&r->metrics, chunks_again, err);
	return err ? 0 : ERR_CONFLICT;
}

static struct depot_chunk row_of(struct relay *r, const struct chunk_new *n)
{
	metrics_add(&r->metrics, chunks_in, 1);
	metrics_add(&r->metrics, chunk_bytes_in, n->blob.len);
	return (struct depot_chunk){
		.id = n->id,
		.size = n->blob.len,
		.object = n->object,
		.durable = blob_is_remote(r->blobs),
		.uploaded = relay_now(r),
		.summed = true,
		.sum = blob_sum(n->blob),
	};
}

int chunk_store(struct relay *r, uint64_t no, const struct chunk_new *n)
{
	const bool small = n->blob.len <= CHUNK_SMALL_BLOB;
	struct depot_chunk c;
	int err = depot_chunk_find(r->store, no, &n->id, &c);

	if (err == OK)
		return again(r, n, &c);
	if (err != ERR_NOT_FOUND)
		return err;
	if (!small && !n->kept)
		return ERR_AGAIN;
	c = row_of(r, n);
	err = depot_chunk_put(r->store, no, &c, small ? n->blob : bytes_of(NULL, 0), n->named);
	return err < 0 ? err : 1;
}

static int keep_found(void *ctx, size_t i, const struct depot_chunk *c)
{
	((struct depot_chunk *)ctx)[i] = *c;
	return OK;
}

/* Their ids, and whether one is there twice. */
static struct id16 *ids_of(const struct chunk_new *n, size_t count, bool *ret_twins)
{
	FREE_AFTER struct id16 *sorted = calloc(count, sizeof *sorted);
	struct id16 *ids = calloc(count, sizeof *ids);

	*ret_twins = false;
	for (size_t i = 0; sorted && ids && i < count; i++)
		ids[i] = sorted[i] = n[i].id;
	if (!sorted || !ids) {
		free(ids);
		return NULL;
	}
	qsort(sorted, count, sizeof *sorted, id16_order);
	for (size_t i = 1; i < count; i++)
		*ret_twins |= id16_equal(&sorted[i - 1], &sorted[i]);
	return ids;
}

static int store_one_by_one(struct relay *r, uint64_t no, const struct chunk_new *n, size_t count)
{
	int err = OK;

	for (size_t i = 0; i < count && err >= 0; i++)
		err = chunk_store(r, no, &n[i]);
	return err < 0 ? err : OK;
}

/* c: what is here of each, size 0 if nothing is. */
static int store_fresh(struct relay *r, uint64_t no, const struct chunk_new *n, struct depot_chunk *c, size_t count)
{
	FREE_AFTER struct depot_chunk_body *bodies = calloc(count, sizeof *bodies);
	size_t fresh = 0;
	int err;

	if (!bodies)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++)
		if (c[i].size && (err = again(r, &n[i], &c[i])) < 0)
			return err;
	for (size_t i = 0; i < count; i++) {
		if (c[i].size)
			continue;
		bodies[fresh] = (struct depot_chunk_body){ n[i].blob, n[i].named };
		c[fresh++] = row_of(r, &n[i]);
	}
	return depot_chunks_put(r->store, no, c, bodies, fresh);
}

int chunks_store(struct relay *r, uint64_t no, const struct chunk_new *n, size_t count)
{
	FREE_AFTER struct depot_chunk *c = NULL;
	FREE_AFTER struct id16 *ids = NULL;
	bool twins;
	int err;

	if (!count)
		return OK;
	ids = ids_of(n, count, &twins);
	c = calloc(count, sizeof *c);
	if (!ids || !c)
		return ERR_NOMEM;
	if (twins)
		return store_one_by_one(r, no, n, count);
	err = depot_chunks_find(r->store, no, ids, count, keep_found, c);
	return err < 0 ? err : store_fresh(r, no, n, c, count);
}
