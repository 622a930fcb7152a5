/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/seal_core.h"

#include <sodium.h>

#include "crypto/kdf.h"
#include "crypto/padme.h"
#include "crypto/seal.h"
#include "crypto/squeeze.h"
#include "crypto/xchacha.h"

_Static_assert(SEAL_NONCE_SIZE == XCHACHA_NONCE_SIZE, "nonce");
_Static_assert(SEAL_TAG_SIZE == XCHACHA_TAG_SIZE, "tag");
_Static_assert(SEAL_COMMITMENT_SIZE + XCHACHA_KEY_SIZE == 64, "split");

void seal_split_key(const struct seal_job *job, const uint8_t *nonce, uint8_t out[64])
{
	crypto_generichash_blake2b_state st;

	crypto_generichash_blake2b_init(&st, job->key, KEY_SIZE, 64);
	crypto_generichash_blake2b_update(&st, (const uint8_t *)job->label, strlen(job->label));
	crypto_generichash_blake2b_update(&st, nonce, SEAL_NONCE_SIZE);
	crypto_generichash_blake2b_final(&st, out, 64);
	sodium_memzero(&st, sizeof st);
}

void seal_node_key(
	const uint8_t epoch_key[KEY_SIZE], const struct id16 *space, const struct id16 *id, uint8_t out[KEY_SIZE])
{
	uint8_t space_key[KEY_SIZE];

	kdf_subkey(epoch_key, SEAL_CTX_SPACE, space, space_key);
	kdf_subkey(space_key, SEAL_CTX_NODE, id, out);
	sodium_memzero(space_key, sizeof space_key);
}

size_t seal_padded(const struct seal_job *job, size_t len)
{
	size_t n = padme_size(len);

	return n < job->least ? job->least : n;
}

/* Puts body, padding and trailer at `inner`, which has room for plain padded; *ret_len is what they take. */
static int fill_inner(const struct seal_job *job, struct bytes plain, uint8_t *inner, size_t *ret_len)
{
	size_t len = 0, padded;
	uint8_t flag = SEAL_FLAG_ZSTD;
	int err;

	if (job->squeeze && plain.len > 0) {
		err = squeeze(plain, inner, plain.len - plain.len / 20, &len); /* worth it from 5 % on */
		if (err < 0)
			return err;
	}
	if (len == 0) {
		flag = SEAL_FLAG_RAW;
		len = plain.len;
		if (len > 0)
			memcpy(inner, plain.p, len);
	}
	padded = seal_padded(job, len);
	memset(inner + len, 0, padded - len);
	inner[padded] = flag;
	for (unsigned i = 0; i < 4; i++)
		inner[padded + 1 + i] = (uint8_t)(len >> (24 - 8 * i));
	*ret_len = padded + SEAL_TRAILER_SIZE;
	return 0;
}

/* A body that is the plaintext itself is known by its hash: with the trailer that says the same as all of inner, a pass less. */
static void make_nonce(const struct seal_job *job, struct bytes inner, uint8_t *nonce)
{
	struct bytes trailer = bytes_of(inner.p + inner.len - SEAL_TRAILER_SIZE, SEAL_TRAILER_SIZE);
	crypto_generichash_blake2b_state st;
	uint8_t key[KEY_SIZE], hash[32], be[8];

	if (!job->derived) {
		randombytes_buf(nonce, SEAL_NONCE_SIZE);
		return;
	}
	bytes_put_be(be, job->aad.len, sizeof be);
	kdf_subkey(job->key, SEAL_CTX_NONCE, job->derived, key);
	crypto_generichash_blake2b_init(&st, key, sizeof key, sizeof hash);
	crypto_generichash_blake2b_update(&st, be, sizeof be);
	crypto_generichash_blake2b_update(&st, job->aad.p, job->aad.len);
	if (trailer.p[0] == SEAL_FLAG_RAW) {
		crypto_generichash_blake2b_update(&st, job->plain_hash->b, sizeof job->plain_hash->b);
		crypto_generichash_blake2b_update(&st, trailer.p, trailer.len);
	} else {
		crypto_generichash_blake2b_update(&st, inner.p, inner.len);
	}
	crypto_generichash_blake2b_final(&st, hash, sizeof hash);
	memcpy(nonce, hash, SEAL_NONCE_SIZE);
	sodium_memzero(key, sizeof key);
	sodium_memzero(&st, sizeof st);
}

int seal_core(const struct seal_job *job, struct bytes plain, struct buf *b)
{
	size_t start = b->len, len;
	uint8_t keys[64], *p, *inner;
	int err;

	if (plain.len > UINT32_MAX)
		return ERR_RANGE;
	err = buf_grow(b, SEAL_OVERHEAD + seal_padded(job, plain.len), &p);
	if (err < 0)
		return err;
	inner = p + SEAL_NONCE_SIZE + SEAL_COMMITMENT_SIZE;
	err = fill_inner(job, plain, inner, &len);
	if (err < 0) {
		b->len = start;
		return err;
	}
	make_nonce(job, bytes_of(inner, len), p);
	seal_split_key(job, p, keys);
	memcpy(p + SEAL_NONCE_SIZE, keys, SEAL_COMMITMENT_SIZE);
	err = xchacha_seal(keys + SEAL_COMMITMENT_SIZE, p, job->aad, bytes_of(inner, len), inner, inner + len);
	sodium_memzero(keys, sizeof keys);
	b->len = err < 0 ? start : start + SEAL_NONCE_SIZE + SEAL_COMMITMENT_SIZE + len + SEAL_TAG_SIZE;
	return err;
}
