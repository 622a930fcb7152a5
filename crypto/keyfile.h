/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyfile: the profile's key file: a secret payload sealed under a passphrase, or, if the person chose none, under a
 * key that stands next to it in clear (then only the file's mode 0600 protects it). docs/FORMAT.md "Key file".
 *
 * file = [ body map, checksum 32 ], strict CBOR. checksum = BLAKE2b-256(KEYFILE_LABEL ‖ encoded body): it tells a
 * damaged file from a wrong passphrase, and protects nothing.
 * body = { 0: format 1, 1: kdf (0 none, 1 Argon2id), 2: ops, 3: mem, 4: salt 16, 5: clear key 32, 6: sealed }; keys 2-4
 * stand only with kdf 1, key 5 only with kdf 0. `sealed` is seal_small's; its additional data is the body without key
 * 6.
 */
#ifndef COFFER_CRYPTO_KEYFILE_H
#define COFFER_CRYPTO_KEYFILE_H

#include "base/buf.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

#define KEYFILE_FORMAT 1
#define KEYFILE_LABEL "coffer/keyfile/1"
#define KEYFILE_MAX_PAYLOAD 16384u
#define KEYFILE_MAX 24576u

/* Appends a key file. `passphrase` NULL: kdf none; `params` NULL: the defaults with a fresh salt. ERR_RANGE if the
 * payload is empty or too large or a parameter is out of bounds. Write it with env_write_file(), mode 0600. */
int keyfile_seal(struct bytes payload, const struct secret *passphrase, const struct kdf_params *params,
	struct buf *b) MUST_CHECK;

/* 1 if opening needs a passphrase, 0 if not. ERR_CORRUPT, ERR_VERSION. */
int keyfile_needs_passphrase(struct bytes file) MUST_CHECK;

/* Opens; `passphrase` is ignored if the file needs none. ERR_CORRUPT: the checksum or the structure is wrong (damage);
 * ERR_VERSION; ERR_RANGE: parameters out of bounds; ERR_WRONG_KEY: not this passphrase, or none given where one is
 * needed; ERR_TAMPERED: the passphrase is right, but somebody changed the file and its checksum. */
int keyfile_open(struct bytes file, const struct secret *passphrase, struct secret **ret_payload) MUST_CHECK;

#endif
