/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hpke: RFC 9180, mode_base, one message: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305
 * (0x0020, 0x0001, 0x0003). Wraps epoch keys to X25519 keys; whoever reads a wrap also checks the signed entry that it
 * stands in, because HPKE's base mode says nothing about the sender.
 *
 * A private key is a struct secret of 32 bytes; a public key is a struct id32. Opening is in open_hpke.c.
 */
#ifndef COFFER_CRYPTO_HPKE_H
#define COFFER_CRYPTO_HPKE_H

#include "base/buf.h"
#include "base/id.h"
#include "crypto/secret.h"

#define HPKE_ENC_SIZE 32
#define HPKE_TAG_SIZE 16
#define HPKE_MAX_PLAIN 65536u

/* A fresh key pair; *ret_key is freed with secret_free(). */
int hpke_keypair_new(struct secret **ret_key, struct id32 *ret_public) MUST_CHECK;

/* DeriveKeyPair of RFC 9180 §7.1.3 from at least 32 bytes of key material: the same material gives the same pair.
 * ERR_INVALID if it is shorter. */
int hpke_keypair_derive(struct bytes material, struct secret **ret_key, struct id32 *ret_public) MUST_CHECK;

/* The public half. ERR_INVALID if `key` is not 32 bytes. */
int hpke_public(const struct secret *key, struct id32 *ret_public) MUST_CHECK;

/* Appends the ciphertext (plain.len + HPKE_TAG_SIZE bytes) to `ct` and sets `enc`. ERR_INVALID: a public key of small
 * order; ERR_RANGE: too long. */
int hpke_seal(const struct id32 *public_key, struct bytes info, struct bytes aad, struct bytes plain,
	uint8_t enc[HPKE_ENC_SIZE], struct buf *ct) MUST_CHECK;

/* ERR_TAMPERED: another key, info, aad, enc or ciphertext than sealed (HPKE cannot tell which); ERR_INVALID: `enc` of
 * small order, `key` not 32 bytes; ERR_TRUNCATED: shorter than a tag or nothing inside. */
int hpke_open(const struct secret *key, const uint8_t enc[HPKE_ENC_SIZE], struct bytes info, struct bytes aad,
	struct bytes ct, struct secret **ret_plain) MUST_CHECK;

#endif
