/* SPDX-License-Identifier: Apache-2.0 */
/* status and wait. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "fusefs/chores.h"
#include "fusefs/verb.h"
#include "wire/cbor.h"

static int count_node(void *ctx, const struct node *node)
{
	struct sync_status *st = ctx;

	(void)node;
	st->pending_nodes++;
	return 1;
}

static int count_queued(void *ctx, const struct outbox_row *row, struct bytes blob)
{
	struct sync_status *st = ctx;

	(void)row;
	st->outbox_records++;
	st->outbox_bytes += blob.len;
	return 1;
}

/* Of a space that sync does not know yet: a moment after the start, or until the relay takes it. */
static int count_waiting(struct agent *a, struct space *s, struct sync_status *st, bool *ret_unsent)
{
	struct store_txn *t = NULL;

	pthread_mutex_lock(&s->lock);
	st->cursor = s->row.cursor;
	pthread_mutex_unlock(&s->lock);
	int err = chores_unsent(a->store, s->row.row, ret_unsent);
	if (err < 0 || (err = store_begin(a->store, &t)) < 0)
		return err;
	err = txn_dirty_each(t, s->row.row, 0, count_node, st);
	if (err >= 0)
		err = txn_outbox_each(t, s->row.row, 0, count_queued, st);
	store_abort(&t);
	return err;
}

static int put_space(struct agent *a, struct space *s, bool synced, struct buf *out)
{
	CLEANUP(map_release) struct map m = MAP_INIT;
	struct sync_status st = { 0 };
	bool unsent = false;

	int err = synced ? sync_status(a->sync, s, &st) : count_waiting(a, s, &st, &unsent);
	if (err == ERR_READ_ONLY) { /* a write to the disk failed: nothing is counted, and `read_only` tells */
		snprintf(st.reason, sizeof st.reason, "the disk of the profile cannot be written to");
		err = OK;
	}
	if (err < 0)
		return err;
	pthread_mutex_lock(&s->lock);
	map_text(&m, "name", s->personal ? "(your list of spaces)" : s->row.name);
	map_uuid(&m, "id", &s->row.id);
	map_text(&m, "relay", s->row.relay);
	pthread_mutex_unlock(&s->lock);
	map_bool(&m, "online", st.online);
	map_int(&m, "since", st.since_wall_ns);
	map_text(&m, "reason", unsent ? "the relay has not taken the new space yet" : st.reason);
	map_uint(&m, "cursor", st.cursor);
	map_uint(&m, "behind", st.relay_cursor > st.cursor ? st.relay_cursor - st.cursor : 0);
	map_uint(&m, "pending", st.pending_nodes);
	map_uint(&m, "outbox", st.outbox_records);
	map_uint(&m, "outbox_bytes", st.outbox_bytes);
	map_uint(&m, "absent_bytes", st.absent_bytes);
	map_uint(&m, "up_bytes", st.up_bytes);
	map_uint(&m, "down_bytes", st.down_bytes);
	map_uint(&m, "up_rate", (uint64_t)st.up_rate);
	map_uint(&m, "down_rate", (uint64_t)st.down_rate);
	map_uint(&m, "conflicts", st.conflicts);
	if (st.alarm < 0) {
		map_text(&m, "alarm", st.alarm_text);
		map_text(&m, "alarm_name", err_name(st.alarm));
	}
	if (st.usage.known)
		map_uint(&m, "relay_used", st.usage.used);
	if (st.usage.quota)
		map_uint(&m, "relay_quota", st.usage.quota);
	if (st.usage.counted)
		map_uint(&m, "relay_history", st.usage.history);
	return map_put(&m, out);
}

/* An array of what put made n times. */
static int put_list(struct map *m, const char *key, size_t n, const struct buf *rows)
{
	CLEANUP(buf_release) struct buf list = BUF_INIT(1u << 20);
	struct cbor_enc e = cbor_enc_init(&list);

	cbor_put_array(&e, n);
	int err = cbor_enc_end(&e);
	if (err >= 0)
		err = buf_put(&list, rows->data, rows->len);
	if (err >= 0)
		map_raw(m, key, buf_bytes(&list));
	return err;
}

static int put_spaces(struct call *c, const struct space *only)
{
	CLEANUP(buf_release) struct buf rows = BUF_INIT(1u << 20);
	struct agent *a = c->agent;
	size_t n = 0;

	for (size_t i = 0;; i++) {
		pthread_mutex_lock(&a->lock);
		struct held_space h = i < a->n_spaces ? a->spaces[i] : (struct held_space){ 0 };
		pthread_mutex_unlock(&a->lock);
		if (!h.space)
			break;
		if (only && h.space != only)
			continue;
		int err = put_space(a, h.space, h.synced, &rows);
		if (err < 0)
			return err;
		n++;
	}
	return put_list(&c->result, "spaces", n, &rows);
}

static int put_mounts(struct call *c)
{
	CLEANUP(buf_release) struct buf rows = BUF_INIT(1u << 20);
	struct agent *a = c->agent;
	int err = OK;

	pthread_mutex_lock(&a->lock);
	size_t n = a->n_mounts;
	for (size_t i = 0; i < n && err >= 0; i++) {
		CLEANUP(map_release) struct map m = MAP_INIT;
		map_text(&m, "dir", a->mounts[i].dir);
		err = map_put(&m, &rows);
	}
	pthread_mutex_unlock(&a->lock);
	return err < 0 ? err : put_list(&c->result, "mounts", n, &rows);
}

static int status_of_path(struct call *c, struct bytes path)
{
	struct node node;
	char state[16];
	bool pinned;

	int err = call_path(c, path, &node);
	if (err < 0 || (err = sync_node_state(c->agent->sync, &node, state)) < 0 ||
		(err = store_pinned(c->agent->store, node.ino, &pinned)) < 0)
		return err;
	map_text(&c->result, "state", state);
	map_uint(&c->result, "version", node.version);
	map_bool(&c->result, "pinned", pinned);
	return OK;
}

static int status_unlocked(struct call *c)
{
	struct bytes path = map_get_bytes(c->args, "path"), name = map_get_text(c->args, "space");
	struct space *only = NULL;
	struct store_stat st;

	if (path.len)
		return status_of_path(c, path);
	if (name.len && !(only = agent_find_space(c->agent, name)))
		return call_fail(c, ERR_NOT_FOUND, 0, "`coffer space list` shows them", "there is no space '%.*s'",
			(int)(name.len < 200 ? name.len : 200), (const char *)name.p);
	int err = put_spaces(c, only);
	if (err < 0 || (err = put_mounts(c)) < 0 || (err = store_stat(c->agent->store, &st)) < 0)
		return err;
	map_uint(&c->result, "disk_bytes", st.disk_bytes);
	map_uint(&c->result, "live_bytes", st.live_bytes);
	map_uint(&c->result, "nodes", st.nodes);
	map_bool(&c->result, "read_only", st.read_only);
	map_bool(&c->result, "disk_read_only", store_is_frozen(c->agent->store));
	if (st.tend_err < 0)
		map_text(&c->result, "housekeeping", err_str(st.tend_err));
	if (store_was_damaged(c->agent->store))
		map_text(&c->result, "damage",
			store_is_frozen(c->agent->store)
				? "the journal cannot be read to its end: the changes of the last seconds are not shown"
				: "the journal was damaged at a start: the changes of the last seconds before it are "
				  "cut off");
	return OK;
}

/* What kept the keys or the store from opening may be gone; if not, it is told. */
static int try_again(struct call *c)
{
	if (!profile_has_key(c->agent->profile))
		return call_fail(c, ERR_NOT_FOUND, EX_CONFIG, "make one with `coffer init --relay URL`",
			"there is no profile here yet");
	bool failed = agent_up_error(c->agent) < 0 && profile_needs_passphrase(c->agent->profile) == 0;
	return failed ? verb_unlock(c) : OK;
}

int verb_status(struct call *c)
{
	if (agent_use(c->agent) < 0) {
		int err = try_again(c);
		if (err < 0)
			return err;
		if (agent_use(c->agent) < 0) {
			map_bool(&c->result, "locked", true);
			return OK;
		}
	}
	int err = status_unlocked(c);
	agent_unuse(c->agent);
	return err;
}

int verb_wait(struct call *c)
{
	CLEANUP(buf_release) struct buf what = BUF_INIT(8192);
	struct bytes name = map_get_text(c->args, "space");
	struct space *s = NULL;

	if (name.len && !(s = agent_find_space(c->agent, name)))
		return call_fail(c, ERR_NOT_FOUND, 0, "`coffer space list` shows them", "there is no space '%.*s'",
			(int)(name.len < 200 ? name.len : 200), (const char *)name.p);
	int err = call_barrier(c, s, false, &what);
	if (err == ERR_FORBIDDEN)
		return call_fail(c, err, 0, "copy out what you need, or ask an admin for a new invite",
			"this device or its person has no access to a space any more: %.*s", (int)what.len,
			(const char *)what.data);
	if (err == ERR_READ_ONLY)
		return call_fail_err(c, err, "nothing is sent or fetched");
	return err < 0 ? call_fail(c, err, EX_TEMPFAIL, "it is kept here and goes on by itself; run `coffer status`",
				 "not everything is in step: %.*s", (int)what.len, (const char *)what.data)
		       : OK;
}
