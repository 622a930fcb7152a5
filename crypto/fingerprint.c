/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/fingerprint.h"

#include <openssl/evp.h>
#include <sodium.h>

int fingerprint_make(const uint8_t key[FINGERPRINT_KEY_SIZE], struct bytes in, struct fingerprint *ret_f)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "POLY1305", NULL);
	EVP_MAC_CTX *c = mac ? EVP_MAC_CTX_new(mac) : NULL;
	struct fingerprint f;
	size_t n = 0;
	int err = mac ? ERR_NOMEM : ERR_UNSUPPORTED;

	if (c && EVP_MAC_init(c, key, FINGERPRINT_KEY_SIZE, NULL) == 1 && EVP_MAC_update(c, in.p, in.len) == 1 &&
		EVP_MAC_final(c, f.b, &n, sizeof f.b) == 1)
		err = n == sizeof f.b ? OK : ERR_UNSUPPORTED;
	EVP_MAC_CTX_free(c);
	EVP_MAC_free(mac);
	if (err == OK)
		*ret_f = f;
	return err;
}

bool fingerprint_equal(const struct fingerprint *a, const struct fingerprint *b)
{
	return sodium_memcmp(a->b, b->b, sizeof a->b) == 0;
}
