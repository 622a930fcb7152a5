/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/open_small.h"

#include "base/cleanup.h"
#include "crypto/padme.h"
#include "crypto/seal.h"
#include "crypto/seal_core.h"

int open_small(const char *label, const uint8_t key[KEY_SIZE], struct bytes aad, struct bytes sealed,
	struct secret **ret_plain)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT_SECRET(SEAL_SMALL_MAX);
	struct seal_job job = { .label = label, .key = key, .aad = aad, .least = SEAL_SMALL_MIN };
	int err;

	if (sealed.len < SEAL_OVERHEAD + SEAL_SMALL_MIN)
		return ERR_TRUNCATED;
	if (sealed.len > SEAL_OVERHEAD + padme_size(SEAL_SMALL_MAX))
		return ERR_RANGE;
	if ((err = open_core(&job, sealed, SEAL_SMALL_MAX, &plain)) < 0)
		return err;
	if (plain.len == 0)
		return ERR_INVALID;
	return secret_from(buf_bytes(&plain), ret_plain);
}
