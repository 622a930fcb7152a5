/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "base/err.h"
#include "tests/lib/unit.h"

static void every_code_has_its_own_name_and_phrase(void **state)
{
	(void)state;
	for (int a = OK; a >= ERR_INTERNAL; a--) {
		assert_string_not_equal(err_name(a), "UNKNOWN");
		for (int b = OK; b > a; b--) {
			assert_string_not_equal(err_name(a), err_name(b));
			assert_string_not_equal(err_str(a), err_str(b));
		}
	}
	assert_string_equal(err_name(ERR_SIGNATURE), "SIGNATURE");
	assert_string_equal(err_str(ERR_SIGNATURE), "signature does not verify");
	assert_string_equal(err_name(ERR_INTERNAL), "INTERNAL");
}

static void codes_that_do_not_exist_are_unknown(void **state)
{
	(void)state;
	static const int codes[] = { 1, ERR_INTERNAL - 1, -1000000, 1000000, INT32_MIN, INT32_MAX };
	for (size_t i = 0; i < COUNT(codes); i++) {
		assert_string_equal(err_name(codes[i]), "UNKNOWN");
		assert_string_equal(err_str(codes[i]), "unknown error");
	}
}

static void errno_values_become_codes(void **state)
{
	(void)state;
	assert_int_equal(err_from_errno(ENOENT), ERR_NOT_FOUND);
	assert_int_equal(err_from_errno(EDQUOT), ERR_QUOTA);
	assert_true(err_is_full(ERR_QUOTA) && err_is_full(ERR_NO_SPACE) && !err_is_full(ERR_RELAY_FULL));
	assert_int_equal(err_from_errno(EACCES), ERR_PERMISSION);
	assert_int_equal(err_from_errno(EWOULDBLOCK), ERR_AGAIN);
	assert_int_equal(err_from_errno(0), ERR_IO);
	assert_int_equal(err_from_errno(123456), ERR_IO);
	for (int e = 1; e < 200; e++)
		assert_true(err_from_errno(e) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_has_its_own_name_and_phrase),
		cmocka_unit_test(codes_that_do_not_exist_are_unknown),
		cmocka_unit_test(errno_values_become_codes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
