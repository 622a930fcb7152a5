/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where libcrypto has no context to give (out of memory, no such cipher) libsodium does long messages, too. Once it has begun
 * there is no way back: in place, the input is gone.
 */
#include "crypto/xchacha.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdbool.h>

_Static_assert(XCHACHA_KEY_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");
_Static_assert(XCHACHA_NONCE_SIZE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(XCHACHA_TAG_SIZE == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");

/* The inner cipher of RFC 8439, for a long message; NULL: not by libcrypto. */
static EVP_CIPHER_CTX *inner_cipher(const uint8_t *key, const uint8_t *nonce, size_t len, bool seal)
{
	uint8_t subkey[crypto_core_hchacha20_OUTPUTBYTES], iv[12] = { 0 };
	EVP_CIPHER_CTX *c = len >= XCHACHA_LONG ? EVP_CIPHER_CTX_new() : NULL;
	int ok;

	if (!c)
		return NULL;
	(void)crypto_core_hchacha20(subkey, nonce, key, NULL);
	memcpy(iv + 4, nonce + crypto_core_hchacha20_INPUTBYTES, 8);
	ok = EVP_CipherInit_ex(c, EVP_chacha20_poly1305(), NULL, subkey, iv, seal);
	sodium_memzero(subkey, sizeof subkey);
	if (ok == 1)
		return c;
	EVP_CIPHER_CTX_free(c);
	return NULL;
}

static bool run(EVP_CIPHER_CTX *c, struct bytes aad, struct bytes in, uint8_t *out)
{
	int n;

	if (aad.len > 0 && EVP_CipherUpdate(c, NULL, &n, aad.p, (int)aad.len) != 1)
		return false;
	return EVP_CipherUpdate(c, out, &n, in.p, (int)in.len) == 1;
}

int xchacha_seal(const uint8_t key[XCHACHA_KEY_SIZE], const uint8_t nonce[XCHACHA_NONCE_SIZE], struct bytes aad,
	struct bytes plain, uint8_t *out, uint8_t tag[XCHACHA_TAG_SIZE])
{
	EVP_CIPHER_CTX *c = inner_cipher(key, nonce, plain.len, true);
	int n;

	if (!c) {
		crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
			out, tag, NULL, plain.p, plain.len, aad.p, aad.len, NULL, nonce, key);
		return 0;
	}
	bool ok = run(c, aad, plain, out) && EVP_CipherFinal_ex(c, tag, &n) == 1 &&
		  EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, XCHACHA_TAG_SIZE, tag) == 1;
	EVP_CIPHER_CTX_free(c);
	return ok ? 0 : ERR_INTERNAL;
}

int xchacha_open(const uint8_t key[XCHACHA_KEY_SIZE], const uint8_t nonce[XCHACHA_NONCE_SIZE], struct bytes aad,
	struct bytes ct, const uint8_t tag[XCHACHA_TAG_SIZE], uint8_t *out)
{
	EVP_CIPHER_CTX *c = inner_cipher(key, nonce, ct.len, false);
	uint8_t copy[XCHACHA_TAG_SIZE], last[1];
	int n, err = 0;

	if (!c)
		return crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
			       out, NULL, ct.p, ct.len, tag, aad.p, aad.len, nonce, key) == 0
			       ? 0
			       : ERR_TAMPERED;
	memcpy(copy, tag, sizeof copy); /* the interface takes no const */
	if (!run(c, aad, ct, out) || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, XCHACHA_TAG_SIZE, copy) != 1)
		err = ERR_INTERNAL;
	else if (EVP_CipherFinal_ex(c, last, &n) != 1)
		err = ERR_TAMPERED;
	EVP_CIPHER_CTX_free(c);
	if (err < 0)
		sodium_memzero(out, ct.len);
	return err;
}
