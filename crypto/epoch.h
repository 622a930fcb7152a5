/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoch: the epoch keys of one space. A new key is random; the epoch entry wraps it by HPKE (RFC 9180 base mode) to
 * each recipient, commits to it, and seals the key before under it, so that the newest opens all older ones and none
 * newer.
 *
 *	CLEANUP(epoch_ring_freep) struct epoch_ring *ring = NULL;
 *	if ((err = epoch_ring_clone(identity_personal_ring(id), &ring)) < 0) ... or epoch_ring_new / epoch_ring_decode
 *	if ((err = epoch_ring_open(ring, log, identity_device_x(id), identity_x_secret(id))) < 0) ...
 *	key = epoch_ring_get(ring, log_epoch_number(log));
 *
 * HPKE info      = CBOR ["coffer/epoch/1", space 16, number, recipient 32, log head before the entry 32]; no aad
 * commitment     = hash_keyed(key, "coffer/epoch-commit/1", CBOR [space, number])
 * back           = seal_small("coffer/epoch-back/1", key, aad = CBOR [space, number], key of number - 1)
 * device label   = seal_small("coffer/device-label/1", key, aad = CBOR [space, device], name)
 * An invite's wrap is the same HPKE with "coffer/invite-wrap/1" in its info.
 * Each key is believed only when it matches the commitment in the log; an all-zero key never is.
 *
 * A ring is not thread-safe; keys returned live in guarded memory until the ring is freed (adding does not move them).
 */
#ifndef COFFER_CRYPTO_EPOCH_H
#define COFFER_CRYPTO_EPOCH_H

#include "base/buf.h"
#include "base/id.h"
#include "crypto/log.h"

struct secret;
struct epoch_ring;

#define EPOCH_RING_MAX LOG_MAX_EPOCHS

int epoch_ring_new(struct epoch_ring **ret_ring) MUST_CHECK;
int epoch_ring_clone(const struct epoch_ring *ring, struct epoch_ring **ret_ring) MUST_CHECK; /* NULL: an empty one */
void epoch_ring_free(struct epoch_ring *ring);
void epoch_ring_freep(struct epoch_ring **ring);

/* Adds a copy of a key. Adding the same again is fine; another key under the same number is ERR_CONFLICT. */
int epoch_ring_add(struct epoch_ring *ring, uint64_t number, const struct secret *key) MUST_CHECK;
/* NULL if the ring does not hold it. */
const struct secret *epoch_ring_get(const struct epoch_ring *ring, uint64_t number);
uint64_t epoch_ring_newest(const struct epoch_ring *ring); /* 0: empty */

/* {number: key} pairs of the first and the newest epoch as strict CBOR (at most 128 bytes): what the person's list of
 * spaces keeps; epoch_ring_open finds the others again. `b` must be a secret buffer. */
int epoch_ring_encode(const struct epoch_ring *ring, struct buf *b) MUST_CHECK;
int epoch_ring_decode(struct bytes in, struct epoch_ring **ret_ring) MUST_CHECK;

/* Opens all that this X25519 key and the keys already in the ring can open: the newest wrap addressed to it, then the
 * back chain down to 1. OK: the ring now holds every epoch of the log. ERR_WRONG_KEY: nothing opens the newest epoch.
 * ERR_COMMITMENT, ERR_TAMPERED: a key was found but is not the one the log commits to; that key is not kept. Keys that
 * the ring held are checked against the log's commitments too, but for those newer than the log. (open_epoch.c) */
int epoch_ring_open(struct epoch_ring *ring, const struct log *log, const struct id32 *x_public,
		    const struct secret *x_secret) MUST_CHECK;

/* A device's sealed label; the plaintext is appended. ERR_NOT_FOUND: it has none, or the ring lacks the epoch.
 * (open_epoch.c) */
int epoch_open_label(const struct epoch_ring *ring, const struct log *log, const struct log_device *device,
		     struct buf *ret_label) MUST_CHECK;

/* The key for keyed hashes of chunks' plaintext: kdf_subkey(key of epoch 1, "cof-hash", space): one per space for ever,
 * so that hashes survive rotations. 32 bytes; secret_free. ERR_NOT_FOUND: the ring lacks epoch 1. */
int epoch_hash_key(const struct epoch_ring *ring, const struct id16 *space, struct secret **ret_key) MUST_CHECK;

/* Parts of entries, for crypto/entry_make.h. */
int epoch_commitment(
	const struct secret *key, const struct id16 *space, uint64_t number, struct id32 *ret_c) MUST_CHECK;
int epoch_put_info(struct buf *b, const char *label, const struct id16 *space, uint64_t number,
		   const struct id32 *recipient, const struct id32 *head) MUST_CHECK;
int epoch_put_context(struct buf *b, const struct id16 *space, uint64_t number) MUST_CHECK;
int epoch_put_label_context(struct buf *b, const struct id16 *space, const struct id32 *device) MUST_CHECK;

/* Wraps `key` to one recipient. The label is EPOCH_LABEL or INVITE_WRAP_LABEL; `head` is the log head before the
 * entry. */
int epoch_wrap(const char *label, const struct id16 *space, uint64_t number, const struct secret *key,
	       const struct id32 *head, const struct id32 *recipient, struct wrap *ret_w) MUST_CHECK;
/* Opens one; the key is not yet checked against a commitment. (open_epoch.c) */
int epoch_unwrap(const char *label, const struct id16 *space, uint64_t number, const struct id32 *head,
		 const struct wrap *w, const struct secret *x_secret, struct secret **ret_key) MUST_CHECK;
/* Adds a key to the ring if it is what the log commits to, then opens the back chain below it. (open_epoch.c) */
int epoch_ring_accept(
	struct epoch_ring *ring, const struct log *log, uint64_t number, const struct secret *key) MUST_CHECK;

#define EPOCH_LABEL "coffer/epoch/1"
#define INVITE_WRAP_LABEL "coffer/invite-wrap/1"
#define EPOCH_COMMIT_LABEL "coffer/epoch-commit/1"
#define EPOCH_BACK_LABEL "coffer/epoch-back/1"
#define EPOCH_DEVICE_LABEL "coffer/device-label/1"

/* Makes the payload of epoch `number` with `key`, wrapped to the given recipients; `prev` is the key before (NULL for
 * 1). */
int epoch_put_payload(struct buf *b, const struct id16 *space, uint64_t number, const struct secret *key,
		      const struct secret *prev, uint64_t minimum, const struct id32 *head,
		      const struct id32 *recipients, size_t n) MUST_CHECK;

/* Appends a device's sealed label. */
int epoch_seal_label(const struct secret *key, const struct id16 *space, const struct id32 *device, struct bytes label,
		     struct buf *ret_sealed) MUST_CHECK;

#endif
