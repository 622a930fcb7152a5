/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash: the hashes of the project, and the start of the library under them. Nothing here needs or opens a secret of a
 * space's content, so the relay may use it.
 *
 * SHA-256 (FIPS 180-4) wherever a hash of a whole blob stands in a format; BLAKE2b (RFC 7693) where a key or a chain
 * is. A label never is the beginning of another label (docs/FORMAT.md lists them, tests/unit/test_format.c checks it).
 */
#ifndef COFFER_CRYPTO_HASH_H
#define COFFER_CRYPTO_HASH_H

#include "base/id.h"

/* Once per process, before threads start and before anything else of crypto/ (again is harmless). ERR_INTERNAL. */
int crypto_init(void) MUST_CHECK;

void hash_sha256(struct bytes in, struct id32 *ret_hash);

/* BLAKE2b-256 of label ‖ in under `key`. */
void hash_keyed(const uint8_t key[32], const char *label, struct bytes in, struct id32 *ret_hash);

/* BLAKE2b-256 of label ‖ in without a key. */
void hash_plain(const char *label, struct bytes in, struct id32 *ret_hash);

/* HMAC-SHA256 (RFC 2104) of a ‖ b under a key of any length. */
void hash_hmac(struct bytes key, struct bytes a, struct bytes b, struct id32 *ret_hash);

/* SipHash-2-4 of `in` for tables that are searched by what strangers choose: with a random seed of its own for each
 * table nobody can fill one bucket. No MAC. */
#define HASH_SEED 16
uint64_t hash_short(const uint8_t seed[HASH_SEED], struct bytes in);

/* The name-based UUID of version 5 (RFC 9562): SHA-1, which here only names. ERR_NOMEM. */
int hash_uuid5(const struct id16 *ns, struct bytes name, struct id16 *ret_id) MUST_CHECK;

#endif
