/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/seal.h"
#include "crypto/seal_core.h"

int seal_small(const char *label, const uint8_t key[KEY_SIZE], struct bytes aad, struct bytes plain, struct buf *b)
{
	struct seal_job job = { .label = label, .key = key, .aad = aad, .least = SEAL_SMALL_MIN };

	if (plain.len > SEAL_SMALL_MAX)
		return ERR_RANGE;
	return seal_core(&job, plain, b);
}
