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

#define STEP_MAX HOUSEKEEPING_MANY
#define ASIDE_SECONDS 86400

struct found {
	uint64_t space;
	struct id16 space_id;
	struct depot_chunk chunk;
	uint64_t number; /* of a version */
	struct id16 id;  /* its record's */
	bool damaged;
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
	f->id = v->id;
	f->damaged = record_decode(v->blob, &rec) < 0;
	if (f->damaged)
		return OK;
	return buf_put(&f->named, rec.h.chunks.p, rec.h.chunks.len);
}

/* What it names cannot be told, so it stays, and whoever asks for the check hears of it. It is looked at again in a day: first in the
 * list for good, it would be in the way of all others. */
static int set_aside(struct relay *r, const struct found *f)
{
	char id[ID16_TEXT_SIZE];

	id16_format(&f->id, id);
	log_warn("housekeeping: a replaced version of record %s is damaged and stays; run coffer-relay check", id);
	return depot_version_expire(r->store, f->space, f->number, relay_now(r) + ASIDE_SECONDS);
}

static int expire_version(struct relay *r, const struct found *f)
{
	int err;

	if (f->damaged)
		return set_aside(r, f);
	err = refs_drop(r, f->space, buf_bytes(&f->named));
	return err < 0 ? err : depot_version_remove(r->store, f->space, f->number);
}

static int expire_versions(struct relay *r)
{
	CLEANUP(list_release) struct list l = { 0 };
	int err = depot_versions_expired(r->store, relay_now(r), STEP_MAX, collect_version, &l);

	for (size_t i = 0; i < l.n && err == OK; i++)
		err = expire_version(r, &l.items[i]);
	return err < 0 ? err : (int)l.n;
}

/* The row goes now, its object later: with the garbage, so that downloads under way end well. */
static int drop_chunk(struct relay *r, const struct found *f)
{
	int err = f->chunk.row ? OK : depot_garbage_put(r->store, &f->space_id, &f->chunk.object, relay_now(r));

	return err < 0 ? err : depot_chunk_remove(r->store, f->space, &f->chunk);
}

/* Without the list of what an index chunk names those keep their counts: they stay, which does no harm. */
static int drop_named(struct relay *r, const struct found *f)
{
	CLEANUP(buf_release) struct buf named = BUF_INIT(CHUNK_MAX_NAMED * sizeof(struct id16));
	int err = depot_chunk_named(r->store, f->space, &f->chunk.id, &named);
	char id[ID16_TEXT_SIZE];

	if (err != ERR_NOT_FOUND && err != ERR_RANGE)
		return err < 0 ? err : refs_drop(r, f->space, buf_bytes(&named));
	id16_format(&f->chunk.id, id);
	log_warn("housekeeping: what index chunk %s names cannot be told and stays", id);
	return OK;
}

static int remove_chunk(struct relay *r, const struct found *f)
{
	int err = f->chunk.adopted ? drop_named(r, f) : OK;

	return err < 0 ? err : drop_chunk(r, f);
}

static int remove_chunks(struct relay *r)
{
	CLEANUP(list_release) struct list l = { 0 };
	int64_t before = relay_now(r) - (int64_t)relay_config(r)->storage.unnamed_chunk_days * 86400;
	int err = depot_chunks_stale(r->store, before, STEP_MAX, collect_chunk, &l);

	for (size_t i = 0; i < l.n && err == OK; i++)
		err = remove_chunk(r, &l.items[i]);
	return err < 0 ? err : (int)l.n;
}

/* In a transaction of its own, so that what cannot be done holds up nothing else. How many rows went. */
static int in_transaction(struct relay *r, int (*part)(struct relay *r))
{
	int n = depot_begin_alone(r->store), err;

	if (n < 0)
		return n;
	n = part(r);
	if (n >= 0)
		return (err = depot_commit(r->store)) < 0 ? err : n;
	depot_rollback(r->store);
	return n;
}

int housekeeping_step(struct relay *r)
{
	int versions = in_transaction(r, expire_versions), chunks = in_transaction(r, remove_chunks),
	    plain = in_transaction(r, housekeeping_plain), more;

	if (versions > 0)
		metrics_add(&r->metrics, cleaned_versions, (uint64_t)versions);
	if (chunks > 0)
		metrics_add(&r->metrics, cleaned_chunks, (uint64_t)chunks);
	if (versions < 0 || chunks < 0 || plain < 0)
		return versions < 0 ? versions : chunks < 0 ? chunks : plain;
	more = depot_shrink(r->store);
	return more ? more : versions == STEP_MAX || chunks == STEP_MAX || plain >= STEP_MAX;
}

/* Whether an error says something about the object, and not about this process or the way to the object. */
static bool is_damage(int64_t err)
{
	return err == ERR_NOT_FOUND || err == ERR_CORRUPT || err == ERR_IO;
}

/* After a power loss an object that was not synced may hold anything. 1, 0, or the error of not being able to tell. */
static int is_whole(struct relay *r, const struct found *f)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CHUNK_MAX_BLOB);
	int64_t size = blob_size(r->blobs, &f->space_id, &f->chunk.object);
	struct id16 sum;
	struct chunk c;
	int err;

	if (size < 0)
		return is_damage(size) ? 0 : (int)size;
	if (size != (int64_t)f->chunk.size)
		return 0;
	if ((err = blob_get(r->blobs, &f->space_id, &f->chunk.object, 0, f->chunk.size, &b)) < 0)
		return is_damage(err) ? 0 : err;
	sum = blob_sum(buf_bytes(&b));
	if (f->chunk.summed)
		return id16_equal(&sum, &f->chunk.sum);
	return depot_same_boot(r->store) && chunk_decode(buf_bytes(&b), &c) == OK && id16_equal(&c.id, &f->chunk.id);
}

static int keep_or_drop(struct relay *r, const struct found *f)
{
	int err = is_whole(r, f);

	if (err > 0) {
		if ((err = blob_sync(r->blobs, &f->space_id, &f->chunk.object, 1)) == OK)
			return depot_chunk_set(r->store, f->space, &f->chunk.id, f->chunk.adopted, true);
		err = is_damage(err) ? 0 : err;
	}
	return err < 0 ? err : drop_chunk(r, f);
}

/* A chunk that was not synced was never named: what is not whole is forgotten, and will be asked for again (`missing`). */
static int check_unsynced(struct relay *r)
{
	CLEANUP(list_release) struct list l = { 0 };
	int err = depot_chunks_unsynced(r->store, STEP_MAX, collect_chunk, &l);

	for (size_t i = 0; i < l.n && err == OK; i++)
		err = keep_or_drop(r, &l.items[i]);
	return err < 0 ? err : (int)l.n;
}

int housekeeping_start(struct relay *r)
{
	int n;

	do
		n = in_transaction(r, check_unsynced);
	while (n == STEP_MAX);
	/* On a full disk that cannot be written down. Unless the machine went down too the files are whole, so what is there is served. */
	if (err_is_full(n) && depot_same_boot(r->store)) {
		log_warn("the disk is full: what is there is served, nothing more is taken");
		return OK;
	}
	return n < 0 ? n : OK;
}
