/* SPDX-License-Identifier: Apache-2.0 */
/* How many bytes of each segment are pointed to, and what follows from it: what may go, and what it would free. */
#include "base/array.h"
#include "cache/segment_set.h"

static void record_undo(struct segments *set, uint64_t number, int64_t delta)
{
	struct segment_undo *undo = array_room(set->undo, &set->undo_alloc, set->n_undo + 1, sizeof *undo);
	if (!undo) {
		set->undo_lost = true;
		return;
	}
	set->undo = undo;
	set->undo[set->n_undo++] = (struct segment_undo){ number, delta };
}

static void add_live(struct segments *set, uint64_t number, int64_t delta)
{
	struct segment *seg = segments_find(set, number);
	if (!seg)
		return;
	seg->live += (uint64_t)delta;
	seg->changed = true;
	if (delta > 0)
		seg->gained = ++set->gains;
	else
		set->lost += (uint64_t)-delta;
	if (seg->live > 0)
		seg->empty_seq = 0;
}

void segments_live(void *ctx, uint64_t number, int64_t delta)
{
	struct segments *set = ctx;
	pthread_mutex_lock(&set->lock);
	add_live(set, number, delta);
	if (set->marked)
		record_undo(set, number, delta);
	pthread_mutex_unlock(&set->lock);
}

void segments_mark(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	set->marked = true;
	set->undo_lost = false;
	set->n_undo = 0;
	pthread_mutex_unlock(&set->lock);
}

void segments_unmark(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	set->marked = false;
	set->n_undo = 0;
	pthread_mutex_unlock(&set->lock);
}

int segments_undo(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	while (set->n_undo > 0) {
		struct segment_undo u = set->undo[--set->n_undo];
		add_live(set, u.number, -u.delta);
	}
	int err = set->undo_lost ? ERR_NOMEM : 0;
	set->marked = false;
	pthread_mutex_unlock(&set->lock);
	return err;
}

static uint64_t need_now(const struct segment *seg)
{
	if (seg->live >= seg->need_live)
		return seg->need + (seg->live - seg->need_live);
	uint64_t drop = seg->need_live - seg->live;
	return seg->live == 0 || seg->need < drop ? 0 : seg->need - drop;
}

bool segments_next(struct segments *set, uint64_t number, struct segment_row *ret)
{
	pthread_mutex_lock(&set->lock);
	size_t i = segments_position(set, number + 1);
	bool found = i < set->n;
	if (found) {
		const struct segment *seg = &set->seg[i];
		*ret = (struct segment_row){ .number = seg->number,
			.size = seg->size,
			.live = seg->live,
			.changed = seg->changed,
			.empty_seq = seg->empty_seq,
			.given = seg->given,
			.need = need_now(seg),
			.gained = seg->gained };
	}
	pthread_mutex_unlock(&set->lock);
	return found;
}

void segments_gave(struct segments *set, uint64_t number, uint64_t bytes)
{
	pthread_mutex_lock(&set->lock);
	struct segment *seg = segments_find(set, number);
	if (seg)
		seg->given = bytes;
	pthread_mutex_unlock(&set->lock);
}

void segments_measured(struct segments *set, uint64_t number, uint64_t need)
{
	pthread_mutex_lock(&set->lock);
	struct segment *seg = segments_find(set, number);
	if (seg) {
		seg->need = need;
		seg->need_live = seg->live;
	}
	pthread_mutex_unlock(&set->lock);
}

uint64_t segments_gains(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	uint64_t gains = set->gains;
	pthread_mutex_unlock(&set->lock);
	return gains;
}

uint64_t segments_lost(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	uint64_t lost = set->lost;
	pthread_mutex_unlock(&set->lock);
	return lost;
}

void segments_saved(struct segments *set, uint64_t number)
{
	pthread_mutex_lock(&set->lock);
	struct segment *seg = segments_find(set, number);
	if (seg)
		seg->changed = false;
	pthread_mutex_unlock(&set->lock);
}

void segments_note_empty(struct segments *set, uint64_t seq)
{
	pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < set->n; i++)
		if (set->seg[i].live == 0 && set->seg[i].empty_seq == 0)
			set->seg[i].empty_seq = seq;
	pthread_mutex_unlock(&set->lock);
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t segments_content(struct segments *set)
{
	uint64_t bytes = 0;
	pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < set->n; i++) {
		const struct segment *seg = &set->seg[i];
		bytes += at_most(at_most(seg->live, need_now(seg)), seg->size - seg->given);
	}
	pthread_mutex_unlock(&set->lock);
	return bytes;
}

uint64_t segments_bytes(struct segments *set, uint64_t *ret_live)
{
	uint64_t bytes = 0, live = 0;
	pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < set->n; i++) {
		bytes += set->seg[i].size - set->seg[i].given;
		live += set->seg[i].live;
	}
	bytes += set->reserve;
	for (int i = 0; i < SEGMENT_SPARES; i++)
		bytes += set->spare[i];
	pthread_mutex_unlock(&set->lock);
	*ret_live = live;
	return bytes;
}

void segments_reload(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < set->n; i++) {
		set->seg[i].live = set->seg[i].empty_seq = 0;
		set->seg[i].changed = true;
	}
	set->marked = false;
	set->n_undo = 0;
	pthread_mutex_unlock(&set->lock);
}
