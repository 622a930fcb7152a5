/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open_small: opens what seal_small() sealed.
 */
#ifndef COFFER_CRYPTO_OPEN_SMALL_H
#define COFFER_CRYPTO_OPEN_SMALL_H

#include "base/buf.h"
#include "crypto/secret.h"

/* *ret_plain is freed with secret_free(). ERR_TRUNCATED: shorter than the least sealed form; ERR_RANGE: longer than
 * any; ERR_COMMITMENT: another key or label (or nonce); ERR_TAMPERED: tag or aad; ERR_INVALID: length or padding, or
 * empty. */
int open_small(const char *label, const uint8_t key[KEY_SIZE], struct bytes aad, struct bytes sealed,
	struct secret **ret_plain) MUST_CHECK;

#endif
