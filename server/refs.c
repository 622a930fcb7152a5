/* SPDX-License-Identifier: Apache-2.0 */
#include "server/refs.h"

#include "base/cleanup.h"
#include "server/relay.h"
#include "wire/chunk.h"
#include "wire/record.h"

#define NAMED_MAX (CHUNK_MAX_NAMED * sizeof(struct id16))

static struct id16 id_at(struct bytes ids, size_t i)
{
	struct id16 id;

	memcpy(id.b, ids.p + i * sizeof id.b, sizeof id.b);
	return id;
}

static int check(
	struct relay *r, uint64_t space, struct bytes named, unsigned depth, struct buf *missing, struct buf *unsynced)
{
	struct depot_chunk c;
	int err;

	if (depth > INDEX_MAX_DEPTH + 1)
		return ERR_RANGE;
	for (size_t i = 0; i < named.len / sizeof(struct id16); i++) {
		struct id16 id = id_at(named, i);

		err = depot_chunk_find(r->store, space, &id, &c);
		if (err == ERR_NOT_FOUND) {
			if (missing->len + sizeof id.b <= missing->cap &&
				(err = buf_put(missing, id.b, sizeof id.b)) < 0)
				return err;
			continue;
		}
		if (err < 0)
			return err;
		if (!c.durable && (err = buf_put(unsynced, id.b, sizeof id.b)) < 0)
			return err;
		if (c.index && !c.adopted) {
			CLEANUP(buf_release) struct buf inner = BUF_INIT(NAMED_MAX);

			if ((err = depot_chunk_named(r->store, space, &id, &inner)) < 0 ||
				(err = check(r, space, buf_bytes(&inner), depth + 1, missing, unsynced)) < 0)
				return err;
		}
	}
	return OK;
}

int refs_check(struct relay *r, uint64_t space, struct bytes named, struct buf *missing, struct buf *unsynced)
{
	return check(r, space, named, 0, missing, unsynced);
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
