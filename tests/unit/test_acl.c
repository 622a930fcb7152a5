/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access control lists: which are valid, what a mode and a list say together, what a new node inherits. Values are made
 * by hand from linux/posix_acl_xattr.h: 02000000, then tag, permissions (two bytes each), id (four).
 */
#include "fusefs/acl.h"
#include "tests/lib/unit.h"

#define NONE "ffffffff"
#define HEAD "02000000"
#define OWNER_RW "01000600" NONE
#define USER_4711_RW "02000600 67120000"
#define USER_4712_R "02000400 68120000"
#define GROUP_R "04000400" NONE
#define GROUP_99_RWX "08000700 63000000"
#define MASK_RW "10000600" NONE
#define OTHER_R "20000400" NONE

static void valid_lists_are_told_from_others(void **state)
{
	static const struct {
		const char *hex;
		int err;
		uint32_t mode;
		bool more;
	} cases[] = {
		{ HEAD OWNER_RW GROUP_R OTHER_R, 0, 0644, false },
		{ HEAD OWNER_RW GROUP_R MASK_RW OTHER_R, 0, 0664, true },
		{ HEAD OWNER_RW USER_4711_RW GROUP_R MASK_RW OTHER_R, 0, 0664, true },
		{ HEAD OWNER_RW USER_4711_RW USER_4712_R GROUP_R GROUP_99_RWX MASK_RW OTHER_R, 0, 0664, true },
		{ "", ERR_INVALID, 0, false },
		{ HEAD, ERR_INVALID, 0, false },
		{ "01000000" OWNER_RW GROUP_R OTHER_R, ERR_INVALID, 0, false },
		{ HEAD OWNER_RW GROUP_R OTHER_R "00", ERR_INVALID, 0, false },
		{ HEAD OWNER_RW GROUP_R, ERR_INVALID, 0, false },
		{ HEAD OWNER_RW USER_4711_RW GROUP_R OTHER_R, ERR_INVALID, 0, false }, /* no mask */
		{ HEAD GROUP_R OWNER_RW OTHER_R, ERR_INVALID, 0, false },
		{ HEAD OWNER_RW OWNER_RW GROUP_R OTHER_R, ERR_INVALID, 0, false },
		{ HEAD OWNER_RW USER_4712_R USER_4711_RW GROUP_R MASK_RW OTHER_R, ERR_INVALID, 0, false },
		{ HEAD OWNER_RW USER_4711_RW USER_4711_RW GROUP_R MASK_RW OTHER_R, ERR_INVALID, 0, false },
		{ HEAD OWNER_RW "02000600" NONE GROUP_R MASK_RW OTHER_R, ERR_INVALID, 0, false },
		{ HEAD "01000800" NONE GROUP_R OTHER_R, ERR_INVALID, 0, false },
		{ HEAD OWNER_RW "03000400" NONE GROUP_R OTHER_R, ERR_INVALID, 0, false },
		{ HEAD OWNER_RW GROUP_R OTHER_R "40000400" NONE, ERR_INVALID, 0, false },
		{ HEAD "00000400" NONE OWNER_RW GROUP_R OTHER_R, ERR_INVALID, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf value = BUF_INIT(ACL_MAX);
		struct acl_says says = { 0 };
		unit_put_hex(&value, cases[i].hex);
		assert_int_equal(acl_check(buf_bytes(&value), &says), cases[i].err);
		assert_int_equal(says.mode, cases[i].mode);
		assert_int_equal(says.more, cases[i].more);
		buf_release(&value);
	}
}

static void owner_mask_and_others_show_the_mode(void **state)
{
	struct buf kept = BUF_INIT(ACL_MAX), out = BUF_INIT(ACL_MAX);

	(void)state;
	unit_put_hex(&kept, HEAD OWNER_RW USER_4711_RW GROUP_R MASK_RW OTHER_R);
	assert_int_equal(acl_show(buf_bytes(&kept), 04751, &out), 0);
	unit_assert_hex(buf_bytes(&out), HEAD "01000700" NONE USER_4711_RW GROUP_R "10000500" NONE "20000100" NONE);
	buf_clear(&kept);
	unit_put_hex(&kept, HEAD OWNER_RW GROUP_R OTHER_R);
	assert_int_equal(acl_show(buf_bytes(&kept), 0644, &out), ERR_NO_DATA);
	assert_int_equal(acl_show(bytes_str("damaged"), 0644, &out), ERR_NO_DATA);
	buf_release(&kept);
	buf_release(&out);
}

static void what_is_made_gets_no_more_than_asked_for(void **state)
{
	struct buf kept = BUF_INIT(ACL_MAX);
	uint32_t mode = 02777;
	bool more;

	(void)state;
	unit_put_hex(&kept, HEAD OWNER_RW USER_4711_RW GROUP_R MASK_RW OTHER_R);
	assert_int_equal(acl_inherit(buf_bytes(&kept), &mode, &more), 0);
	assert_int_equal(mode, 02664);
	assert_true(more);
	mode = 0400;
	assert_int_equal(acl_inherit(buf_bytes(&kept), &mode, &more), 0);
	assert_int_equal(mode, 0400);
	buf_clear(&kept);
	unit_put_hex(&kept, HEAD OWNER_RW GROUP_R OTHER_R);
	mode = 0777;
	assert_int_equal(acl_inherit(buf_bytes(&kept), &mode, &more), 0);
	assert_int_equal(mode, 0644);
	assert_false(more);
	assert_int_equal(acl_inherit(bytes_str("damaged"), &mode, &more), ERR_INVALID);
	buf_release(&kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid_lists_are_told_from_others),
		cmocka_unit_test(owner_mask_and_others_show_the_mode),
		cmocka_unit_test(what_is_made_gets_no_more_than_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
