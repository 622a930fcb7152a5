/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One space's phases: offline -> subscribed -> caught up by a pull -> live. Subscribing comes first, so that nothing falls between
 * the pull and the notifications. Each new connection goes through all of it; what was in flight counts as not sent.
 */
#include <limits.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/secret.h"
#include "fusefs/sync_heal.h"
#include "fusefs/sync_room.h"
#include "fusefs/sync_usage.h"
#include "wire/map.h"

#define MS 1000000ll
#define RETRY_MIN (200 * MS)
#define RETRY_MAX (60000 * MS)

int sync_space_new(struct sync *s, struct space *space, struct sync_space **ret_ss)
{
	struct sync_space *ss = calloc(1, sizeof *ss);
	struct store_txn *t = NULL;

	if (!ss)
		return ERR_NOMEM;
	ss->sync = s;
	ss->space = space;
	ss->row = space->row.row;
	ss->root_ino = space->row.root_ino;
	ss->steps_tail = &ss->steps;
	ss->items_tail = &ss->items;
	ss->pushes_tail = &ss->pushes;
	ss->tree.space = ss->row;
	ss->retry_delay = RETRY_MIN;
	ss->poked = true;
	pthread_mutex_lock(&space->lock);
	ss->may_not_write = !log_may_write(space->log, identity_device(s->config.who));
	pthread_mutex_unlock(&space->lock);
	int err = lanes_new(&ss->lanes);
	if (err == OK && (err = store_begin(s->config.store, &t)) == OK)
		err = tree_state_load(t, ss->row, &ss->tree);
	int forked = err == OK ? sync_head_forked(t, ss->row) : 0;
	store_abort(&t);
	if (forked > 0)
		sync_space_fork(ss);
	if (err == OK)
		err = forked < 0 ? forked : sync_push_load(ss);
	if (err == OK)
		err = sync_heal_load(ss);
	if (err == OK && space->row.relay[0])
		ss->peer = sync_peer_of(s, space->row.relay, true);
	if (err == OK && space->row.relay[0] && !ss->peer)
		err = ERR_NOMEM;
	if (err < 0) {
		sync_space_free(ss);
		return err;
	}
	*ret_ss = ss;
	return OK;
}

void sync_space_free(struct sync_space *ss)
{
	if (!ss)
		return;
	sync_fetch_gone(ss->sync, ss);
	if (ss->call)
		peer_cancel(ss->peer->peer, ss->call);
	sync_push_free(ss);
	sync_pull_clear(ss);
	sync_heal_reset(ss);
	tree_state_release(&ss->tree);
	lanes_free(ss->lanes);
	table_release(&ss->lane_of);
	table_release(&ss->rewritten);
	table_release(&ss->copies);
	sync_keep_free(ss);
	free(ss);
}

void sync_space_alarm(struct sync_space *ss, int err, const char *text)
{
	bool news = ss->alarm != err;

	if (err != ERR_FORK && (ss->alarm == ERR_FORK || ss->phase == PHASE_STOPPED))
		return; /* what passes must not hide what does not */
	ss->alarm = err;
	ss->alarm_text = text;
	if (news)
		log_warn("sync: space %s: %s (%s)", log_id16(&ss->space->row.id).s, text, err_name(err));
}

/* Calls under way end by themselves: what they bring is not looked at. */
void sync_space_fork(struct sync_space *ss)
{
	ss->phase = PHASE_STOPPED;
	sync_space_alarm(ss, ERR_FORK,
		"the relay showed another history to another device; nothing of this space is sent or fetched there "
		"any more. "
		"All that is here stays: copy what matters to a new space (`coffer space create`) at a relay that you "
		"trust");
}

void sync_space_offline(struct sync_space *ss)
{
	if (ss->phase != PHASE_STOPPED)
		ss->phase = PHASE_OFFLINE;
}

/* Only the relay says so: what is here stays as it is, and access is asked for again now and then. */
void sync_space_revoked(struct sync_space *ss)
{
	if (ss->phase == PHASE_STOPPED)
		return;
	ss->phase = PHASE_OFFLINE;
	ss->caught_up = false;
	sync_space_alarm(ss, ERR_FORBIDDEN, "the relay does not give access to this space any more");
	sync_space_retry(ss, sync_now(ss->sync));
}

void sync_space_stored(struct sync_space *ss, int err)
{
	if (err_is_full(err)) {
		sync_space_alarm(ss, err,
			err == ERR_QUOTA ? "your quota of this device's disk is used up"
					 : "this device's disk is full");
	} else if (err == OK && err_is_full(ss->alarm)) {
		ss->alarm = OK;
		ss->retry_delay = RETRY_MIN;
	}
}

/* Several calls that fail together count once. */
void sync_space_retry(struct sync_space *ss, int64_t now)
{
	if (now < ss->retry_at)
		return;
	if (ss->retry_delay < RETRY_MIN)
		ss->retry_delay = RETRY_MIN;
	ss->retry_at = now + ss->retry_delay;
	ss->retry_delay = ss->retry_delay * 2 < RETRY_MAX ? ss->retry_delay * 2 : RETRY_MAX;
}

static bool may_push(const struct sync_space *ss)
{
	return ss->phase == PHASE_LIVE && ss->caught_up && !ss->may_not_write && !ss->items_lost;
}

struct tree sync_space_tree(struct sync_space *ss, struct store_txn *t)
{
	struct tree tr = TREE_INIT(t, &ss->tree, ss->root_ino, identity_device(ss->sync->config.who));

	tr.same_content = apply_same_content;
	tr.last_links = apply_last_links;
	tr.ctx = ss->space;
	return tr;
}

int sync_space_settled(struct sync_space *ss, struct tree *tr, int err)
{
	const struct sync_config *config = &ss->sync->config;
	struct store_txn *t = NULL;

	if (err == OK && tr->n_inv > 0 && config->changed)
		config->changed(config->ctx, tr->inv, tr->n_inv);
	if (err < 0 && store_begin(config->store, &t) == OK) {
		int again = tree_state_load(t, ss->row, &ss->tree);

		store_abort(&t);
		err = again < 0 ? again : err;
	}
	tree_release(tr);
	return err;
}

/* ---- subscribing ---- */

/* The first space's cursor in `result`; ERR_NOT_FOUND if it is not among them. */
static int subscribed(struct sync_space *ss, struct bytes result, uint64_t *ret_cursor)
{
	struct bytes spaces;
	struct id16 id;

	if (cbor_map_find(result, CBOR_RPC, "spaces", &spaces) < 0)
		return ERR_INVALID;
	struct cbor_dec d = cbor_dec_init_rpc(spaces);
	size_t n = cbor_get_array(&d, 1000);
	for (size_t i = 0; i < n; i++) {
		struct bytes one = cbor_get_raw(&d);

		if (cbor_dec_error(&d) < 0)
			return ERR_INVALID;
		if (map_get_uuid(one, "id", &id) && id16_equal(&id, &ss->space->row.id)) {
			*ret_cursor = map_get_uint(one, "cursor", 0);
			return OK;
		}
	}
	return ERR_FORBIDDEN;
}

static void on_subscribed(void *ctx, int err, struct bytes code, struct bytes item)
{
	struct sync_space *ss = ctx;
	uint64_t cursor = 0;

	(void)code;
	ss->call = 0;
	log_debug("sync: space %s subscribed: %s", log_id16(&ss->space->row.id).s, err_name(err));
	if (ss->phase == PHASE_STOPPED)
		return;
	if (err == OK)
		err = subscribed(ss, item, &cursor);
	if (err == OK) {
		ss->phase = PHASE_LIVE;
		ss->relay_cursor = cursor > ss->relay_cursor ? cursor : ss->relay_cursor;
		if (!err_is_full(ss->alarm)) /* that has nothing to do with the relay */
			ss->retry_delay = RETRY_MIN;
		if (ss->alarm == ERR_FORBIDDEN)
			ss->alarm = OK;
		sync_pull_start(ss);
		sync_keep_online(ss);
		return;
	}
	ss->phase = PHASE_OFFLINE;
	if (err == ERR_FORBIDDEN) {
		sync_space_alarm(ss, err, "the relay does not give access to this space");
		if (sync_heal_forbidden(ss))
			return;
	}
	if (err != ERR_OFFLINE && err != ERR_CANCELLED)
		sync_space_retry(ss, sync_now(ss->sync));
}

static int subscribe(struct sync_space *ss)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1024);
	CLEANUP(map_release) struct map m = MAP_INIT;
	struct cbor_enc e = cbor_enc_init(&b);

	map_uuid(&m, "id", &ss->space->row.id);
	map_uint(&m, "since", ss->space->row.cursor);
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "spaces");
	cbor_put_array(&e, 1);
	int err = cbor_enc_end(&e);
	if (err == OK)
		err = map_put(&m, &b);
	if (err < 0)
		return err;
	struct peer_answer a = { .ctx = ss, .result = on_subscribed };
	err = peer_call(ss->peer->peer, "subscribe", buf_bytes(&b), &a, &ss->call);
	if (err == OK)
		ss->phase = PHASE_SUBSCRIBE;
	return err;
}

void sync_space_connection(struct sync_space *ss)
{
	if (!ss->peer)
		return;
	bool online = peer_online(ss->peer->peer);
	uint64_t connection = peer_connection(ss->peer->peer);
	if (online && ss->phase != PHASE_OFFLINE && connection == ss->connection)
		return;
	sync_space_offline(ss);
	if (ss->call) {
		peer_cancel(ss->peer->peer, ss->call);
		ss->call = 0;
	}
	ss->caught_up = false;
	if (connection != ss->connection)
		sync_heal_reset(ss);
	ss->connection = connection;
	ss->retry_at = 0;
	sync_pull_clear(ss);
	sync_push_reset(ss);
}

/* ---- what is due ---- */

void sync_space_step(struct sync_space *ss, int64_t now)
{
	int err = OK;

	if (ss->items_lost && now >= ss->retry_at)
		err = sync_push_load(ss);
	if (ss->poked && err == OK) {
		ss->poked = false;
		err = sync_dirty_scan(ss, now);
		sync_keep_changed(ss->sync, now);
	}
	if (ss->peer && ss->phase == PHASE_OFFLINE && !ss->call && now >= ss->retry_at && peer_online(ss->peer->peer))
		err = subscribe(ss);
	if (err == OK && ss->phase == PHASE_LIVE) {
		sync_pull_run(ss, now);
		sync_heal_step(ss);
		if (err == OK && may_push(ss))
			err = sync_room_step(ss, now);
		sync_usage_step(ss, now);
		if (err == OK && may_push(ss) && now >= ss->retry_at)
			err = sync_seal_due(ss, now);
		if (err == OK && may_push(ss) && now >= ss->retry_at)
			sync_push_pump(ss, now);
	}
	if (err < 0 && err != ERR_AGAIN) {
		log_warn("sync: space %s: %s", log_id16(&ss->space->row.id).s, err_str(err));
		ss->poked = true;
		sync_space_retry(ss, now);
	}
}

int64_t sync_space_due(const struct sync_space *ss, int64_t now)
{
	int64_t due = INT64_MAX;

	if (ss->poked)
		due = ss->retry_at > now ? ss->retry_at : now;
	if (ss->peer && ss->phase == PHASE_OFFLINE && !ss->call && peer_online(ss->peer->peer))
		due = ss->retry_at < due ? ss->retry_at : due;
	if (may_push(ss)) {
		int64_t at = lanes_due(ss->lanes);

		at = at < ss->retry_at ? ss->retry_at : at;
		due = at < due ? at : due;
		if (ss->room.aside > 0)
			due = ss->room.at < due ? ss->room.at : due;
		if (ss->retry_at > now)
			due = ss->retry_at < due ? ss->retry_at : due;
	}
	return due;
}
