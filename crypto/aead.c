/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/aead.h"
#include "crypto/gcm.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#define MAX_LEN GCM_MAX_LEN

struct aead {
	enum aead_suite suite;
	uint8_t key[AEAD_KEY_SIZE];
	struct gcm *gcm; /* NULL for XChaCha20 */
};

static bool cpu_has_aes(void)
{
#if defined(__aarch64__)
	return (getauxval(AT_HWCAP) & (1ul << 3)) != 0; /* HWCAP_AES */
#else
	return sodium_runtime_has_aesni() != 0;
#endif
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
		err = gcm_new(a->key, GCM_BEST, &a->gcm);
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
	gcm_free(a->gcm);
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

int aead_seal(struct aead *a, struct aead_nonce nonce, struct bytes aad, struct bytes plain, uint8_t *out,
	uint8_t tag[AEAD_TAG_SIZE])
{
	uint8_t iv[24];

	if (plain.len > MAX_LEN || aad.len > MAX_LEN)
		return ERR_RANGE;
	put_nonce(nonce, iv);
	if (a->gcm)
		return gcm_seal(a->gcm, iv, aad, plain, out, tag);
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
	if (a->gcm)
		err = gcm_open(a->gcm, iv, aad, ct, tag, out);
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
