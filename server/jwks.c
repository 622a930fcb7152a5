/* SPDX-License-Identifier: Apache-2.0 */
/* A key set's usable keys: EC P-256 and RSA with a key id, not meant for encryption. What cannot be used is skipped. */
#include "base/cleanup.h"
#include "server/issuers.h"
#include "server/json.h"

static struct bytes text_at(const json_t *object, const char *name)
{
	const char *s = json_string_at(object, name);

	return s ? bytes_str(s) : bytes_of(NULL, 0);
}

static int read_key(const json_t *jwk, struct issuer_key *ret)
{
	const char *kid = json_string_at(jwk, "kid"), *kty = json_string_at(jwk, "kty");
	const char *use = json_string_at(jwk, "use"), *crv = json_string_at(jwk, "crv");

	if (!kid || !*kid || strlen(kid) >= sizeof ret->kid || !kty || (use && strcmp(use, "enc") == 0))
		return ERR_INVALID;
	snprintf(ret->kid, sizeof ret->kid, "%s", kid);
	if (strcmp(kty, "EC") == 0 && crv && strcmp(crv, "P-256") == 0)
		return jws_key_p256(text_at(jwk, "x"), text_at(jwk, "y"), &ret->key);
	if (strcmp(kty, "RSA") == 0)
		return jws_key_rsa(text_at(jwk, "n"), text_at(jwk, "e"), &ret->key);
	return ERR_INVALID;
}

int jwks_read(struct bytes text, struct issuer_key *ret_keys)
{
	CLEANUP(json_release) json_t *json = NULL;
	const json_t *keys;
	int n = 0, err;

	if (text.len > JWKS_MAX)
		return ERR_INVALID;
	if ((err = json_object_of(text, &json)) < 0)
		return err;
	keys = json_object_get(json, "keys");
	if (!json_is_array(keys))
		return ERR_INVALID;
	for (size_t i = 0; i < json_array_size(keys) && n < ISSUERS_KEYS_MAX; i++)
		if (read_key(json_array_get(keys, i), &ret_keys[n]) == OK)
			n++;
	return n;
}
