/* SPDX-License-Identifier: Apache-2.0 */
#include "server/refs.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "server/relay.h"
#include "wire/chunk.h"
#include "wire/record.h"

#define NAMED_MAX (CHUNK_MAX_NAMED * sizeof(struct id16))
#define LEVEL_MAX (64u << 20) /* ids of one level of index chunks: a file of 4 TiB */

static struct id16 id_at(struct bytes ids, size_t i)
{
	struct id16 id;

	memcpy(id.b, ids.p + i * sizeof id.b, sizeof id.b);
	return id;
}

static int compare_ids(const void *a, const void *b)
{
	return id16_compare(a, b);
}

/* Puts the ids in order and each but once. Index chunks may name one another: without this the ways through a few hundred
 * of them would be more than anybody can go. */
static void unite(struct buf *ids)
{
	size_t n = ids->len / sizeof(struct id16), kept = 0;
	struct id16 *id = (struct id16 *)ids->data;

	if (n)
		qsort(id, n, sizeof *id, compare_ids);
	for (size_t i = 0; i < n; i++)
		if (!kept || !id16_equal(&id[i], &id[kept - 1]))
			id[kept++] = id[i];
	ids->len = kept * sizeof *id;
}

/* Looks at each of `level`; what index chunks among them name is appended to `next`. */
static int check_level(struct relay *r, uint64_t space, struct bytes level, struct buf *missing, struct buf *unsynced,
	struct buf *next)
{
	int err = OK;

	for (size_t i = 0; i < level.len / sizeof(struct id16) && err == OK; i++) {
		struct depot_chunk c = { .index = false };
		struct id16 id = id_at(level, i);

		err = depot_chunk_find(r->store, space, &id, &c);
		if (err == ERR_NOT_FOUND)
			err = missing->len + sizeof id.b > missing->cap ? OK : buf_put(missing, id.b, sizeof id.b);
		else if (err == OK && !c.durable)
			err = buf_put(unsynced, id.b, sizeof id.b);
		if (err == OK && c.index && !c.adopted)
			err = depot_chunk_named(r->store, space, &id, next);
	}
	return err;
}

int refs_check(struct relay *r, uint64_t space, struct bytes named, struct buf *missing, struct buf *unsynced)
{
	CLEANUP(buf_release) struct buf level = BUF_INIT(LEVEL_MAX);
	int err = buf_put(&level, named.p, named.len);

	for (unsigned depth = 0; err == OK && level.len; depth++) {
		struct buf next = BUF_INIT(LEVEL_MAX);

		if (depth > INDEX_MAX_DEPTH + 1)
			return ERR_RANGE;
		unite(&level);
		err = check_level(r, space, buf_bytes(&level), missing, unsynced, &next);
		buf_release(&level);
		level = next;
	}
	return err;
}

static int take(struct relay *r, uint64_t space, struct bytes named, unsigned depth)
{
	struct depot_chunk c;
	int err;

	if (depth > INDEX_MAX_DEPTH + 1)
		return ERR_RANGE;
	for (size_t i = 0; i < named.len / sizeof(struct id16); i++) {
		struct id16 id = id_at(named, i);

		if ((err = depot_chunk_refs(r->store, space, &id, 1)) < 0 ||
			(err = depot_chunk_find(r->store, space, &id, &c)) < 0)
			return err;
		if (c.index && !c.adopted) {
			CLEANUP(buf_release) struct buf inner = BUF_INIT(NAMED_MAX);

			if ((err = depot_chunk_set(r->store, space, &id, true, c.durable)) < 0 ||
				(err = depot_chunk_named(r->store, space, &id, &inner)) < 0 ||
				(err = take(r, space, buf_bytes(&inner), depth + 1)) < 0)
				return err;
		}
	}
	return OK;
}

int refs_take(struct relay *r, uint64_t space, struct bytes named)
{
	return take(r, space, named, 0);
}

int refs_drop(struct relay *r, uint64_t space, struct bytes named)
{
	int err;

	for (size_t i = 0; i < named.len / sizeof(struct id16); i++) {
		struct id16 id = id_at(named, i);

		if ((err = depot_chunk_refs(r->store, space, &id, -1)) < 0)
			return err;
	}
	return OK;
}
