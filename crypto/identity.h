/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity: the unlocked secrets of one profile: this device's keys, who its person is, the key of the local store.
 *
 *	made by   space_make_personal (init), identity_recover, identity_pair: all in crypto/entry_make.h
 *	stored    identity_encode -> key file; unlock: identity_decode(payload of the key file)
 *
 * All secrets are in guarded memory and wiped by the free functions. An identity is immutable after it is made: it may
 * be used by many threads at once.
 */
#ifndef COFFER_CRYPTO_IDENTITY_H
#define COFFER_CRYPTO_IDENTITY_H

#include "wire/person.h"

struct secret;
struct epoch_ring;

#define IDENTITY_FORMAT 1
#define IDENTITY_MAX_LABEL 64 /* bytes of UTF-8 */

struct identity;

/* What an identity is made of. identity_new copies everything; the label may be empty. */
struct identity_parts {
	const struct secret *ed, *x;       /* secret keys as crypto/sign.h makes them */
	const struct secret *store_key;    /* 32 bytes; NULL: a new random one */
	struct bytes card, chain;          /* encoded; chain ends at this device */
	struct id32 personal_genesis;      /* hash of the personal space's genesis */
	const struct epoch_ring *personal; /* epoch keys of the personal space held when it was made */
	struct bytes label;                /* device name, UTF-8 */
};

/* ERR_INVALID or ERR_SIGNATURE if the parts do not fit together (card, chain and device keys are verified). */
int identity_new(const struct identity_parts *parts, struct identity **ret_id) MUST_CHECK;
void identity_free(struct identity *id);
void identity_freep(struct identity **id);

/* The payload of the key file (docs/FORMAT.md "Key file"): strict CBOR, at most KEYFILE_MAX_PAYLOAD bytes. `b` must be
 * a secret buffer. Decoding: ERR_VERSION, the decoding errors, and those of identity_new. */
int identity_encode(const struct identity *id, struct buf *b) MUST_CHECK;
int identity_decode(struct bytes payload, struct identity **ret_id) MUST_CHECK;

const struct id32 *identity_person(const struct identity *id);
const struct id32 *identity_device(const struct identity *id);        /* Ed25519 */
const struct id32 *identity_device_x(const struct identity *id);
/* of the device: records, heads, entries, delegation */
const struct secret *identity_sign_secret(const struct identity *id);
const struct secret *identity_x_secret(const struct identity *id);
const struct secret *identity_store_key(const struct identity *id);
struct bytes identity_card(const struct identity *id);
struct bytes identity_chain(const struct identity *id);
struct bytes identity_label(const struct identity *id);
const struct id32 *identity_personal_genesis(const struct identity *id);
/* start of epoch_ring_open for that space */
const struct epoch_ring *identity_personal_ring(const struct identity *id);

#endif
