/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"

#include "crypto/padme.h"

static void known_sizes(void **state)
{
	/* by hand from the algorithm: E = floor(log2 L), S = floor(log2 E) + 1, E - S low bits rounded up */
	static const struct {
		size_t len, want;
	} table[] = { { 0, 0 }, { 1, 1 }, { 2, 2 }, { 3, 3 }, { 8, 8 }, { 9, 10 }, { 15, 16 }, { 17, 18 }, { 32, 32 },
		{ 33, 36 }, { 64, 64 }, { 65, 72 }, { 100, 104 }, { 127, 128 }, { 128, 128 }, { 129, 144 },
		{ 255, 256 }, { 256, 256 }, { 257, 272 }, { 1000, 1024 }, { 1024, 1024 }, { 1025, 1088 },
		{ 65536, 65536 }, { 65537, 67584 }, { 1048575, 1048576 }, { 1048576, 1048576 }, { 1048577, 1081344 } };

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++)
		assert_int_equal(padme_size(table[i].len), table[i].want);
}

static void overhead_and_order(void **state)
{
	size_t sizes = 0, last = 0;

	(void)state;
	for (size_t len = 1; len <= 4u << 20; len++) {
		size_t n = padme_size(len);

		assert_true(n >= len && n >= last);
		assert_true((double)(n - len) <= 0.12 * (double)len);
		if (len >= 65536)
			assert_true((double)(n - len) <= 0.032 * (double)len);
		assert_int_equal(padme_size(n), n);
		if (n != last)
			sizes++;
		last = n;
	}
	assert_int_equal(sizes, 364);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_sizes),
		cmocka_unit_test(overhead_and_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
