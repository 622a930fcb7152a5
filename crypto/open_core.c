/* SPDX-License-Identifier: Apache-2.0 */
#include <sodium.h>

#include "base/cleanup.h"
#include "crypto/seal.h"
#include "crypto/seal_core.h"
#include "crypto/squeeze.h"
#include "crypto/xchacha.h"

#define INNER_AT (SEAL_NONCE_SIZE + SEAL_COMMITMENT_SIZE)

/* Decrypts to inner[0..sealed.len - INNER_AT - SEAL_TAG_SIZE). */
static int open_inner(const struct seal_job *job, struct bytes sealed, uint8_t *inner, size_t len)
{
	uint8_t keys[64];
	int err = 0;

	seal_split_key(job, sealed.p, keys);
	if (sodium_memcmp(keys, sealed.p + SEAL_NONCE_SIZE, SEAL_COMMITMENT_SIZE) != 0)
		err = ERR_COMMITMENT;
	else
		err = xchacha_open(keys + SEAL_COMMITMENT_SIZE, sealed.p, job->aad, bytes_of(sealed.p + INNER_AT, len),
			sealed.p + INNER_AT + len, inner);
	sodium_memzero(keys, sizeof keys);
	return err;
}

/* Finds the body inside: what sealing never makes is refused, so that one body has one padding. */
static int find_body(const struct seal_job *job, struct bytes inner, struct bytes *ret_body, uint8_t *ret_flag)
{
	size_t padded = inner.len - SEAL_TRAILER_SIZE, len = (size_t)bytes_get_be(inner.p + padded + 1, 4);

	if (len > padded || seal_padded(job, len) != padded)
		return ERR_INVALID;
	if (!sodium_is_zero(inner.p + len, padded - len))
		return ERR_INVALID;
	*ret_body = bytes_of(inner.p, len);
	*ret_flag = inner.p[padded];
	return 0;
}

static int put_raw(struct bytes body, size_t max, struct buf *b)
{
	if (body.len > max)
		return ERR_RANGE;
	return buf_put(b, body.p, body.len);
}

static int put_unsqueezed(struct bytes body, size_t max, struct buf *b)
{
	size_t start = b->len, len;
	uint8_t *p;
	int err = unsqueeze_size(body, max, &len);

	if (err < 0 || (err = buf_grow(b, len, &p)) < 0)
		return err;
	err = unsqueeze(body, p, len);
	if (err < 0) {
		sodium_memzero(p, len);
		b->len = start;
	}
	return err;
}

int open_core(const struct seal_job *job, struct bytes sealed, size_t max, struct buf *b)
{
	CLEANUP(buf_release) struct buf inner = BUF_INIT_SECRET(sealed.len);
	struct bytes body;
	uint8_t *p, flag;
	size_t len;
	int err;

	if (sealed.len < SEAL_OVERHEAD)
		return ERR_TRUNCATED;
	len = sealed.len - INNER_AT - SEAL_TAG_SIZE;
	if ((err = buf_grow(&inner, len, &p)) < 0)
		return err;
	if ((err = open_inner(job, sealed, p, len)) < 0)
		return err;
	if ((err = find_body(job, bytes_of(p, len), &body, &flag)) < 0)
		return err;
	if (flag == SEAL_FLAG_RAW)
		return put_raw(body, max, b);
	if (flag == SEAL_FLAG_ZSTD && job->squeeze)
		return put_unsqueezed(body, max, b);
	return ERR_INVALID;
}
