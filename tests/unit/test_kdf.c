/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"

#include <sodium.h>

#include "crypto/hash.h"
#include "crypto/kdf.h"

static int derive(uint64_t ops, uint64_t mem, const char *passphrase)
{
	struct kdf_params p = { .ops = ops, .mem = mem };
	struct secret *key;
	int err = kdf_passphrase(bytes_str(passphrase), &p, &key);

	if (err == 0)
		secret_free(key);
	return err;
}

static void refuses_weak_and_absurd_parameters(void **state)
{
	char longest[KDF_PASSPHRASE_MAX + 2];

	(void)state;
	assert_int_equal(derive(1, KDF_MEM_MIN, "p"), ERR_RANGE);
	assert_int_equal(derive(2, KDF_MEM_MIN - 1, "p"), ERR_RANGE);
	assert_int_equal(derive(1, 8192, "p"), ERR_RANGE);
	assert_int_equal(derive(KDF_OPS_MAX + 1, KDF_MEM_MIN, "p"), ERR_RANGE);
	assert_int_equal(derive(2, (uint64_t)KDF_MEM_MAX + 1, "p"), ERR_RANGE);
	assert_int_equal(derive(2, (uint64_t)1 << 40, "p"), ERR_RANGE);
	assert_int_equal(derive(UINT64_MAX, UINT64_MAX, "p"), ERR_RANGE);
	assert_int_equal(derive(2, KDF_MEM_MIN, ""), ERR_RANGE);
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	assert_int_equal(derive(2, KDF_MEM_MIN, longest), ERR_RANGE);
}

static void is_argon2id(void **state)
{
	struct kdf_params p = { .ops = KDF_OPS_MIN, .mem = KDF_MEM_MIN, .salt = { 1, 2, 3 } };
	struct secret *key;
	uint8_t want[32];

	(void)state;
	assert_int_equal(kdf_passphrase(bytes_str("open sesame"), &p, &key), 0);
	assert_int_equal(
		crypto_pwhash(want, 32, "open sesame", 11, p.salt, 2, 64u << 20, crypto_pwhash_ALG_ARGON2ID13), 0);
	unit_assert_bytes(secret_bytes(key), bytes_of(want, 32));
	secret_free(key);
}

static void default_parameters(void **state)
{
	struct kdf_params a, b;

	(void)state;
	kdf_params_new(&a);
	kdf_params_new(&b);
	assert_int_equal(a.ops, 3);
	assert_int_equal(a.mem, 268435456);
	assert_memory_not_equal(a.salt, b.salt, sizeof a.salt);
}

static void subkey_is_libsodiums_construction(void **state)
{
	uint8_t key[32], want[32], got[32];
	struct id16 salt = { { 7 } }; /* as a u64 little-endian: 7 */

	(void)state;
	for (unsigned i = 0; i < 32; i++)
		key[i] = (uint8_t)i;
	assert_int_equal(crypto_kdf_blake2b_derive_from_key(want, 32, 7, "cof-test", key), 0);
	kdf_subkey(key, "cof-test", &salt, got);
	unit_assert_bytes(bytes_of(got, 32), bytes_of(want, 32));
	salt.b[15] = 1;
	kdf_subkey(key, "cof-test", &salt, got);
	assert_memory_not_equal(got, want, 32);
	kdf_subkey(key, "cof-tesu", &(struct id16){ { 7 } }, got);
	assert_memory_not_equal(got, want, 32);
}

/* SipHash's own vectors (Aumasson and Bernstein, 2012, appendix A, and the first of its vectors.h): key 00 .. 0f, input nothing and 00 .. 0e. */
static void short_hash_is_siphash(void **state)
{
	uint8_t seed[HASH_SEED], in[15];

	(void)state;
	for (unsigned i = 0; i < sizeof seed; i++)
		seed[i] = (uint8_t)i;
	for (unsigned i = 0; i < sizeof in; i++)
		in[i] = (uint8_t)i;
	assert_int_equal(hash_short(seed, bytes_of(NULL, 0)), 0x726fdb47dd0e0e31);
	assert_int_equal(hash_short(seed, bytes_of(in, sizeof in)), 0xa129ca6149be45e5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_weak_and_absurd_parameters),
		cmocka_unit_test(is_argon2id),
		cmocka_unit_test(default_parameters),
		cmocka_unit_test(subkey_is_libsodiums_construction),
		cmocka_unit_test(short_hash_is_siphash),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
