/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xchacha: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03 §2) of one message, for seal_core.c and open_core.c alone.
 *
 * It is ChaCha20-Poly1305 (RFC 8439) under the key HChaCha20(key, first 16 bytes of the nonce) with the nonce 00000000
 * ‖ last 8 bytes. libsodium does the whole of a short message. Of a long one libcrypto does the second half, in a third
 * of the time (0.20 against 0.63 ms per MiB where the CPU has AVX-512). The bytes are the same:
 * tests/unit/test_xchacha.c.
 *
 * Thread-safe. `out` may be the input itself; other overlaps are not allowed.
 */
#ifndef COFFER_CRYPTO_XCHACHA_H
#define COFFER_CRYPTO_XCHACHA_H

#include "base/bytes.h"
#include "base/err.h"

#define XCHACHA_KEY_SIZE 32
#define XCHACHA_NONCE_SIZE 24
#define XCHACHA_TAG_SIZE 16
#define XCHACHA_LONG 4096 /* from here on by libcrypto: below, making its context costs more than it saves */

/* Writes plain.len bytes (at most INT_MAX, as aad) of ciphertext to `out`, and the tag. ERR_INTERNAL if libcrypto gives
 * up halfway: `out` is garbage then. */
int xchacha_seal(const uint8_t key[XCHACHA_KEY_SIZE], const uint8_t nonce[XCHACHA_NONCE_SIZE], struct bytes aad,
	struct bytes plain, uint8_t *out, uint8_t tag[XCHACHA_TAG_SIZE]) MUST_CHECK;

/* Writes ct.len bytes of plaintext to `out`. ERR_TAMPERED: `out` is then wiped; ERR_INTERNAL. */
int xchacha_open(const uint8_t key[XCHACHA_KEY_SIZE], const uint8_t nonce[XCHACHA_NONCE_SIZE], struct bytes aad,
	struct bytes ct, const uint8_t tag[XCHACHA_TAG_SIZE], uint8_t *out) MUST_CHECK;

#endif
