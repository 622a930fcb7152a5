/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/sign.h"

#include <sodium.h>

#include "base/cleanup.h"
#include "crypto/labelled.h"

_Static_assert(SIGN_KEY_SIZE == crypto_sign_SECRETKEYBYTES, "libsodium's form");

int sign_keypair_from_seed(const uint8_t seed[SIGN_SEED_SIZE], struct secret **ret_key, struct id32 *ret_public)
{
	struct secret *key;
	int err = secret_new(SIGN_KEY_SIZE, &key);

	if (err < 0)
		return err;
	crypto_sign_seed_keypair(ret_public->b, secret_data(key), seed);
	*ret_key = key;
	return 0;
}

int sign_keypair_new(struct secret **ret_key, struct id32 *ret_public)
{
	uint8_t seed[SIGN_SEED_SIZE];
	int err;

	randombytes_buf(seed, sizeof seed);
	err = sign_keypair_from_seed(seed, ret_key, ret_public);
	sodium_memzero(seed, sizeof seed);
	return err;
}

int sign_public(const struct secret *key, struct id32 *ret_public)
{
	if (secret_len(key) != SIGN_KEY_SIZE)
		return ERR_INVALID;
	memcpy(ret_public->b, secret_bytes(key).p + SIGN_SEED_SIZE, sizeof ret_public->b);
	return 0;
}

int sign_detached(const char *label, struct bytes message, const struct secret *key, uint8_t ret_signature[64])
{
	CLEANUP(labelled_release) struct labelled l = { .memory = NULL };
	int err;

	if (secret_len(key) != SIGN_KEY_SIZE)
		return ERR_INVALID;
	err = labelled_init(&l, label, message);
	if (err < 0)
		return err;
	crypto_sign_detached(ret_signature, NULL, l.p, l.len, secret_bytes(key).p);
	return 0;
}

int sign_head(const struct head *h, const struct secret *key, struct buf *b)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(HEAD_MAX_BLOB);
	uint8_t signature[64];
	struct id32 device;
	int err = sign_public(key, &device);

	if (err < 0)
		return err;
	if (!id32_equal(&device, &h->device))
		return ERR_INVALID;
	if ((err = head_put_body(&body, h)) < 0)
		return err;
	if ((err = sign_detached(HEAD_LABEL, buf_bytes(&body), key, signature)) < 0)
		return err;
	return head_put(b, buf_bytes(&body), signature);
}
