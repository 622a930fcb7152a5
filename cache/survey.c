/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/survey.h"
#include <stdlib.h>
#include "base/array.h"

enum {
	VISITS = 256,
	PIECE_COST = 24, /* a piece's row change, about */
	UNIT = SEGMENT_UNIT + AEAD_TAG_SIZE,
	LEAST_GRAIN = 512,
	MOST_BITS = 128 << 20
};

struct area {
	uint64_t number, size, living, refs;
	uint8_t *lives;
};

struct survey {
	struct store *s;
	struct area *area;
	size_t n, alloc;
	uint64_t owner, off; /* where the walk stands */
	uint64_t gains;      /* at the start */
	uint64_t grain;
	struct owned found[VISITS];
};

void survey_free(struct survey *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->n; i++)
		free(v->area[i].lives);
	free(v->area);
	free(v);
}

static void mark(const struct survey *v, struct area *a, uint64_t from, uint64_t end)
{
	for (uint64_t g = from / v->grain; g * v->grain < end && g * v->grain < a->size; g++) {
		uint8_t bit = (uint8_t)(1u << (g % 8));
		a->living += !(a->lives[g / 8] & bit);
		a->lives[g / 8] |= bit;
	}
}

static int add_area(struct survey *v, const struct segment_row *row)
{
	struct area *more = array_room(v->area, &v->alloc, v->n + 1, sizeof *more);
	if (!more)
		return ERR_NOMEM;
	v->area = more;
	struct area a = { .number = row->number, .size = row->size };
	a.lives = calloc(1, a.size / v->grain / 8 + 1);
	if (!a.lives)
		return ERR_NOMEM;
	mark(v, &a, 0, SEGMENT_HEAD);
	v->area[v->n++] = a;
	return 0;
}

static uint64_t grain_for(struct store *s)
{
	uint64_t live, bytes = segments_bytes(s->segments, &live), grain = LEAST_GRAIN;
	while (grain < SURVEY_BLOCK && bytes / grain > MOST_BITS)
		grain *= 2;
	return grain;
}

int survey_new(struct store *s, struct survey **ret_v)
{
	struct survey *v = calloc(1, sizeof *v);
	if (!v)
		return ERR_NOMEM;
	v->s = s;
	v->gains = segments_gains(s->segments);
	v->grain = grain_for(s);
	uint64_t current = journal_segment(s->journal);
	struct segment_row row = { .number = 0 };
	int err = 0;
	while (err == 0 && segments_next(s->segments, row.number, &row))
		if (row.number < current)
			err = add_area(v, &row);
	if (err < 0) {
		survey_free(v);
		return err;
	}
	*ret_v = v;
	return 0;
}

static int compare(const void *key, const void *at)
{
	uint64_t a = *(const uint64_t *)key, b = ((const struct area *)at)->number;
	return a < b ? -1 : a > b;
}

static void see(struct survey *v, const struct piece *p)
{
	if (v->n == 0)
		return;
	struct area *a = bsearch(&p->at.segment, v->area, v->n, sizeof v->area[0], compare);
	if (!a)
		return;
	a->refs += p->len + PIECE_COST;
	mark(v, a, p->at.pos + p->at.skip / SEGMENT_UNIT * UNIT,
		p->at.pos + ((p->at.skip + p->len - 1) / SEGMENT_UNIT + 1) * UNIT);
}

int survey_step(struct survey *v, int (*fn)(void *ctx, const struct owned *o), void *ctx)
{
	size_t n;
	int err = index_extent_walk(v->s->index, &v->owner, &v->off, v->found, VISITS, &n);
	for (size_t i = 0; err == 0 && i < n; i++) {
		if (v->found[i].p.at.segment == 0)
			continue;
		see(v, &v->found[i].p);
		err = fn ? fn(ctx, &v->found[i]) : 0;
	}
	return err < 0 ? err : n < VISITS ? ERR_NOT_FOUND : 0;
}

size_t survey_rows(const struct survey *v)
{
	return v->n;
}

/* Shared pieces count each time in `refs`, small ones as whole grains in `living`: the truth is below both. */
struct survey_row survey_row(const struct survey *v, size_t i)
{
	const struct area *a = &v->area[i];
	uint64_t grains = a->living * v->grain, refs = a->refs + a->refs / (SEGMENT_UNIT / AEAD_TAG_SIZE);
	return (struct survey_row){ .number = a->number,
		.size = a->size,
		.need = grains < refs ? grains : refs,
		.grain = v->grain,
		.lives = a->lives };
}

bool survey_lives(const struct survey_row *row, uint64_t block)
{
	uint64_t each = SURVEY_BLOCK / row->grain;
	for (uint64_t g = block * each; g < (block + 1) * each; g++)
		if (row->lives[g / 8] & 1u << (g % 8))
			return true;
	return false;
}

bool survey_holds(struct survey *v, uint64_t number)
{
	struct segment_row row;
	return segments_next(v->s->segments, number - 1, &row) && row.number == number && row.gained <= v->gains;
}
