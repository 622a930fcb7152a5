/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space: a space as the running agent knows it: its row in the store, its membership log, its epoch keys. Ties crypto/log.h and
 * crypto/epoch.h to the store; knows nothing of FUSE or the network.
 *
 * Lock: every field but `row.row`, `row.id`, `row.genesis`, `personal` is protected by `lock`. Order of locks: store transaction first,
 * then space lock.
 */
#ifndef COFFER_FUSEFS_SPACE_H
#define COFFER_FUSEFS_SPACE_H

#include <pthread.h>
#include "cache/store.h"
#include "crypto/epoch.h"
#include "crypto/identity.h"
#include "crypto/log.h"

struct space {
	pthread_mutex_t lock;
	struct space_row row;
	bool personal;
	struct log *log;
	struct epoch_ring *ring;   /* NULL entries where this device was never given the key */
	uint8_t hash_key[32];      /* keys the plaintext hashes of chunks; secret */
	bool has_hash_key;
};

/* Builds the space from its row and log entries in the store and opens its epoch keys with the identity's keys. */
int space_load(struct store_txn *t, const struct space_row *row, const struct identity *who, struct space **ret_s) MUST_CHECK;
void space_free(struct space *s);

/* Verifies and applies entries that follow the log, in order, within the caller's transaction, stores them, and opens epoch keys
 * that came with them. All or nothing: on an error (the first refused entry's) neither log nor row changed; the caller aborts t. */
int space_apply_entries(struct space *s, struct store_txn *t, const struct identity *who, const struct bytes *blobs, size_t n) MUST_CHECK;

/* Seals a plaintext node body as the next record of a node under the current epoch and signs it with this device.
 * h: id, version, prev, chunks, flags are the caller's; the rest is set. blob is appended to. *ret_hash is the record's hash. */
int space_seal_record(struct space *s, const struct identity *who, struct record_header *h, struct bytes body, struct buf *blob,
		      struct id32 *ret_hash) MUST_CHECK;

/* Verifies everything about a record (structure, signature, author's right by the log, epoch, context) and opens it. `plain` is
 * filled with the body's encoding (a secret buffer). */
int space_open_record(struct space *s, struct bytes blob, struct record *ret_r, struct buf *plain) MUST_CHECK;

#endif
