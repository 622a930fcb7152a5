/* SPDX-License-Identifier: Apache-2.0 */
#include "server/history.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "wire/chunk.h"
#include "wire/record.h"

#define NAMES_MAX (1u << 18) /* gathered before they are added up */
#define LOOK_MAX 1000        /* chunks at once */

/* A chunk that replaced versions name, or index chunks that only they name. */
struct named {
	struct id16 id;
	uint32_t times; /* so often */
	uint32_t size;
	uint32_t refs; /* UINT32_MAX: that or more; 0: not looked up, or not there */
	bool looked, counted, index;
};

struct count {
	const struct env *env;
	struct depot *store;
	uint64_t space, bytes;
	int64_t deadline;
	struct buf names;     /* not added up yet */
	struct named *chunks; /* in the order of their ids */
	size_t n;
};

static void count_release(struct count *c)
{
	buf_release(&c->names);
	free(c->chunks);
}

static int check_time(const struct count *c)
{
	return c->env->mono_ns(c->env->ctx) >= c->deadline ? ERR_TIMEOUT : OK;
}

/* --- names --- */

/* Of names in order: how many at the front are the same. */
static uint32_t same_names(const struct id16 *ids, size_t n)
{
	uint32_t same = 1;

	while (same < n && id16_equal(&ids[same], &ids[0]))
		same++;
	return same;
}

/* Adds the names that were gathered to what they name. */
static int add_up(struct count *c)
{
	size_t n = c->names.len / sizeof(struct id16), from = 0, out = 0;
	struct id16 *ids = (struct id16 *)c->names.data;
	struct named *all;
	uint32_t same;

	if (!n)
		return OK;
	if (!(all = calloc(c->n + n, sizeof *all)))
		return ERR_NOMEM;
	qsort(ids, n, sizeof *ids, id16_order);
	for (size_t i = 0; i < n || from < c->n; out++) {
		int order = i == n ? 1 : from == c->n ? -1 : id16_compare(&ids[i], &c->chunks[from].id);

		all[out] = order < 0 ? (struct named){ .id = ids[i] } : c->chunks[from++];
		if (order > 0)
			continue;
		same = same_names(ids + i, n - i);
		all[out].times += same;
		i += same;
	}
	free(c->chunks);
	c->chunks = all;
	c->n = out;
	buf_clear(&c->names);
	return out > HISTORY_CHUNKS_MAX ? ERR_RANGE : check_time(c);
}

static int gather(struct count *c, struct bytes ids)
{
	int err = c->names.len + ids.len > c->names.cap ? add_up(c) : OK;

	return err < 0 ? err : buf_put(&c->names, ids.p, ids.len);
}

static int gather_version(void *ctx, uint64_t space, const struct depot_version *v)
{
	struct count *c = ctx;
	struct record rec;
	int err = check_time(c);

	(void)space;
	c->bytes += v->blob.len;
	if (err < 0 || record_decode(v->blob, &rec) < 0)
		return err; /* damaged: what it names it holds, but nobody can tell */
	return gather(c, rec.h.chunks);
}

/* --- chunks --- */

static int keep_chunk(void *ctx, size_t i, const struct depot_chunk *chunk)
{
	struct named *const *asked = ctx;
	struct named *is = asked[i];

	is->refs = chunk->refs < UINT32_MAX ? (uint32_t)chunk->refs : UINT32_MAX;
	is->size = (uint32_t)chunk->size;
	is->index = chunk->index && chunk->adopted;
	return OK;
}

/* Looks up chunks from *at on that were not. */
static int look_up_some(struct count *c, size_t *at)
{
	struct named *asked[LOOK_MAX];
	struct id16 ids[LOOK_MAX];
	size_t n = 0;
	int err = check_time(c);

	for (; *at < c->n && n < LOOK_MAX; ++*at) {
		struct named *chunk = &c->chunks[*at];

		if (chunk->looked)
			continue;
		chunk->looked = true;
		ids[n] = chunk->id;
		asked[n++] = chunk;
	}
	return err < 0 || !n ? err : depot_chunks_find(c->store, c->space, ids, n, keep_chunk, asked);
}

static int gather_index(struct count *c, const struct id16 *id)
{
	CLEANUP(buf_release) struct buf named = BUF_INIT(CHUNK_MAX_NAMED * sizeof *id);
	int err = depot_chunk_named(c->store, c->space, id, &named);

	if (err < 0)
		return err == ERR_NOT_FOUND || err == ERR_RANGE ? OK : err; /* as housekeeping: what it names stays */
	return buf_put(&c->names, named.data, named.len);
}

/* Counts the chunks that nothing else names. 1: what they name in turn is to be added up; then again. */
static int count_chunks(struct count *c)
{
	int err = OK;

	for (size_t at = 0; at < c->n && err == OK;)
		err = look_up_some(c, &at);
	for (size_t i = 0; i < c->n && err == OK; i++) {
		struct named *chunk = &c->chunks[i];

		if (chunk->counted || !chunk->refs || chunk->times < chunk->refs)
			continue;
		if (c->names.len + CHUNK_MAX_NAMED * sizeof chunk->id > c->names.cap)
			break;
		chunk->counted = true;
		c->bytes += chunk->size;
		err = chunk->index ? gather_index(c, &chunk->id) : OK;
	}
	return err < 0 ? err : c->names.len > 0;
}

int history_count(const struct env *env, struct depot *store, uint64_t space, int64_t deadline, uint64_t *ret_bytes)
{
	CLEANUP(count_release)
	struct count c = { .env = env,
		.store = store,
		.space = space,
		.deadline = deadline,
		.names = BUF_INIT(NAMES_MAX * sizeof(struct id16)) };
	int err = depot_replaced(store, space, gather_version, &c);

	do {
		if (err >= 0)
			err = add_up(&c);
		if (err >= 0)
			err = count_chunks(&c);
	} while (err > 0);
	if (err == OK)
		*ret_bytes = c.bytes;
	return err;
}

/* --- what was counted --- */

/* The space's place, or the one to use for it. */
static struct history_of *place_of(struct history *h, uint64_t space)
{
	struct history_of *oldest = &h->of[0];

	for (size_t i = 0; i < HISTORY_SPACES; i++) {
		if (h->of[i].space == space)
			return &h->of[i];
		if (h->of[i].at < oldest->at)
			oldest = &h->of[i];
	}
	return oldest;
}

bool history_known(struct history *h, uint64_t space, int64_t now, uint64_t *ret_bytes)
{
	const struct history_of *of;
	bool known;

	pthread_mutex_lock(&h->lock);
	of = place_of(h, space);
	if ((known = of->space == space && !of->failed && now - of->at < HISTORY_KEEP_NS))
		*ret_bytes = of->bytes;
	pthread_mutex_unlock(&h->lock);
	return known;
}

/* Whether the caller is to count; then it ends with end_count. */
static bool begin_count(struct history *h, uint64_t space, int64_t now)
{
	const struct history_of *of;
	bool mine;

	pthread_mutex_lock(&h->lock);
	of = place_of(h, space);
	mine = !h->counting && (of->space != space || now - of->at >= HISTORY_FRESH_NS);
	h->counting |= mine;
	pthread_mutex_unlock(&h->lock);
	return mine;
}

static void end_count(struct history *h, const struct history_of *is)
{
	pthread_mutex_lock(&h->lock);
	*place_of(h, is->space) = *is;
	h->counting = false;
	pthread_mutex_unlock(&h->lock);
}

int history_look(struct history *h, const struct env *env, struct depot *store, uint64_t space)
{
	struct history_of is = { .space = space, .at = env->mono_ns(env->ctx) };
	int err;

	if (!begin_count(h, space, is.at))
		return OK;
	err = history_count(env, store, space, is.at + HISTORY_COUNT_NS, &is.bytes);
	is.failed = err < 0;
	end_count(h, &is);
	return err == ERR_RANGE || err == ERR_TIMEOUT ? OK : err;
}
