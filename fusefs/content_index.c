/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups follow the ranges of the index chunks that were there before, so that a change in one place leaves the other groups as
 * they were, and their chunks are used again. A group that outgrew a chunk is split in two.
 */
#include "fusefs/content_index.h"

#include <stdlib.h>

#include "crypto/seal.h"

struct level {
	struct slice *entries; /* ascending */
	size_t n;
	bool owned;
};

size_t content_index_room(size_t n)
{
	size_t room = 0;

	if (n <= NODE_MAX_SLICES)
		return 0;
	/* Groups are at least half full but for the last of each old range; twice the least number, and some. */
	for (unsigned d = 0; d < INDEX_MAX_DEPTH; d++) {
		n = n / (INDEX_MAX_SLICES / 4) + NODE_MAX_SLICES + 2;
		room += n;
	}
	return room;
}

static void level_release(struct level *l)
{
	if (l->owned && l->entries) {
		secret_wipe(l->entries, l->n * sizeof *l->entries);
		free(l->entries);
	}
	*l = (struct level){ .entries = NULL };
}

/* The entries one level down, as far as their index chunks are here. */
static int level_below(const struct content_maker *m, uint32_t space, const struct level *up, struct level *ret_l)
{
	struct level l = { .owned = true };

	for (size_t i = 0; i < up->n; i++) {
		struct buf plain = BUF_INIT_SECRET(CHUNK_MAX_PLAIN);
		struct store_txn *t = NULL;
		struct chunk_row row;
		struct slice *sub = NULL;
		size_t n = 0;

		int err = store_begin(m->store, &t);
		if (err == OK)
			err = txn_chunk_find(t, space, &up->entries[i].chunk, &row);
		store_abort(&t);
		if (err == OK)
			err = store_read_chunk(m->store, row.row, &plain);
		if (err == OK)
			err = index_decode(buf_bytes(&plain), &sub, &n);
		buf_release(&plain);
		struct slice *more = err == OK ? realloc(l.entries, (l.n + n) * sizeof *more) : NULL;
		if (more) {
			memcpy(more + l.n, sub, n * sizeof *more);
			l.entries = more;
			l.n += n;
		}
		if (sub)
			secret_wipe(sub, n * sizeof *sub);
		free(sub);
		if (err == OK && !more) {
			level_release(&l);
			return ERR_NOMEM;
		}
	}
	*ret_l = l;
	return OK;
}

static const struct slice *range_at(const struct level *old, uint64_t at, size_t *hint)
{
	while (*hint < old->n && old->entries[*hint].at + old->entries[*hint].len <= at)
		(*hint)++;
	return *hint < old->n && old->entries[*hint].at <= at ? &old->entries[*hint] : NULL;
}

static size_t group_len(const struct slice *s, size_t n, const struct slice *range)
{
	size_t k = 0;

	if (!range)
		return n < INDEX_MAX_SLICES ? n : INDEX_MAX_SLICES;
	while (k < n && s[k].at < range->at + range->len)
		k++;
	/* What was appended behind the last old range fills up its group. */
	if (k > INDEX_MAX_SLICES)
		k = k / 2 < INDEX_MAX_SLICES ? k / 2 : INDEX_MAX_SLICES;
	return k;
}

/* One index chunk: an old one if its plaintext would be the same, else a new one. */
static int make_entry(const struct content_maker *m, uint32_t space, const struct slice *group, size_t n,
	const struct slice *range, struct content *c, struct slice *ret_entry)
{
	struct content_chunk ch = { .plain = BUF_INIT_SECRET(CHUNK_MAX_PLAIN) };
	int err = index_put(&ch.plain, group, n);
	if (err < 0)
		goto out;
	struct slice e = { .at = group[0].at, .len = group[n - 1].at + group[n - 1].len - group[0].at };
	e.chunk_len = (uint32_t)ch.plain.len;
	chunk_hash(m->hash_key, buf_bytes(&ch.plain), &e.hash);
	if (range && id32_equal(&range->hash, &e.hash) && range->chunk_len == e.chunk_len) {
		e.chunk = range->chunk;
		memcpy(e.key, range->key, sizeof e.key);
		*ret_entry = e;
		goto out;
	}
	ch.row = (struct chunk_row){ .space = space, .len = e.chunk_len, .hash = e.hash, .index = true };
	m->env->random(m->env->ctx, ch.row.id.b, sizeof ch.row.id.b);
	m->env->random(m->env->ctx, ch.row.key, sizeof ch.row.key);
	e.chunk = ch.row.id;
	memcpy(e.key, ch.row.key, sizeof e.key);
	c->chunks[c->n_chunks++] = ch;
	*ret_entry = e;
	return OK;
out:
	buf_release(&ch.plain);
	return err;
}

/* One level of index chunks over s[0..n): *ret_out gets the entries. */
static int make_level(const struct content_maker *m, uint32_t space, const struct level *old, const struct slice *s,
	size_t n, struct content *c, struct slice **ret_out, size_t *ret_n)
{
	struct slice *out = calloc(n, sizeof *out);
	size_t done = 0, hint = 0;

	if (!out)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; done++) {
		const struct slice *range = range_at(old, s[i].at, &hint);
		size_t k = group_len(s + i, n - i, range);
		int err = make_entry(m, space, s + i, k, range, c, &out[done]);

		if (err < 0) {
			free(out);
			return err;
		}
		i += k;
	}
	*ret_out = out;
	*ret_n = done;
	return OK;
}

/* Old index levels, the lowest (above the slices of content) first. */
static int old_levels(const struct content_maker *m, uint32_t space, const struct node_body *before,
	struct level old[INDEX_MAX_DEPTH])
{
	if (!before || before->form != CONTENT_SLICES || before->depth == 0 || before->depth > INDEX_MAX_DEPTH)
		return OK;
	old[before->depth - 1] = (struct level){ .entries = before->slices, .n = before->n_slices };
	for (unsigned d = before->depth - 1; d > 0; d--) {
		int err = level_below(m, space, &old[d], &old[d - 1]);
		if (err < 0)
			return err;
	}
	return OK;
}

int content_index_make(const struct content_maker *m, uint32_t space, const struct node_body *before, struct content *c,
	struct slice **slices, size_t *n, unsigned *ret_depth)
{
	struct level old[INDEX_MAX_DEPTH] = { { .entries = NULL } };
	unsigned depth = 0;
	int err = old_levels(m, space, before, old);

	while (err == OK && *n > NODE_MAX_SLICES) {
		struct slice *up = NULL;
		size_t n_up = 0;

		if (depth == INDEX_MAX_DEPTH) {
			err = ERR_FILE_TOO_BIG;
			break;
		}
		err = make_level(m, space, &old[depth], *slices, *n, c, &up, &n_up);
		if (err < 0)
			break;
		secret_wipe(*slices, *n * sizeof **slices);
		free(*slices);
		*slices = up;
		*n = n_up;
		depth++;
	}
	for (unsigned d = 0; d < INDEX_MAX_DEPTH; d++)
		level_release(&old[d]);
	*ret_depth = depth;
	return err;
}
