/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page: seals fixed-size pieces of local files (database pages, log frames, heads of files) with
 * XChaCha20-Poly1305-IETF under a nonce that the caller stores beside them. A nonce is random; 24 bytes never repeat by
 * chance.
 *
 *	page_seal(key, nonce, bytes_str("page 7"), plain, out, tag);
 */
#ifndef COFFER_CRYPTO_PAGE_H
#define COFFER_CRYPTO_PAGE_H

#include "base/bytes.h"
#include "base/err.h"

#define PAGE_NONCE_SIZE 24
#define PAGE_TAG_SIZE 16

/* Writes plain.len bytes of ciphertext to `out` (which may be plain.p itself) and the tag. Cannot fail. */
void page_seal(const uint8_t key[32], const uint8_t nonce[PAGE_NONCE_SIZE], struct bytes aad, struct bytes plain,
	uint8_t *out, uint8_t tag[PAGE_TAG_SIZE]);

/* Writes ct.len bytes of plaintext to `out` (which may be ct.p itself). ERR_TAMPERED; `out` then holds no plaintext. */
int page_open(const uint8_t key[32], const uint8_t nonce[PAGE_NONCE_SIZE], struct bytes aad, struct bytes ct,
	const uint8_t tag[PAGE_TAG_SIZE], uint8_t *out) MUST_CHECK;

#endif
