/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pipeline to the relay. The outbox in the store is the truth, the list of items here mirrors it. Chunks too large to travel in a
 * push go first by PUT; then runs of one lane's items, in order, go as pushes of about a mebibyte, several in flight, each naming the
 * one before of its lane. An accepted push is written down (records, chunks, and if it is the next step of the history, cursor and
 * chain) in one transaction. A refused one goes back to the queue; what conflicts is marked changed again and merged when the
 * pull brings the other version.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/seal.h"
#include "crypto/secret.h"
#include "fusefs/sync_heal.h"
#include "fusefs/sync_room.h"
#include "fusefs/sync_usage.h"
#include "fusefs/sync_upload.h"
#include "wire/map.h"

#define PUSH_BYTES (1u << 20)
#define PUSH_MAX_RECORDS 500
#define PUSH_MESSAGE_MAX (5u << 20)
#define PUSHES_MAX 6
#define ROOM_MIN (2u << 20)

/* ---- the list ---- */

struct out_item *sync_push_find(const struct sync_space *ss, uint64_t ino)
{
	uint64_t p;
	return table_get(&ss->item_of, ino, &p) ? (struct out_item *)(uintptr_t)p : NULL;
}

struct out_item *sync_push_add(struct sync_space *ss, const struct outbox_row *o)
{
	struct out_item *item = calloc(1, sizeof *item);

	if (!item)
		return NULL;
	item->ss = ss;
	item->o = *o;
	if (table_put(&ss->item_of, o->ino, (uintptr_t)item) < 0) {
		free(item);
		return NULL;
	}
	*ss->items_tail = item;
	ss->items_tail = &item->next;
	ss->n_items++;
	sync_room_queued(ss, item);
	return item;
}

static void unlist(struct sync_space *ss, struct out_item *item)
{
	for (struct out_item **at = &ss->items; *at; at = &(*at)->next) {
		if (*at != item)
			continue;
		/* It went past what is aside (sync_room.h): what was queued behind it before that was known has not. */
		if (item->barrier && at != &ss->items && item->next && item->next->known < ss->room.refusals)
			item->next->barrier = true;
		*at = item->next;
		if (ss->items_tail == &item->next)
			ss->items_tail = at;
		ss->n_items--;
		break;
	}
	if (sync_push_find(ss, item->o.ino) == item)
		table_del(&ss->item_of, item->o.ino);
}

static void free_item(struct out_item *item)
{
	out_chunk_drop_all(item);
	free(item);
}

void sync_push_drop(struct sync_space *ss, struct out_item *item)
{
	unlist(ss, item);
	sync_room_left(ss, item);
	lanes_done(ss->lanes, item->o.ino);
	out_chunk_drop_all(item); /* their rows may go, and be others then */
	if (item->push)
		item->dropped = true; /* freed with its push */
	else
		free_item(item);
}

static void free_push(struct push *p)
{
	for (size_t i = 0; i < p->n; i++) {
		buf_release(&p->blobs[i]);
		if (p->items[i]->dropped)
			free_item(p->items[i]);
		else
			p->items[i]->push = NULL;
	}
	free(p->items);
	free(p->blobs);
	free(p);
}

struct loading {
	struct sync_space *ss;
	struct store_txn *t;
	int err;
};

static int load_chunks(struct loading *l, const struct outbox_row *o, struct out_item *item)
{
	FREE_AFTER uint64_t *rows = NULL;
	size_t n = 0;
	int err = txn_outbox_chunks(l->t, o->row, &rows, &n);

	for (size_t i = 0; i < n && err == OK; i++) {
		struct chunk_row row;

		if ((err = txn_chunk_get(l->t, rows[i], &row)) < 0)
			return err;
		secret_wipe(row.key, sizeof row.key);
		err = out_chunk_add(item, row.row, row.len);
	}
	return err;
}

static bool is_deletion(const struct loading *l, const struct outbox_row *o)
{
	struct node n;

	return txn_node_get(l->t, o->ino, &n) == OK && (n.flags & NODE_TOMBSTONE);
}

static int load_row(void *ctx, const struct outbox_row *o, struct bytes blob)
{
	struct loading *l = ctx;
	struct out_item *before =
		l->ss->items ? (struct out_item *)((char *)l->ss->items_tail - offsetof(struct out_item, next)) : NULL;
	struct out_item *item = sync_push_add(l->ss, o);

	if (!item) {
		l->err = ERR_NOMEM;
		return 0;
	}
	item->bytes = blob.len;
	item->sent_before = true;
	item->dead = is_deletion(l, o);
	/* What was joined then is not known any more: lanes wait for each other. */
	item->barrier = before && before->o.lane != o->lane;
	l->err = load_chunks(l, o, item);
	if (l->err == OK)
		l->err = lanes_sent(l->ss->lanes, o->ino);
	return l->err == OK;
}

int sync_push_load(struct sync_space *ss)
{
	struct store_txn *t = NULL;

	sync_push_free(ss);
	int err = store_begin(ss->sync->config.store, &t);
	if (err < 0)
		return err;
	struct loading l = { .ss = ss, .t = t };
	err = txn_outbox_each(t, ss->row, 0, load_row, &l);
	store_abort(&t);
	err = err < 0 ? err : l.err;
	ss->items_lost = err < 0;
	return err;
}

void sync_push_reset(struct sync_space *ss)
{
	while (ss->pushes) {
		struct push *p = ss->pushes;

		ss->pushes = p->next;
		peer_cancel(ss->peer->peer, p->num);
		for (size_t i = 0; i < p->n; i++)
			p->items[i]->sent_before = true;
		free_push(p);
	}
	ss->pushes_tail = &ss->pushes;
	sync_upload_reset(ss);
	sync_room_try_all(ss);
	sync_usage_reset(ss);
}

void sync_push_free(struct sync_space *ss)
{
	if (ss->peer)
		sync_push_reset(ss);
	while (ss->items) {
		struct out_item *item = ss->items;

		ss->items = item->next;
		free_item(item);
	}
	ss->items_tail = &ss->items;
	ss->n_items = 0;
	sync_room_clear(ss);
	table_release(&ss->item_of);
	table_release(&ss->chunk_of);
}

struct one_blob {
	uint64_t row;
	struct buf *out;
	int err;
};

static int take_blob(void *ctx, const struct outbox_row *o, struct bytes blob)
{
	struct one_blob *one = ctx;

	one->err = o->row == one->row ? buf_put(one->out, blob.p, blob.len) : ERR_NOT_FOUND;
	return 0;
}

int sync_push_blob(struct store_txn *t, const struct out_item *item, struct buf *ret_blob)
{
	struct one_blob one = { .row = item->o.row, .out = ret_blob, .err = ERR_NOT_FOUND };
	int err = txn_outbox_each(t, item->o.space, item->o.row - 1, take_blob, &one);
	return err < 0 ? err : one.err;
}

/* ---- answers ---- */

static void take_push(struct push *p)
{
	struct sync_space *ss = p->ss;

	for (struct push **at = &ss->pushes; *at; at = &(*at)->next) {
		if (*at != p)
			continue;
		*at = p->next;
		if (ss->pushes_tail == &p->next)
			ss->pushes_tail = at;
		return;
	}
}

static int lines_of(const struct push *p, struct buf *out)
{
	struct line *lines = calloc(p->n, sizeof *lines);

	if (!lines)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->n; i++)
		lines[i] = (struct line){ .kind = LINE_RECORD, .id = p->items[i]->o.id, .hash = p->items[i]->o.hash };
	int err = lines_put(out, lines, p->n);
	free(lines);
	return err;
}

static int write_item(struct tree *tr, const struct out_item *item, struct bytes blob, uint64_t cursor)
{
	struct store_txn *t = tr->t;
	int err = OK;

	for (size_t k = 0; k < item->n_chunks && err == OK; k++)
		err = item->chunks[k]->state == OUT_THERE ? OK : txn_chunk_confirm(t, item->chunks[k]->row);
	if (err == OK)
		err = txn_record_put(t, item->o.space, &item->o.id, &item->o.hash, cursor, blob);
	if (err == OK)
		err = txn_outbox_del(t, item->o.row);
	/* Its rank is that of the new version from here on, for everybody. */
	return err < 0 ? err : tree_touch_contested(tr, item->o.ino);
}

static int write_accepted(struct push *p, uint64_t cursor, bool *ret_advanced)
{
	CLEANUP(buf_release) struct buf lines = BUF_INIT(LINES_MAX * 64);
	struct sync_space *ss = p->ss;
	struct store_txn *t = NULL;
	struct id32 chain = ss->space->row.chain;
	bool next = p->fresh && cursor == ss->space->row.cursor + 1;
	int err = next ? lines_of(p, &lines) : OK;

	if (err == OK)
		err = store_begin(ss->sync->config.store, &t);
	if (err < 0)
		return err;
	struct tree tr = sync_space_tree(ss, t);
	for (size_t i = 0; i < p->n && err == OK; i++) {
		if (!p->items[i]->dropped)
			err = write_item(&tr, p->items[i], buf_bytes(&p->blobs[i]), cursor);
	}
	if (err == OK)
		err = tree_settle(&tr);
	if (err == OK && next)
		err = sync_pull_advance(ss, t, cursor, buf_bytes(&lines), &chain);
	if (err == OK)
		err = store_commit(&t);
	else
		store_abort(&t);
	if (err == OK && next)
		sync_pull_advanced(ss, cursor, &chain);
	err = sync_space_settled(ss, &tr, err);
	*ret_advanced = next;
	return err;
}

static void accepted(struct push *p, struct bytes item)
{
	struct sync_space *ss = p->ss;
	uint64_t cursor = map_get_uint(item, "cursor", 0);
	bool advanced = false;
	int err = write_accepted(p, cursor, &advanced);

	sync_space_stored(ss, err);
	if (err < 0) {
		log_error("sync: accepted records not written: %s", err_str(err));
		sync_space_retry(ss, sync_now(ss->sync));
		for (size_t i = 0; i < p->n; i++)
			p->items[i]->sent_before = true;
		return;
	}
	ss->retry_delay = 0;
	if (ss->alarm == ERR_FORBIDDEN)
		ss->alarm = OK;
	if (cursor > ss->relay_cursor)
		ss->relay_cursor = cursor;
	for (size_t i = 0; i < p->n; i++) {
		struct out_item *it = p->items[i];

		if (it->dropped)
			continue;
		sync_wait_confirmed(ss->sync, it);
		sync_room_taken(ss, it);
		sync_push_drop(ss, it);
	}
}

/* The bits of what a version changed that is not to be; base is empty if nothing of the node was ever confirmed. */
static int bits_of(
	struct sync_space *ss, struct store_txn *t, const struct out_item *item, struct bytes base, uint32_t *ret_bits)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
	CLEANUP(opened_record_release) struct opened_record was = OPENED_RECORD_INIT;
	CLEANUP(opened_record_release) struct opened_record is = OPENED_RECORD_INIT;
	int err = sync_push_blob(t, item, &blob);

	*ret_bits = CHANGE_ATTR | CHANGE_LINKS | CHANGE_XATTR | CHANGE_FSYNCED;
	if (err == OK)
		err = space_open_record(ss->space, buf_bytes(&blob), &is);
	if (err == OK && base.len)
		err = space_open_record(ss->space, base, &was);
	if (base.len == 0)
		*ret_bits |= CHANGE_NEW;
	if (is.body.deleted)
		*ret_bits |= CHANGE_DELETED;
	/* What does not open is taken as edited: rather a conflict copy too many than an edit lost. */
	if (err < 0 || base.len == 0 || (!is.body.deleted && !content_equal(&was.body, &is.body)))
		*ret_bits |= CHANGE_CONTENT;
	return err == ERR_NOMEM || err == ERR_IO ? err : OK;
}

/* Marks the node of a conflicting version changed again: its base is the last confirmed record, and the pull merges. */
static int give_back(struct sync_space *ss, struct store_txn *t, const struct out_item *item)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
	struct record r;
	struct node n;
	uint64_t cursor;
	uint32_t bits = 0;
	int err = txn_node_get(t, item->o.ino, &n), back = err == OK ? sync_heal_is_back(ss, t, item) : 0;

	/* What is given back and met something newer: the pull sees to it (sync_heal_note_edits). */
	if (err == ERR_NOT_FOUND || back > 0)
		return txn_outbox_del(t, item->o.row);
	err = back < 0 ? back : err;
	if (err < 0)
		return err;
	n.version = 0;
	memset(&n.base, 0, sizeof n.base);
	err = txn_record_get(t, ss->row, &item->o.id, &n.base, &cursor, &blob);
	if (err == OK && blob.len == 0) { /* sync_heal.c: it follows nothing */
		memset(&n.base, 0, sizeof n.base);
		err = ERR_NOT_FOUND;
	}
	if (err == OK && (err = record_decode(buf_bytes(&blob), &r)) == OK) {
		n.version = r.h.version;
		n.author = r.h.author;
	}
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	err = bits_of(ss, t, item, buf_bytes(&blob), &bits);
	if (err == OK)
		err = txn_node_put(t, &n);
	if (err == OK)
		err = txn_mark_changed(t, n.ino, bits);
	return err < 0 ? err : txn_outbox_del(t, item->o.row);
}

int sync_push_give_back(struct sync_space *ss, struct out_item **items, size_t n)
{
	struct store_txn *t = NULL;
	int err = store_begin(ss->sync->config.store, &t);

	for (size_t i = 0; i < n && err == OK; i++)
		err = give_back(ss, t, items[i]);
	if (err < 0) {
		store_abort(&t);
		return err;
	}
	err = store_commit(&t);
	for (size_t i = 0; i < n && err == OK; i++)
		sync_push_drop(ss, items[i]);
	ss->poked = true;
	return err;
}

/* Calls fn with each id of an array of ids, or of maps that hold one. */
static void each_id(struct bytes result, const char *key, void (*fn)(void *ctx, const struct id16 *id), void *ctx)
{
	struct bytes list;

	if (cbor_map_find(result, CBOR_RPC, key, &list) < 0)
		return;
	struct cbor_dec d = cbor_dec_init_rpc(list);
	size_t n = cbor_get_array(&d, 100000);
	for (size_t i = 0; i < n && cbor_dec_error(&d) == OK; i++) {
		struct id16 id;

		if (cbor_peek(&d) == CBOR_MAP) {
			struct bytes one = cbor_get_raw(&d);
			if (cbor_dec_error(&d) == OK && map_get_uuid(one, "id", &id))
				fn(ctx, &id);
			continue;
		}
		struct bytes text = cbor_get_text(&d, 64);
		if (cbor_dec_error(&d) == OK && id16_parse((const char *)text.p, text.len, &id) == OK)
			fn(ctx, &id);
	}
}

struct refusal {
	struct push *p;
	struct out_item **items;
	size_t n;
	bool lacking;
};

static void note_conflict(void *ctx, const struct id16 *id)
{
	struct refusal *r = ctx;

	for (size_t i = 0; i < r->p->n; i++) {
		struct out_item *item = r->p->items[i];

		if (!item->dropped && id16_equal(&item->o.id, id) && r->n < r->p->n)
			r->items[r->n++] = item;
	}
}

static void note_missing(void *ctx, const struct id16 *id)
{
	struct refusal *r = ctx;

	if (sync_heal_lacks(r->p->ss, id))
		r->lacking = true;
	else
		sync_upload_missing(r->p->items, r->p->n, id);
}

/* Whether the relay lacked chunks of one of these when they were sent before. */
static bool lacked_before(const struct push *p)
{
	bool before = false;

	for (size_t i = 0; i < p->n; i++) {
		before = before || p->items[i]->lacked;
		p->items[i]->lacked = true;
	}
	return before;
}

static int refused(struct push *p, struct bytes item)
{
	struct sync_space *ss = p->ss;
	struct bytes code = map_get_text(item, "error");
	struct refusal r = { .p = p, .items = calloc(p->n, sizeof *r.items) };
	int err = OK;

	if (!r.items)
		return ERR_NOMEM;
	if (cbor_text_is(code, "conflict")) {
		each_id(item, "conflicts", note_conflict, &r);
		err = sync_push_give_back(ss, r.items, r.n);
		ss->caught_up = false; /* nothing more until the pull brought what it conflicts with */
		sync_pull_start(ss);
	} else if (cbor_text_is(code, "missing")) {
		each_id(item, "missing", note_missing, &r);
		if (r.lacking)
			err = sync_heal_give_up(ss, p->items, p->n);
		else if (lacked_before(p))
			sync_space_retry(ss, sync_now(ss->sync));
	} else if (cbor_text_is(code, "key_generation_stale")) {
		for (size_t i = 0; i < p->n; i++) {
			if (!p->items[i]->dropped)
				r.items[r.n++] = p->items[i];
		}
		err = sync_push_give_back(ss, r.items, r.n);
		ss->caught_up = false;
		sync_pull_start(ss);
	} else if (!cbor_text_is(code, "order") || !p->after) {
		err = peer_error(code);
		if (err == ERR_FORBIDDEN)
			sync_space_alarm(ss, err, "the relay refuses changes: this device may not write here");
		else if (err == ERR_RELAY_FULL)
			sync_room_refused(ss, p->items, p->n);
		if (err != ERR_RELAY_FULL || ss->heal.on)
			sync_space_retry(ss, sync_now(ss->sync));
	}
	free(r.items);
	return err;
}

static void on_pushed(void *ctx, int err, struct bytes code, struct bytes item)
{
	struct push *p = ctx;
	struct sync_space *ss = p->ss;

	take_push(p);
	log_debug("sync: space %s: push of %zu: %s", log_id16(&ss->space->row.id).s, p->n, err_name(err));
	if (err == OK && map_get_bool(item, "ok", false)) {
		accepted(p, item);
	} else if (err == OK) {
		err = refused(p, item);
		if (err < 0)
			log_warn("sync: a push was refused: %s", err_str(err));
	} else if (err != ERR_OFFLINE && err != ERR_CANCELLED) {
		log_warn("sync: a push failed: %s (%.*s)", err_str(err), (int)code.len, (const char *)code.p);
		sync_space_retry(ss, sync_now(ss->sync));
	}
	for (size_t i = 0; i < p->n; i++)
		p->items[i]->sent_before = true;
	free_push(p);
}

/* ---- sending ---- */

static bool ready(const struct out_item *item)
{
	for (size_t i = 0; i < item->n_chunks; i++) {
		if (item->chunks[i]->by_put && item->chunks[i]->state != OUT_THERE)
			return false;
	}
	return true;
}

static size_t weight(const struct out_item *item)
{
	size_t n = item->bytes + 64;

	for (size_t i = 0; i < item->n_chunks; i++) {
		if (!item->chunks[i]->by_put && item->chunks[i]->state == OUT_WAITING)
			n += item->chunks[i]->len + 512;
	}
	return n;
}

/* Picks the first lane whose next items may go, and these. */
static size_t pick(struct sync_space *ss, struct out_item **items, uint64_t *ret_lane)
{
	struct table blocked = { .n = 0 };
	struct sync_room_look look = { .ss = ss };
	size_t n = 0, bytes = 0, before = 0;
	uint64_t lane = 0;

	for (struct out_item *item = ss->items; item; item = item->next) {
		uint64_t key = item->o.lane + 1;

		if (sync_room_waits(&look, item))
			continue;
		bool first = before++ == 0;
		if (item->barrier && !first && (n == 0 || items[0]->o.group != item->o.group))
			break;
		if (item->push && item->barrier)
			break;
		if (item->push || table_get(&blocked, key, NULL))
			continue;
		if (n > 0 && item->o.lane != lane)
			continue;
		if (n > 0 && (item->alone || items[0]->alone))
			break;
		if (!ready(item)) {
			if (n > 0)
				break;
			if (table_put(&blocked, key, 1) < 0)
				break;
			continue;
		}
		if (n > 0 && (bytes + weight(item) > PUSH_BYTES || n == PUSH_MAX_RECORDS))
			break;
		lane = item->o.lane;
		bytes += weight(item);
		items[n++] = item;
	}
	table_release(&blocked);
	table_release(&look.lanes);
	*ret_lane = lane;
	return n;
}

static uint64_t push_before(const struct sync_space *ss, uint64_t lane)
{
	uint64_t number = 0;

	for (const struct push *p = ss->pushes; p; p = p->next) {
		if (p->lane == lane)
			number = p->number;
	}
	return number;
}

static int put_entry(struct buf *b, const struct id16 *id, struct bytes blob)
{
	struct cbor_enc e = cbor_enc_init(b);
	char text[ID16_TEXT_SIZE];

	id16_format(id, text);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "id");
	cbor_put_text(&e, text);
	cbor_put_text(&e, "blob");
	cbor_put_bytes(&e, blob.p, blob.len);
	return cbor_enc_end(&e);
}

static int put_array_head(struct buf *b, size_t n)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_array(&e, n);
	return cbor_enc_end(&e);
}

static int put_records(struct push *p, struct buf *out)
{
	struct store_txn *t = NULL;
	int err = put_array_head(out, p->n);

	if (err == OK)
		err = store_begin(p->ss->sync->config.store, &t);
	for (size_t i = 0; i < p->n && err == OK; i++) {
		err = sync_push_blob(t, p->items[i], &p->blobs[i]);
		if (err == OK)
			err = put_entry(out, &p->items[i]->o.id, buf_bytes(&p->blobs[i]));
	}
	store_abort(&t);
	return err;
}

static int put_chunks(struct push *p, struct buf *out)
{
	CLEANUP(buf_release) struct buf list = BUF_INIT(PUSH_MESSAGE_MAX);
	CLEANUP(buf_release) struct buf blob = BUF_INIT(CHUNK_MAX_BLOB);
	size_t n = 0;
	int err = OK;

	for (size_t i = 0; i < p->n; i++) {
		for (size_t k = 0; k < p->items[i]->n_chunks && err == OK; k++) {
			const struct out_chunk *c = p->items[i]->chunks[k];
			struct id16 id;

			if (c->by_put || c->state != OUT_WAITING)
				continue;
			buf_clear(&blob);
			err = sync_upload_seal(p->ss, c, &id, &blob);
			if (err == OK)
				err = put_entry(&list, &id, buf_bytes(&blob));
			n++;
		}
	}
	if (err == OK)
		err = put_array_head(out, n);
	return err < 0 ? err : buf_put(out, list.data, list.len);
}

static int send_push(struct push *p)
{
	CLEANUP(buf_release) struct buf params = BUF_INIT(PUSH_MESSAGE_MAX);
	CLEANUP(buf_release) struct buf records = BUF_INIT(PUSH_MESSAGE_MAX), chunks = BUF_INIT(PUSH_MESSAGE_MAX);
	CLEANUP(buf_release) struct buf head = BUF_INIT(HEAD_MAX_BLOB);
	CLEANUP(map_release) struct map m = MAP_INIT;
	struct sync_space *ss = p->ss;
	int err = put_records(p, &records);

	if (err == OK)
		err = put_chunks(p, &chunks);
	if (err == OK)
		err = sync_head_make(ss, &head);
	if (err < 0)
		return err;
	map_uuid(&m, "space", &ss->space->row.id);
	map_uint(&m, "number", p->number);
	if (ss->heal.on)
		map_uint(&m, "common", sync_heal_common(ss));
	if (p->after)
		map_uint(&m, "after", p->after);
	if (head.len)
		map_bytes(&m, "head", head.data, head.len);
	map_raw(&m, "records", buf_bytes(&records));
	map_raw(&m, "chunks", buf_bytes(&chunks));
	if ((err = map_put(&m, &params)) < 0)
		return err;
	struct peer_answer a = { .ctx = p, .result = on_pushed };
	return peer_call(ss->peer->peer, ss->heal.on ? "coffer.heal" : "coffer.push", buf_bytes(&params), &a, &p->num);
}

static int start_push(struct sync_space *ss, struct out_item **items, size_t n, uint64_t lane)
{
	struct push *p = calloc(1, sizeof *p);

	if (!p)
		return ERR_NOMEM;
	p->items = malloc(n * sizeof *p->items);
	p->blobs = calloc(n, sizeof *p->blobs);
	if (!p->items || !p->blobs) {
		free(p->items);
		free(p->blobs);
		free(p);
		return ERR_NOMEM;
	}
	p->ss = ss;
	p->lane = lane;
	p->n = n;
	p->number = ss->peer->next_number;
	p->after = push_before(ss, lane);
	p->fresh = true;
	for (size_t i = 0; i < n; i++) {
		p->items[i] = items[i];
		p->blobs[i] = (struct buf)BUF_INIT(RECORD_MAX_BLOB);
		p->fresh = p->fresh && !items[i]->sent_before;
	}
	int err = send_push(p);
	if (err < 0) {
		free_push(p);
		return err;
	}
	ss->peer->next_number++;
	for (size_t i = 0; i < n; i++)
		items[i]->push = p;
	*ss->pushes_tail = p;
	ss->pushes_tail = &p->next;
	return OK;
}

void sync_push_pump(struct sync_space *ss, int64_t now)
{
	struct out_item *items[PUSH_MAX_RECORDS];
	size_t in_flight = 0;

	if (!ss->items)
		return;
	sync_upload_pump(ss);
	for (const struct push *p = ss->pushes; p; p = p->next)
		in_flight++;
	while (in_flight < PUSHES_MAX && peer_room(ss->peer->peer) > ROOM_MIN) {
		uint64_t lane;
		size_t n = pick(ss, items, &lane);
		int err = n ? start_push(ss, items, n, lane) : ERR_AGAIN;

		if (err == ERR_AGAIN)
			return;
		if (err < 0) {
			log_warn("sync: push not made: %s", err_str(err));
			sync_space_retry(ss, now);
			return;
		}
		in_flight++;
	}
}
