/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fingerprint: tells whether bytes that are read a second time are those of the first, for a ninth of what their hash
 * costs (0.08 against 0.75 ms per MiB). Poly1305 (RFC 8439 section 2.5) by libcrypto, under a key that its user makes
 * at random and that never leaves the process, nor do fingerprints: without the key, two texts of up to 1 MiB have the
 * same one by a chance of 2^-87 at most. It is no hash: who knows the key makes two texts of one fingerprint.
 */
#ifndef COFFER_CRYPTO_FINGERPRINT_H
#define COFFER_CRYPTO_FINGERPRINT_H

#include <stdbool.h>
#include "base/bytes.h"
#include "base/err.h"

#define FINGERPRINT_KEY_SIZE 32

struct fingerprint {
	uint8_t b[16];
};

/* ERR_NOMEM; ERR_UNSUPPORTED: libcrypto does not do it. */
int fingerprint_make(const uint8_t key[FINGERPRINT_KEY_SIZE], struct bytes in, struct fingerprint *ret_f) MUST_CHECK;
bool fingerprint_equal(const struct fingerprint *a, const struct fingerprint *b);

#endif
