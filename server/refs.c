/* SPDX-License-Identifier: Apache-2.0 */
#include "server/refs.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "server/relay.h"
#include "wire/chunk.h"
#include "wire/record.h"

#define LEVEL_MAX (64u << 20) /* ids of one level of index chunks: a file of 4 TiB */
#define LOOK_MAX 1000         /* chunks at once */

/* Puts the ids in order and each but once. Index chunks may name one another: without this the ways through a few hundred
 * of them would be more than anybody can go. */
static void unite(struct buf *ids)
{
	size_t n = ids->len / sizeof(struct id16), kept = 0;
	struct id16 *id = (struct id16 *)ids->data;

	if (n)
		qsort(id, n, sizeof *id, id16_order);
	for (size_t i = 0; i < n; i++)
		if (!kept || !id16_equal(&id[i], &id[kept - 1]))
			id[kept++] = id[i];
	ids->len = kept * sizeof *id;
}

static int keep_found(void *ctx, size_t i, const struct depot_chunk *c)
{
	((struct depot_chunk *)ctx)[i] = *c;
	return OK;
}

/* What to do with one of a level; c->size is 0 if it is not here. What it names goes to `next`. */
struct walk {
	struct relay *r;
	uint64_t space;
	int (*visit)(const struct walk *w, const struct depot_chunk *c, struct buf *next);
	struct buf *missing, *unsynced;
};

static int visit_some(const struct walk *w, const struct id16 *ids, size_t n, struct buf *next)
{
	FREE_AFTER struct depot_chunk *found = calloc(n, sizeof *found);
	int err;

	if (!found)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		found[i].id = ids[i];
	err = depot_chunks_find(w->r->store, w->space, ids, n, keep_found, found);
	for (size_t i = 0; i < n && err == OK; i++)
		err = w->visit(w, &found[i], next);
	return err;
}

static int visit_level(const struct walk *w, struct buf *level, struct buf *next)
{
	const struct id16 *ids = (const struct id16 *)level->data;
	size_t n;
	int err = OK;

	unite(level);
	n = level->len / sizeof *ids;
	for (size_t i = 0; i < n && err == OK; i += LOOK_MAX)
		err = visit_some(w, ids + i, n - i < LOOK_MAX ? n - i : LOOK_MAX, next);
	return err;
}

/* All chunks of `named`, then those that index chunks among them name, and so on. `counted`: each name counts. */
static int walk(const struct walk *w, struct bytes named, bool counted)
{
	CLEANUP(buf_release) struct buf level = BUF_INIT(LEVEL_MAX);
	int err = buf_put(&level, named.p, named.len);

	for (unsigned depth = 0; err == OK && level.len; depth++) {
		struct buf next = BUF_INIT(LEVEL_MAX);

		if (depth > INDEX_MAX_DEPTH + 1)
			return ERR_RANGE;
		if (counted)
			err = depot_chunks_refs(w->r->store, w->space, (const struct id16 *)level.data,
				level.len / sizeof(struct id16), 1);
		if (err == OK)
			err = visit_level(w, &level, &next);
		buf_release(&level);
		level = next;
	}
	return err;
}

static int check(const struct walk *w, const struct depot_chunk *c, struct buf *next)
{
	struct buf *missing = w->missing;
	int err = OK;

	if (!c->size)
		return missing->len + sizeof c->id.b > missing->cap ? OK : buf_put(missing, c->id.b, sizeof c->id.b);
	if (!c->durable)
		err = buf_put(w->unsynced, c->id.b, sizeof c->id.b);
	if (err == OK && c->index && !c->adopted)
		err = depot_chunk_named(w->r->store, w->space, &c->id, next);
	return err;
}

int refs_check(struct relay *r, uint64_t space, struct bytes named, struct buf *missing, struct buf *unsynced)
{
	const struct walk w = { .r = r, .space = space, .visit = check, .missing = missing, .unsynced = unsynced };

	return walk(&w, named, false);
}

static int adopt(const struct walk *w, const struct depot_chunk *c, struct buf *next)
{
	int err;

	if (!c->size)
		return ERR_NOT_FOUND;
	if (!c->index || c->adopted)
		return OK;
	err = depot_chunk_set(w->r->store, w->space, &c->id, true, c->durable);
	return err < 0 ? err : depot_chunk_named(w->r->store, w->space, &c->id, next);
}

int refs_take(struct relay *r, uint64_t space, struct bytes named)
{
	const struct walk w = { .r = r, .space = space, .visit = adopt };

	return walk(&w, named, true);
}

int refs_drop(struct relay *r, uint64_t space, struct bytes named)
{
	return depot_chunks_refs(r->store, space, (const struct id16 *)named.p, named.len / sizeof(struct id16), -1);
}
