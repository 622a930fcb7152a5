/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/segment_head.h"

#include "base/cleanup.h"
#include "cache/segment.h"
#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "crypto/page.h"

enum { CLEAR = 24, PLAIN = 72, SEALED_AT = CLEAR + PAGE_NONCE_SIZE, ENTRY_PLAIN = 16 };

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

int segment_entry_nonces(const struct segment_head *h, uint64_t pos, struct bytes at,
	void (*fn)(void *ctx, const struct segment_head *h, struct journal_nonce nonce), void *ctx, size_t *ret_len)
{
	CLEANUP(aead_freep) struct aead *a = NULL;
	uint8_t plain[ENTRY_PLAIN];

	if (at.len < ENTRY_PLAIN + AEAD_TAG_SIZE)
		return ERR_CORRUPT;
	int err = aead_new((enum aead_suite)h->suite, h->key, &a);
	if (err < 0)
		return err;
	if (aead_open(a, (struct aead_nonce){ STREAM_HEAD, pos }, bytes_of(NULL, 0), bytes_of(at.p, ENTRY_PLAIN),
		    at.p + ENTRY_PLAIN, plain) < 0)
		return ERR_CORRUPT;
	uint64_t body = get_le(plain, 4), data = get_le(plain + 4, 4);
	uint64_t body_at = pos + ENTRY_PLAIN + AEAD_TAG_SIZE, data_at = body_at + body + AEAD_TAG_SIZE;
	fn(ctx, h, (struct journal_nonce){ STREAM_HEAD, pos });
	fn(ctx, h, (struct journal_nonce){ STREAM_BODY, body_at });
	for (uint64_t i = 0; i * SEGMENT_UNIT < data; i++)
		fn(ctx, h, (struct journal_nonce){ STREAM_DATA, data_at + i });
	*ret_len = (size_t)(data_at - pos) + aead_units_size((size_t)data, SEGMENT_UNIT);
	return 0;
}
