/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/hpke.h"

#include <sodium.h>

#include "crypto/hpke_schedule.h"

int hpke_public(const struct secret *key, struct id32 *ret_public)
{
	if (secret_len(key) != KEY_SIZE)
		return ERR_INVALID;
	crypto_scalarmult_curve25519_base(ret_public->b, secret_key(key));
	return 0;
}

int hpke_keypair_new(struct secret **ret_key, struct id32 *ret_public)
{
	int err = secret_random(KEY_SIZE, ret_key);

	if (err < 0)
		return err;
	return hpke_public(*ret_key, ret_public);
}

int hpke_keypair_derive(struct bytes material, struct secret **ret_key, struct id32 *ret_public)
{
	uint8_t prk[32];
	struct secret *key;
	int err;

	if (material.len < KEY_SIZE)
		return ERR_INVALID;
	if ((err = secret_new(KEY_SIZE, &key)) < 0)
		return err;
	hpke_extract(HPKE_SUITE_KEM, bytes_of(NULL, 0), "dkp_prk", material, prk);
	hpke_expand(HPKE_SUITE_KEM, prk, "sk", bytes_of(NULL, 0), secret_data(key), KEY_SIZE);
	sodium_memzero(prk, sizeof prk);
	*ret_key = key;
	return hpke_public(key, ret_public);
}

int hpke_seal_with(const uint8_t ephemeral[32], const struct id32 *public_key, struct bytes info, struct bytes aad,
	struct bytes plain, uint8_t enc[32], uint8_t *ct)
{
	struct hpke_keys keys;
	int err;

	crypto_scalarmult_curve25519_base(enc, ephemeral);
	err = hpke_schedule(ephemeral, public_key->b, enc, public_key->b, info, &keys);
	if (err < 0)
		return err;
	crypto_aead_chacha20poly1305_ietf_encrypt(
		ct, NULL, plain.p, plain.len, aad.p, aad.len, NULL, keys.nonce, keys.key);
	sodium_memzero(&keys, sizeof keys);
	return 0;
}

int hpke_seal(const struct id32 *public_key, struct bytes info, struct bytes aad, struct bytes plain,
	uint8_t enc[HPKE_ENC_SIZE], struct buf *ct)
{
	uint8_t ephemeral[32], *p;
	size_t start = ct->len;
	int err;

	if (plain.len > HPKE_MAX_PLAIN)
		return ERR_RANGE;
	if ((err = buf_grow(ct, plain.len + HPKE_TAG_SIZE, &p)) < 0)
		return err;
	randombytes_buf(ephemeral, sizeof ephemeral);
	err = hpke_seal_with(ephemeral, public_key, info, aad, plain, enc, p);
	sodium_memzero(ephemeral, sizeof ephemeral);
	if (err < 0)
		ct->len = start;
	return err;
}
