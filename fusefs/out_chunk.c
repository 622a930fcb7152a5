/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks that queued items name. Found by their row, so that an answer costs the same however much is queued. */
#include <stdlib.h>

#include "fusefs/sync_inner.h"

static struct out_chunk *find(const struct sync_space *ss, uint64_t row)
{
	uint64_t p;
	return table_get(&ss->chunk_of, row, &p) ? (struct out_chunk *)(uintptr_t)p : NULL;
}

static struct out_chunk *find_or_make(struct sync_space *ss, uint64_t row, uint32_t len)
{
	struct out_chunk *c = find(ss, row);

	if (c)
		return c;
	c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	*c = (struct out_chunk){ .row = row, .len = len, .by_put = len > SYNC_INLINE_PLAIN };
	if (table_put(&ss->chunk_of, row, (uintptr_t)c) == OK)
		return c;
	free(c);
	return NULL;
}

/* Room for one more: the array doubles whenever it holds a power of two. */
static int make_room(struct out_item *item)
{
	size_t n = item->n_chunks;

	if ((n & (n - 1)) != 0)
		return OK;
	struct out_chunk **more = realloc(item->chunks, (n ? n * 2 : 1) * sizeof(struct out_chunk *));
	if (!more)
		return ERR_NOMEM;
	item->chunks = more;
	return OK;
}

int out_chunk_add(struct out_item *item, uint64_t row, uint32_t len)
{
	int err = make_room(item);
	struct out_chunk *c = err == OK ? find_or_make(item->ss, row, len) : NULL;

	if (!c)
		return ERR_NOMEM;
	c->refs++;
	item->chunks[item->n_chunks++] = c;
	return OK;
}

void out_chunk_set(struct sync_space *ss, uint64_t row, enum out_state state)
{
	struct out_chunk *c = find(ss, row);

	if (c)
		c->state = state;
}

void out_chunk_print(struct sync_space *ss, uint64_t row, const struct fingerprint *print)
{
	struct out_chunk *c = find(ss, row);

	if (!c)
		return;
	c->print = *print;
	c->has_print = true;
}

void out_chunk_drop_all(struct out_item *item)
{
	for (size_t i = 0; i < item->n_chunks; i++) {
		struct out_chunk *c = item->chunks[i];

		if (--c->refs > 0)
			continue;
		table_del(&item->ss->chunk_of, c->row);
		free(c);
	}
	free(item->chunks);
	item->chunks = NULL;
	item->n_chunks = 0;
}
