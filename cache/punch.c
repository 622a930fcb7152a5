/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On a disk that is full, dead bytes are given back where they lie, without room to copy what lives around them: holes are punched into
 * segments that the database on disk does not replay from, where a survey saw nothing alive. Nothing can come to live there again:
 * extents are shared from living ones, and new bytes go to new segments.
 *
 * After a crash the index goes back to what is on disk and the journal is replayed, which moves rows and reads none of the bytes that
 * they point to. So it is enough that the journal is synced after the survey: what made bytes dead is then on disk for sure. Readers
 * that began before that may need dead bytes: the survey is kept until the last of them has gone.
 */
#include <fcntl.h>
#include <stdlib.h>
#include "cache/survey.h"

enum { LEAST_DEAD = 256 << 10, LEAST_PART = 64 /* of a segment */ };

/* Walks to the end, taking and leaving the lock. *ret_readers: how many had come until then. */
static int look(struct store *s, struct survey *v, uint64_t *ret_readers)
{
	int err = 0;
	while (err == 0) {
		err = store_lock(s);
		if (err < 0)
			return err;
		err = survey_step(v, NULL, NULL);
		*ret_readers = s->n_keeps;
		store_unlock(s);
	}
	return err == ERR_NOT_FOUND ? 0 : err;
}

/* The last block, if it is cut short, stays. */
static uint64_t dead_bytes(const struct survey_row *row)
{
	uint64_t dead = 0;
	for (uint64_t b = 0; b < row->size / SURVEY_BLOCK; b++)
		dead += survey_lives(row, b) ? 0 : SURVEY_BLOCK;
	return dead;
}

static int punch(struct store *s, const struct survey_row *row)
{
	const struct env *env = s->config.env;
	struct segment_ref ref;
	int err = segments_get(s->segments, row->number, &ref);
	if (err < 0)
		return err == ERR_CORRUPT ? 0 : err; /* freed meanwhile */
	uint64_t blocks = row->size / SURVEY_BLOCK, from = 0;
	for (uint64_t b = 0; err == 0 && b <= blocks; b++) {
		if (b < blocks && !survey_lives(row, b))
			continue;
		if (b > from)
			err = env->fallocate(env->ctx, ref.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)(from * SURVEY_BLOCK), (off_t)((b - from) * SURVEY_BLOCK));
		from = b + 1;
	}
	segments_put(s->segments, &ref);
	if (err == 0)
		segments_gave(s->segments, row->number, dead_bytes(row));
	return err;
}

/* What a segment has given already; UINT64_MAX: it is gone. */
static uint64_t given(struct store *s, uint64_t number)
{
	struct segment_row row;
	return segments_next(s->segments, number - 1, &row) && row.number == number ? row.given : UINT64_MAX;
}

/* What may be punched goes into `hit`; what must wait for a checkpoint counts. */
static int choose(struct store *s, struct punch_plan *plan)
{
	size_t n = survey_rows(plan->survey);
	plan->hit = calloc(n + 1, sizeof *plan->hit);
	if (!plan->hit)
		return ERR_NOMEM;
	plan->left = 0;
	for (size_t i = 0; i < n; i++) {
		struct survey_row row = survey_row(plan->survey, i);
		uint64_t dead = dead_bytes(&row), had = given(s, row.number);
		bool worth = had != UINT64_MAX && dead >= had + row.size / LEAST_PART;
		plan->hit[i] = worth && row.number < s->db_segment && survey_holds(plan->survey, row.number);
		if (worth && !plan->hit[i])
			plan->left += dead - had;
	}
	return 0;
}

/* Walks over everything only if enough may have died since the last time. */
static bool worth_looking(struct store *s)
{
	struct punch_plan *plan = &s->punch;
	uint64_t lost = segments_lost(s->segments);
	bool first = plan->db_segment == 0, more = plan->left >= LEAST_DEAD && plan->db_segment != s->db_segment;
	return s->db_segment != 0 && (first || more || lost - plan->lost >= LEAST_DEAD);
}

static int make_plan(struct store *s)
{
	struct punch_plan *plan = &s->punch;
	uint64_t synced;
	plan->lost = segments_lost(s->segments);
	plan->db_segment = s->db_segment;
	int err = survey_new(s, &plan->survey);
	if (err == 0)
		err = look(s, plan->survey, &plan->readers);
	if (err == 0)
		err = journal_sync(s->journal, &synced);
	return err < 0 ? err : choose(s, plan);
}

void punch_forget(struct store *s)
{
	survey_free(s->punch.survey);
	free(s->punch.hit);
	s->punch.survey = NULL;
	s->punch.hit = NULL;
}

static bool older_readers(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	bool some = keep_before(s, s->punch.readers);
	pthread_mutex_unlock(&s->lock);
	return some;
}

int store_punch(struct store *s, bool *ret_some)
{
	struct punch_plan *plan = &s->punch;
	int err = 0;
	*ret_some = false;
	if (!plan->survey) {
		if (!worth_looking(s))
			return 0;
		err = make_plan(s);
	}
	bool wait = err == 0 && older_readers(s);
	atomic_store(&s->readers_wait, wait);
	if (wait)
		return 0; /* the plan stays good: next turn */
	for (size_t i = 0; err == 0 && i < survey_rows(plan->survey); i++) {
		struct survey_row row = survey_row(plan->survey, i);
		if (!plan->hit[i])
			continue;
		err = punch(s, &row);
		*ret_some |= err == 0;
	}
	punch_forget(s);
	return err == ERR_UNSUPPORTED ? 0 : err;
}
