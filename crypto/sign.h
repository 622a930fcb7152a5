/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sign: Ed25519 key pairs and signatures (RFC 8032, deterministic) over label ‖ message; verify.h checks them.
 *
 * A signing key is a struct secret of SIGN_KEY_SIZE bytes: seed ‖ public key, as libsodium has it.
 */
#ifndef COFFER_CRYPTO_SIGN_H
#define COFFER_CRYPTO_SIGN_H

#include "base/id.h"
#include "crypto/secret.h"
#include "wire/head.h"

#define SIGN_KEY_SIZE 64
#define SIGN_SEED_SIZE 32

/* A fresh key pair; *ret_key is freed with secret_free(). */
int sign_keypair_new(struct secret **ret_key, struct id32 *ret_public) MUST_CHECK;

/* The key pair of a seed of SIGN_SEED_SIZE bytes. */
int sign_keypair_from_seed(
	const uint8_t seed[SIGN_SEED_SIZE], struct secret **ret_key, struct id32 *ret_public) MUST_CHECK;

/* The public half. ERR_INVALID if `key` has another length. */
int sign_public(const struct secret *key, struct id32 *ret_public) MUST_CHECK;

/* ERR_INVALID if `key` has another length; ERR_NOMEM for messages over 4 KiB. */
int sign_detached(
	const char *label, struct bytes message, const struct secret *key, uint8_t ret_signature[64]) MUST_CHECK;

/* Appends the signed blob of a head. ERR_INVALID if `key` is not h->device's. */
int sign_head(const struct head *h, const struct secret *key, struct buf *b) MUST_CHECK;

#endif
