/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes from issuers and in their tokens: key sets, headers, claims, keys. Never more than an error; a key that was read
 * is of a size that its kind has.
 */
#include <stdlib.h>
#include "server/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_key(const struct jws_key *k)
{
	const size_t sizes[][2] = {
		[JWS_P256] = { 33, 33 }, [JWS_ED25519] = { 32, 32 }, [JWS_RSA] = { JWS_RSA_MIN, JWS_RSA_MAX }
	};

	if (k->len < sizes[k->kind][0] || k->len > sizes[k->kind][1])
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct issuer_key keys[ISSUERS_KEYS_MAX]; /* too large for the stack */
	static const char *const specs[] = { "https://accounts.example.org" };
	static struct issuers *is;
	struct jwt_rules rules = { 0 };
	struct plain_self self;
	struct jws_key key;
	int count = jwks_read(bytes_of(p, n), keys);

	for (int i = 0; i < count; i++)
		check_key(&keys[i].key);
	if (jws_key_did(bytes_of(p, n), &key) == OK)
		check_key(&key);
	if (!is && (issuers_new(env_system(), &is) < 0 || issuers_set(is, specs, 1) < 0))
		abort();
	rules.issuers = is;
	(void)jwt_is(bytes_of(p, n));
	if (jwt_verify(bytes_of(p, n), &rules, 1900000000, &self, &(int64_t){ 0 }) == OK)
		abort(); /* no key was ever fetched */
	return 0;
}
