/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/verify.h"

#include <sodium.h>

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/labelled.h"

int verify_detached(
	const char *label, struct bytes message, const uint8_t signature[SIGNATURE_SIZE], const struct id32 *key)
{
	CLEANUP(labelled_release) struct labelled l;
	int err = labelled_init(&l, label, message);

	if (err < 0)
		return err;
	return crypto_sign_verify_detached(signature, l.p, l.len, key->b) == 0 ? 0 : ERR_SIGNATURE;
}

int verify_record(struct bytes blob, const struct id16 *space, const struct id16 *id, struct record *ret_r)
{
	struct record r;
	struct id32 hash;
	int err = record_decode(blob, &r);

	if (err < 0)
		return err;
	if (!id16_equal(&r.h.space, space) || (id && !id16_equal(&r.h.id, id)))
		return ERR_CONTEXT;
	hash_sha256(r.sealed, &hash);
	if (!id32_equal(&hash, &r.h.sealed_hash))
		return ERR_TAMPERED;
	err = verify_detached(RECORD_LABEL, r.header, r.signature, &r.h.author);
	if (err < 0)
		return err;
	*ret_r = r;
	return 0;
}

int verify_head(struct bytes blob, const struct id16 *space, struct head *ret_h)
{
	struct head h;
	struct bytes body;
	uint8_t signature[SIGNATURE_SIZE];
	int err = head_decode(blob, &h, &body, signature);

	if (err < 0)
		return err;
	if (!id16_equal(&h.space, space))
		return ERR_CONTEXT;
	err = verify_detached(HEAD_LABEL, body, signature, &h.device);
	if (err < 0)
		return err;
	*ret_h = h;
	return 0;
}
