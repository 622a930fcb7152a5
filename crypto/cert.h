/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cert: checks that a device belongs to a person, and that a person's card is the person's own. Public keys only.
 *
 * ERR_SIGNATURE: a signature does not verify. ERR_CONTEXT: the chain does not start at this person or has a gap.
 * ERR_INVALID and the other decoding errors; a key of small order, or not on the curve, is ERR_INVALID.
 */
#ifndef COFFER_CRYPTO_CERT_H
#define COFFER_CRYPTO_CERT_H

#include "wire/person.h"

/* Decodes and verifies a card. The keys in it are usable. check_signature false (it was verified before it was stored):
 * structure alone, keys are not checked again. */
int card_verify(struct bytes item, bool check_signature, struct person_card *ret_card) MUST_CHECK;

/* A verified chain; the last link is the device. */
struct cert_chain {
	struct cert_link links[CERT_MAX_LINKS];
	size_t n;
};

/* Decodes a chain and verifies it link by link from the root `person`. The device is ret_chain->links[ret_chain->n -
 * 1]. check_signature false: structure, and that each link is issued by the one before. */
int cert_verify(struct bytes item, const struct id32 *person, bool check_signature, struct cert_chain *ret_chain)
	MUST_CHECK;

/* OK if a sender can use these public keys: an X25519 key that does not give an all-zero secret; an Ed25519 key that is
 * a point of the main subgroup. Else ERR_INVALID. */
int key_check_x25519(const struct id32 *key) MUST_CHECK;
int key_check_ed25519(const struct id32 *key) MUST_CHECK;

#endif
