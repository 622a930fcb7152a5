/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/page.h"
#include <sodium.h>

/* libsodium wants a pointer even to nothing. */
static const uint8_t *start(struct bytes b)
{
	static const uint8_t nothing;
	return b.p ? b.p : &nothing;
}

void page_seal(const uint8_t key[32], const uint8_t nonce[PAGE_NONCE_SIZE], struct bytes aad, struct bytes plain,
	uint8_t *out, uint8_t tag[PAGE_TAG_SIZE])
{
	crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
		out, tag, NULL, start(plain), plain.len, start(aad), aad.len, NULL, nonce, key);
}

int page_open(const uint8_t key[32], const uint8_t nonce[PAGE_NONCE_SIZE], struct bytes aad, struct bytes ct,
	const uint8_t tag[PAGE_TAG_SIZE], uint8_t *out)
{
	if (crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
		    out, NULL, start(ct), ct.len, tag, start(aad), aad.len, nonce, key) != 0)
		return ERR_TAMPERED;
	return 0;
}
