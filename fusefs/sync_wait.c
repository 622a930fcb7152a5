/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Barriers and what people are told. A barrier notes which nodes are changed or queued now, makes their lanes due, asks the relay for
 * its cursor, and is reached when each of these was confirmed, everything up to that cursor is applied here, and a look
 * at all that is pinned, begun after that, found nothing missing, or what it found has come.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "fusefs/sync_room.h"
#include "wire/map.h"

#define NODES_A_TURN 1000 /* read in one transaction, while programs wait for the store */
#define SLOTS_A_TURN 65536

struct space_wait {
	uint32_t row;
	struct table nodes; /* ino -> change + 1 that must be sealed and confirmed */
	size_t next_slot;   /* of nodes: which is looked at next */
	bool noted;
	uint64_t cursor; /* the relay's at the call; 0: not known yet */
	uint64_t num;    /* of coffer.head */
	bool asked, known;
	uint64_t look; /* at what is pinned, since all was applied; 0: not yet */
	int err;
	struct wait_job *of;
	struct space_wait *next;
};

struct wait_job {
	struct sync *s;
	struct sync_job *job;
	struct space *space; /* NULL: all */
	bool sent_only;      /* what the relay has need not be here */
	struct space_wait *spaces;
	bool begun;
	struct buf what;
};

struct noting {
	struct table *nodes;
	int err;
};

/* What lost its name before anybody got it is never sent, though programs that have it open may change it still. */
static bool is_to_be_sent(const struct node *n)
{
	return n->change != 0 && !((n->flags & NODE_ORPHAN) && n->version == 0);
}

static int note_dirty(void *ctx, const struct node *n)
{
	struct noting *x = ctx;

	x->err = is_to_be_sent(n) ? table_put(x->nodes, n->ino, n->change + 1) : OK;
	return x->err == OK;
}

static int note(struct sync_space *ss, struct space_wait *w)
{
	struct store_txn *t = NULL;
	struct noting x = { .nodes = &w->nodes };
	int err = store_begin(ss->sync->config.store, &t);

	if (err == OK)
		err = txn_dirty_each(t, ss->row, 0, note_dirty, &x);
	store_abort(&t);
	if (err == OK)
		err = x.err;
	for (const struct out_item *item = ss->items; item && err == OK; item = item->next) {
		if (!table_get(&w->nodes, item->o.ino, NULL))
			err = table_put(&w->nodes, item->o.ino, item->o.change + 1);
	}
	w->noted = err == OK;
	return err;
}

static void on_head(void *ctx, int err, struct bytes code, struct bytes item)
{
	struct space_wait *w = ctx;

	(void)code;
	w->num = 0;
	w->asked = false;
	if (err == OK) {
		w->cursor = map_get_uint(item, "cursor", 0);
		w->known = true;
	} else if (err != ERR_OFFLINE) {
		w->err = err;
	}
}

static void ask(struct sync_space *ss, struct space_wait *w)
{
	CLEANUP(map_release) struct map m = MAP_INIT;
	CLEANUP(buf_release) struct buf b = BUF_INIT(256);
	struct peer_answer a = { .ctx = w, .result = on_head };

	map_uuid(&m, "space", &ss->space->row.id);
	if (map_put(&m, &b) < 0)
		return;
	w->asked = peer_call(ss->peer->peer, "coffer.head", buf_bytes(&b), &a, &w->num) == OK;
}

/* 1 if something of the node is left to send. */
static int waits_for(struct sync_space *ss, struct store_txn *t, uint64_t ino)
{
	struct node n;
	int err = txn_node_get(t, ino, &n);

	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	return (err == OK && is_to_be_sent(&n)) || sync_push_find(ss, ino) || ss->items_lost;
}

/* Takes nodes off the list of which nothing is left to send: merged, removed. Some each turn, round and round: nearly all leave it when
 * what was changed then is confirmed (sync_wait_confirmed). */
static int check_nodes(struct sync_space *ss, struct space_wait *w)
{
	struct store_txn *t = NULL;
	int err = store_begin(ss->sync->config.store, &t);

	if (err < 0)
		return err;
	for (size_t looked = 0, i = 0; looked < NODES_A_TURN && i < SLOTS_A_TURN && i < w->nodes.size && err >= 0;
		i++) {
		size_t slot = w->next_slot & (w->nodes.size - 1);
		uint64_t ino = w->nodes.slots[slot].key;

		w->next_slot = slot + 1;
		if (ino == 0)
			continue;
		looked++;
		if ((err = waits_for(ss, t, ino)) != 0)
			continue;
		table_del(&w->nodes, ino);
		w->next_slot = slot; /* a later one may have moved there */
	}
	store_abort(&t);
	return err < 0 ? err : OK;
}

static int wait_space(struct sync *s, struct space_wait *w)
{
	struct sync_space *ss = sync_space_of(s, w->row);

	if (!ss || !ss->peer)
		return OK;
	if (ss->alarm == ERR_FORK || ss->phase == PHASE_STOPPED)
		return ss->alarm;
	if (w->err < 0)
		return w->err;
	if (!w->noted) {
		int err = sync_dirty_scan(ss, sync_now(s));

		if (err == OK)
			err = note(ss, w);
		if (err < 0)
			return err;
		lanes_force(ss->lanes);
		ss->retry_at = 0;
		sync_room_try_all(ss);
	}
	if (!peer_online(ss->peer->peer))
		peer_hurry(ss->peer->peer);
	else if (!w->of->sent_only && !w->known && !w->asked)
		ask(ss, w);
	if (w->nodes.n > 0) {
		int err = check_nodes(ss, w);

		if (err < 0)
			return err;
		if (w->nodes.n > 0 && ss->may_not_write)
			return ERR_FORBIDDEN;
	}
	if (w->of->sent_only)
		return w->nodes.n == 0 ? OK : ERR_AGAIN;
	if (!w->known || !ss->caught_up || ss->space->row.cursor < w->cursor)
		return ERR_AGAIN;
	if (w->look == 0)
		w->look = sync_keep_look(s);
	return w->nodes.n == 0 && sync_keep_looked(s, w->look) && sync_keep_left(ss) == 0 ? OK : ERR_AGAIN;
}

static int add_space(struct wait_job *j, uint32_t row)
{
	struct space_wait *w = calloc(1, sizeof *w);

	if (!w)
		return ERR_NOMEM;
	w->row = row;
	w->of = j;
	w->next = j->spaces;
	j->spaces = w;
	return OK;
}

static void cancel_all(struct wait_job *j)
{
	for (struct space_wait *w = j->spaces; w; w = w->next) {
		struct sync_space *ss = sync_space_of(j->s, w->row);

		if (w->num && ss)
			peer_cancel(ss->peer->peer, w->num);
		w->num = 0;
	}
}

static int run_wait(struct sync *s, struct sync_job *job)
{
	struct wait_job *j = job->ctx;
	bool all = true;

	if (sync_job_dead(s, job)) {
		cancel_all(j);
		return ERR_CANCELLED;
	}
	for (struct sync_space *ss = s->spaces; ss && !j->begun; ss = ss->next) {
		if (j->space && ss->space != j->space)
			continue;
		int err = add_space(j, ss->row);
		if (err < 0)
			return err;
	}
	j->begun = true;
	for (struct space_wait *w = j->spaces; w; w = w->next) {
		int err = wait_space(s, w);

		if (err < 0 && err != ERR_AGAIN) {
			cancel_all(j);
			return err;
		}
		all = all && err == OK;
	}
	return all ? OK : ERR_AGAIN;
}

/* The next barrier that waits for something of a space; moves *job past it. */
static struct space_wait *next_wait(uint32_t row, struct sync_job **job)
{
	for (; *job; *job = (*job)->next) {
		const struct wait_job *j = (*job)->ctx;

		for (struct space_wait *w = (*job)->run == run_wait ? j->spaces : NULL; w; w = w->next) {
			if (w->row != row || !w->noted)
				continue;
			*job = (*job)->next;
			return w;
		}
	}
	return NULL;
}

void sync_wait_confirmed(struct sync *s, const struct out_item *item)
{
	struct sync_job *job = s->waiting;
	struct space_wait *w;
	uint64_t change;

	while ((w = next_wait(item->o.space, &job)) != NULL) {
		if (table_get(&w->nodes, item->o.ino, &change) && item->o.change >= change - 1)
			table_del(&w->nodes, item->o.ino);
	}
}

int sync_wait_copied(struct sync_space *ss, uint64_t ino, uint64_t copy)
{
	struct sync_job *job = ss->sync->waiting;
	struct space_wait *w;
	int err = OK;

	while (err == OK && (w = next_wait(ss->row, &job)) != NULL) {
		/* Whatever change it is by then: it is confirmed with the first version of the copy. */
		if (table_get(&w->nodes, ino, NULL))
			err = table_put(&w->nodes, copy, 1);
	}
	return err;
}

static void release_wait(void *ctx)
{
	struct wait_job *j = ctx;

	while (j->spaces) {
		struct space_wait *w = j->spaces;

		j->spaces = w->next;
		table_release(&w->nodes);
		free(w);
	}
	free(j);
}

/* What is left, for a person. */
static void describe(struct sync *s, struct space *space, struct buf *what)
{
	struct sync_status st;

	if (sync_status(s, space, &st) < 0)
		return;
	int err = OK;
	if (st.alarm < 0)
		err = buf_printf(what, "%s: ", st.alarm_text);
	if (err < 0)
		return;
	if (!st.online)
		err = buf_printf(what, "the relay is %s", st.reason[0] ? st.reason : "not connected yet");
	else if (st.pending_nodes + st.outbox_records > 0)
		err = buf_printf(what, "%" PRIu64 " changed files to seal, %" PRIu64 " records to send",
			st.pending_nodes, st.outbox_records);
	else if (st.absent_bytes > 0 && st.cursor >= st.relay_cursor)
		err = buf_printf(what, "%" PRIu64 " bytes of what is pinned to fetch", st.absent_bytes);
	else
		err = buf_printf(
			what, "changes %" PRIu64 " to %" PRIu64 " of others to apply", st.cursor + 1, st.relay_cursor);
	(void)err; /* a phrase that does not fit is left out */
}

int sync_wait(struct sync *s, struct space *space, bool sent_only, int64_t deadline_mono_ns, struct buf *what)
{
	struct wait_job *j = calloc(1, sizeof *j);
	struct sync_job *job = j ? sync_job_new(run_wait, j) : NULL;

	if (!job) {
		free(j);
		return ERR_NOMEM;
	}
	j->s = s;
	j->space = space;
	j->sent_only = sent_only;
	j->job = job;
	job->release = release_wait;
	int err = sync_job_post(s, job, deadline_mono_ns, NULL, NULL);
	sync_job_let_go(s, job);
	if (err == ERR_TIMEOUT && what)
		describe(s, space, what);
	return err;
}

/* ---- status ---- */

struct status_job {
	struct space *space;
	struct sync_status st;
};

static int count(void *ctx, const struct node *n)
{
	*(uint64_t *)ctx += is_to_be_sent(n);
	return 1;
}

static int add_status(struct sync_space *ss, struct sync_status *st)
{
	struct store_txn *t = NULL;
	uint64_t conflicts = 0;
	int err = store_begin(ss->sync->config.store, &t);

	if (err == OK)
		err = txn_dirty_each(t, ss->row, 0, count, &st->pending_nodes);
	if (err == OK)
		err = conflict_count(t, ss->row, &conflicts);
	if (err == OK)
		(void)!store_commit(&t); /* of the settled ones, which the next count forgets otherwise */
	else
		store_abort(&t);
	st->conflicts += conflicts;
	for (const struct out_item *item = ss->items; item; item = item->next) {
		st->outbox_records++;
		st->outbox_bytes += item->bytes;
		for (size_t i = 0; i < item->n_chunks; i++)
			st->outbox_bytes += item->chunks[i]->state == OUT_THERE ? 0 : item->chunks[i]->len;
	}
	st->absent_bytes += sync_keep_left(ss);
	st->cursor += ss->space->row.cursor;
	st->relay_cursor += ss->relay_cursor;
	if (ss->alarm) {
		st->alarm = ss->alarm;
		st->alarm_text = ss->alarm_text;
		st->usage = ss->usage.told;
	}
	return err;
}

static int run_status(struct sync *s, struct sync_job *job)
{
	struct status_job *j = job->ctx;
	int err = OK;

	j->st.online = true;
	for (struct sync_space *ss = s->spaces; ss && err == OK; ss = ss->next) {
		if (j->space && ss->space != j->space)
			continue;
		err = add_status(ss, &j->st);
		if (!ss->peer)
			continue;
		j->st.since_wall_ns = ss->peer->since_wall;
		if (!peer_online(ss->peer->peer) && j->st.online) {
			j->st.online = false;
			snprintf(j->st.reason, sizeof j->st.reason, "%.95s", peer_reason(ss->peer->peer));
		}
	}
	for (struct sync_peer *p = s->peers; p; p = p->next) {
		uint64_t up, down;

		peer_traffic(p->peer, &up, &down);
		j->st.up_bytes += up;
		j->st.down_bytes += down;
	}
	pthread_mutex_lock(&s->lock);
	j->st.up_rate = s->up_rate;
	j->st.down_rate = s->down_rate;
	pthread_mutex_unlock(&s->lock);
	return err;
}

int sync_status(struct sync *s, struct space *space, struct sync_status *ret)
{
	struct status_job *j = calloc(1, sizeof *j);
	struct sync_job *job = j ? sync_job_new(run_status, j) : NULL;

	if (!job) {
		free(j);
		return ERR_NOMEM;
	}
	j->space = space;
	job->release = free;
	int err = sync_job_post(s, job, INT64_MAX / 2, NULL, NULL);
	if (err == OK)
		*ret = j->st;
	sync_job_let_go(s, job);
	return err;
}

/* 1 if the newest version of a node that was sealed here is not confirmed yet. */
static int is_queued(struct store_txn *t, const struct node *n)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
	struct id32 confirmed;
	uint64_t cursor;

	if (n->version == 0)
		return 0;
	int err = txn_record_get(t, n->space, &n->id, &confirmed, &cursor, &blob);
	if (err < 0)
		return err == ERR_NOT_FOUND ? 1 : err;
	return !id32_equal(&confirmed, &n->base);
}

int sync_node_state(struct sync *s, const struct node *node, char ret_state[16])
{
	struct store_txn *t = NULL;
	const char *state = node->flags & NODE_PARTIAL ? "remote-only" : "synced";
	int err = store_begin(s->config.store, &t);

	if (err < 0)
		return err;
	int conflict = conflict_is(t, node), queued = is_queued(t, node);
	store_abort(&t);
	if (conflict < 0 || queued < 0)
		return conflict < 0 ? conflict : queued;
	if (conflict)
		state = "conflict";
	else if (node->change != 0)
		state = "pending";
	else if (queued)
		state = "uploading";
	snprintf(ret_state, 16, "%s", state);
	return OK;
}
