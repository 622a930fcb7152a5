/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shorthash: SipHash-2-4 (Aumasson, Bernstein 2012) for hash tables whose keys come from outside. Not a hash for
 * integrity.
 */
#ifndef COFFER_CRYPTO_SHORTHASH_H
#define COFFER_CRYPTO_SHORTHASH_H

#include "base/bytes.h"

uint64_t shorthash(const uint8_t key[16], struct bytes in);

#endif
