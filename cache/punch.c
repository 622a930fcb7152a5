/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On a disk that is full, dead bytes are given back where they lie, without room to copy what lives around them: holes are punched into
 * segments that the database on disk does not replay from. One walk over all extents, under the lock, marks the blocks that live;
 * the others go. Nothing can come to live there again: extents are shared from living ones, and new bytes go to new segments.
 *
 * The journal is synced before the walk, so that what made bytes dead is on disk for sure.
 */
#include <fcntl.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "cache/txn.h"

enum { BLOCK = 4096, LEAST_DEAD = 256 << 10, TARGETS = 4096, UNIT = SEGMENT_UNIT + AEAD_TAG_SIZE };

struct target {
	uint64_t number, size;
	uint8_t *lives; /* a bit for each block */
};

struct targets {
	struct target t[TARGETS];
	size_t n;
};

static void targets_free(struct targets *ts)
{
	for (size_t i = 0; i < ts->n; i++)
		free(ts->t[i].lives);
	free(ts);
}

static void mark(struct target *t, uint64_t from, uint64_t end)
{
	for (uint64_t b = from / BLOCK; b * BLOCK < end && b * BLOCK < t->size; b++)
		t->lives[b / 8] |= (uint8_t)(1u << (b % 8));
}

static int add_target(struct targets *ts, const struct segment_row *row)
{
	struct target t = { .number = row->number, .size = row->size, .lives = calloc(1, row->size / BLOCK / 8 + 1) };
	if (!t.lives)
		return ERR_NOMEM;
	mark(&t, 0, SEGMENT_HEAD);
	ts->t[ts->n++] = t;
	return 0;
}

/* Segments with something to give, ascending by number. */
static int choose(struct store *s, struct targets *ts)
{
	struct segment_row row = { .number = 0 };
	int err = 0;
	while (err == 0 && ts->n < TARGETS && segments_next(s->segments, row.number, &row))
		if (row.number < s->db_segment && row.live > 0 && row.live + row.given + LEAST_DEAD < row.size)
			err = add_target(ts, &row);
	return err;
}

static int compare(const void *key, const void *at)
{
	uint64_t a = *(const uint64_t *)key, b = ((const struct target *)at)->number;
	return a < b ? -1 : a > b;
}

static int mark_all(struct store *s, struct targets *ts)
{
	struct piece p = { .off = 0 };
	uint64_t owner = 0;
	int err;
	while ((err = index_extent_walk(s->index, &owner, &p)) == 0) {
		struct target *t = bsearch(&p.at.segment, ts->t, ts->n, sizeof ts->t[0], compare);
		if (t)
			mark(t, p.at.pos + p.at.skip / SEGMENT_UNIT * UNIT,
				p.at.pos + ((p.at.skip + p.len - 1) / SEGMENT_UNIT + 1) * UNIT);
	}
	return err == ERR_NOT_FOUND ? 0 : err;
}

/* Lock held. Readers of an older state, whose bytes may be dead by now, make it wait. */
static int find_dead(struct store *s, struct targets *ts)
{
	uint64_t synced;
	int err = journal_sync(s->journal, &synced);
	if (err == 0 && keep_oldest(s) != UINT64_MAX)
		return ERR_BUSY;
	if (err == 0)
		err = choose(s, ts);
	return err < 0 ? err : mark_all(s, ts);
}

static int punch(struct store *s, const struct target *t)
{
	const struct env *env = s->config.env;
	struct segment_ref ref;
	int err = segments_get(s->segments, t->number, &ref);
	if (err < 0)
		return err;
	uint64_t blocks = t->size / BLOCK, from = 0, given = 0;
	for (uint64_t b = 0; err == 0 && b <= blocks; b++) {
		if (b < blocks && !(t->lives[b / 8] & 1u << (b % 8)))
			continue;
		if (b > from)
			err = env->fallocate(env->ctx, ref.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(from * BLOCK),
				(off_t)((b - from) * BLOCK));
		if (err == 0)
			given += (b - from) * BLOCK;
		from = b + 1;
	}
	segments_put(s->segments, &ref);
	segments_gave(s->segments, t->number, given);
	return err;
}

/* Dead bytes that still take up disk. */
static uint64_t dead_bytes(struct store *s)
{
	struct segment_row row = { .number = 0 };
	uint64_t dead = 0;
	while (segments_next(s->segments, row.number, &row))
		if (row.number < s->db_segment && row.live + row.given < row.size)
			dead += row.size - row.live - row.given;
	return dead;
}

int store_punch(struct store *s, bool *ret_some)
{
	uint64_t dead = dead_bytes(s);
	*ret_some = false;
	if (dead < s->punched) /* segments went */
		s->punched = dead;
	if (dead < s->punched + LEAST_DEAD)
		return 0;
	struct targets *ts = calloc(1, sizeof *ts);
	if (!ts)
		return ERR_NOMEM;
	int err = store_lock(s);
	if (err == 0) {
		err = find_dead(s, ts);
		store_unlock(s);
	}
	for (size_t i = 0; err == 0 && i < ts->n; i++)
		err = punch(s, &ts->t[i]);
	*ret_some = err == 0 && ts->n > 0;
	targets_free(ts);
	if (err == 0 || err == ERR_UNSUPPORTED)
		s->punched = dead_bytes(s); /* what lies too scattered */
	return err == ERR_BUSY || err == ERR_UNSUPPORTED ? 0 : err;
}
