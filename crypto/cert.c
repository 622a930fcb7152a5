/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/cert.h"

#include <sodium.h>
#include "base/cleanup.h"
#include "crypto/verify.h"

int key_check_x25519(const struct id32 *key)
{
	/* Any scalar shows whether the point is of small order: it is clamped to a multiple of 8, so such a point gives zero. */
	static const uint8_t scalar[crypto_scalarmult_SCALARBYTES] = { 1 };
	uint8_t out[crypto_scalarmult_BYTES];

	return crypto_scalarmult(out, scalar, key->b) == 0 ? 0 : ERR_INVALID;
}

int key_check_ed25519(const struct id32 *key)
{
	return crypto_core_ed25519_is_valid_point(key->b) == 1 ? 0 : ERR_INVALID;
}

int card_verify(struct bytes item, bool check_signature, struct person_card *ret_card)
{
	struct person_card c;
	int err;

	if ((err = person_card_decode(item, &c)) < 0)
		return err;
	if (check_signature) {
		if ((err = key_check_ed25519(&c.root)) < 0 || (err = key_check_ed25519(&c.recovery_ed)) < 0 ||
			(err = key_check_x25519(&c.recovery_x)) < 0)
			return err;
		if ((err = verify_detached(CARD_LABEL, c.body, c.signature, &c.root)) < 0)
			return err;
	}
	*ret_card = c;
	return 0;
}

static int verify_link(const struct cert_link *l, const struct id32 *person)
{
	CLEANUP(buf_release) struct buf device = BUF_INIT(256);
	CLEANUP(buf_release) struct buf grant = BUF_INIT(256);
	int err;

	if ((err = cert_put_signed(&device, person, &l->ed, &l->x)) < 0)
		return err;
	if (!l->has_via)
		return verify_detached(CERT_LABEL, buf_bytes(&device), l->issuer_signature, &l->issuer);
	if ((err = grant_put_signed(&grant, person, &l->via)) < 0)
		return err;
	if ((err = verify_detached(GRANT_LABEL, buf_bytes(&grant), l->issuer_signature, &l->issuer)) < 0)
		return err;
	return verify_detached(CERT_LABEL, buf_bytes(&device), l->via_signature, &l->via);
}

int cert_verify(struct bytes item, const struct id32 *person, bool check_signature, struct cert_chain *ret_chain)
{
	const struct id32 *issuer = person;
	int err;

	if ((err = cert_chain_decode(item, ret_chain->links, &ret_chain->n)) < 0)
		return err;
	for (size_t i = 0; i < ret_chain->n; i++) {
		const struct cert_link *l = &ret_chain->links[i];

		if (!id32_equal(&l->issuer, issuer))
			return ERR_CONTEXT;
		if (id32_equal(&l->ed, person))
			return ERR_INVALID;
		if (check_signature) {
			if ((err = key_check_ed25519(&l->ed)) < 0 || (err = key_check_x25519(&l->x)) < 0)
				return err;
			if ((err = verify_link(l, person)) < 0)
				return err;
		}
		issuer = &l->ed;
	}
	return 0;
}
