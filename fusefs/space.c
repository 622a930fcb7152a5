/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: entries are applied to a clone of the log; when all of them pass, keys are opened, rows are written, and the clone
 * takes the log's place. On any failure the clone is dropped, so the space is as it was.
 */
#include "fusefs/space.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/seal.h"
#include "crypto/secret.h"
#include "wire/entry.h"

#define RING_MAX 256

static void ring_key(uint32_t row, char out[32])
{
	snprintf(out, 32, "ring/%" PRIu32, row);
}

static int keep_ring(struct store_txn *t, uint32_t row, const struct epoch_ring *ring)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT_SECRET(RING_MAX);
	char key[32];

	ring_key(row, key);
	int err = epoch_ring_encode(ring, &b);
	return err < 0 ? err : txn_meta_put(t, key, buf_bytes(&b));
}

/* The ring kept in the store, or an empty one. */
static int kept_ring(struct store_txn *t, uint32_t row, struct epoch_ring **ret_ring)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT_SECRET(RING_MAX);
	char key[32];

	ring_key(row, key);
	int err = txn_meta_get(t, key, &b);
	if (err == ERR_NOT_FOUND)
		return epoch_ring_new(ret_ring);
	return err < 0 ? err : epoch_ring_decode(buf_bytes(&b), ret_ring);
}

static int add_ends(struct epoch_ring *to, const struct epoch_ring *from)
{
	uint64_t ends[2] = { 1, from ? epoch_ring_newest(from) : 0 };

	for (int i = 0; from && i < 2; i++) {
		const struct secret *k = epoch_ring_get(from, ends[i]);
		int err = k ? epoch_ring_add(to, ends[i], k) : OK;
		if (err < 0)
			return err;
	}
	return OK;
}

static int replay_entry(void *ctx, uint64_t seq, struct bytes blob)
{
	(void)seq;
	return log_apply(ctx, blob, LOG_TRUSTED) < 0 ? 0 : 1;
}

static int open_keys(struct space *s, const struct identity *who)
{
	int err = epoch_ring_open(s->ring, s->log, identity_device_x(who), identity_x_secret(who));

	if (err < 0)
		return err;
	return s->hash_key ? OK : epoch_hash_key(s->ring, &s->row.id, &s->hash_key);
}

static int load_parts(struct store_txn *t, const struct identity *who, const struct epoch_ring *ring, struct space *s)
{
	int err = log_new(&s->row.genesis, &s->log);

	if (err < 0 || (err = txn_entry_each(t, s->row.row, 0, replay_entry, s->log)) < 0)
		return err;
	if (log_count(s->log) == 0 || log_count(s->log) != s->row.log_seq)
		return ERR_CORRUPT;
	s->personal = log_kind(s->log) == SPACE_PERSONAL;
	if ((err = kept_ring(t, s->row.row, &s->ring)) < 0 || (err = add_ends(s->ring, ring)) < 0)
		return err;
	if (s->personal && (err = add_ends(s->ring, identity_personal_ring(who))) < 0)
		return err;
	if ((err = open_keys(s, who)) < 0)
		return err;
	return ring ? keep_ring(t, s->row.row, s->ring) : OK;
}

int space_load(struct store_txn *t, const struct space_row *row, const struct identity *who,
	const struct epoch_ring *ring, struct space **ret_s)
{
	struct space *s = calloc(1, sizeof *s);

	if (!s)
		return ERR_NOMEM;
	pthread_mutex_init(&s->lock, NULL);
	s->row = *row;
	int err = load_parts(t, who, ring, s);
	if (err < 0) {
		space_free(s);
		return err;
	}
	*ret_s = s;
	return OK;
}

void space_free(struct space *s)
{
	if (!s)
		return;
	log_free(s->log);
	epoch_ring_free(s->ring);
	secret_free(s->hash_key);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* 1: the log has this very entry already; 0: it is to be applied. */
static int have_entry(const struct log *log, struct bytes blob)
{
	struct id32 hash;
	struct entry e;
	int err = entry_decode(blob, &e);

	if (err < 0)
		return err;
	if (e.seq >= log_count(log))
		return 0;
	hash_sha256(blob, &hash);
	const struct id32 *mine = log_hash_at(log, e.seq);
	return mine && id32_equal(mine, &hash) ? 1 : ERR_FORK;
}

static int apply_to(struct log *log, struct space_row *row, struct store_txn *t, const struct bytes *blobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int have = have_entry(log, blobs[i]);
		if (have == 1)
			continue;
		int err = have < 0 ? have : log_apply(log, blobs[i], LOG_VERIFY);
		if (err < 0 || (err = txn_entry_put(t, row->row, log_count(log) - 1, blobs[i])) < 0)
			return err;
	}
	row->log_seq = log_count(log);
	return txn_space_put(t, row);
}

static int apply_locked(
	struct space *s, struct store_txn *t, const struct identity *who, const struct bytes *blobs, size_t n)
{
	CLEANUP(log_freep) struct log *log = NULL;
	CLEANUP(epoch_ring_freep) struct epoch_ring *ring = NULL;
	struct space_row row = s->row;

	int err = log_clone(s->log, &log);
	if (err < 0 || (err = apply_to(log, &row, t, blobs, n)) < 0)
		return err;
	if (log_epoch_number(log) != log_epoch_number(s->log)) {
		if ((err = epoch_ring_clone(s->ring, &ring)) < 0)
			return err;
		err = epoch_ring_open(ring, log, identity_device_x(who), identity_x_secret(who));
		/* Not a recipient any more: history stays readable with the keys there are. */
		if (err < 0 && err != ERR_WRONG_KEY)
			return err;
		if ((err = keep_ring(t, row.row, ring)) < 0)
			return err;
	}
	log_free(s->log);
	s->log = STEAL(&log);
	if (ring) {
		epoch_ring_free(s->ring);
		s->ring = STEAL(&ring);
	}
	s->row.log_seq = row.log_seq;
	return OK;
}

int space_apply_entries(
	struct space *s, struct store_txn *t, const struct identity *who, const struct bytes *blobs, size_t n)
{
	pthread_mutex_lock(&s->lock);
	int err = apply_locked(s, t, who, blobs, n);
	pthread_mutex_unlock(&s->lock);
	return err;
}

int space_add_keys(struct space *s, struct store_txn *t, const struct identity *who, const struct epoch_ring *ring)
{
	pthread_mutex_lock(&s->lock);
	int err = add_ends(s->ring, ring);
	if (err >= 0)
		err = open_keys(s, who);
	if (err >= 0)
		err = keep_ring(t, s->row.row, s->ring);
	pthread_mutex_unlock(&s->lock);
	return err;
}

void space_name(struct space *s, char out[NODE_MAX_NAME + 1])
{
	pthread_mutex_lock(&s->lock);
	memcpy(out, s->row.name, NODE_MAX_NAME + 1);
	pthread_mutex_unlock(&s->lock);
}

void space_log_head(struct space *s, struct id32 *ret_head, uint64_t *ret_epoch)
{
	pthread_mutex_lock(&s->lock);
	*ret_head = *log_head(s->log);
	*ret_epoch = log_epoch_number(s->log);
	pthread_mutex_unlock(&s->lock);
}

/* A copy of the epoch's key that the caller wipes. */
static int copy_key(struct space *s, uint64_t epoch, uint8_t key[KEY_SIZE])
{
	const struct secret *k = epoch_ring_get(s->ring, epoch);

	if (!k)
		return ERR_LOCKED;
	memcpy(key, secret_key(k), KEY_SIZE);
	return OK;
}

int space_seal_record(struct space *s, const struct identity *who, const struct id16 *id, uint64_t version,
	struct bytes prev, uint64_t flags, const struct node_body *body, struct buf *blob, struct id32 *ret_hash)
{
	uint8_t key[KEY_SIZE];
	struct record_header h = { .space = s->row.id, .id = *id, .version = version, .prev = prev, .flags = flags };

	h.author = *identity_device(who);
	pthread_mutex_lock(&s->lock);
	h.log_head = *log_head(s->log);
	h.epoch = log_epoch_number(s->log);
	int err = copy_key(s, h.epoch, key);
	pthread_mutex_unlock(&s->lock);
	if (err < 0)
		return ERR_STALE;
	err = seal_record(key, &h, body, identity_sign_secret(who), blob, ret_hash);
	secret_wipe(key, sizeof key);
	return err;
}

/* cursor 0: not asked. */
static int open_checked(struct space *s, struct bytes blob, uint64_t cursor, struct opened_record *ret_o)
{
	uint8_t key[KEY_SIZE];
	struct record r;

	int err = record_decode(blob, &r);
	if (err < 0)
		return err;
	pthread_mutex_lock(&s->lock);
	bool may = cursor ? log_accepts(s->log, &r.h.author, &r.h.log_head, cursor)
			  : log_could_write(s->log, &r.h.author, &r.h.log_head);
	err = may ? copy_key(s, r.h.epoch, key) : ERR_FORBIDDEN;
	pthread_mutex_unlock(&s->lock);
	if (err < 0)
		return err;
	err = open_record(key, blob, &s->row.id, NULL, ret_o);
	secret_wipe(key, sizeof key);
	return err;
}

int space_accept_record(struct space *s, struct bytes blob, uint64_t cursor, struct opened_record *ret_o)
{
	return cursor ? open_checked(s, blob, cursor, ret_o) : ERR_INVALID;
}

int space_open_record(struct space *s, struct bytes blob, struct opened_record *ret_o)
{
	return open_checked(s, blob, 0, ret_o);
}

int space_tell_rights(struct space *s, struct store *store, const struct identity *who)
{
	pthread_mutex_lock(&s->lock);
	bool may = log_may_write(s->log, identity_device(who));
	pthread_mutex_unlock(&s->lock);
	return store_set_read_only(store, s->row.row, !may);
}
