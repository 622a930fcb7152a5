/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/shorthash.h"
#include <sodium.h>

uint64_t shorthash(const uint8_t key[16], struct bytes in)
{
	uint64_t out;
	_Static_assert(sizeof out == crypto_shorthash_BYTES, "SipHash-2-4 has 64 bits");
	crypto_shorthash((unsigned char *)&out, in.p, in.len, key);
	return out;
}
