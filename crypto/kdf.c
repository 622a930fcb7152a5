/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/kdf.h"

#include <assert.h>
#include <sodium.h>

_Static_assert(KDF_OPS_MIN == crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE, "floor");
_Static_assert(KDF_MEM_MIN == crypto_pwhash_argon2id_MEMLIMIT_INTERACTIVE, "floor");
_Static_assert(KDF_OPS_DEFAULT == crypto_pwhash_argon2id_OPSLIMIT_MODERATE, "default");
_Static_assert(KDF_MEM_DEFAULT == crypto_pwhash_argon2id_MEMLIMIT_MODERATE, "default");
_Static_assert(KDF_OPS_MAX == crypto_pwhash_argon2id_OPSLIMIT_SENSITIVE, "ceiling");
_Static_assert(KDF_MEM_MAX == crypto_pwhash_argon2id_MEMLIMIT_SENSITIVE, "ceiling");
_Static_assert(KDF_SALT_SIZE == crypto_pwhash_argon2id_SALTBYTES, "salt");

void kdf_params_new(struct kdf_params *ret_p)
{
	ret_p->ops = KDF_OPS_DEFAULT;
	ret_p->mem = KDF_MEM_DEFAULT;
	randombytes_buf(ret_p->salt, sizeof ret_p->salt);
}

int kdf_passphrase(struct bytes passphrase, const struct kdf_params *p, struct secret **ret_key)
{
	struct secret *key;
	int err;

	if (passphrase.len == 0 || passphrase.len > KDF_PASSPHRASE_MAX)
		return ERR_RANGE;
	if (p->ops < KDF_OPS_MIN || p->ops > KDF_OPS_MAX || p->mem < KDF_MEM_MIN || p->mem > KDF_MEM_MAX)
		return ERR_RANGE;
	err = secret_new(KEY_SIZE, &key);
	if (err < 0)
		return err;
	if (crypto_pwhash_argon2id(secret_data(key), KEY_SIZE, (const char *)passphrase.p, passphrase.len, p->salt,
		    p->ops, (size_t)p->mem, crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0) {
		secret_free(key);
		return ERR_NOMEM; /* the only way left for it to fail */
	}
	*ret_key = key;
	return 0;
}

void kdf_subkey(const uint8_t key[KEY_SIZE], const char context[9], const struct id16 *salt, uint8_t out[KEY_SIZE])
{
	uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = { 0 };

	assert(strlen(context) == 8);
	memcpy(personal, context, 8);
	crypto_generichash_blake2b_salt_personal(out, KEY_SIZE, NULL, 0, key, KEY_SIZE, salt->b, personal);
}
