/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"

#include <stdlib.h>

#include "crypto/fingerprint.h"
#include "crypto/hash.h"

#define SIZE 4096

/* RFC 8439 section 2.5.2 */
static void is_poly1305(void **state)
{
	struct buf key = BUF_INIT(FINGERPRINT_KEY_SIZE);
	struct fingerprint f;

	(void)state;
	unit_put_hex(&key, "85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b");
	assert_int_equal(fingerprint_make(key.data, bytes_str("Cryptographic Forum Research Group"), &f), 0);
	unit_assert_hex(bytes_of(f.b, sizeof f.b), "a8061dc1305136c6c22b8baf0c0127a9");
	buf_release(&key);
}

static void tells_every_other_byte_and_length(void **state)
{
	const uint8_t key[FINGERPRINT_KEY_SIZE] = { 3, 1, 4, 1, 5, 9 }, other_key[FINGERPRINT_KEY_SIZE] = { 2, 7, 1 };
	uint8_t *p = calloc(1, SIZE + 1);
	struct fingerprint first, f;
	uint64_t seed = 5;

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < SIZE; i++)
		p[i] = (uint8_t)unit_random(&seed);
	assert_int_equal(fingerprint_make(key, bytes_of(p, SIZE), &first), 0);
	for (size_t i = 0; i < SIZE; i++) {
		p[i] ^= 1;
		assert_int_equal(fingerprint_make(key, bytes_of(p, SIZE), &f), 0);
		assert_false(fingerprint_equal(&f, &first));
		p[i] ^= 1;
		assert_int_equal(fingerprint_make(key, bytes_of(p, i), &f), 0);
		assert_false(fingerprint_equal(&f, &first));
	}
	assert_int_equal(fingerprint_make(key, bytes_of(p, SIZE + 1), &f), 0);
	assert_false(fingerprint_equal(&f, &first));
	assert_int_equal(fingerprint_make(key, bytes_of(p, SIZE), &f), 0);
	assert_true(fingerprint_equal(&f, &first));
	assert_int_equal(fingerprint_make(other_key, bytes_of(p, SIZE), &f), 0);
	assert_false(fingerprint_equal(&f, &first));
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_poly1305),
		cmocka_unit_test(tells_every_other_byte_and_length),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
