/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/sync_heal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/secret.h"
#include "fusefs/sync_head.h"
#include "wire/entry.h"
#include "wire/map.h"

#define APPEND_ENTRIES 200
#define APPEND_BYTES (3u << 20)
#define QUEUE_AT_ONCE 200
#define LIST_AT_ONCE 256

static void heal_key(uint32_t row, char key[64])
{
	snprintf(key, 64, "heal/%" PRIu32, row);
}

static int put_mark(struct store_txn *t, uint32_t row, uint64_t common, uint64_t until)
{
	char key[64], value[64];

	heal_key(row, key);
	snprintf(value, sizeof value, "%" PRIu64 " %" PRIu64, common, until);
	return txn_meta_put(t, key, bytes_str(value));
}

static void fail(struct sync_space *ss, int err, const char *what)
{
	log_warn("sync: space %s: %s: %s", log_id16(&ss->space->row.id).s, what, err_str(err));
	sync_space_offline(ss);
	ss->caught_up = false;
	sync_space_retry(ss, sync_now(ss->sync));
}

/* ---- queueing what came after `common` ---- */

struct lost {
	uint64_t cursor;
	struct id16 id;
};

struct lost_list {
	struct lost *v;
	size_t n, alloc;
};

static int compare_lost(const void *a, const void *b)
{
	const struct lost *x = a, *y = b;

	return x->cursor != y->cursor ? (x->cursor < y->cursor ? -1 : 1) : id16_compare(&x->id, &y->id);
}

static int note_lost(struct lost_list *l, const struct record_at *at)
{
	struct lost *more = array_room(l->v, &l->alloc, l->n + 1, sizeof *more);

	if (!more)
		return ERR_NOMEM;
	l->v = more;
	l->v[l->n++] = (struct lost){ .cursor = at->cursor, .id = at->id };
	return OK;
}

/* Of the next records those from later steps; the lock is let go in between. ERR_NOT_FOUND: there are no more. */
static int list_some(struct sync_space *ss, struct record_at *at, struct lost_list *l)
{
	struct store_txn *t = NULL;
	int err = store_begin(ss->sync->config.store, &t);

	for (int i = 0; i < LIST_AT_ONCE && err == OK; i++) {
		err = txn_record_next(t, ss->row, at);
		if (err == OK && at->len > 0 && at->cursor > ss->heal.common)
			err = note_lost(l, at);
	}
	store_abort(&t);
	return err;
}

/* Those from later steps, in their order. */
static int list_lost(struct sync_space *ss, struct lost_list *l)
{
	struct record_at at = { .begun = false };
	int err;

	do {
		err = list_some(ss, &at, l);
	} while (err == OK);
	if (err != ERR_NOT_FOUND)
		return err;
	if (l->n)
		qsort(l->v, l->n, sizeof *l->v, compare_lost);
	return OK;
}

/* Whether the relay and every reader take the record as it is. */
static bool still_good(struct sync_space *ss, const struct record *r)
{
	pthread_mutex_lock(&ss->space->lock);
	bool good = log_may_write(ss->space->log, &r->h.author) && r->h.epoch >= log_epoch_minimum(ss->space->log);
	pthread_mutex_unlock(&ss->space->lock);
	return good;
}

static int queue_one(
	struct sync_space *ss, struct store_txn *t, const struct id16 *id, struct outbox_row *ret_o, size_t *ret_bytes)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
	struct record r;
	struct node n;
	uint64_t cursor;
	struct outbox_row o = { .space = ss->row, .id = *id };
	int err = txn_record_get(t, ss->row, id, &o.hash, &cursor, &blob);

	*ret_bytes = 0;
	if (err == OK)
		err = record_decode(buf_bytes(&blob), &r);
	if (err == OK)
		err = txn_node_find(t, ss->row, id, &n);
	/* A version of its own that is under way holds what this one does. */
	if (err < 0 || sync_push_find(ss, n.ino))
		return err == ERR_NOT_FOUND ? OK : err;
	if (!still_good(ss, &r))
		return n.change ? OK
				: txn_mark_changed(
					  t, n.ino, CHANGE_ATTR | CHANGE_FSYNCED); /* sealed anew, by this device */
	o.ino = n.ino;
	err = txn_outbox_add(t, &o, buf_bytes(&blob), r.h.version, NULL, 0);
	*ret_o = o;
	*ret_bytes = blob.len;
	return err;
}

static int queue_some(struct sync_space *ss, const struct lost *v, size_t n)
{
	struct outbox_row rows[QUEUE_AT_ONCE];
	size_t bytes[QUEUE_AT_ONCE] = { 0 };
	struct store_txn *t = NULL;
	int err = store_begin(ss->sync->config.store, &t);

	if (err < 0)
		return err;
	for (size_t i = 0; i < n && err == OK; i++)
		err = queue_one(ss, t, &v[i].id, &rows[i], &bytes[i]);
	if (err < 0) {
		store_abort(&t);
		return err;
	}
	if ((err = store_commit(&t)) < 0)
		return err;
	for (size_t i = 0; i < n; i++) {
		struct out_item *item = bytes[i] ? sync_push_add(ss, &rows[i]) : NULL;

		if (bytes[i] && (!item || lanes_sent(ss->lanes, rows[i].ino) < 0)) {
			ss->items_lost = true; /* they stand in the store */
			return ERR_NOMEM;
		}
		if (item) {
			item->bytes = bytes[i];
			item->sent_before = true;
		}
	}
	return OK;
}

static int queue_lost(struct sync_space *ss)
{
	struct lost_list l = { .v = NULL };
	int err = ss->may_not_write ? OK : list_lost(ss, &l);

	for (size_t at = 0; at < l.n && err == OK; at += QUEUE_AT_ONCE)
		err = queue_some(ss, l.v + at, l.n - at < QUEUE_AT_ONCE ? l.n - at : QUEUE_AT_ONCE);
	if (err == OK)
		log_info("sync: space %s: %zu records are given back", log_id16(&ss->space->row.id).s, l.n);
	free(l.v);
	ss->poked = true;
	return err;
}

static int heal(struct sync_space *ss)
{
	ss->heal.on = true;
	sync_space_alarm(ss, ERR_ROLLBACK, "the relay had lost what it had confirmed; it is given back");
	return queue_lost(ss);
}

int sync_heal_load(struct sync_space *ss)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(64);
	struct store_txn *t = NULL;
	char key[64], text[65] = "";
	int err = store_begin(ss->sync->config.store, &t);

	if (err < 0)
		return err;
	heal_key(ss->row, key);
	err = txn_meta_get(t, key, &b);
	store_abort(&t);
	if (err < 0)
		return err == ERR_NOT_FOUND ? OK : err;
	memcpy(text, b.data, b.len);
	if (sscanf(text, "%" SCNu64 " %" SCNu64, &ss->heal.common, &ss->heal.until) != 2)
		return ERR_CORRUPT;
	return heal(ss);
}

/* ---- going back ---- */

static int write_back(struct sync_space *ss, struct space_row *row)
{
	struct sync_heal *h = &ss->heal;
	uint64_t old = row->cursor;
	struct store_txn *t = NULL;
	int err = store_begin(ss->sync->config.store, &t);

	if (err < 0)
		return err;
	err = sync_head_kept(t, ss->row, h->low, &row->chain);
	if (err == OK && h->low == 0)
		h->until = h->cursor; /* nothing is known of its steps: all of them count as old */
	row->cursor = h->low;
	row->store_id = h->store;
	if (err == OK)
		err = txn_space_put(t, row);
	if (err == OK)
		err = put_mark(t, ss->row, h->low, h->until);
	/* Other devices' heads are of the new history from here on. */
	for (uint64_t c = old; c > h->low && old - c < SYNC_HEAD_KEEP && err == OK; c--)
		err = sync_head_drop(t, ss->row, c);
	if (err == OK)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

static int go_back(struct sync_space *ss)
{
	struct sync_heal *h = &ss->heal;

	h->until = 0;
	pthread_mutex_lock(&ss->space->lock);
	struct space_row row = ss->space->row;
	pthread_mutex_unlock(&ss->space->lock);
	int err = write_back(ss, &row);
	if (err < 0)
		return err;
	pthread_mutex_lock(&ss->space->lock);
	ss->space->row.cursor = row.cursor;
	ss->space->row.chain = row.chain;
	ss->space->row.store_id = row.store_id;
	pthread_mutex_unlock(&ss->space->lock);
	h->wanted = false;
	h->common = h->low;
	ss->relay_cursor = h->cursor;
	ss->caught_up = false;
	return heal(ss);
}

/* ---- the log ---- */

static void send_entries(struct sync_space *ss);

static void log_is_there(struct sync_space *ss)
{
	if (!ss->heal.wanted) { /* the space or this device was not known */
		sync_space_offline(ss);
		return;
	}
	int err = go_back(ss);
	if (err < 0)
		fail(ss, err, "what the relay lost cannot be given back");
}

static void on_appended(void *ctx, int err, struct bytes code, struct bytes item)
{
	struct sync_space *ss = ctx;

	ss->call = 0;
	if (err == OK && map_get_bool(item, "ok", false)) {
		uint64_t cursor = map_get_uint(item, "cursor", 0);

		ss->heal.cursor = cursor > ss->heal.cursor ? cursor : ss->heal.cursor;
		ss->heal.entries = ss->heal.sent;
		send_entries(ss);
		return;
	}
	if (err == OK && cbor_text_is(map_get_text(item, "error"), "conflict") && ss->heal.wanted) {
		sync_space_fork(ss);
		return;
	}
	if (err == OK)
		err = peer_error(map_get_text(item, "error"));
	if (err != ERR_OFFLINE && err != ERR_CANCELLED)
		log_warn("sync: log not given back: %s (%.*s)", err_str(err), (int)code.len, (const char *)code.p);
	sync_space_offline(ss);
	sync_space_retry(ss, sync_now(ss->sync));
}

struct entry_page {
	struct buf blobs; /* array items */
	size_t n;
	int err;
};

static int take_entry(void *ctx, uint64_t seq, struct bytes blob)
{
	struct entry_page *p = ctx;
	struct cbor_enc e = cbor_enc_init(&p->blobs);

	(void)seq;
	if (p->n == APPEND_ENTRIES || (p->n && p->blobs.len + blob.len > APPEND_BYTES))
		return 0;
	cbor_put_bytes(&e, blob.p, blob.len);
	p->err = cbor_enc_end(&e);
	p->n += p->err == OK;
	return p->err == OK;
}

static int put_page(struct sync_space *ss, const struct entry_page *p, struct buf *params)
{
	CLEANUP(map_release) struct map m = MAP_INIT;
	CLEANUP(buf_release) struct buf list = BUF_INIT(5u << 20);
	struct cbor_enc e = cbor_enc_init(&list);

	cbor_put_array(&e, p->n);
	int err = cbor_enc_end(&e);
	if (err == OK)
		err = buf_put(&list, p->blobs.data, p->blobs.len);
	map_uuid(&m, "space", &ss->space->row.id);
	map_raw(&m, "entries", buf_bytes(&list));
	return err < 0 ? err : map_put(&m, params);
}

/* The next that the relay lacks; with none left it goes on. */
static void send_entries(struct sync_space *ss)
{
	CLEANUP(buf_release) struct buf params = BUF_INIT(6u << 20);
	struct entry_page p = { .blobs = BUF_INIT(4u << 20) };
	struct peer_answer a = { .ctx = ss, .result = on_appended };
	struct store_txn *t = NULL;
	int err = store_begin(ss->sync->config.store, &t);

	if (err == OK)
		err = txn_entry_each(t, ss->row, ss->heal.entries, take_entry, &p);
	store_abort(&t);
	err = err < 0 ? err : p.err;
	if (err == OK && p.n == 0) {
		buf_release(&p.blobs);
		log_is_there(ss);
		return;
	}
	ss->heal.sent = ss->heal.entries + p.n;
	if (err == OK)
		err = put_page(ss, &p, &params);
	if (err == OK)
		err = peer_call(ss->peer->peer, "coffer.append", buf_bytes(&params), &a, &ss->call);
	buf_release(&p.blobs);
	if (err < 0)
		fail(ss, err, "the log cannot be given back");
}

bool sync_heal_forbidden(struct sync_space *ss)
{
	pthread_mutex_lock(&ss->space->lock);
	bool member = log_may_read(ss->space->log, identity_device(ss->sync->config.who));
	pthread_mutex_unlock(&ss->space->lock);
	if (!member || ss->heal.tried || ss->space->row.cursor == 0)
		return false;
	ss->heal.tried = true;
	ss->heal.wanted = false;
	ss->heal.entries = 0;
	ss->phase = PHASE_SUBSCRIBE;
	send_entries(ss);
	return true;
}

/* ---- comparing ---- */

static void compare(struct sync_space *ss);

/* Whether the step is the one that this device knows; one that it has forgotten counts as another. */
static int is_ours(struct sync_space *ss)
{
	struct store_txn *t = NULL;
	int err = store_begin(ss->sync->config.store, &t);

	if (err < 0)
		return err;
	err = ss->heal.step.here ? step_lines_check(&ss->heal.step, t, ss->row) : ERR_FORK;
	store_abort(&t);
	if (err == ERR_FORK || err == ERR_NOT_FOUND)
		return 0;
	return err < 0 ? err : 1;
}

static void on_lines(void *ctx, struct bytes name, struct bytes data)
{
	struct sync_space *ss = ctx;

	step_lines_take(&ss->heal.step, name, data);
}

static void on_compared(void *ctx, int err, struct bytes code, struct bytes item)
{
	struct sync_space *ss = ctx;
	struct sync_heal *h = &ss->heal;
	int same = err;

	(void)code;
	(void)item;
	ss->call = 0;
	if (ss->phase == PHASE_STOPPED)
		return;
	if (err == OK)
		same = is_ours(ss);
	if (same < 0) {
		if (same != ERR_OFFLINE && same != ERR_CANCELLED)
			fail(ss, same, "the relay's steps cannot be compared");
		return;
	}
	if (same)
		h->low = h->step.cursor;
	else
		h->high = h->step.cursor - 1;
	compare(ss);
}

static int write_store(struct sync_space *ss)
{
	struct store_txn *t = NULL;
	int err = store_begin(ss->sync->config.store, &t);

	if (err < 0)
		return err;
	pthread_mutex_lock(&ss->space->lock);
	struct space_row row = ss->space->row;
	pthread_mutex_unlock(&ss->space->lock);
	row.store_id = ss->heal.store;
	err = txn_space_put(t, &row);
	if (err == OK)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

/* The store is another, but nothing of what was known is missing. */
static void note_store(struct sync_space *ss)
{
	int err = write_store(ss);

	if (err < 0) {
		fail(ss, err, "the relay's new store cannot be noted");
		return;
	}
	ss->heal.wanted = false;
	pthread_mutex_lock(&ss->space->lock);
	ss->space->row.store_id = ss->heal.store;
	pthread_mutex_unlock(&ss->space->lock);
	ss->caught_up = false;
	ss->poked = true; /* pulled again, now for good */
}

static void compared(struct sync_space *ss)
{
	const struct sync_heal *h = &ss->heal;

	if (h->low == ss->space->row.cursor) {
		log_info("sync: space %s: the relay has another store, which lacks nothing",
			log_id16(&ss->space->row.id).s);
		note_store(ss);
		return;
	}
	log_info("sync: space %s: the relay's store went back to step %llu of %llu", log_id16(&ss->space->row.id).s,
		(unsigned long long)h->low, (unsigned long long)ss->space->row.cursor);
	send_entries(ss);
}

static void compare(struct sync_space *ss)
{
	CLEANUP(buf_release) struct buf params = BUF_INIT(1024);
	struct sync_heal *h = &ss->heal;
	struct peer_answer a = { .ctx = ss, .part = on_lines, .result = on_compared };

	if (h->low == h->high) {
		compared(ss);
		return;
	}
	/* A restored store ends with a step that is known, unless others wrote there since: the last one is looked at first. */
	uint64_t probe = h->first ? h->high : h->low + (h->high - h->low + 1) / 2;
	h->first = false;
	int err = step_lines_ask(&h->step, &ss->space->row.id, probe, &params);
	if (err == OK)
		err = peer_call(ss->peer->peer, "coffer.pull", buf_bytes(&params), &a, &ss->call);
	if (err < 0)
		fail(ss, err, "the relay's steps cannot be compared");
}

bool sync_heal_begin(struct sync_space *ss, uint64_t cursor, uint64_t entries, struct bytes store)
{
	const struct space_row *row = &ss->space->row;
	bool other = store.len == sizeof row->store_id && !id16_is_zero(&row->store_id) &&
		     memcmp(row->store_id.b, store.p, store.len) != 0;

	if (!other && cursor >= row->cursor)
		return false;
	ss->heal.wanted = ss->heal.first = true;
	ss->heal.cursor = cursor;
	ss->heal.entries = entries;
	ss->heal.low = 0;
	ss->heal.high = cursor < row->cursor ? cursor : row->cursor;
	ss->heal.store = row->store_id;
	if (store.len == sizeof row->store_id)
		memcpy(ss->heal.store.b, store.p, store.len);
	return true;
}

void sync_heal_run(struct sync_space *ss)
{
	compare(ss);
}

void sync_heal_reset(struct sync_space *ss)
{
	ss->heal.wanted = ss->heal.tried = false;
	step_lines_release(&ss->heal.step);
}

/* ---- while it heals ---- */

void sync_heal_step(struct sync_space *ss)
{
	struct store_txn *t = NULL;
	char key[64];

	/* What was given up keeps it open: what follows it could not be pushed otherwise. */
	if (!ss->heal.on || ss->heal.given_up || !ss->caught_up || ss->steps || (ss->n_items && !ss->may_not_write))
		return;
	heal_key(ss->row, key);
	int err = store_begin(ss->sync->config.store, &t);
	if (err == OK)
		err = txn_meta_del(t, key);
	if (err == OK)
		err = store_commit(&t);
	else
		store_abort(&t);
	if (err < 0)
		return; /* tried again */
	ss->heal.on = false;
	log_info("sync: space %s: what the relay lost was given back", log_id16(&ss->space->row.id).s);
	if (ss->alarm == ERR_ROLLBACK)
		ss->alarm_text = "the relay had lost what it had confirmed; what was here was given back";
}

enum meeting { MEET_FOLLOWS, MEET_OLDER, MEET_EDIT };

/* How a record stands to ours; *ret_cursor and *ret_hash are of ours if it is MEET_EDIT. */
static int meet(struct sync_space *ss, struct store_txn *t, const struct history_step *st, const struct remote *r,
	struct id32 *ret_hash, uint64_t *ret_cursor)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
	struct record mine;
	int err = txn_record_get(t, ss->row, &r->o.r.h.id, ret_hash, ret_cursor, &blob);

	if (err < 0)
		return err == ERR_NOT_FOUND ? MEET_FOLLOWS : err;
	if (blob.len == 0 || id32_equal(ret_hash, &r->hash) || *ret_cursor <= ss->heal.common ||
		sync_head_follows(&r->o.r, ret_hash))
		return MEET_FOLLOWS;
	if (record_decode(buf_bytes(&blob), &mine) < 0)
		return ERR_CORRUPT;
	if (!st->healed && st->cursor > ss->heal.until)
		return MEET_EDIT;
	return mine.h.version >= r->o.r.h.version ? MEET_OLDER : MEET_FOLLOWS;
}

int sync_heal_is_older(
	struct sync_space *ss, struct store_txn *t, const struct history_step *st, const struct remote *r)
{
	struct id32 hash;
	uint64_t cursor;
	int how = meet(ss, t, st, r, &hash, &cursor);

	return how < 0 ? how : how == MEET_OLDER;
}

/* What is here counts as an edit made here, which follows nothing that the other does: its record is forgotten as a base. */
static int make_edit(
	struct sync_space *ss, struct store_txn *t, const struct id16 *id, const struct id32 *hash, uint64_t cursor)
{
	uint32_t bits = CHANGE_CONTENT | CHANGE_ATTR | CHANGE_LINKS | CHANGE_XATTR;
	struct node n;
	int err = txn_node_find(t, ss->row, id, &n);

	if (err == OK)
		err = txn_record_put(t, ss->row, id, hash, cursor, bytes_of(NULL, 0));
	if (err == OK && (n.flags & NODE_TOMBSTONE))
		bits |= CHANGE_DELETED;
	return err < 0 ? err : txn_mark_changed(t, n.ino, bits | n.change_bits);
}

int sync_heal_note_edits(struct sync_space *ss, const struct history_step *st, const struct remote *r)
{
	struct store_txn *t = NULL;
	struct id32 hash;
	uint64_t cursor;
	bool any = false;
	int err = store_begin(ss->sync->config.store, &t);

	for (size_t i = 0; i < st->n_records && err >= 0; i++) {
		if (r[i].refused)
			continue;
		err = meet(ss, t, st, &r[i], &hash, &cursor);
		if (err == MEET_EDIT && (err = make_edit(ss, t, &r[i].o.r.h.id, &hash, cursor)) == OK)
			any = true;
	}
	if (err >= 0 && any)
		return store_commit(&t);
	store_abort(&t);
	return err < 0 ? err : OK;
}

int sync_heal_is_back(struct sync_space *ss, struct store_txn *t, const struct out_item *item)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
	struct id32 hash;
	uint64_t cursor;

	if (!ss->heal.on)
		return 0;
	int err = txn_record_get(t, ss->row, &item->o.id, &hash, &cursor, &blob);
	if (err < 0)
		return err == ERR_NOT_FOUND ? 0 : err;
	return id32_equal(&hash, &item->o.hash);
}

uint64_t sync_heal_common(const struct sync_space *ss)
{
	return ss->heal.until > ss->heal.common ? ss->heal.until : ss->heal.common;
}

bool sync_heal_lacks(struct sync_space *ss, const struct id16 *chunk)
{
	struct store_txn *t = NULL;
	struct chunk_row row;

	if (!ss->heal.on || store_begin(ss->sync->config.store, &t) < 0)
		return false;
	int err = txn_chunk_find(t, ss->row, chunk, &row);
	store_abort(&t);
	if (err == OK)
		secret_wipe(row.key, sizeof row.key);
	return err == ERR_NOT_FOUND || (err == OK && !row.here);
}

int sync_heal_give_up(struct sync_space *ss, struct out_item **items, size_t n)
{
	struct store_txn *t = NULL;

	if (n > 1) {
		for (size_t i = 0; i < n; i++)
			items[i]->alone = true;
		return OK;
	}
	if (items[0]->dropped)
		return OK;
	int err = store_begin(ss->sync->config.store, &t);
	if (err < 0)
		return err;
	if ((err = txn_outbox_del(t, items[0]->o.row)) == OK)
		err = store_commit(&t);
	else
		store_abort(&t);
	if (err < 0)
		return err;
	ss->heal.given_up++;
	sync_push_drop(ss, items[0]);
	sync_space_alarm(ss, ERR_ROLLBACK,
		"the relay lost content that is not on this device either; another device may give it back");
	return OK;
}
