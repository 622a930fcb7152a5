/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings what is pinned here, behind whatever somebody waits for. Nothing of it is kept: a look goes over the chunks in the store, some
 * steps at each turn of the loop, and lists those that pinned files lack, by space. A full look is made at the start, with each connection,
 * when pins change, for barriers, and FULL_NS after changes (a file may have been moved into a pinned folder); after steps of others
 * the look goes on from where it ended, because new chunks have higher rows. What fails goes to the end of its list, with back-off.
 */
#include <stdlib.h>

#include "base/array.h"
#include "fusefs/sync_inner.h"

#define SECOND 1000000000ll
#define FULL_NS (60 * SECOND)
#define RETRY_MAX (60 * SECOND)
#define LOOK_TURN 1024 /* chunks, files and folders looked at in one turn, under the store's lock */

static int add(struct keep_list *l, uint64_t row, uint32_t len)
{
	if (l->at > 0 && l->n == l->alloc) {
		memmove(l->chunks, l->chunks + l->at, (l->n - l->at) * sizeof *l->chunks);
		l->n -= l->at;
		l->at = 0;
	}
	struct keep_chunk *more = array_room(l->chunks, &l->alloc, l->n + 1, sizeof *more);
	if (!more)
		return ERR_NOMEM;
	l->chunks = more;
	l->chunks[l->n++] = (struct keep_chunk){ .row = row, .len = len };
	l->bytes += len;
	return OK;
}

/* ---- looking ---- */

void sync_keep_changed(struct sync *s, int64_t now)
{
	if (s->keep_full_at == 0)
		s->keep_full_at = now + FULL_NS;
}

void sync_keep_arrived(struct sync *s, int64_t now)
{
	s->keep_looking = true;
	sync_keep_changed(s, now);
}

uint64_t sync_keep_look(struct sync *s)
{
	s->keep_again = true;
	return s->looks_begun + 1;
}

bool sync_keep_looked(const struct sync *s, uint64_t look)
{
	return !s->keep_full && s->looks_done >= look;
}

static void begin_full(struct sync *s)
{
	for (struct sync_space *ss = s->spaces; ss; ss = ss->next)
		ss->keep.n = ss->keep.at = ss->keep.bytes = 0;
	s->keep_at = (struct pin_look){ .row = 0 };
	s->keep_again = false;
	s->keep_full_at = 0;
	s->keep_looking = s->keep_full = true;
	s->looks_begun++;
}

static int look(struct sync *s)
{
	struct store_txn *t = NULL;
	size_t left = LOOK_TURN;
	int err = store_begin(s->config.store, &t);

	while (err == OK) {
		struct chunk_row c;

		err = txn_pinned_absent(t, &s->keep_at, &left, &c);
		struct sync_space *ss = err == OK ? sync_space_of(s, c.space) : NULL;
		if (ss)
			err = add(&ss->keep, c.row, c.len);
	}
	store_abort(&t);
	return err;
}

static void look_on(struct sync *s, int64_t now)
{
	int err = look(s);

	if (err == ERR_AGAIN)
		return;
	if (err == ERR_NOT_FOUND && s->keep_full)
		s->looks_done = s->looks_begun;
	if (err != ERR_NOT_FOUND)
		s->keep_full_at = now + SECOND;
	s->keep_looking = s->keep_full = false;
}

/* ---- fetching ---- */

/* True if one more of the space's chunks is on its way. */
static bool fetch_one(struct sync_space *ss, int64_t now)
{
	struct keep_list *l = &ss->keep;

	if (l->at == l->n || !ss->peer || !peer_online(ss->peer->peer) || now < l->retry_at)
		return false;
	int err = sync_fetch_keep(ss->sync, l->chunks[l->at].row);
	if (err == ERR_AGAIN)
		return false;
	struct keep_chunk c = l->chunks[l->at++];
	l->bytes -= c.len;
	if (err < 0 && err != ERR_EXISTS && err != ERR_NOT_FOUND)
		sync_keep_result(ss->sync, ss->row, c.row, c.len, err);
	return true;
}

void sync_keep_result(struct sync *s, uint32_t space, uint64_t row, uint32_t len, int err)
{
	struct sync_space *ss = sync_space_of(s, space);
	int64_t now = sync_now(s);

	if (!ss)
		return;
	struct keep_list *l = &ss->keep;
	if (err == OK || err_is_full(err))
		sync_space_stored(ss, err);
	if (err == OK) {
		l->retry_delay = 0;
		return;
	}
	if (err == ERR_NOT_FOUND)
		return; /* nothing names the chunk any more */
	if (add(l, row, len) < 0)
		s->keep_full_at = now + SECOND;
	if (now < l->retry_at)
		return;
	l->retry_delay = l->retry_delay == 0 ? SECOND : 2 * l->retry_delay < RETRY_MAX ? 2 * l->retry_delay : RETRY_MAX;
	l->retry_at = now + l->retry_delay;
}

void sync_keep_online(struct sync_space *ss)
{
	ss->keep.retry_at = ss->keep.retry_delay = 0;
	(void)sync_keep_look(ss->sync);
}

uint64_t sync_keep_left(const struct sync_space *ss)
{
	return ss->keep.bytes + sync_fetch_kept(ss->sync, ss->row);
}

void sync_keep_free(struct sync_space *ss)
{
	free(ss->keep.chunks);
	ss->keep = (struct keep_list){ .n = 0 };
}

/* ---- the loop ---- */

void sync_keep_step(struct sync *s, int64_t now)
{
	pthread_mutex_lock(&s->lock);
	bool full = s->repinned;
	s->repinned = false;
	pthread_mutex_unlock(&s->lock);
	s->keep_again = s->keep_again || full || (s->keep_full_at && now >= s->keep_full_at);
	if (s->keep_again && !s->keep_full)
		begin_full(s);
	if (s->keep_looking)
		look_on(s, now);
	for (bool more = true; more;) { /* spaces take turns */
		more = false;
		for (struct sync_space *ss = s->spaces; ss; ss = ss->next)
			more = fetch_one(ss, now) || more;
	}
}

int64_t sync_keep_due(const struct sync *s, int64_t now)
{
	int64_t due = s->keep_full_at ? s->keep_full_at : INT64_MAX;

	if (s->keep_looking || s->keep_again)
		return now;
	for (const struct sync_space *ss = s->spaces; ss; ss = ss->next) {
		const struct keep_list *l = &ss->keep;

		if (l->at < l->n && l->retry_at > now && l->retry_at < due)
			due = l->retry_at;
	}
	return due;
}

void sync_pinned(struct sync *s)
{
	pthread_mutex_lock(&s->lock);
	s->repinned = true;
	pthread_mutex_unlock(&s->lock);
	sync_poke(s, 0);
}
