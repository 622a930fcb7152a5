/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives space back: bytes that still count in segments with much that does not are written again at the journal's end, so that the old
 * segments fall empty and are freed (tend.c).
 *
 * A pass goes on over many turns, each of which takes a bounded time, and the lock is held for some milliseconds at once. It begins
 * when the closed segments take a part more than what lives in them would take alone, chooses those that give most, and then a survey of
 * all extents measures how much lives in each (bytes that several files share count once) and finds the pieces of the chosen ones.
 * These are moved in the order in which they lie. Nothing of a pass is kept: after a crash another one begins.
 */
#include <stdlib.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "cache/move.h"
#include "cache/pagevfs.h"
#include "cache/survey.h"

enum {
	VICTIMS = 256,
	MOST_PIECES = 1 << 18,
	STEPS = 512, /* of the survey in a turn */
	BATCHES = 64,
	PENDING_MOST = 4096, /* pages of the index that wait to be written */
	REST_TURNS = 60,
	URGENT = 3,
	TAIL_LEAST = 16,
	TAIL_PASSED = 256 /* pieces that are large already, under one lock */
};

struct compaction {
	struct survey *survey; /* while it walks */
	uint64_t victim[VICTIMS];
	size_t n_victims;
	struct owned *piece; /* of the victims; after the walk in the order in which they lie */
	size_t n, alloc, next;
	struct batch *batch;
	bool urgent; /* most is dead: turns follow each other without a pause, though writers feel it */
};

void compact_stop(struct store *s)
{
	struct compaction *c = STEAL(&s->compaction);
	if (!c)
		return;
	survey_free(c->survey);
	batch_free(c->batch);
	free(c->piece);
	free(c);
}

/* ---- what to empty ---- */

struct candidate {
	uint64_t number, size, need;
};

/* Those that give most for what has to be written come first. */
static int by_gain(const void *va, const void *vb)
{
	const struct candidate *a = va, *b = vb;
	double ra = (double)a->need / (double)a->size, rb = (double)b->need / (double)b->size;
	return ra < rb ? -1 : ra > rb ? 1 : a->number < b->number ? -1 : a->number > b->number;
}

static int by_number(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;
	return a < b ? -1 : a > b;
}

/* A part more is left dead: what is written again for each new byte grows with how little that is. When nobody works it may be less. */
static uint64_t most_bytes(const struct store *s, uint64_t need)
{
	uint64_t one = segments_size(s->segments);
	return s->quiet ? need + need / 10 + one : need + need / 5 + one;
}

/* No better when written again: the ends of segments stay empty where an entry does not fit. */
static bool is_full(uint64_t size, uint64_t need)
{
	return need >= size / 8 * 7;
}

static int list_closed(
	struct store *s, struct candidate **ret_list, size_t *ret_n, uint64_t *ret_size, uint64_t *ret_need)
{
	struct segment_row row = { .number = 0 };
	uint64_t current = journal_segment(s->journal), size = 0, need = 0;
	struct candidate *list = NULL;
	size_t n = 0, alloc = 0;
	while (segments_next(s->segments, row.number, &row) && row.number < current) {
		if (row.live == 0) /* freed without our help */
			continue;
		struct candidate *more = array_room(list, &alloc, n + 1, sizeof *more);
		if (!more) {
			free(list);
			return ERR_NOMEM;
		}
		list = more;
		list[n++] = (struct candidate){ row.number, row.size - row.given, row.need };
		size += row.size - row.given;
		need += row.need;
	}
	*ret_list = list;
	*ret_n = n;
	*ret_size = size;
	*ret_need = need;
	return 0;
}

/* Bytes that are shared count more than once until a survey has measured them: dead ones hide behind them. */
static bool worth_measuring(struct store *s, uint64_t size)
{
	uint64_t lost = segments_lost(s->segments) - s->compact_lost;
	return lost >= segments_size(s->segments) + (s->quiet ? size / 16 : size / 4);
}

/* Segments that are worth it, until what is left would be little enough; ascending by number. *ret_survey: there is something to do. */
static int choose(struct store *s, struct compaction *c, bool *ret_survey)
{
	FREE_AFTER struct candidate *list = NULL;
	uint64_t size, need;
	size_t n;
	int err = list_closed(s, &list, &n, &size, &need);
	if (err < 0)
		return err;
	uint64_t most = most_bytes(s, need);
	*ret_survey = worth_measuring(s, size);
	c->urgent = size > most * URGENT;
	if (size > most)
		qsort(list, n, sizeof *list, by_gain);
	for (size_t i = 0; i < n && c->n_victims < VICTIMS && size > most; i++) {
		if (is_full(list[i].size, list[i].need))
			break;
		c->victim[c->n_victims++] = list[i].number;
		size -= list[i].size - list[i].need;
	}
	*ret_survey |= c->n_victims > 0;
	if (c->n_victims > 0)
		qsort(c->victim, c->n_victims, sizeof c->victim[0], by_number);
	return 0;
}

static int begin(struct store *s)
{
	bool survey = false;
	struct compaction *c = calloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	s->compaction = c;
	int err = choose(s, c, &survey);
	if (err < 0 || !survey)
		return err;
	s->compact_lost = segments_lost(s->segments);
	err = survey_new(s, &c->survey);
	return err < 0 ? err : batch_new(segments_size(s->segments), &c->batch);
}

/* ---- what lives in it ---- */

static bool is_victim(const struct compaction *c, uint64_t number)
{
	return c->n_victims > 0 && bsearch(&number, c->victim, c->n_victims, sizeof c->victim[0], by_number);
}

/* Keeps the pieces of segments that are still victims. */
static void sift(struct compaction *c)
{
	size_t n = 0;
	for (size_t i = 0; i < c->n; i++)
		if (is_victim(c, c->piece[i].p.at.segment))
			c->piece[n++] = c->piece[i];
	c->n = n;
}

/* Cut so that pieces which share bytes are cut in the same places. */
static int gather(void *ctx, const struct owned *o)
{
	struct compaction *c = ctx;
	struct owned part = *o;
	uint64_t end = o->p.at.skip + o->p.len, most = batch_longest(c->batch);
	if (!is_victim(c, o->p.at.segment))
		return 0;
	while (part.p.at.skip < end) {
		uint64_t stop = (part.p.at.skip / most + 1) * most;
		part.p.len = (stop < end ? stop : end) - part.p.at.skip;
		struct owned *more = array_room(c->piece, &c->alloc, c->n + 1, sizeof *more);
		if (!more)
			return ERR_NOMEM;
		c->piece = more;
		c->piece[c->n++] = part;
		part.p.off += part.p.len;
		part.p.at.skip += part.p.len;
	}
	if (c->n > MOST_PIECES && c->n_victims > 1) { /* the rest is for the next pass */
		c->n_victims /= 2;
		sift(c);
	}
	return 0;
}

static int by_place(const void *va, const void *vb)
{
	const struct place *a = &((const struct owned *)va)->p.at, *b = &((const struct owned *)vb)->p.at;
	if (a->segment != b->segment)
		return a->segment < b->segment ? -1 : 1;
	if (a->pos != b->pos)
		return a->pos < b->pos ? -1 : 1;
	return a->skip < b->skip ? -1 : a->skip > b->skip;
}

/* The walk is done. What it measured decides whether a victim really is one. */
static void measured(struct store *s, struct compaction *c)
{
	size_t n = 0;
	for (size_t i = 0; i < survey_rows(c->survey); i++) {
		struct survey_row row = survey_row(c->survey, i);
		segments_measured(s->segments, row.number, row.need);
		if (is_victim(c, row.number) && is_full(row.size, row.need))
			for (size_t k = 0; k < c->n_victims; k++)
				if (c->victim[k] == row.number)
					c->victim[k] = 0;
	}
	for (size_t k = 0; k < c->n_victims; k++)
		if (c->victim[k] != 0)
			c->victim[n++] = c->victim[k];
	c->n_victims = n;
	sift(c);
	survey_free(c->survey);
	c->survey = NULL;
	if (c->n > 0)
		qsort(c->piece, c->n, sizeof c->piece[0], by_place);
}

static int survey_turn(struct store *s, struct compaction *c)
{
	int err = 0;
	for (int i = 0; err == 0 && i < STEPS; i++) {
		err = store_lock(s);
		if (err < 0)
			return err;
		err = survey_step(c->survey, gather, c);
		store_unlock(s);
	}
	if (err != ERR_NOT_FOUND)
		return err;
	measured(s, c);
	return 0;
}

/* ---- moving it ---- */

static int move_batch(struct store *s, struct batch *b, size_t *damaged)
{
	struct store_keep keep = { .snapshot = false };
	int err = store_lock(s);
	if (err < 0)
		return err;
	batch_check(s, b);
	keep_add(s, &keep);
	store_unlock(s);
	if (batch_pieces(b) > 0)
		err = batch_read(s, b, damaged);
	if (err == 0 && batch_pieces(b) > 0)
		err = batch_write(s, b);
	pthread_mutex_lock(&s->lock);
	keep_drop(s, &keep);
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* Damaged bytes keep their segment: it is full from now on, as far as passes go. Verify tells of them. */
static void give_up(struct store *s, uint64_t number)
{
	struct segment_row row;
	if (segments_next(s->segments, number - 1, &row) && row.number == number)
		segments_measured(s->segments, number, row.size);
}

static int move_turn(struct store *s, struct compaction *c)
{
	int err = 0;
	for (int i = 0; err == 0 && i < BATCHES && c->next < c->n && pagevfs_pending(s->vfs) < PENDING_MOST; i++) {
		uint64_t number = c->piece[c->next].p.at.segment;
		size_t damaged = 0;
		batch_clear(c->batch);
		while (c->next < c->n && c->piece[c->next].p.at.segment == number &&
			batch_add(c->batch, &c->piece[c->next]))
			c->next++;
		err = move_batch(s, c->batch, &damaged);
		if (damaged > 0)
			give_up(s, number);
	}
	return err;
}

int store_compact(struct store *s)
{
	int err = 0;
	if (journal_broken(s->journal) || (s->compact_rest > 0 && s->compact_rest-- > 0))
		return 0;
	if (!s->compaction)
		err = begin(s);
	struct compaction *c = s->compaction;
	if (err == 0 && c->survey)
		err = survey_turn(s, c);
	if (err == 0 && !c->survey)
		err = move_turn(s, c);
	bool done = err == 0 && !c->survey && c->next == c->n;
	if (err < 0 || done)
		compact_stop(s);
	if (err_is_full(err)) { /* there is no room to make room with: later */
		s->compact_rest = REST_TURNS;
		return 0;
	}
	s->again |= s->compaction && (s->quiet || s->compaction->urgent);
	return err;
}

/* ---- small appends ---- */

static void batch_free_pointer(struct batch **b)
{
	batch_free(*b);
}

/* Lock held. The next small pieces of the file from t->from on; nothing if there is but one, or none within reach. */
static int gather_tail(struct store *s, struct tail *t, struct batch *b, bool *ret_end)
{
	uint64_t end = 0;
	int err = 0;
	batch_clear(b);
	for (int passed = 0; passed < TAIL_PASSED;) {
		struct owned o = { .owner = t->ino };
		err = index_extent_next(s->index, t->ino, t->from, &o.p);
		bool small =
			err == 0 && o.p.at.segment != 0 && o.p.len < SEGMENT_UNIT * 4 && o.p.len <= batch_longest(b);
		bool adjoins = batch_pieces(b) == 0 || end == o.p.off;
		if (err < 0 || (batch_pieces(b) > 0 && (!small || !adjoins)) || (small && !batch_add(b, &o)))
			break;
		passed += !small;
		end = t->from = o.p.off + o.p.len;
	}
	*ret_end = err == ERR_NOT_FOUND;
	if (batch_pieces(b) < 2)
		batch_clear(b);
	return *ret_end ? 0 : err;
}

static int join_some(struct store *s, struct tail *t, struct batch *b, bool *ret_end)
{
	struct store_keep keep = { .snapshot = false };
	size_t damaged = 0;
	int err = store_lock(s);
	if (err < 0)
		return err;
	err = gather_tail(s, t, b, ret_end);
	keep_add(s, &keep);
	store_unlock(s);
	if (err == 0 && batch_pieces(b) > 0)
		err = batch_read(s, b, &damaged);
	if (err == 0 && batch_pieces(b) > 0)
		err = batch_write(s, b);
	pthread_mutex_lock(&s->lock);
	keep_drop(s, &keep);
	pthread_mutex_unlock(&s->lock);
	return err;
}

static size_t take_tails(struct store *s, struct tail tails[TAILS])
{
	size_t n = 0;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < TAILS; i++) {
		if (s->tails[i].count < TAIL_LEAST)
			continue;
		tails[n++] = s->tails[i];
		s->tails[i] = (struct tail){ .ino = 0 };
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* Each pass joins what came since the last; the joined pieces are too long to be joined again for ever. */
int store_coalesce(struct store *s)
{
	struct tail tails[TAILS];
	if (journal_broken(s->journal))
		return 0;
	size_t n = take_tails(s, tails);
	if (n == 0)
		return 0;
	CLEANUP(batch_free_pointer) struct batch *b = NULL;
	int err = batch_new(segments_size(s->segments), &b);
	for (size_t i = 0; err == 0 && i < n; i++) {
		bool end = false;
		while (err == 0 && !end)
			err = join_some(s, &tails[i], b, &end);
	}
	return err_is_full(err) ? 0 : err;
}
