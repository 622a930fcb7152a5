/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"

#include "crypto/aead.h"
#include "crypto/hash.h"

static const uint8_t KEY[AEAD_KEY_SIZE] = { 1 };
static const enum aead_suite SUITES[] = { AEAD_AES256GCM, AEAD_XCHACHA20 };

static struct aead *new_aead(enum aead_suite suite)
{
	struct aead *a;

	assert_int_equal(aead_new(suite, KEY, &a), 0);
	return a;
}

static void refuses_every_change(void **state)
{
	uint8_t plain[] = "one page of the cache", ct[sizeof plain], out[sizeof plain], tag[AEAD_TAG_SIZE];
	const struct bytes aad = bytes_str("page 7");
	const struct aead_nonce nonce = { 3, 7 };

	(void)state;
	for (size_t s = 0; s < COUNT(SUITES); s++) {
		struct aead *a = new_aead(SUITES[s]);

		assert_int_equal(aead_suite(a), SUITES[s]);
		assert_int_equal(aead_seal(a, nonce, aad, bytes_of(plain, sizeof plain), ct, tag), 0);
		assert_int_equal(aead_open(a, nonce, aad, bytes_of(ct, sizeof ct), tag, out), 0);
		assert_memory_equal(out, plain, sizeof plain);
		for (size_t i = 0; i < sizeof ct + sizeof tag; i++) {
			uint8_t *at = i < sizeof ct ? &ct[i] : &tag[i - sizeof ct];

			*at ^= (uint8_t)(1u << i % 8);
			memset(out, 0xaa, sizeof out);
			assert_int_equal(aead_open(a, nonce, aad, bytes_of(ct, sizeof ct), tag, out), ERR_TAMPERED);
			for (size_t k = 0; k < sizeof out; k++)
				assert_int_equal(out[k], 0);
			*at ^= (uint8_t)(1u << i % 8);
		}
		assert_int_equal(aead_open(a, (struct aead_nonce){ 3, 8 }, aad, bytes_of(ct, sizeof ct), tag, out),
			ERR_TAMPERED);
		assert_int_equal(aead_open(a, (struct aead_nonce){ 4, 7 }, aad, bytes_of(ct, sizeof ct), tag, out),
			ERR_TAMPERED);
		assert_int_equal(
			aead_open(a, nonce, bytes_str("page 8"), bytes_of(ct, sizeof ct), tag, out), ERR_TAMPERED);
		assert_int_equal(aead_open(a, nonce, aad, bytes_of(ct, sizeof ct - 1), tag, out), ERR_TAMPERED);
		assert_int_equal(
			aead_open(a, nonce, aad, bytes_of(ct, sizeof ct), tag, out), 0); /* and it goes on working */
		aead_free(a);
	}
}

static void in_place_and_empty(void **state)
{
	uint8_t page[4096], want[4096], tag[AEAD_TAG_SIZE];
	uint64_t seed = 2;

	(void)state;
	for (size_t i = 0; i < sizeof want; i++)
		want[i] = (uint8_t)unit_random(&seed);
	for (size_t s = 0; s < COUNT(SUITES); s++) {
		struct aead *a = new_aead(SUITES[s]);
		struct aead_nonce n = { 0, 1 };

		memcpy(page, want, sizeof page);
		assert_int_equal(aead_seal(a, n, bytes_of(NULL, 0), bytes_of(page, sizeof page), page, tag), 0);
		assert_memory_not_equal(page, want, sizeof page);
		assert_int_equal(aead_open(a, n, bytes_of(NULL, 0), bytes_of(page, sizeof page), tag, page), 0);
		assert_memory_equal(page, want, sizeof page);
		n.counter++;
		assert_int_equal(aead_seal(a, n, bytes_str("only aad"), bytes_of(NULL, 0), page, tag), 0);
		assert_int_equal(aead_open(a, n, bytes_str("only aad"), bytes_of(NULL, 0), tag, page), 0);
		assert_int_equal(aead_open(a, n, bytes_str("other aad"), bytes_of(NULL, 0), tag, page), ERR_TAMPERED);
		aead_free(a);
	}
}

/* Each unit by itself: what readers of the cache do. */
static int open_units(struct aead *a, struct aead_nonce at, struct bytes sealed, uint8_t *out)
{
	int err = 0;

	for (size_t n; sealed.len > 0 && err == 0; at.counter++, out += n) {
		n = (sealed.len < 4112 ? sealed.len : 4112) - AEAD_TAG_SIZE;
		err = aead_open(a, at, bytes_str("x"), bytes_of(sealed.p, n), sealed.p + n, out);
		sealed = bytes_of(sealed.p + n + AEAD_TAG_SIZE, sealed.len - n - AEAD_TAG_SIZE);
	}
	return err;
}

static void units_are_single_seals(void **state)
{
	static const size_t sizes[] = { 1, 4095, 4096, 4097, 12288, 20000 };
	uint8_t plain[20000], sealed[20000 + 5 * AEAD_TAG_SIZE], out[20000];
	uint64_t seed = 3;

	(void)state;
	for (size_t i = 0; i < sizeof plain; i++)
		plain[i] = (uint8_t)unit_random(&seed);
	for (size_t s = 0; s < COUNT(SUITES); s++) {
		struct aead *a = new_aead(SUITES[s]), *b;

		assert_int_equal(aead_dup(a, &b), 0);
		for (size_t i = 0; i < COUNT(sizes); i++) {
			size_t n = sizes[i], size = aead_units_size(n, 4096);
			const struct aead_nonce first = { 9, 1000 * i };

			assert_int_equal(
				aead_seal_units(a, first, bytes_str("x"), 4096, bytes_of(plain, n), sealed), 0);
			assert_int_equal(open_units(b, first, bytes_of(sealed, size), out), 0);
			assert_memory_equal(out, plain, n);
			sealed[size - 1] ^= 1;
			assert_int_equal(open_units(b, first, bytes_of(sealed, size), out), ERR_TAMPERED);
		}
		aead_free(a);
		aead_free(b);
	}
}

static void suites_and_keys_differ(void **state)
{
	uint8_t ct[2][16], tag[2][AEAD_TAG_SIZE], out[16], other[AEAD_KEY_SIZE] = { 2 };
	const struct aead_nonce n = { 0, 0 };
	struct aead *a;

	(void)state;
	assert_int_equal(aead_new((enum aead_suite)3, KEY, &a), ERR_UNSUPPORTED);
	for (size_t s = 0; s < COUNT(SUITES); s++) {
		a = new_aead(SUITES[s]);
		assert_int_equal(aead_seal(a, n, bytes_str(""), bytes_str("0123456789abcdef"), ct[s], tag[s]), 0);
		aead_free(a);
		assert_int_equal(aead_new(SUITES[s], other, &a), 0);
		assert_int_equal(aead_open(a, n, bytes_str(""), bytes_of(ct[s], 16), tag[s], out), ERR_TAMPERED);
		aead_free(a);
	}
	assert_memory_not_equal(ct[0], ct[1], 16);
	aead_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_every_change),
		cmocka_unit_test(in_place_and_empty),
		cmocka_unit_test(units_are_single_seals),
		cmocka_unit_test(suites_and_keys_differ),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
