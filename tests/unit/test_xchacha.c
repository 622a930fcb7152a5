/* SPDX-License-Identifier: Apache-2.0 */
/* What libcrypto does of long messages is, byte for byte, what libsodium does. */
#include "tests/lib/unit.h"

#include <sodium.h>
#include <stdlib.h>

#include "crypto/hash.h"
#include "crypto/xchacha.h"

#define MOST (1u << 20)

static const size_t LENGTHS[] = { 0, 1, 63, 64, 65, XCHACHA_LONG - 1, XCHACHA_LONG, XCHACHA_LONG + 1, 16383, 16384,
	65537, MOST };

struct message {
	uint8_t key[XCHACHA_KEY_SIZE], nonce[XCHACHA_NONCE_SIZE], tag[XCHACHA_TAG_SIZE];
	uint8_t *plain, *sealed, *out;
	struct bytes aad;
};

static int setup(void **state)
{
	struct message *m = calloc(1, sizeof *m);
	uint64_t seed = 7;

	assert_non_null(m);
	m->plain = malloc(MOST);
	m->sealed = malloc(MOST);
	m->out = malloc(MOST);
	assert_true(m->plain && m->sealed && m->out);
	for (size_t i = 0; i < MOST; i++)
		m->plain[i] = (uint8_t)unit_random(&seed);
	for (size_t i = 0; i < sizeof m->key; i++)
		m->key[i] = (uint8_t)unit_random(&seed);
	for (size_t i = 0; i < sizeof m->nonce; i++)
		m->nonce[i] = (uint8_t)unit_random(&seed);
	m->aad = bytes_str("what it belongs to");
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct message *m = *state;

	free(m->plain);
	free(m->sealed);
	free(m->out);
	free(m);
	return 0;
}

static void seals_as_libsodium_does(void **state)
{
	struct message *m = *state;
	uint8_t tag[XCHACHA_TAG_SIZE];

	for (size_t i = 0; i < 2 * COUNT(LENGTHS); i++) {
		size_t n = LENGTHS[i / 2];
		struct bytes aad = i % 2 ? m->aad : bytes_of(NULL, 0);

		assert_int_equal(xchacha_seal(m->key, m->nonce, aad, bytes_of(m->plain, n), m->sealed, m->tag), 0);
		crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
			m->out, tag, NULL, m->plain, n, aad.p, aad.len, NULL, m->nonce, m->key);
		assert_memory_equal(m->sealed, m->out, n);
		assert_memory_equal(m->tag, tag, sizeof tag);
	}
}

static void opens_in_place(void **state)
{
	struct message *m = *state;

	for (size_t i = 0; i < COUNT(LENGTHS); i++) {
		size_t n = LENGTHS[i];

		memcpy(m->out, m->plain, n);
		assert_int_equal(xchacha_seal(m->key, m->nonce, m->aad, bytes_of(m->out, n), m->out, m->tag), 0);
		assert_int_equal(xchacha_open(m->key, m->nonce, m->aad, bytes_of(m->out, n), m->tag, m->out), 0);
		assert_memory_equal(m->out, m->plain, n);
	}
}

static void expect_refused(struct message *m, size_t n, struct bytes aad)
{
	memset(m->out, 0xaa, n);
	assert_int_equal(xchacha_open(m->key, m->nonce, aad, bytes_of(m->sealed, n), m->tag, m->out), ERR_TAMPERED);
	assert_true(sodium_is_zero(m->out, n));
}

static void refuses_what_was_changed(void **state)
{
	struct message *m = *state;

	for (size_t i = 1; i < COUNT(LENGTHS); i++) {
		size_t n = LENGTHS[i];

		assert_int_equal(xchacha_seal(m->key, m->nonce, m->aad, bytes_of(m->plain, n), m->sealed, m->tag), 0);
		for (size_t k = 0; k < 8; k++) {
			m->sealed[(n - 1) * k / 7] ^= 1;
			expect_refused(m, n, m->aad);
			m->sealed[(n - 1) * k / 7] ^= 1;
			m->tag[2 * k] ^= 0x80;
			expect_refused(m, n, m->aad);
			m->tag[2 * k] ^= 0x80;
			m->nonce[3 * k] ^= 4;
			expect_refused(m, n, m->aad);
			m->nonce[3 * k] ^= 4;
		}
		expect_refused(m, n, bytes_str("something else"));
		assert_int_equal(xchacha_open(m->key, m->nonce, m->aad, bytes_of(m->sealed, n), m->tag, m->out), 0);
	}
}

static void hashes_long_inputs_as_libsodium_does(void **state)
{
	struct message *m = *state;
	const char *label = "coffer/example/1";

	for (size_t i = 0; i < COUNT(LENGTHS); i++) {
		crypto_generichash_blake2b_state st;
		struct id32 want, got;

		assert_int_equal(crypto_generichash_blake2b_init(&st, m->key, sizeof m->key, sizeof want.b), 0);
		crypto_generichash_blake2b_update(&st, (const uint8_t *)label, strlen(label));
		crypto_generichash_blake2b_update(&st, m->plain, LENGTHS[i]);
		crypto_generichash_blake2b_final(&st, want.b, sizeof want.b);
		hash_keyed(m->key, label, bytes_of(m->plain, LENGTHS[i]), &got);
		assert_memory_equal(got.b, want.b, sizeof want.b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seals_as_libsodium_does),
		cmocka_unit_test(opens_in_place),
		cmocka_unit_test(refuses_what_was_changed),
		cmocka_unit_test(hashes_long_inputs_as_libsodium_does),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, setup, teardown);
}
