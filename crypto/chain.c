/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/chain.h"

#include <sodium.h>

void chain_next(struct id32 *chain, uint64_t cursor, struct bytes lines)
{
	crypto_generichash_blake2b_state st;
	uint8_t be[8];

	bytes_put_be(be, cursor, sizeof be);
	crypto_generichash_blake2b_init(&st, NULL, 0, sizeof chain->b);
	crypto_generichash_blake2b_update(&st, chain->b, sizeof chain->b);
	crypto_generichash_blake2b_update(&st, be, sizeof be);
	crypto_generichash_blake2b_update(&st, lines.p, lines.len);
	crypto_generichash_blake2b_final(&st, chain->b, sizeof chain->b);
}
