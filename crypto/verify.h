/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify: checks of signatures and hashes that need no secret: what the relay and the clients both do before they
 * believe a record, a head or a log entry. Opens nothing.
 *
 * Signatures are Ed25519 (RFC 8032) over label ‖ message; every label is ASCII, ends in a version, and is the beginning
 * of no other label. The one exception is "" for tokens, because JWS signs its own text; that always begins "eyJ".
 * Public keys and R of small order and encodings that are not canonical are refused.
 */
#ifndef COFFER_CRYPTO_VERIFY_H
#define COFFER_CRYPTO_VERIFY_H

#include "base/id.h"
#include "wire/head.h"
#include "wire/record.h"

#define SIGNATURE_SIZE 64

/* ERR_SIGNATURE; ERR_NOMEM for messages over 4 KiB. */
int verify_detached(const char *label, struct bytes message, const uint8_t signature[SIGNATURE_SIZE],
	const struct id32 *key) MUST_CHECK;

/* Decodes a record's blob and checks, in this order: structure (the decoder's errors), that it is of `space` and,
 * unless `id` is NULL, of that node (ERR_CONTEXT), the hash of its sealed bytes (ERR_TAMPERED), its signature by the
 * author that its header names (ERR_SIGNATURE). Whether that author may write is for the log to say. Views in *ret_r
 * point into blob. */
int verify_record(struct bytes blob, const struct id16 *space, const struct id16 *id, struct record *ret_r) MUST_CHECK;

/* Decodes a head and checks its space (ERR_CONTEXT) and its signature by the device that it names (ERR_SIGNATURE). */
int verify_head(struct bytes blob, const struct id16 *space, struct head *ret_h) MUST_CHECK;

#endif
