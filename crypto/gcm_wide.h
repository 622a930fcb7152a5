/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gcm_wide: what gcm.h offers by the 512-bit instructions of x86-64 (VAES, VPCLMULQDQ), from Intel's libIPSec_MB: four
 * times as fast as libcrypto 3.0, which does not know them.
 *
 * One struct may be used by several threads at once: nothing in it changes.
 */
#ifndef COFFER_CRYPTO_GCM_WIDE_H
#define COFFER_CRYPTO_GCM_WIDE_H

#include "crypto/gcm.h"

struct gcm_wide;

/* ERR_UNSUPPORTED: this CPU has them not, the library's test of itself failed, or it was not there at the build.
 * ERR_NOMEM. */
int gcm_wide_new(const uint8_t key[GCM_KEY_SIZE], struct gcm_wide **ret_g) MUST_CHECK;
/* Wipes and frees; NULL is fine. */
void gcm_wide_free(struct gcm_wide *g);

/* `out` may be plain.p itself. */
void gcm_wide_seal(const struct gcm_wide *g, const uint8_t nonce[GCM_NONCE_SIZE], struct bytes aad, struct bytes plain,
	uint8_t *out, uint8_t tag[GCM_TAG_SIZE]);
/* ERR_TAMPERED: what was written to `out`, which may be ct.p itself, is to be thrown away. */
int gcm_wide_open(const struct gcm_wide *g, const uint8_t nonce[GCM_NONCE_SIZE], struct bytes aad, struct bytes ct,
	const uint8_t tag[GCM_TAG_SIZE], uint8_t *out) MUST_CHECK;

#endif
