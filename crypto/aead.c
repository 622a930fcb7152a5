/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/aead.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#define MAX_LEN (16u << 20)

/* The EVP contexts hold the key schedule, so that a call sets the nonce alone; libcrypto wipes them on free. */
struct aead {
	enum aead_suite suite;
	uint8_t key[AEAD_KEY_SIZE];
	EVP_CIPHER_CTX *seal, *open; /* NULL for XChaCha20 */
};

static bool cpu_has_aes(void)
{
#if defined(__aarch64__)
	return (getauxval(AT_HWCAP) & (1ul << 3)) != 0; /* HWCAP_AES */
#else
	return sodium_runtime_has_aesni() != 0;
#endif
}

static int setup_gcm(struct aead *a)
{
	a->seal = EVP_CIPHER_CTX_new();
	a->open = EVP_CIPHER_CTX_new();
	if (!a->seal || !a->open)
		return ERR_NOMEM;
	if (EVP_EncryptInit_ex(a->seal, EVP_aes_256_gcm(), NULL, a->key, NULL) != 1 ||
		EVP_DecryptInit_ex(a->open, EVP_aes_256_gcm(), NULL, a->key, NULL) != 1)
		return ERR_INTERNAL;
	return 0;
}

int aead_new(enum aead_suite suite, const uint8_t key[AEAD_KEY_SIZE], struct aead **ret_a)
{
	struct aead *a;
	int err = 0;

	if (suite == AEAD_BEST)
		suite = cpu_has_aes() ? AEAD_AES256GCM : AEAD_XCHACHA20;
	if (suite != AEAD_AES256GCM && suite != AEAD_XCHACHA20)
		return ERR_UNSUPPORTED;
	a = calloc(1, sizeof *a);
	if (!a)
		return ERR_NOMEM;
	a->suite = suite;
	memcpy(a->key, key, sizeof a->key);
	if (suite == AEAD_AES256GCM)
		err = setup_gcm(a);
	if (err < 0) {
		aead_free(a);
		return err;
	}
	*ret_a = a;
	return 0;
}

int aead_dup(const struct aead *a, struct aead **ret_a)
{
	return aead_new(a->suite, a->key, ret_a);
}

enum aead_suite aead_suite(const struct aead *a)
{
	return a->suite;
}

void aead_free(struct aead *a)
{
	if (!a)
		return;
	EVP_CIPHER_CTX_free(a->seal);
	EVP_CIPHER_CTX_free(a->open);
	sodium_memzero(a->key, sizeof a->key);
	free(a);
}

void aead_freep(struct aead **pa)
{
	aead_free(*pa);
	*pa = NULL;
}

/* `out` has 24 bytes: GCM takes the first 12. */
static void put_nonce(struct aead_nonce nonce, uint8_t out[24])
{
	memset(out, 0, 24);
	bytes_put_be(out, nonce.stream, 4);
	bytes_put_be(out + 4, nonce.counter, 8);
}

static int gcm_seal(struct aead *a, const uint8_t *iv, struct bytes aad, struct bytes plain, uint8_t *out, uint8_t *tag)
{
	EVP_CIPHER_CTX *c = a->seal;
	int n;

	if (EVP_EncryptInit_ex(c, NULL, NULL, NULL, iv) != 1)
		return ERR_INTERNAL;
	if (aad.len > 0 && EVP_EncryptUpdate(c, NULL, &n, aad.p, (int)aad.len) != 1)
		return ERR_INTERNAL;
	if (plain.len > 0 && EVP_EncryptUpdate(c, out, &n, plain.p, (int)plain.len) != 1)
		return ERR_INTERNAL;
	if (EVP_EncryptFinal_ex(c, tag, &n) != 1)
		return ERR_INTERNAL;
	return EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_SIZE, tag) == 1 ? 0 : ERR_INTERNAL;
}

static int gcm_open(
	struct aead *a, const uint8_t *iv, struct bytes aad, struct bytes ct, const uint8_t *tag, uint8_t *out)
{
	EVP_CIPHER_CTX *c = a->open;
	uint8_t copy[AEAD_TAG_SIZE];
	int n;

	memcpy(copy, tag, sizeof copy); /* the interface takes no const */
	if (EVP_DecryptInit_ex(c, NULL, NULL, NULL, iv) != 1)
		return ERR_INTERNAL;
	if (aad.len > 0 && EVP_DecryptUpdate(c, NULL, &n, aad.p, (int)aad.len) != 1)
		return ERR_INTERNAL;
	if (ct.len > 0 && EVP_DecryptUpdate(c, out, &n, ct.p, (int)ct.len) != 1)
		return ERR_INTERNAL;
	if (EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_SIZE, copy) != 1)
		return ERR_INTERNAL;
	return EVP_DecryptFinal_ex(c, copy, &n) == 1 ? 0 : ERR_TAMPERED;
}

int aead_seal(struct aead *a, struct aead_nonce nonce, struct bytes aad, struct bytes plain, uint8_t *out,
	uint8_t tag[AEAD_TAG_SIZE])
{
	uint8_t iv[24];

	if (plain.len > MAX_LEN || aad.len > MAX_LEN)
		return ERR_RANGE;
	put_nonce(nonce, iv);
	if (a->suite == AEAD_AES256GCM)
		return gcm_seal(a, iv, aad, plain, out, tag);
	crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
		out, tag, NULL, plain.p, plain.len, aad.p, aad.len, NULL, iv, a->key);
	return 0;
}

int aead_open(struct aead *a, struct aead_nonce nonce, struct bytes aad, struct bytes ct,
	const uint8_t tag[AEAD_TAG_SIZE], uint8_t *out)
{
	uint8_t iv[24];
	int err = 0;

	if (ct.len > MAX_LEN || aad.len > MAX_LEN)
		return ERR_RANGE;
	if (ct.len == 0)
		ct = bytes_str(""); /* libsodium takes no NULL here */
	put_nonce(nonce, iv);
	if (a->suite == AEAD_AES256GCM)
		err = gcm_open(a, iv, aad, ct, tag, out);
	else if (crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
			 out, NULL, ct.p, ct.len, tag, aad.p, aad.len, iv, a->key) != 0)
		err = ERR_TAMPERED;
	if (err < 0 && ct.len > 0)
		sodium_memzero(out, ct.len);
	return err;
}

int aead_seal_units(
	struct aead *a, struct aead_nonce first, struct bytes aad, size_t unit, struct bytes plain, uint8_t *out)
{
	size_t at = 0;
	int err;

	if (unit == 0)
		return ERR_INVALID;
	while (at < plain.len) {
		size_t n = plain.len - at < unit ? plain.len - at : unit;

		err = aead_seal(a, first, aad, bytes_of(plain.p + at, n), out, out + n);
		if (err < 0)
			return err;
		out += n + AEAD_TAG_SIZE;
		at += n;
		first.counter++;
	}
	return 0;
}
