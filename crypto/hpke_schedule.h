/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hpke_schedule: the key schedule of hpke.h, which sealing (hpke.c) and opening (open_hpke.c) share. RFC 9180 §4 and
 * §5.1.
 */
#ifndef COFFER_CRYPTO_HPKE_SCHEDULE_H
#define COFFER_CRYPTO_HPKE_SCHEDULE_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/id.h"

enum hpke_suite { HPKE_SUITE_KEM, HPKE_SUITE_WHOLE };

/* Of one message (sequence number 0). Wipe after use. */
struct hpke_keys {
	uint8_t key[32];
	uint8_t nonce[12];
};

/* LabeledExtract and LabeledExpand (len 1..32). */
void hpke_extract(enum hpke_suite suite, struct bytes salt, const char *label, struct bytes material, uint8_t out[32]);
void hpke_expand(
	enum hpke_suite suite, const uint8_t prk[32], const char *label, struct bytes info, uint8_t *out, size_t len);

/* From X25519(own private, peer public), enc and the recipient's public key to the message's keys. ERR_INVALID: `peer`
 * of small order. */
int hpke_schedule(const uint8_t own[32], const uint8_t peer[32], const uint8_t enc[32], const uint8_t recipient[32],
	struct bytes info, struct hpke_keys *ret_keys) MUST_CHECK;

/* Seals under a given ephemeral private key: for the vectors; hpke_seal() makes a fresh one. ct gets plain.len + 16
 * bytes. */
int hpke_seal_with(const uint8_t ephemeral[32], const struct id32 *public_key, struct bytes info, struct bytes aad,
	struct bytes plain, uint8_t enc[32], uint8_t *ct) MUST_CHECK;

#endif
