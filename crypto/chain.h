/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain: the hash chain over the lines that a relay recorded (wire/head.h): H_0 is 32 zero bytes,
 * H_c = BLAKE2b-256(H_{c-1} ‖ c as u64 big-endian ‖ encoded array of lines). Needs no secret.
 */
#ifndef COFFER_CRYPTO_CHAIN_H
#define COFFER_CRYPTO_CHAIN_H

#include "base/id.h"

/* Replaces *chain = H_{cursor-1} by H_cursor. `lines` is the encoding that lines_put() made, byte for byte. */
void chain_next(struct id32 *chain, uint64_t cursor, struct bytes lines);

#endif
