/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kdf: keys from passphrases and codes (Argon2id v1.3, RFC 9106, as libsodium's crypto_pwhash), and subkeys of keys
 * (BLAKE2b with salt and personal, as libsodium's crypto_kdf_blake2b but with a whole id as the salt).
 *
 * Parameters come out of files and log entries, so they are bounded: below the floor an attacker could weaken a file,
 * above the ceiling it could stop the program. The bounds are compiled in.
 */
#ifndef COFFER_CRYPTO_KDF_H
#define COFFER_CRYPTO_KDF_H

#include "base/id.h"
#include "crypto/secret.h"

#define KDF_SALT_SIZE 16
#define KDF_OPS_MIN 2u
#define KDF_OPS_DEFAULT 3u
#define KDF_OPS_MAX 4u
#define KDF_MEM_MIN (64u << 20)
#define KDF_MEM_DEFAULT (256u << 20)
#define KDF_MEM_MAX (1u << 30)
#define KDF_PASSPHRASE_MAX 1024

struct kdf_params {
	uint64_t ops; /* passes */
	uint64_t mem; /* bytes */
	uint8_t salt[KDF_SALT_SIZE];
};

/* The defaults with a random salt. */
void kdf_params_new(struct kdf_params *ret_p);

/* The 32-byte key of a passphrase (1..KDF_PASSPHRASE_MAX bytes). ERR_RANGE if a parameter is out of bounds or the
 * passphrase is empty or too long; ERR_NOMEM if the memory that the parameters ask for is not there. Takes 0.1 to 3
 * s. */
int kdf_passphrase(struct bytes passphrase, const struct kdf_params *p, struct secret **ret_key) MUST_CHECK;

/* BLAKE2b-256(key, salt = id, personal = context ‖ 8 zero bytes, no message). `context` has exactly 8 characters, one
 * per purpose. The caller wipes `out`. */
void kdf_subkey(const uint8_t key[KEY_SIZE], const char context[9], const struct id16 *salt, uint8_t out[KEY_SIZE]);

#endif
