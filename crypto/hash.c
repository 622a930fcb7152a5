/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/hash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <sodium.h>
#include <stdbool.h>

/* From here on by libcrypto, whose BLAKE2b takes half the time (0.71 against 1.41 ms per MiB); below, its contexts cost more. */
#define LONG_INPUT 16384

int crypto_init(void)
{
	return sodium_init() < 0 ? ERR_INTERNAL : 0;
}

void hash_sha256(struct bytes in, struct id32 *ret_hash)
{
	crypto_hash_sha256(ret_hash->b, in.p, in.len);
}

/* False if libcrypto does not do it: no such MAC, or no memory. */
static bool blake2b_long(const uint8_t key[32], const char *label, struct bytes in, struct id32 *ret_hash)
{
	size_t size = sizeof ret_hash->b, n;
	const OSSL_PARAM params[] = { OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
		OSSL_PARAM_construct_end() };
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "BLAKE2BMAC", NULL);
	EVP_MAC_CTX *c = mac ? EVP_MAC_CTX_new(mac) : NULL;
	struct id32 hash;
	bool ok = c && EVP_MAC_init(c, key, 32, params) == 1 &&
		  EVP_MAC_update(c, (const uint8_t *)label, strlen(label)) == 1 &&
		  EVP_MAC_update(c, in.p, in.len) == 1 && EVP_MAC_final(c, hash.b, &n, sizeof hash.b) == 1 &&
		  n == sizeof hash.b;

	EVP_MAC_CTX_free(c);
	EVP_MAC_free(mac);
	if (ok)
		*ret_hash = hash;
	return ok;
}

static void blake2b(const uint8_t *key, const char *label, struct bytes in, struct id32 *ret_hash)
{
	crypto_generichash_blake2b_state st;

	if (key && in.len >= LONG_INPUT && blake2b_long(key, label, in, ret_hash))
		return;
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

void hash_hmac(struct bytes key, struct bytes a, struct bytes b, struct id32 *ret_hash)
{
	crypto_auth_hmacsha256_state st;

	crypto_auth_hmacsha256_init(&st, key.p, key.len);
	crypto_auth_hmacsha256_update(&st, a.p, a.len);
	crypto_auth_hmacsha256_update(&st, b.p, b.len);
	crypto_auth_hmacsha256_final(&st, ret_hash->b);
	sodium_memzero(&st, sizeof st);
}

uint64_t hash_short(const uint8_t seed[HASH_SEED], struct bytes in)
{
	uint8_t out[crypto_shorthash_BYTES];
	uint64_t v = 0;

	_Static_assert(HASH_SEED == crypto_shorthash_KEYBYTES, "the seed is SipHash's key");
	crypto_shorthash(out, in.p, in.len, seed);
	for (size_t i = sizeof out; i-- > 0;)
		v = v << 8 | out[i];
	return v;
}

int hash_uuid5(const struct id16 *ns, struct bytes name, struct id16 *ret_id)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t digest[EVP_MAX_MD_SIZE];
	bool good = ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
		    EVP_DigestUpdate(ctx, ns->b, sizeof ns->b) == 1 && EVP_DigestUpdate(ctx, name.p, name.len) == 1 &&
		    EVP_DigestFinal_ex(ctx, digest, NULL) == 1;

	EVP_MD_CTX_free(ctx);
	if (!good)
		return ERR_NOMEM;
	memcpy(ret_id->b, digest, sizeof ret_id->b);
	ret_id->b[6] = (uint8_t)((ret_id->b[6] & 0x0f) | 0x50);
	ret_id->b[8] = (uint8_t)((ret_id->b[8] & 0x3f) | 0x80);
	return OK;
}
