/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/hash.h"

#include <sodium.h>

int crypto_init(void)
{
	return sodium_init() < 0 ? ERR_INTERNAL : 0;
}

void hash_sha256(struct bytes in, struct id32 *ret_hash)
{
	crypto_hash_sha256(ret_hash->b, in.p, in.len);
}

static void blake2b(const uint8_t *key, const char *label, struct bytes in, struct id32 *ret_hash)
{
	crypto_generichash_blake2b_state st;

	crypto_generichash_blake2b_init(&st, key, key ? 32 : 0, sizeof ret_hash->b);
	crypto_generichash_blake2b_update(&st, (const uint8_t *)label, strlen(label));
	crypto_generichash_blake2b_update(&st, in.p, in.len);
	crypto_generichash_blake2b_final(&st, ret_hash->b, sizeof ret_hash->b);
	if (key)
		sodium_memzero(&st, sizeof st);
}

void hash_keyed(const uint8_t key[32], const char *label, struct bytes in, struct id32 *ret_hash)
{
	blake2b(key, label, in, ret_hash);
}

void hash_plain(const char *label, struct bytes in, struct id32 *ret_hash)
{
	blake2b(NULL, label, in, ret_hash);
}
