/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aead: the cipher of the local cache: AES-256-GCM (gcm.h) where the CPU has AES, else XChaCha20-Poly1305
 * by libsodium. Nothing sealed here leaves the device.
 *
 *	aead_new(AEAD_BEST, key, &a);
 *	aead_seal(a, (struct aead_nonce){ segment, position }, aad, plain, out, out + plain.len);
 *
 * A nonce is never used twice under one key: the caller counts, or makes fresh keys. One struct aead serves one thread
 * at a time; aead_dup() gives another thread its own. Which suite a key belongs to stands in the caller's format: pass
 * that one when opening what an earlier run sealed.
 */
#ifndef COFFER_CRYPTO_AEAD_H
#define COFFER_CRYPTO_AEAD_H

#include "base/bytes.h"
#include "base/err.h"

#define AEAD_KEY_SIZE 32
#define AEAD_TAG_SIZE 16
#define AEAD_NONCE_SIZE 12

enum aead_suite { AEAD_BEST = 0, AEAD_AES256GCM = 1, AEAD_XCHACHA20 = 2 };

/* 96 bits: stream u32 big-endian ‖ counter u64 big-endian (XChaCha20: and 12 zero bytes). */
struct aead_nonce {
	uint32_t stream;
	uint64_t counter;
};

struct aead;

/* ERR_UNSUPPORTED: unknown suite; ERR_NOMEM. Any suite works on any CPU, AES-GCM slowly without AES instructions. */
int aead_new(enum aead_suite suite, const uint8_t key[AEAD_KEY_SIZE], struct aead **ret_a) MUST_CHECK;

/* Another of the same suite and key, for another thread. */
int aead_dup(const struct aead *a, struct aead **ret_a) MUST_CHECK;

/* AEAD_AES256GCM or AEAD_XCHACHA20. */
enum aead_suite aead_suite(const struct aead *a);

/* Wipes and frees; NULL is fine. */
void aead_free(struct aead *a);
void aead_freep(struct aead **pa);

/* Writes plain.len bytes of ciphertext to `out` (which may be plain.p itself) and the tag. ERR_INTERNAL if the library
 * refuses; plain.len is at most 16 MiB (ERR_RANGE). */
int aead_seal(struct aead *a, struct aead_nonce nonce, struct bytes aad, struct bytes plain, uint8_t *out,
	uint8_t tag[AEAD_TAG_SIZE]) MUST_CHECK;

/* Writes ct.len bytes of plaintext to `out` (which may be ct.p itself). ERR_TAMPERED; `out` is then wiped. */
int aead_open(struct aead *a, struct aead_nonce nonce, struct bytes aad, struct bytes ct,
	const uint8_t tag[AEAD_TAG_SIZE], uint8_t *out) MUST_CHECK;

/*
 * Seals plain in units of `unit` bytes (the last may be shorter), unit i under counter + i, each followed by its tag:
 * `out` gets aead_units_size(plain.len, unit) bytes and must not overlap plain. aad is the same for every unit.
 */
int aead_seal_units(struct aead *a, struct aead_nonce first, struct bytes aad, size_t unit, struct bytes plain,
	uint8_t *out) MUST_CHECK;

static inline size_t aead_units_size(size_t plain_len, size_t unit)
{
	return plain_len + (plain_len + unit - 1) / unit * AEAD_TAG_SIZE;
}

#endif
