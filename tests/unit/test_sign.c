/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"
#include "tests/lib/mutate.h"

#include "crypto/hash.h"
#include "crypto/sign.h"
#include "crypto/verify.h"

/* RFC 8032 §7.1, test 2. */
static void rfc8032(void **state)
{
	static const char seed_hex[] = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
	struct buf seed = BUF_INIT(32);
	struct secret *key;
	struct id32 public, again;
	uint8_t signature[64];

	(void)state;
	unit_put_hex(&seed, seed_hex);
	assert_int_equal(sign_keypair_from_seed(seed.data, &key, &public), 0);
	unit_assert_hex(bytes_of(public.b, 32), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
	assert_int_equal(sign_public(key, &again), 0);
	assert_true(id32_equal(&public, &again));
	assert_int_equal(sign_detached("", bytes_of("\x72", 1), key, signature), 0);
	unit_assert_hex(bytes_of(signature, 64), "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
						 "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
	secret_free(key);
	buf_release(&seed);
}

static void labels_part_signatures(void **state)
{
	static const size_t sizes[] = { 0, 1, 100, 4096 - 13, 4096 - 14, 4097, 100000 };
	uint8_t *message = calloc(1, 100000), signature[64];
	struct secret *key;
	struct id32 public;

	(void)state;
	assert_non_null(message);
	assert_int_equal(sign_keypair_new(&key, &public), 0);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct bytes m = bytes_of(message, sizes[i]);

		assert_int_equal(sign_detached("coffer/test/1", m, key, signature), 0);
		assert_int_equal(verify_detached("coffer/test/1", m, signature, &public), 0);
		assert_int_equal(verify_detached("coffer/test/2", m, signature, &public), ERR_SIGNATURE);
		if (sizes[i] > 0) {
			message[sizes[i] - 1] = 1;
			assert_int_equal(verify_detached("coffer/test/1", m, signature, &public), ERR_SIGNATURE);
			message[sizes[i] - 1] = 0;
		}
	}
	free(message);
	secret_free(key);
}

static void refuses_keys_of_another_kind(void **state)
{
	struct secret *key;
	struct id32 public;
	uint8_t signature[64] = { 1 };
	struct id32 neutral = { { 1 } };

	(void)state;
	assert_int_equal(secret_random(32, &key), 0);
	assert_int_equal(sign_public(key, &public), ERR_INVALID);
	assert_int_equal(sign_detached("coffer/test/1", bytes_str("m"), key, signature), ERR_INVALID);
	/* the neutral element as key, R = neutral, S = 0 verifies everywhere that does not refuse small order */
	memset(signature, 0, sizeof signature);
	signature[0] = 1;
	assert_int_equal(verify_detached("coffer/test/1", bytes_str("m"), signature, &neutral), ERR_SIGNATURE);
	secret_free(key);
}

static int verify_changed_head(struct bytes changed, size_t at, void *arg)
{
	struct head h;

	(void)at;
	return verify_head(changed, arg, &h);
}

static void heads(void **state)
{
	struct buf b = BUF_INIT(HEAD_MAX_BLOB);
	struct head h = { .cursor = 77, .time = 5 }, got;
	struct id16 other = { { 9 } };
	struct secret *key, *wrong;
	struct id32 public;

	(void)state;
	h.space.b[0] = 1;
	assert_int_equal(sign_keypair_new(&key, &h.device), 0);
	assert_int_equal(sign_keypair_new(&wrong, &public), 0);
	assert_int_equal(sign_head(&h, wrong, &b), ERR_INVALID);
	assert_int_equal(sign_head(&h, key, &b), 0);
	assert_int_equal(verify_head(buf_bytes(&b), &h.space, &got), 0);
	assert_int_equal(got.cursor, 77);
	assert_int_equal(verify_head(buf_bytes(&b), &other, &got), ERR_CONTEXT);
	mutate_flips(buf_bytes(&b), verify_changed_head, &h.space);
	mutate_lengths(buf_bytes(&b), verify_changed_head, &h.space);
	secret_free(key);
	secret_free(wrong);
	buf_release(&b);
}

static void hashes(void **state)
{
	struct id32 h, g;
	uint8_t key[32] = { 1 };

	(void)state;
	hash_sha256(bytes_str("abc"), &h); /* FIPS 180-4 */
	unit_assert_hex(bytes_of(h.b, 32), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hash_plain("a", bytes_str("bc"), &h); /* BLAKE2b-256 of "abc" */
	unit_assert_hex(bytes_of(h.b, 32), "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
	hash_keyed(key, "a", bytes_str("bc"), &g);
	assert_false(id32_equal(&h, &g));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc8032),
		cmocka_unit_test(labels_part_signatures),
		cmocka_unit_test(refuses_keys_of_another_kind),
		cmocka_unit_test(heads),
		cmocka_unit_test(hashes),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
