/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delegation: the device's statement that a session key of coffer-syncd may speak for it towards one relay for a while
 * (token.h has its bytes and its check).
 */
#ifndef COFFER_CRYPTO_DELEGATION_H
#define COFFER_CRYPTO_DELEGATION_H

#include "base/buf.h"
#include "crypto/secret.h"
#include "crypto/token.h"

/* Appends the signed delegation. `device_key` is d->device's signing key (ERR_INVALID if not, or if d->aud is not of
 * the allowed characters). d->not_after is at most TOKEN_MAX_LIFE from now, by the caller's clock. */
int delegation_make(const struct delegation *d, const struct secret *device_key, struct buf *b) MUST_CHECK;

#endif
