/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret: key material in guarded memory. Every key that lives longer than one function stands in a struct secret.
 *
 *	CLEANUP(secret_freep) struct secret *key = NULL;
 *	if ((err = secret_random(32, &key)) < 0) return err;
 *	use(secret_key(key));
 *
 * The bytes stand between guard pages, out of core dumps, and locked into memory as far as RLIMIT_MEMLOCK lets; free
 * wipes them. (sodium_malloc: libsodium documentation, "Secure memory".) Keys that live within one function may stand
 * in an array that secret_wipe() clears on every way out. Not thread-safe while written; read by any number of threads.
 */
#ifndef COFFER_CRYPTO_SECRET_H
#define COFFER_CRYPTO_SECRET_H

#include <stdbool.h>
#include "base/bytes.h"
#include "base/err.h"

#define SECRET_MAX 65536u
#define KEY_SIZE 32 /* of every symmetric key of the project */

struct secret;

/* `len` zero bytes (1..SECRET_MAX). ERR_RANGE, ERR_NOMEM. Free with secret_free(). */
int secret_new(size_t len, struct secret **ret_s) MUST_CHECK;

/* A copy of `src`, which the caller still has to wipe. */
int secret_from(struct bytes src, struct secret **ret_s) MUST_CHECK;

/* `len` random bytes. */
int secret_random(size_t len, struct secret **ret_s) MUST_CHECK;

/* Views, valid until secret_free(). */
struct bytes secret_bytes(const struct secret *s);
uint8_t *secret_data(struct secret *s);
size_t secret_len(const struct secret *s);

/* The bytes of a secret that holds exactly KEY_SIZE (asserted). */
const uint8_t *secret_key(const struct secret *s);

/* Constant time in the bytes; the lengths are not secret. */
bool secret_equal(const struct secret *a, const struct secret *b);

/* Wipes and frees; NULL is fine. */
void secret_free(struct secret *s);
void secret_freep(struct secret **ps);

/* Wipes memory in a way that the compiler keeps. */
void secret_wipe(void *p, size_t n);

#endif
