/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks are sealed from the store when their turn comes: the same bytes each time, so that a PUT may be repeated. But for one case: an
 * upgrade between the two (another zstd, another way to choose the nonce) makes other bytes of the same chunk, and the relay, which has
 * those of the first PUT, refuses with `conflict`. Then its bytes are fetched and opened: if they are this chunk, it is there.
 */
#include "fusefs/sync_upload.h"
#include "fusefs/sync_room.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/open_chunk.h"
#include "crypto/seal.h"
#include "crypto/secret.h"

#define PUTS_MAX 12 /* of them, one or two are being sealed, six run */
#define PUT_BYTES_MAX (16u << 20)
#define ITEMS_AHEAD 64 /* queue positions looked at for uploads */

/* What sealing needs, apart from the space, which may go meanwhile. */
struct sealing {
	struct store *store;
	struct id16 space, chunk;
	uint8_t hash_key[32];
	uint64_t row;
	bool has_print;
	struct fingerprint print;
	uint8_t fingerprint_key[FINGERPRINT_KEY_SIZE];
};

/* A chunk on its way: being sealed by a worker, then with the peer. */
struct put {
	struct work work;      /* sealing; first */
	struct sync_space *ss; /* NULL: given up while it was being sealed */
	struct sealing sealing;
	uint64_t num; /* 0: not with the peer */
	size_t bytes; /* of the blob; until it is sealed, what it may have at most */
	bool asking;  /* counted in ss->room.asking */
	struct buf blob;
	int err; /* of the sealing; then of what the relay has under this id */
	struct put *next;
};

static int row_of(struct store *store, uint64_t row, struct chunk_row *ret_c)
{
	struct store_txn *t = NULL;
	int err = store_begin(store, &t);

	if (err == OK)
		err = txn_chunk_get(t, row, ret_c);
	store_abort(&t);
	return err;
}

static struct sealing sealing_of(const struct sync_space *ss, const struct out_chunk *c)
{
	struct sealing x = { .store = ss->sync->config.store,
		.space = ss->space->row.id,
		.row = c->row,
		.has_print = c->has_print,
		.print = c->print };

	memcpy(x.hash_key, secret_key(ss->space->hash_key), sizeof x.hash_key);
	memcpy(x.fingerprint_key, ss->sync->fingerprint_key, sizeof x.fingerprint_key);
	return x;
}

static void sealing_wipe(struct sealing *x)
{
	secret_wipe(x->hash_key, sizeof x->hash_key);
	secret_wipe(x->fingerprint_key, sizeof x->fingerprint_key);
}

/* Whether they are the bytes that the cut made the row's hash of. */
static bool is_same(const struct sealing *x, struct bytes plain)
{
	struct fingerprint f;

	return x->has_print && fingerprint_make(x->fingerprint_key, plain, &f) == OK &&
	       fingerprint_equal(&f, &x->print);
}

static int seal_plain(const struct sealing *x, const struct chunk_row *c, struct bytes plain, struct buf *blob)
{
	struct slice *slices = NULL, entry = { .chunk = c->id };
	size_t n = 0;
	int err = OK;

	memcpy(entry.key, c->key, sizeof entry.key);
	if (!c->index && is_same(x, plain)) {
		entry.chunk_len = c->len;
		entry.hash = c->hash;
		err = seal_chunk_again(&x->space, plain, &entry, blob);
	} else if (!c->index) {
		err = seal_chunk(&x->space, x->hash_key, plain, &entry, blob);
	} else if ((err = index_decode(plain, &slices, &n)) == OK) {
		err = seal_index(&x->space, x->hash_key, slices, n, &entry, blob);
	}
	/* What no reader would take is not sent. */
	if (err == OK && !id32_equal(&entry.hash, &c->hash))
		err = ERR_CORRUPT;
	if (slices)
		secret_wipe(slices, n * sizeof *slices);
	free(slices);
	secret_wipe(entry.key, sizeof entry.key);
	return err;
}

static int seal_row(const struct sealing *x, struct id16 *ret_id, struct buf *ret_blob)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT_SECRET(CHUNK_MAX_PLAIN);
	struct chunk_row c;
	int err = row_of(x->store, x->row, &c);

	if (err < 0)
		return err;
	*ret_id = c.id;
	err = store_read_chunk(x->store, x->row, &plain);
	if (err == OK)
		err = seal_plain(x, &c, buf_bytes(&plain), ret_blob);
	secret_wipe(c.key, sizeof c.key);
	return err;
}

int sync_upload_seal(struct sync_space *ss, const struct out_chunk *c, struct id16 *ret_id, struct buf *ret_blob)
{
	struct sealing x = sealing_of(ss, c);
	int err = seal_row(&x, ret_id, ret_blob);

	sealing_wipe(&x);
	return err;
}

static void unlist(struct put *p)
{
	for (struct put **at = &p->ss->put_list; *at; at = &(*at)->next) {
		if (*at == p) {
			*at = p->next;
			break;
		}
	}
	p->ss->puts--;
	p->ss->put_bytes -= p->bytes;
	if (p->asking)
		p->ss->room.asking--;
	p->ss = NULL;
}

static void free_put(struct put *p)
{
	sealing_wipe(&p->sealing);
	buf_release(&p->blob);
	free(p);
}

static int confirm(struct sync_space *ss, uint64_t row)
{
	struct store_txn *t = NULL;
	int err = store_begin(ss->sync->config.store, &t);

	if (err == OK)
		err = txn_chunk_confirm(t, row);
	if (err == OK)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

/* 0 if the blob is the chunk of p, whatever it looks like. */
static int open_theirs(const struct put *p, struct bytes blob)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT_SECRET(CHUNK_MAX_PLAIN);
	struct slice s = { .chunk = p->sealing.chunk }, *slices = NULL;
	struct chunk_row c;
	size_t n = 0;
	int err = row_of(p->sealing.store, p->sealing.row, &c);

	if (err < 0)
		return err;
	memcpy(s.key, c.key, sizeof s.key);
	s.chunk_len = c.len;
	s.hash = c.hash;
	if (c.index)
		err = open_index(&p->sealing.space, &s, p->sealing.hash_key, blob, &slices, &n);
	else
		err = open_chunk(&p->sealing.space, &s, p->sealing.hash_key, blob, &plain);
	if (slices)
		secret_wipe(slices, n * sizeof *slices);
	free(slices);
	secret_wipe(s.key, sizeof s.key);
	secret_wipe(c.key, sizeof c.key);
	return err;
}

static void finish_put(struct put *p, int err, struct bytes code)
{
	struct sync_space *ss = p->ss;

	unlist(p);
	if (err == OK)
		sync_space_stored(ss, err = confirm(ss, p->sealing.row));
	out_chunk_set(ss, p->sealing.row, err == OK ? OUT_THERE : OUT_WAITING);
	if (err == OK)
		sync_room_chunk_taken(ss, p->sealing.row);
	if (err == ERR_RELAY_FULL)
		sync_room_chunk_refused(ss, p->sealing.row);
	if (err < 0 && err != ERR_RELAY_FULL && err != ERR_OFFLINE && err != ERR_CANCELLED) {
		log_warn("sync: a chunk was not taken: %s (%.*s)", err_str(err), (int)code.len, (const char *)code.p);
		sync_space_retry(ss, sync_now(ss->sync));
	}
	free_put(p);
}

static void on_theirs(void *ctx, struct bytes data)
{
	struct put *p = ctx;

	p->err = open_theirs(p, data);
}

static void on_compared(void *ctx, int err, struct bytes code, struct bytes item)
{
	struct put *p = ctx;

	(void)item;
	finish_put(p, err == OK ? p->err : err, code);
}

static void on_put(void *ctx, int err, struct bytes code, struct bytes item)
{
	struct put *p = ctx;
	struct peer_answer a = { .ctx = p, .data = on_theirs, .result = on_compared };

	(void)item;
	p->err = ERR_CONFLICT;
	if (err != ERR_CONFLICT || peer_get(p->ss->peer->peer, &p->sealing.space, &p->sealing.chunk, &a, &p->num) < 0)
		finish_put(p, err, code);
}

/* On a worker. */
static void run_seal(struct work *w)
{
	struct put *p = (struct put *)w;

	p->err = seal_row(&p->sealing, &p->sealing.chunk, &p->blob);
}

static void send_sealed(struct put *p)
{
	struct sync_space *ss = p->ss;
	struct peer_answer a = { .ctx = p, .result = on_put };
	int err = p->err;

	if (err == OK)
		err = peer_put(ss->peer->peer, &p->sealing.space, &p->sealing.chunk, buf_bytes(&p->blob), &a, &p->num);
	if (err == OK) {
		ss->put_bytes -= p->bytes - p->blob.len;
		p->bytes = p->blob.len;
		buf_release(&p->blob); /* the peer has a copy */
		return;
	}
	uint64_t row = p->sealing.row;
	unlist(p);
	free_put(p);
	out_chunk_set(ss, row, OUT_WAITING);
	if (err == ERR_AGAIN || err == ERR_OFFLINE)
		return;
	log_warn("sync: chunk not sent: %s", err_str(err));
	sync_space_retry(ss, sync_now(ss->sync));
}

static void sealed(struct work *w)
{
	struct put *p = (struct put *)w;

	if (p->ss)
		send_sealed(p);
	else
		free_put(p);
}

static int start_put(struct sync_space *ss, const struct out_chunk *c, bool asking)
{
	struct put *p = calloc(1, sizeof *p);

	if (!p)
		return ERR_NOMEM;
	*p = (struct put){ .work = { .run = run_seal, .done = sealed },
		.ss = ss,
		.sealing = sealing_of(ss, c),
		.bytes = CHUNK_MAX_BLOB,
		.asking = asking,
		.blob = BUF_INIT(CHUNK_MAX_BLOB) };
	p->next = ss->put_list;
	ss->put_list = p;
	ss->puts++;
	ss->put_bytes += p->bytes;
	if (asking)
		ss->room.asking++;
	out_chunk_set(ss, c->row, OUT_SENDING);
	workers_add(ss->sync->workers, &p->work);
	return OK;
}

/* Bytes that the peer must have room for when the workers are through. */
static size_t being_sealed(const struct sync_space *ss)
{
	size_t bytes = 0;

	for (const struct put *p = ss->put_list; p; p = p->next)
		bytes += p->num == 0 ? p->bytes : 0;
	return bytes;
}

void sync_upload_pump(struct sync_space *ss)
{
	size_t ahead = 0;

	for (struct out_item *item = ss->items; item && ahead < ITEMS_AHEAD; item = item->next) {
		if (item->push || item->aside)
			continue;
		ahead++;
		for (size_t i = 0; i < item->n_chunks; i++) {
			const struct out_chunk *c = item->chunks[i];

			if (!c->by_put || c->state != OUT_WAITING)
				continue;
			if (item->doubtful && ss->room.asking > 0)
				break; /* one asks whether there is room */
			if (ss->puts >= PUTS_MAX || ss->put_bytes > PUT_BYTES_MAX - CHUNK_MAX_BLOB ||
				peer_room(ss->peer->peer) < being_sealed(ss) + 2u * CHUNK_MAX_BLOB)
				return;
			if (start_put(ss, c, item->doubtful) == OK)
				continue;
			sync_space_retry(ss, sync_now(ss->sync));
			return;
		}
	}
}

void sync_upload_reset(struct sync_space *ss)
{
	while (ss->put_list) {
		struct put *p = ss->put_list;

		unlist(p);
		out_chunk_set(ss, p->sealing.row, OUT_WAITING);
		if (p->num == 0)
			continue; /* `sealed` frees it */
		peer_cancel(ss->peer->peer, p->num);
		free_put(p);
	}
}

void sync_upload_missing(struct out_item **items, size_t n, const struct id16 *chunk)
{
	struct sync_space *ss = items[0]->ss;
	struct store_txn *t = NULL;
	struct chunk_row row;

	if (store_begin(ss->sync->config.store, &t) < 0)
		return;
	int err = txn_chunk_find(t, ss->row, chunk, &row);
	store_abort(&t);
	if (err < 0)
		return;
	secret_wipe(row.key, sizeof row.key);
	bool listed = false;
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < items[i]->n_chunks; k++)
			listed = listed || items[i]->chunks[k]->row == row.row;
	}
	/* Thought to be confirmed: the first item takes it along; if there is no memory for that, the relay says so again. */
	err = listed || items[0]->dropped ? OK : out_chunk_add(items[0], row.row, row.len);
	out_chunk_set(ss, row.row, OUT_WAITING);
	if (err < 0)
		log_warn("sync: a chunk that the relay lacks was not queued: %s", err_str(err));
}
