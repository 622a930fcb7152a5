/* SPDX-License-Identifier: Apache-2.0 */
/*
 * squeeze: zstd for what is about to be sealed, and back with a cap. One context per thread, made at first use and
 * freed when the thread ends.
 */
#ifndef COFFER_CRYPTO_SQUEEZE_H
#define COFFER_CRYPTO_SQUEEZE_H

#include "base/bytes.h"
#include "base/err.h"

/* Compresses at level 1 into out[0..cap). *ret_len is the size, or 0 if it did not fit into cap (then out is garbage):
 * the caller sets cap to what would be worth it. ERR_NOMEM. */
int squeeze(struct bytes in, uint8_t *out, size_t cap, size_t *ret_len) MUST_CHECK;

/* The size that one whole frame says it has inside, at most `max`. ERR_INVALID: not a frame, or it does not say;
 * ERR_RANGE: more than max. */
int unsqueeze_size(struct bytes in, size_t max, size_t *ret_len) MUST_CHECK;

/* Decompresses one frame that fills `in` and gives exactly len bytes. ERR_INVALID, ERR_NOMEM. */
int unsqueeze(struct bytes in, uint8_t *out, size_t len) MUST_CHECK;

#endif
