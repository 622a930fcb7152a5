/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the relay sends: steps of the history, from a pull or as notifications, put in one queue and applied in cursor order, each step
 * whole, several in one transaction where nothing stands between them. A step that does not follow waits for own pushes whose answer
 * may be the steps between; with none under way the rest is pulled.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/chain.h"
#include "crypto/secret.h"
#include "fusefs/sync_head.h"
#include "fusefs/sync_heal.h"
#include "fusefs/sync_inner.h"
#include "wire/map.h"

#define EMPTY_PULLS_MAX 4
#define PULL_LIMIT (4u << 20)
#define QUEUE_MAX (64u << 20)
#define BATCH_BYTES (1u << 20)
#define BATCH_STEPS 128

/* ---- the queue ---- */

static void pop_step(struct sync_space *ss)
{
	struct step *st = ss->steps;

	ss->steps = st->next;
	if (!ss->steps)
		ss->steps_tail = &ss->steps;
	ss->step_bytes -= st->len;
	free(st->data);
	free(st);
}

static void clear_steps(struct sync_space *ss)
{
	while (ss->steps)
		pop_step(ss);
}

void sync_pull_clear(struct sync_space *ss)
{
	clear_steps(ss);
	if (ss->index_call)
		peer_cancel(ss->peer->peer, ss->index_call);
	ss->index_call = 0;
	ss->index_failed = false;
	secret_wipe(&ss->index_wanted, sizeof ss->index_wanted);
	ss->pulling = ss->pull_more = false;
}

static int push_step(struct sync_space *ss, struct bytes data, uint64_t prev, uint64_t cursor)
{
	struct step *st = calloc(1, sizeof *st);

	if (!st)
		return ERR_NOMEM;
	st->data = malloc(data.len);
	if (!st->data || ss->step_bytes + data.len > QUEUE_MAX) {
		int err = st->data ? ERR_RANGE : ERR_NOMEM;

		free(st->data);
		free(st);
		return err;
	}
	memcpy(st->data, data.p, data.len);
	st->len = data.len;
	st->prev = prev;
	st->cursor = cursor;
	*ss->steps_tail = st;
	ss->steps_tail = &st->next;
	ss->step_bytes += data.len;
	return OK;
}

void sync_pull_notified(struct sync_space *ss, struct bytes params)
{
	uint64_t prev = map_get_uint(params, "prev", 0), cursor = map_get_uint(params, "cursor", 0);

	if (ss->phase != PHASE_LIVE && ss->phase != PHASE_SUBSCRIBE)
		return;
	if (cursor > ss->relay_cursor && !ss->heal.wanted)
		ss->relay_cursor = cursor;
	/* During a pull the pull brings it; afterwards a gap is noticed and pulled again. */
	if (cursor == 0 || ss->pulling || !ss->caught_up)
		return;
	if (push_step(ss, params, prev, cursor) < 0)
		clear_steps(ss);
}

/* ---- the pull ---- */

static void on_begin(struct sync_space *ss, struct bytes data)
{
	struct bytes store = map_get_bytes(data, "store");
	uint64_t cursor = map_get_uint(data, "cursor", 0);

	if (sync_heal_begin(ss, cursor, map_get_uint(data, "entries", 0), store))
		return;
	ss->relay_cursor = cursor > ss->relay_cursor ? cursor : ss->relay_cursor;
	if (store.len != sizeof ss->space->row.store_id)
		return;
	pthread_mutex_lock(&ss->space->lock);
	memcpy(ss->space->row.store_id.b, store.p, store.len);
	pthread_mutex_unlock(&ss->space->lock);
}

static void on_part(void *ctx, struct bytes name, struct bytes data)
{
	struct sync_space *ss = ctx;

	if (cbor_text_is(name, "coffer.begin")) {
		on_begin(ss, data);
		return;
	}
	if (!cbor_text_is(name, "coffer.step") || ss->phase == PHASE_STOPPED || ss->heal.wanted)
		return;
	uint64_t cursor = map_get_uint(data, "cursor", 0);
	if (cursor != ss->pull_last + 1) {
		sync_space_alarm(ss, ERR_GAP, "the relay left out a step of the history");
		ss->phase = PHASE_STOPPED;
		return;
	}
	if (push_step(ss, data, ss->pull_last, cursor) < 0) {
		ss->pull_more = true; /* pulled again once the queue is worked off */
		return;
	}
	ss->pull_last = cursor;
	if (ss->step_bytes > BATCH_BYTES)
		sync_pull_run(ss, sync_now(ss->sync));
}

/* A relay that says it has more, and does not bring it, is not asked again without end. Now and then that is honest: a notice came just
 * after. */
static void note_brought(struct sync_space *ss)
{
	if (ss->pull_last != ss->pull_from)
		ss->empty_pulls = 0;
	else if (ss->pull_more || ss->pull_last < ss->relay_cursor)
		ss->empty_pulls++;
	if (ss->empty_pulls < EMPTY_PULLS_MAX)
		return;
	ss->empty_pulls = 0;
	ss->pull_more = false;
	ss->relay_cursor = ss->pull_last;
}

static void on_pulled(void *ctx, int err, struct bytes code, struct bytes item)
{
	struct sync_space *ss = ctx;

	ss->call = 0;
	ss->pulling = false;
	log_debug("sync: space %s pulled to %llu: %s", log_id16(&ss->space->row.id).s,
		(unsigned long long)ss->pull_last, err_name(err));
	if (ss->phase == PHASE_STOPPED)
		return;
	if (err == OK && ss->heal.wanted) {
		sync_heal_run(ss);
		return;
	}
	if (err == OK) {
		ss->pull_more = ss->pull_more || map_get_bool(item, "more", false);
		note_brought(ss);
		if (!ss->pull_more)
			ss->caught_up = true;
		return;
	}
	if (err == ERR_OFFLINE || err == ERR_CANCELLED)
		return;
	log_warn("sync: pull failed: %s (%.*s)", err_str(err), (int)code.len, (const char *)code.p);
	if (err == ERR_FORBIDDEN)
		sync_space_alarm(ss, err, "the relay does not give access to this space");
	ss->phase = PHASE_OFFLINE;
	sync_space_retry(ss, sync_now(ss->sync));
}

void sync_pull_start(struct sync_space *ss)
{
	CLEANUP(map_release) struct map m = MAP_INIT;
	CLEANUP(buf_release) struct buf b = BUF_INIT(1024);

	if (ss->pulling || ss->call)
		return;
	clear_steps(ss);
	map_uuid(&m, "space", &ss->space->row.id);
	map_uint(&m, "since", ss->space->row.cursor);
	map_text(&m, "with", "chunks");
	map_uint(&m, "limit", PULL_LIMIT);
	ss->pull_last = ss->pull_from = ss->space->row.cursor;
	ss->pull_more = false;
	struct peer_answer a = { .ctx = ss, .part = on_part, .result = on_pulled };
	int err = map_put(&m, &b);
	if (err == OK)
		err = peer_call(ss->peer->peer, "coffer.pull", buf_bytes(&b), &a, &ss->call);
	ss->pulling = err == OK;
	if (err < 0) {
		ss->call = 0;
		ss->caught_up = false;
	}
}

/* ---- cursor and chain ---- */

int sync_pull_advance(
	struct sync_space *ss, struct store_txn *t, uint64_t cursor, struct bytes lines, struct id32 *chain)
{
	pthread_mutex_lock(&ss->space->lock);
	struct space_row row = ss->space->row;
	pthread_mutex_unlock(&ss->space->lock);
	chain_next(chain, cursor, lines);
	row.cursor = cursor;
	row.chain = *chain;
	int err = sync_head_keep(t, ss->row, cursor, chain);
	return err < 0 ? err : txn_space_put(t, &row);
}

void sync_pull_advanced(struct sync_space *ss, uint64_t cursor, const struct id32 *chain)
{
	pthread_mutex_lock(&ss->space->lock);
	ss->space->row.cursor = cursor;
	ss->space->row.chain = *chain;
	pthread_mutex_unlock(&ss->space->lock);
}

/* ---- applying ---- */

/* How many steps of the queue are taken together: they follow each other, and none with log entries but the first. */
static size_t batch_size(const struct sync_space *ss)
{
	uint64_t cursor = ss->space->row.cursor;
	size_t n = 0, bytes = 0;

	for (const struct step *st = ss->steps; st && n < (ss->heal.on ? 1 : BATCH_STEPS) && bytes < BATCH_BYTES;
		st = st->next) {
		if (st->prev != cursor || st->cursor != cursor + 1)
			break;
		cursor = st->cursor;
		bytes += st->len;
		n++;
	}
	return n;
}

void sync_pull_run(struct sync_space *ss, int64_t now)
{
	while (ss->phase == PHASE_LIVE && ss->steps && !ss->index_call) {
		if (ss->steps->cursor <= ss->space->row.cursor) {
			pop_step(ss);
			continue;
		}
		size_t n = batch_size(ss);
		if (n == 0)
			break;
		size_t done = 0;
		int err = sync_apply_batch(ss, n, &done);
		log_debug("sync: space %s: %zu of %zu steps applied: %s", log_id16(&ss->space->row.id).s, done, n,
			err_name(err));
		while (done-- > 0)
			pop_step(ss);
		if (err == ERR_AGAIN)
			return;
		sync_space_stored(ss, err);
		if (err < 0) {
			log_warn("sync: space %s: step not applied: %s", log_id16(&ss->space->row.id).s, err_str(err));
			clear_steps(ss);
			if (ss->phase != PHASE_STOPPED)
				ss->phase = PHASE_OFFLINE;
			sync_space_retry(ss, now);
			return;
		}
	}
	if (ss->phase != PHASE_LIVE || ss->pulling || ss->index_call || ss->call)
		return;
	/* A gap: own pushes under way may be what lies between. */
	bool gap = ss->steps != NULL || ss->space->row.cursor < ss->relay_cursor;
	if ((ss->pull_more && !ss->steps) || !ss->caught_up || (gap && !ss->pushes))
		sync_pull_start(ss);
}
