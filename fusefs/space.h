/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space: a space as the running agent knows it: its row in the store, its membership log, its epoch keys. Ties
 * crypto/log.h and crypto/epoch.h to the store; knows nothing of FUSE or the network.
 *
 *	space_load(t, &row, who, &s);                       // within a store transaction, at unlock
 *	space_apply_entries(s, t, who, blobs, n);           // entries that the relay sent or accepted
 *	space_seal_record / space_open_record               // any thread
 *	space_free(s);
 *
 * Lock: the functions below take `lock`. It protects log and ring. Of row it protects cursor, chain, store_id and
 * log_seq so: once sync has the space, its thread alone writes them, under the lock, and reads them without; all others
 * read them under it. The rest of row, hash_key and personal never change, so nobody may write to them, not even the
 * same value. Order of locks: store transaction first, then this lock.
 */
#ifndef COFFER_FUSEFS_SPACE_H
#define COFFER_FUSEFS_SPACE_H

#include <pthread.h>
#include "cache/store.h"
#include "crypto/epoch.h"
#include "crypto/identity.h"
#include "crypto/log.h"
#include "crypto/open_record.h"

struct secret;

struct space {
	pthread_mutex_t lock;
	struct space_row row;
	bool personal;
	struct log *log;
	struct epoch_ring *ring;
	struct secret *hash_key;   /* keys the plaintext hashes of chunks: pass secret_key(hash_key) */
};

/* Builds the space from its row and the log entries in the store and opens its epoch keys: from `ring` (borrowed, may
 * be NULL), from the ring kept in the store (meta "ring/ROW"), and with the identity's keys. ERR_WRONG_KEY: this device
 * holds no key of it. */
int space_load(struct store_txn *t, const struct space_row *row, const struct identity *who,
	const struct epoch_ring *ring, struct space **ret_s) MUST_CHECK;
void space_free(struct space *s); /* NULL is fine */

/* Verifies and applies entries that follow the log, in order, within the caller's transaction, stores them and
 * row.log_seq, and opens epoch keys that came with them. Entries that the log has already are passed over if they are
 * the same. All or nothing: on an error (the first refused entry's) nothing changed in memory; the caller aborts t. If
 * t cannot be
 * committed after success, free the space and load it anew. */
int space_apply_entries(struct space *s, struct store_txn *t, const struct identity *who, const struct bytes *blobs,
	size_t n) MUST_CHECK;

/* Adds epoch keys that came by another way (the person's list of spaces) and keeps them in the store. */
int space_add_keys(
	struct space *s, struct store_txn *t, const struct identity *who, const struct epoch_ring *ring) MUST_CHECK;

/* Seals a node body as version `version` of node `id`, following `prev` (concatenated hashes), under the current epoch,
 * signed by this device. blob is appended to. ERR_STALE: the newest epoch's key is not here. */
int space_seal_record(struct space *s, const struct identity *who, const struct id16 *id, uint64_t version,
	struct bytes prev, uint64_t flags, const struct node_body *body, struct buf *blob,
	struct id32 *ret_hash) MUST_CHECK;

/* Verifies everything about a record that came (structure, signature, that the author could write at the log head it
 * names, that no cut since binds it to a line before `cursor`, where its line stands; epoch, space) and opens it into
 * *ret_o (OPENED_RECORD_INIT; opened_record_release). ERR_FORBIDDEN: the author had no right; ERR_LOCKED: the epoch's
 * key is not here. */
int space_accept_record(struct space *s, struct bytes blob, uint64_t cursor, struct opened_record *ret_o) MUST_CHECK;
/* The same for a record that was accepted before, or made here: the cut is not asked. */
int space_open_record(struct space *s, struct bytes blob, struct opened_record *ret_o) MUST_CHECK;

/* Its name in this profile. */
void space_name(struct space *s, char out[NODE_MAX_NAME + 1]);

/* Has the store refuse local changes while this device may not write to the space. To be called when its log has moved.
 * ERR_NOMEM. */
int space_tell_rights(struct space *s, struct store *store, const struct identity *who) MUST_CHECK;

/* Head hash and newest epoch number, for heads and pushes. */
void space_log_head(struct space *s, struct id32 *ret_head, uint64_t *ret_epoch);

#endif
