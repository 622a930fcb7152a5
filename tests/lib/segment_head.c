/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/segment_head.h"

#include "cache/segment.h"
#include "crypto/kdf.h"
#include "crypto/page.h"

enum { CLEAR = 24, PLAIN = 72, SEALED_AT = CLEAR + PAGE_NONCE_SIZE };

static uint64_t get_le(const uint8_t *p, int n)
{
	uint64_t v = 0;

	for (int i = n - 1; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

int segment_head_open(const uint8_t store_key[32], struct bytes file, struct segment_head *ret)
{
	static const struct id16 no_salt;
	uint8_t key[KEY_SIZE], plain[PLAIN];

	if (file.len < SEGMENT_HEAD || memcmp(file.p, "CFFRSEG1", 8) != 0)
		return ERR_CORRUPT;
	kdf_subkey(store_key, "cof-segm", &no_salt, key);
	if (page_open(key, file.p + CLEAR, bytes_of(file.p, CLEAR), bytes_of(file.p + SEALED_AT, PLAIN),
		    file.p + SEALED_AT + PLAIN, plain) < 0)
		return ERR_CORRUPT;
	*ret = (struct segment_head){ .suite = (uint32_t)get_le(file.p + 12, 4),
		.number = get_le(file.p + 16, 8),
		.prev = get_le(plain + 32, 8),
		.prev_pos = get_le(plain + 40, 8),
		.seq = get_le(plain + 48, 8),
		.size = get_le(plain + 64, 8) };
	memcpy(ret->key, plain, sizeof ret->key);
	return 0;
}
