/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"
#include "wire/ctl.h"
#include "wire/msg.h"

static struct bytes framed(const struct buf *b)
{
	struct bytes item;
	size_t used;

	assert_int_equal(msg_take_frame(buf_bytes(b), &item, &used), OK);
	assert_int_equal(used, b->len);
	return item;
}

static void a_request_comes_back(void **state)
{
	static const uint8_t args[] = { 0xa1, 0x61, 'd', 0x61, '/' };
	struct buf b = BUF_INIT(1024);
	struct ctl_request r;

	(void)state;
	assert_int_equal(ctl_put_request(&b, "mount", bytes_of(args, sizeof args)), OK);
	unit_assert_hex(buf_bytes(&b), "00000016 a2 6461726773 a1 6164 612f 6476657262 656d6f756e74");
	assert_int_equal(ctl_decode_request(framed(&b), &r), OK);
	unit_assert_bytes(r.verb, bytes_str("mount"));
	unit_assert_bytes(r.args, bytes_of(args, sizeof args));
	buf_clear(&b);
	assert_int_equal(ctl_put_request(&b, "status", bytes_of(NULL, 0)), OK);
	assert_int_equal(ctl_decode_request(framed(&b), &r), OK);
	unit_assert_hex(r.args, "a0");
	buf_release(&b);
}

static void answers_come_back(void **state)
{
	struct buf b = BUF_INIT(1024);
	struct ctl_answer a;

	(void)state;
	assert_int_equal(ctl_put_result(&b, bytes_of("\xa1\x61n\x05", 4)), OK);
	assert_int_equal(ctl_decode_answer(framed(&b), &a), OK);
	assert_int_equal(a.kind, CTL_RESULT);
	unit_assert_hex(a.result, "a1616e05");
	buf_clear(&b);
	assert_int_equal(ctl_put_result(&b, bytes_of(NULL, 0)), OK);
	assert_int_equal(ctl_decode_answer(framed(&b), &a), OK);
	assert_int_equal(a.kind, CTL_RESULT);
	unit_assert_hex(a.result, "a0");
	buf_clear(&b);
	assert_int_equal(ctl_put_error(&b, ERR_WRONG_KEY, 77, "the passphrase is wrong", "try again"), OK);
	assert_int_equal(ctl_decode_answer(framed(&b), &a), OK);
	assert_int_equal(a.kind, CTL_ERROR);
	assert_int_equal(a.error.exit, 77);
	unit_assert_bytes(a.error.name, bytes_str(err_name(ERR_WRONG_KEY)));
	unit_assert_bytes(a.error.message, bytes_str("the passphrase is wrong"));
	unit_assert_bytes(a.error.next, bytes_str("try again"));
	buf_clear(&b);
	assert_int_equal(ctl_put_error(&b, ERR_OFFLINE, 69, NULL, NULL), OK);
	assert_int_equal(ctl_decode_answer(framed(&b), &a), OK);
	unit_assert_bytes(a.error.message, bytes_str(err_str(ERR_OFFLINE)));
	assert_int_equal(a.error.next.len, 0);
	buf_release(&b);
}

static void refuses_other_shapes(void **state)
{
	static const char *const bad[] = {
		"", "a0", "80", "f6", "a1 6476657262 6161",         /* verb alone */
		"a2 6461726773 80 6476657262 6161",                 /* args is no map */
		"a2 6476657262 6161 6461726773 a0",                 /* keys in another order */
		"a2 6461726773 a0 6476657262 4161",                 /* verb is bytes */
		"a2 6461726773 a2 6162 01 6161 02 6476657262 6161", /* args not canonical */
		"a3 6161 01 6461726773 a0 6476657262 6161",         /* one key more */
		"a2 6461726773 a0 6476657262 6161 00",              /* bytes behind */
		"a1 66726573756c74 01",                             /* result is no map */
		"a1 656572726f72 a0",                               /* error without its fields */
		"a1 656572726f72 a4 6465786974 190100 646e616d65 60 646e657874 60 676d657373616765 60", /* exit 256 */
		"a2 6464617461 a0 656576656e74 6161",                                                   /* no answer */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct buf b = BUF_INIT(256);
		struct ctl_request r;
		struct ctl_answer a;

		unit_put_hex(&b, bad[i]);
		assert_int_not_equal(ctl_decode_request(buf_bytes(&b), &r), OK);
		assert_int_not_equal(ctl_decode_answer(buf_bytes(&b), &a), OK);
		buf_release(&b);
	}
}

static void keeps_the_cap(void **state)
{
	static uint8_t big[CTL_MAX + 1];
	struct ctl_request r;
	struct ctl_answer a;
	struct buf b = BUF_INIT(2 * CTL_MAX);

	(void)state;
	assert_int_equal(ctl_decode_request(bytes_of(big, sizeof big), &r), ERR_RANGE);
	assert_int_equal(ctl_decode_answer(bytes_of(big, sizeof big), &a), ERR_RANGE);
	assert_int_equal(ctl_put_result(&b, bytes_of(big, sizeof big)), ERR_RANGE);
	assert_int_equal(b.len, 0);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_comes_back),
		cmocka_unit_test(answers_come_back),
		cmocka_unit_test(refuses_other_shapes),
		cmocka_unit_test(keeps_the_cap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
