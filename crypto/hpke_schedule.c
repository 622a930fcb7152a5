/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/hpke_schedule.h"

#include <assert.h>
#include <sodium.h>

static void update(crypto_auth_hmacsha256_state *st, struct bytes in)
{
	if (in.len > 0) /* libsodium takes no NULL here */
		crypto_auth_hmacsha256_update(st, in.p, in.len);
}

static void put_suite(crypto_auth_hmacsha256_state *st, enum hpke_suite suite)
{
	static const uint8_t kem[] = { 'K', 'E', 'M', 0x00, 0x20 };
	static const uint8_t whole[] = { 'H', 'P', 'K', 'E', 0x00, 0x20, 0x00, 0x01, 0x00, 0x03 };

	crypto_auth_hmacsha256_update(st, (const uint8_t *)"HPKE-v1", 7);
	if (suite == HPKE_SUITE_KEM)
		crypto_auth_hmacsha256_update(st, kem, sizeof kem);
	else
		crypto_auth_hmacsha256_update(st, whole, sizeof whole);
}

void hpke_extract(enum hpke_suite suite, struct bytes salt, const char *label, struct bytes material, uint8_t out[32])
{
	crypto_auth_hmacsha256_state st;

	crypto_auth_hmacsha256_init(&st, salt.len > 0 ? salt.p : (const uint8_t *)"", salt.len);
	put_suite(&st, suite);
	update(&st, bytes_str(label));
	update(&st, material);
	crypto_auth_hmacsha256_final(&st, out);
	sodium_memzero(&st, sizeof st);
}

void hpke_expand(
	enum hpke_suite suite, const uint8_t prk[32], const char *label, struct bytes info, uint8_t *out, size_t len)
{
	crypto_auth_hmacsha256_state st;
	const uint8_t be[2] = { 0, (uint8_t)len }, one = 1;
	uint8_t block[32];

	assert(len > 0 && len <= sizeof block); /* one block of HKDF is all that this suite needs */
	crypto_auth_hmacsha256_init(&st, prk, 32);
	crypto_auth_hmacsha256_update(&st, be, sizeof be);
	put_suite(&st, suite);
	update(&st, bytes_str(label));
	update(&st, info);
	crypto_auth_hmacsha256_update(&st, &one, 1);
	crypto_auth_hmacsha256_final(&st, block);
	memcpy(out, block, len);
	sodium_memzero(block, sizeof block);
	sodium_memzero(&st, sizeof st);
}

/* ExtractAndExpand of the KEM. */
static void shared_secret(const uint8_t dh[32], const uint8_t enc[32], const uint8_t recipient[32], uint8_t out[32])
{
	uint8_t context[64], prk[32];

	memcpy(context, enc, 32);
	memcpy(context + 32, recipient, 32);
	hpke_extract(HPKE_SUITE_KEM, bytes_of(NULL, 0), "eae_prk", bytes_of(dh, 32), prk);
	hpke_expand(HPKE_SUITE_KEM, prk, "shared_secret", bytes_of(context, sizeof context), out, 32);
	sodium_memzero(prk, sizeof prk);
}

int hpke_schedule(const uint8_t own[32], const uint8_t peer[32], const uint8_t enc[32], const uint8_t recipient[32],
	struct bytes info, struct hpke_keys *ret_keys)
{
	uint8_t dh[32], shared[32], secret[32], context[1 + 32 + 32];
	const struct bytes none = bytes_of(NULL, 0), ctx = bytes_of(context, sizeof context);

	if (crypto_scalarmult_curve25519(dh, own, peer) != 0) {
		sodium_memzero(dh, sizeof dh);
		return ERR_INVALID;
	}
	shared_secret(dh, enc, recipient, shared);
	context[0] = 0; /* mode_base */
	hpke_extract(HPKE_SUITE_WHOLE, none, "psk_id_hash", none, context + 1);
	hpke_extract(HPKE_SUITE_WHOLE, none, "info_hash", info, context + 33);
	hpke_extract(HPKE_SUITE_WHOLE, bytes_of(shared, sizeof shared), "secret", none, secret);
	hpke_expand(HPKE_SUITE_WHOLE, secret, "key", ctx, ret_keys->key, sizeof ret_keys->key);
	hpke_expand(HPKE_SUITE_WHOLE, secret, "base_nonce", ctx, ret_keys->nonce, sizeof ret_keys->nonce);
	sodium_memzero(dh, sizeof dh);
	sodium_memzero(shared, sizeof shared);
	sodium_memzero(secret, sizeof secret);
	return 0;
}
