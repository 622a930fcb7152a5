/* SPDX-License-Identifier: Apache-2.0 */
#include "server/housekeeping.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "server/depot_plain.h"
#include "server/housekeeping_plain.h"
#include "server/refs.h"
#include "server/relay.h"
#include "wire/chunk.h"
#include "wire/record.h"

#define STEP_MAX 500

struct found {
	uint64_t space;
	struct id16 space_id;
	struct depot_chunk chunk;
	uint64_t number; /* of a version */
	struct buf named;
};

struct list {
	struct found *items;
	size_t n;
};

static void list_release(struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		buf_release(&l->items[i].named);
	free(l->items);
}

static struct found *list_add(struct list *l)
{
	struct found *f;

	if (!l->items && !(l->items = calloc(STEP_MAX, sizeof *l->items)))
		return NULL;
	if (l->n == STEP_MAX)
		return NULL;
	f = &l->items[l->n++];
	f->named = (struct buf)BUF_INIT(RECORD_MAX_CHUNKS * 16);
	return f;
}

static int collect_chunk(void *ctx, uint64_t space, const struct id16 *space_id, const struct depot_chunk *c)
{
	struct found *f = list_add(ctx);

	if (!f)
		return ERR_NOMEM;
	f->space = space;
	f->space_id = *space_id;
	f->chunk = *c;
	return OK;
}

static int collect_version(void *ctx, uint64_t space, const struct depot_version *v)
{
	struct found *f = list_add(ctx);
	struct record rec;

	if (!f)
		return ERR_NOMEM;
	f->space = space;
	f->number = v->number;
	if (record_decode(v->blob, &rec) < 0)
		return ERR_CORRUPT;
	return buf_put(&f->named, rec.h.chunks.p, rec.h.chunks.len);
}

static int expire_versions(struct relay *r, size_t *ret_n)
{
	CLEANUP(list_release) struct list l = { 0 };
	int err = depot_versions_expired(r->store, relay_now(r), STEP_MAX, collect_version, &l);

	for (size_t i = 0; i < l.n && err == OK; i++) {
		err = refs_drop(r, l.items[i].space, buf_bytes(&l.items[i].named));
		if (err == OK)
			err = depot_version_remove(r->store, l.items[i].space, l.items[i].number);
	}
	*ret_n = l.n;
	return err;
}

/* The row goes now, its object later: with the garbage, so that downloads under way end well. */
static int drop_chunk(struct relay *r, const struct found *f)
{
	int err = f->chunk.row ? OK : depot_garbage_put(r->store, &f->space_id, &f->chunk.object, relay_now(r));

	return err < 0 ? err : depot_chunk_remove(r->store, f->space, &f->chunk);
}

static int remove_chunk(struct relay *r, const struct found *f)
{
	CLEANUP(buf_release) struct buf named = BUF_INIT(CHUNK_MAX_NAMED * sizeof(struct id16));
	int err;

	if (f->chunk.adopted && ((err = depot_chunk_named(r->store, f->space, &f->chunk.id, &named)) < 0 ||
					(err = refs_drop(r, f->space, buf_bytes(&named))) < 0))
		return err;
	return drop_chunk(r, f);
}

static int remove_chunks(struct relay *r, struct list *l)
{
	int64_t before = relay_now(r) - (int64_t)relay_config(r)->storage.unnamed_chunk_days * 86400;
	int err = depot_chunks_stale(r->store, before, STEP_MAX, collect_chunk, l);

	for (size_t i = 0; i < l->n && err == OK; i++)
		err = remove_chunk(r, &l->items[i]);
	return err;
}

int housekeeping_step(struct relay *r)
{
	CLEANUP(list_release) struct list chunks = { 0 };
	size_t versions = 0;
	int err = depot_begin_alone(r->store);

	if (err < 0)
		return err;
	err = expire_versions(r, &versions);
	if (err == OK)
		err = remove_chunks(r, &chunks);
	if (err == OK)
		err = housekeeping_plain(r);
	if (err == OK)
		err = depot_commit(r->store);
	else
		depot_rollback(r->store);
	if (err < 0)
		return err;
	metrics_add(&r->metrics, cleaned_versions, versions);
	metrics_add(&r->metrics, cleaned_chunks, chunks.n);
	err = depot_shrink(r->store);
	return err < 0 ? err : err || chunks.n == STEP_MAX || versions == STEP_MAX;
}

/* After a power loss an object that was not synced may hold anything. */
static bool is_whole(struct relay *r, const struct found *f)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CHUNK_MAX_BLOB);
	struct id16 sum;
	struct chunk c;

	if (blob_size(r->blobs, &f->space_id, &f->chunk.object) != (int64_t)f->chunk.size ||
		blob_get(r->blobs, &f->space_id, &f->chunk.object, 0, f->chunk.size, &b) < 0)
		return false;
	sum = blob_sum(buf_bytes(&b));
	if (f->chunk.summed)
		return id16_equal(&sum, &f->chunk.sum);
	return depot_same_boot(r->store) && chunk_decode(buf_bytes(&b), &c) == OK && id16_equal(&c.id, &f->chunk.id);
}

/* A chunk that was not synced was never named: what is not whole is forgotten, and will be asked for again (`missing`). */
static int check_unsynced(struct relay *r, size_t *ret_n)
{
	CLEANUP(list_release) struct list l = { 0 };
	int err = depot_begin_alone(r->store);

	if (err < 0)
		return err;
	err = depot_chunks_unsynced(r->store, STEP_MAX, collect_chunk, &l);
	for (size_t i = 0; i < l.n && err == OK; i++) {
		const struct found *f = &l.items[i];

		if (is_whole(r, f) && blob_sync(r->blobs, &f->space_id, &f->chunk.object, 1) == OK)
			err = depot_chunk_set(r->store, f->space, &f->chunk.id, f->chunk.adopted, true);
		else
			err = drop_chunk(r, f);
	}
	*ret_n = l.n;
	if (err == OK)
		return depot_commit(r->store);
	depot_rollback(r->store);
	return err;
}

int housekeeping_start(struct relay *r)
{
	size_t n;
	int err;

	do
		err = check_unsynced(r, &n);
	while (err == OK && n == STEP_MAX);
	/* On a full disk that cannot be written down. Unless the machine went down too the files are whole, so what is there is served. */
	if (err == ERR_NO_SPACE && depot_same_boot(r->store)) {
		log_warn("the disk is full: what is there is served, nothing more is taken");
		return OK;
	}
	return err;
}
