/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gcm: AES-256-GCM (NIST SP 800-38D) with nonces of 96 bits and tags of 128, by libcrypto, or by gcm_wide.h where that
 * is to be had: the bytes are the same.
 *
 *	gcm_new(key, GCM_BEST, &g);
 *	gcm_seal(g, nonce, aad, plain, out, tag);
 *
 * One struct serves one thread at a time.
 */
#ifndef COFFER_CRYPTO_GCM_H
#define COFFER_CRYPTO_GCM_H

#include "base/bytes.h"
#include "base/err.h"

#define GCM_KEY_SIZE 32
#define GCM_NONCE_SIZE 12
#define GCM_TAG_SIZE 16
#define GCM_MAX_LEN (16u << 20) /* of a message and of its additional data: a caller's duty */

enum gcm_by { GCM_BEST, GCM_LIBCRYPTO };

struct gcm;

/* ERR_NOMEM, ERR_INTERNAL. */
int gcm_new(const uint8_t key[GCM_KEY_SIZE], enum gcm_by by, struct gcm **ret_g) MUST_CHECK;
/* Wipes and frees; NULL is fine. */
void gcm_free(struct gcm *g);

/* `out` may be plain.p itself. ERR_INTERNAL if the library refuses. */
int gcm_seal(struct gcm *g, const uint8_t nonce[GCM_NONCE_SIZE], struct bytes aad, struct bytes plain, uint8_t *out,
	uint8_t tag[GCM_TAG_SIZE]) MUST_CHECK;
/* ERR_TAMPERED: what was written to `out`, which may be ct.p itself, is to be thrown away. ERR_INTERNAL. */
int gcm_open(struct gcm *g, const uint8_t nonce[GCM_NONCE_SIZE], struct bytes aad, struct bytes ct,
	const uint8_t tag[GCM_TAG_SIZE], uint8_t *out) MUST_CHECK;

#endif
