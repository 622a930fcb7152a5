/* SPDX-License-Identifier: Apache-2.0 */
#include <sodium.h>

#include "base/cleanup.h"
#include "crypto/hpke.h"
#include "crypto/hpke_schedule.h"

int hpke_open(const struct secret *key, const uint8_t enc[HPKE_ENC_SIZE], struct bytes info, struct bytes aad,
	struct bytes ct, struct secret **ret_plain)
{
	CLEANUP(secret_freep) struct secret *plain = NULL;
	struct hpke_keys keys;
	struct id32 recipient;
	int err = hpke_public(key, &recipient);

	if (err < 0)
		return err;
	if (ct.len <= HPKE_TAG_SIZE)
		return ERR_TRUNCATED;
	if (ct.len > HPKE_MAX_PLAIN + HPKE_TAG_SIZE)
		return ERR_RANGE;
	if ((err = secret_new(ct.len - HPKE_TAG_SIZE, &plain)) < 0)
		return err;
	if ((err = hpke_schedule(secret_key(key), enc, enc, recipient.b, info, &keys)) < 0)
		return err;
	if (crypto_aead_chacha20poly1305_ietf_decrypt(
		    secret_data(plain), NULL, NULL, ct.p, ct.len, aad.p, aad.len, keys.nonce, keys.key) != 0)
		err = ERR_TAMPERED;
	sodium_memzero(&keys, sizeof keys);
	if (err == 0)
		*ret_plain = STEAL(&plain);
	return err;
}
