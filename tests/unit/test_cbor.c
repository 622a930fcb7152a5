/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "tests/lib/heap.h"
#include "tests/lib/unit.h"
#include "wire/cbor.h"

enum { MANY = 10000 };

/* RFC 8949 appendix A: every example that is a canonical item without tags and floats. */
static const char *const canonical[] = {
	"00",
	"01",
	"0a",
	"17",
	"1818",
	"1819",
	"1864",
	"1903e8",
	"1a000f4240",
	"1b000000e8d4a51000",
	"1bffffffffffffffff",
	"3bffffffffffffffff",
	"20",
	"29",
	"3863",
	"3903e7",
	"f4",
	"f5",
	"f6",
	"40",
	"4401020304",
	"60",
	"6161",
	"6449455446",
	"62225c",
	"62c3bc",
	"63e6b0b4",
	"64f0908591",
	"80",
	"83010203",
	"8301820203820405",
	"98190102030405060708090a0b0c0d0e0f101112131415161718181819",
	"a0",
	"a201020304",
	"a26161016162820203",
	"826161a161626163",
	"a56161614161626142616361436164614461656145",
};

static int check_hex(const char *hex, enum cbor_dialect dialect)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1 << 20);
	unit_put_hex(&b, hex);
	return cbor_check(buf_bytes(&b), dialect, MANY);
}

static void canonical_items_pass(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(canonical); i++) {
		assert_int_equal(check_hex(canonical[i], CBOR_STRICT), OK);
		assert_int_equal(check_hex(canonical[i], CBOR_RPC), OK);
	}
}

static void every_truncation_is_truncated(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(canonical); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
		unit_put_hex(&b, canonical[i]);
		for (size_t n = 0; n < b.len; n++) {
			assert_int_equal(cbor_check(bytes_of(b.data, n), CBOR_STRICT, MANY), ERR_TRUNCATED);
			struct cbor_dec d = cbor_dec_init(bytes_of(b.data, n));
			cbor_skip(&d);
			assert_int_equal(cbor_dec_end(&d), ERR_TRUNCATED);
		}
		assert_int_equal(buf_put_u8(&b, 0), OK);
		assert_int_equal(cbor_check(buf_bytes(&b), CBOR_STRICT, MANY), ERR_INVALID);
	}
}

static void other_encodings_are_refused_for_their_reason(void **state)
{
	(void)state;
	static const struct {
		const char *hex;
		int strict, rpc;
	} cases[] = {
		/* longer than needed: numbers, lengths, counts */
		{ "1817", ERR_NONCANONICAL, OK },
		{ "190017", ERR_NONCANONICAL, OK },
		{ "1900ff", ERR_NONCANONICAL, OK },
		{ "1a0000ffff", ERR_NONCANONICAL, OK },
		{ "1b00000000ffffffff", ERR_NONCANONICAL, OK },
		{ "3800", ERR_NONCANONICAL, OK },
		{ "580161", ERR_NONCANONICAL, OK },
		{ "780161", ERR_NONCANONICAL, OK },
		{ "980100", ERR_NONCANONICAL, OK },
		{ "b801f600", ERR_NONCANONICAL, OK },
		/* map keys: order, twice; order is of encodings, so 10 < 100 < -1 < "z" < "aa" (RFC 8949 4.2.1) */
		{ "a203000100", ERR_NONCANONICAL, OK },
		{ "a201000100", ERR_INVALID, OK },
		{ "a5 0a00 186400 2000 617a00 62616100", OK, OK },
		{ "a2 62616100 617a00", ERR_NONCANONICAL, OK },
		{ "a1 01 a2 6162f6 6161f6", ERR_NONCANONICAL, OK },
		{ "a2 8000 8000", ERR_INVALID, OK },
		/* undefined and other simple values */
		{ "f7", ERR_INVALID, OK },
		{ "e0", ERR_INVALID, ERR_INVALID },
		{ "f3", ERR_INVALID, ERR_INVALID },
		{ "f0", ERR_INVALID, ERR_INVALID },
		{ "f820", ERR_INVALID, ERR_INVALID },
		{ "f8ff", ERR_INVALID, ERR_INVALID },
		{ "ff", ERR_INVALID, ERR_INVALID },
		/* floats, tags, indefinite lengths, reserved */
		{ "f90000", ERR_INVALID, ERR_INVALID },
		{ "fa47c35000", ERR_INVALID, ERR_INVALID },
		{ "fb3ff199999999999a", ERR_INVALID, ERR_INVALID },
		{ "c11a514b67b0", ERR_INVALID, ERR_INVALID },
		{ "d818456449455446", ERR_INVALID, ERR_INVALID },
		{ "5f42010243030405ff", ERR_INVALID, ERR_INVALID },
		{ "9fff", ERR_INVALID, ERR_INVALID },
		{ "bfff", ERR_INVALID, ERR_INVALID },
		{ "7fff", ERR_INVALID, ERR_INVALID },
		{ "1c", ERR_INVALID, ERR_INVALID },
		{ "3d", ERR_INVALID, ERR_INVALID },
		{ "5e", ERR_INVALID, ERR_INVALID },
		/* text that is no UTF-8 */
		{ "6180", ERR_INVALID, ERR_INVALID },
		{ "61ff", ERR_INVALID, ERR_INVALID },
		{ "61c3", ERR_INVALID, ERR_INVALID },
		{ "62c080", ERR_INVALID, ERR_INVALID },
		{ "62c1bf", ERR_INVALID, ERR_INVALID },
		{ "63e08080", ERR_INVALID, ERR_INVALID },
		{ "63eda080", ERR_INVALID, ERR_INVALID },
		{ "63edbfbf", ERR_INVALID, ERR_INVALID },
		{ "64f0808080", ERR_INVALID, ERR_INVALID },
		{ "64f4908080", ERR_INVALID, ERR_INVALID },
		{ "64f5808080", ERR_INVALID, ERR_INVALID },
		{ "62e282", ERR_INVALID, ERR_INVALID },
		{ "63f09085", ERR_INVALID, ERR_INVALID },
		{ "64f48fbfbf", OK, OK },
		{ "63efbfbf", OK, OK },
		{ "63ed9fbf", OK, OK },
		{ "6100", OK, OK },
		/* lengths and counts that the input cannot hold */
		{ "5bffffffffffffffff", ERR_TRUNCATED, ERR_TRUNCATED },
		{ "7b7fffffffffffffff", ERR_TRUNCATED, ERR_TRUNCATED },
		{ "9bffffffffffffffff", ERR_TRUNCATED, ERR_TRUNCATED },
		{ "bbffffffffffffffff", ERR_TRUNCATED, ERR_TRUNCATED },
		{ "bb8000000000000000", ERR_TRUNCATED, ERR_TRUNCATED },
		{ "9a0001000000", ERR_TRUNCATED, ERR_TRUNCATED },
		{ "", ERR_TRUNCATED, ERR_TRUNCATED },
		{ "0000", ERR_INVALID, ERR_INVALID },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		int strict = check_hex(cases[i].hex, CBOR_STRICT), rpc = check_hex(cases[i].hex, CBOR_RPC);
		if (strict != cases[i].strict || rpc != cases[i].rpc)
			fail_msg("%s: got %s and %s", cases[i].hex, err_name(strict), err_name(rpc));
	}
}

static void nesting_is_limited(void **state)
{
	(void)state;
	uint8_t nested[CBOR_MAX_DEPTH + 2];
	memset(nested, 0x81, sizeof nested);
	nested[CBOR_MAX_DEPTH] = 0; /* an integer inside as many arrays as are allowed */
	assert_int_equal(cbor_check(bytes_of(nested, CBOR_MAX_DEPTH + 1), CBOR_STRICT, MANY), OK);
	nested[CBOR_MAX_DEPTH] = 0x80;
	assert_int_equal(cbor_check(bytes_of(nested, CBOR_MAX_DEPTH + 1), CBOR_STRICT, MANY), ERR_RANGE);
	nested[CBOR_MAX_DEPTH] = 0xa0;
	assert_int_equal(cbor_check(bytes_of(nested, CBOR_MAX_DEPTH + 1), CBOR_RPC, MANY), ERR_RANGE);
	struct cbor_dec d = cbor_dec_init(bytes_of(nested, CBOR_MAX_DEPTH + 1));
	cbor_skip(&d);
	assert_int_equal(cbor_dec_error(&d), ERR_RANGE);
}

static void the_number_of_items_is_limited(void **state)
{
	(void)state;
	static const uint8_t in[] = { 0x83, 1, 2, 0xa1, 3, 4 }; /* 6 items */
	assert_int_equal(cbor_check(bytes_of(in, sizeof in), CBOR_STRICT, 6), OK);
	assert_int_equal(cbor_check(bytes_of(in, sizeof in), CBOR_STRICT, 5), ERR_RANGE);
	assert_int_equal(cbor_check(bytes_of(in, sizeof in), CBOR_STRICT, 0), ERR_RANGE);
}

static void encodings_are_the_shortest(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct cbor_enc e = cbor_enc_init(&b);
	static const uint64_t numbers[] = { 0, 23, 24, 255, 256, 65535, 65536, UINT32_MAX, UINT32_MAX + 1ull,
		UINT64_MAX };
	static const int64_t signed_numbers[] = { 5, -1, -24, -25, -256, -257, INT64_MIN, INT64_MAX };
	for (size_t i = 0; i < COUNT(numbers); i++)
		cbor_put_uint(&e, numbers[i]);
	for (size_t i = 0; i < COUNT(signed_numbers); i++)
		cbor_put_int(&e, signed_numbers[i]);
	assert_int_equal(cbor_enc_end(&e), OK);
	unit_assert_hex(buf_bytes(&b),
		"00 17 1818 18ff 190100 19ffff 1a00010000 1affffffff 1b0000000100000000 1bffffffffffffffff"
		"05 20 37 3818 38ff 390100 3b7fffffffffffffff 1b7fffffffffffffff");
	struct cbor_dec d = cbor_dec_init(buf_bytes(&b));
	for (size_t i = 0; i < COUNT(numbers); i++)
		assert_true(cbor_get_uint(&d) == numbers[i]);
	for (size_t i = 0; i < COUNT(signed_numbers); i++)
		assert_true(cbor_get_int(&d) == signed_numbers[i]);
	assert_int_equal(cbor_dec_end(&d), OK);
}

static void every_kind_goes_there_and_back(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct cbor_enc e = cbor_enc_init(&b);
	uint8_t fixed[3];
	cbor_put_map(&e, 2);
	cbor_put_uint(&e, 1);
	cbor_put_array(&e, 5);
	cbor_put_bytes(&e, "abc", 3);
	cbor_put_bytes(&e, NULL, 0);
	cbor_put_text(&e, "t\xc3\xa4");
	cbor_put_bool(&e, true);
	cbor_put_null(&e);
	cbor_put_text_n(&e, "key", 3);
	cbor_put_raw(&e, bytes_of("\x82\x01\x02", 3));
	assert_int_equal(cbor_enc_end(&e), OK);
	assert_int_equal(cbor_check(buf_bytes(&b), CBOR_STRICT, MANY), OK);

	struct cbor_dec d = cbor_dec_init(buf_bytes(&b));
	assert_int_equal(cbor_peek(&d), CBOR_MAP);
	assert_int_equal(cbor_get_map(&d, 2), 2);
	assert_int_equal(cbor_get_uint(&d), 1);
	assert_int_equal(cbor_get_array(&d, 5), 5);
	cbor_get_fixed(&d, fixed, sizeof fixed);
	assert_memory_equal(fixed, "abc", 3);
	assert_int_equal(cbor_get_bytes(&d, 0).len, 0);
	assert_int_equal(cbor_peek(&d), CBOR_TEXT);
	assert_false(cbor_get_null(&d));
	assert_true(cbor_text_is(cbor_get_text(&d, 3), "t\xc3\xa4"));
	assert_true(cbor_get_bool(&d));
	assert_true(cbor_get_null(&d));
	assert_true(cbor_text_is(cbor_get_text(&d, 100), "key"));
	unit_assert_hex(cbor_get_raw(&d), "820102");
	assert_int_equal(cbor_peek(&d), CBOR_NONE);
	assert_int_equal(cbor_dec_end(&d), OK);
}

/* Each getter, on an item that it is not for or that breaks its cap. */
static void getters_refuse_other_items(void **state)
{
	(void)state;
	static const struct {
		const char *hex;
		int err;
		char getter;
	} cases[] = {
		{ "20", ERR_INVALID, 'u' },
		{ "40", ERR_INVALID, 'u' },
		{ "f6", ERR_INVALID, 'u' },
		{ "", ERR_TRUNCATED, 'u' },
		{ "40", ERR_INVALID, 'i' },
		{ "1b8000000000000000", ERR_RANGE, 'i' },
		{ "3b8000000000000000", ERR_RANGE, 'i' },
		{ "60", ERR_INVALID, 'b' },
		{ "4401020304", ERR_RANGE, 'b' },
		{ "420102", OK, 'b' },
		{ "4201", ERR_TRUNCATED, 'b' },
		{ "40", ERR_INVALID, 't' },
		{ "6461616161", ERR_RANGE, 't' },
		{ "626161", OK, 't' },
		{ "61ff", ERR_INVALID, 't' },
		{ "420102", ERR_INVALID, 'f' },
		{ "43010203", OK, 'f' },
		{ "4401020304", ERR_INVALID, 'f' },
		{ "00", ERR_INVALID, 'f' },
		{ "a0", ERR_INVALID, 'a' },
		{ "8401020304", ERR_RANGE, 'a' },
		{ "8101", OK, 'a' },
		{ "83", ERR_TRUNCATED, 'a' },
		{ "80", ERR_INVALID, 'm' },
		{ "a40101020203030404", ERR_RANGE, 'm' },
		{ "a201", ERR_TRUNCATED, 'm' },
		{ "a10101", OK, 'm' },
		{ "f6", ERR_INVALID, 'o' },
		{ "01", ERR_INVALID, 'o' },
		{ "f4", OK, 'o' },
		{ "1817", ERR_NONCANONICAL, 'u' },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(100);
		uint8_t fixed[3] = { 9, 9, 9 };
		unit_put_hex(&b, cases[i].hex);
		struct cbor_dec d = cbor_dec_init(buf_bytes(&b));
		switch (cases[i].getter) {
		case 'u':
			assert_int_equal(cbor_get_uint(&d), 0);
			break;
		case 'i':
			assert_int_equal(cbor_get_int(&d), 0);
			break;
		case 'b':
			assert_int_equal(cbor_get_bytes(&d, 3).len, cases[i].err == OK ? 2 : 0);
			break;
		case 't':
			assert_int_equal(cbor_get_text(&d, 3).len, cases[i].err == OK ? 2 : 0);
			break;
		case 'f':
			cbor_get_fixed(&d, fixed, 3);
			assert_int_equal(fixed[0], cases[i].err == OK ? 1 : 0);
			break;
		case 'a':
			assert_int_equal(cbor_get_array(&d, 3), cases[i].err == OK ? 1 : 0);
			break;
		case 'm':
			assert_int_equal(cbor_get_map(&d, 3), cases[i].err == OK ? 1 : 0);
			break;
		case 'o':
			assert_false(cbor_get_bool(&d));
			break;
		}
		if (cbor_dec_error(&d) != cases[i].err)
			fail_msg("%c on %s: %s", cases[i].getter, cases[i].hex, err_name(cbor_dec_error(&d)));
	}
}

static void after_an_error_getters_give_zeros_and_the_first_error_stays(void **state)
{
	(void)state;
	static const uint8_t in[] = { 0x41, 0x01, 0x05, 0xf5, 0xf6 };
	struct cbor_dec d = cbor_dec_init(bytes_of(in, sizeof in));
	uint8_t fixed[2] = { 7, 7 };
	assert_int_equal(cbor_get_bytes(&d, 0).len, 0);
	assert_int_equal(cbor_get_uint(&d), 0);
	assert_int_equal(cbor_get_int(&d), 0);
	assert_null(cbor_get_text(&d, 9).p);
	cbor_get_fixed(&d, fixed, 2);
	assert_int_equal(fixed[0] | fixed[1], 0);
	assert_int_equal(cbor_get_array(&d, 9) + cbor_get_map(&d, 9), 0);
	assert_false(cbor_get_bool(&d) || cbor_get_null(&d));
	assert_int_equal(cbor_get_raw(&d).len, 0);
	cbor_skip(&d);
	cbor_dec_fail(&d, ERR_TAMPERED);
	assert_int_equal(cbor_peek(&d), CBOR_NONE);
	assert_int_equal(cbor_dec_error(&d), ERR_RANGE);
	assert_int_equal(cbor_dec_end(&d), ERR_RANGE);
}

static void peek_names_every_type(void **state)
{
	(void)state;
	static const uint8_t in[] = { 0x00, 0x20, 0x40, 0x60, 0x80, 0xa0, 0xf4, 0xf5, 0xf6, 0xf7, 0xc0, 0xf8, 0x1f,
		0xf9 };
	static const enum cbor_type want[] = { CBOR_UINT, CBOR_NINT, CBOR_BYTES, CBOR_TEXT, CBOR_ARRAY, CBOR_MAP,
		CBOR_FALSE, CBOR_TRUE, CBOR_NULL, CBOR_UNDEFINED, CBOR_NONE, CBOR_NONE, CBOR_NONE, CBOR_NONE };
	for (size_t i = 0; i < sizeof in; i++) {
		struct cbor_dec d = cbor_dec_init_rpc(bytes_of(&in[i], 1));
		assert_int_equal(cbor_peek(&d), want[i]);
		d = cbor_dec_init(bytes_of(&in[i], 1));
		assert_int_equal(cbor_peek(&d), in[i] == 0xf7 ? CBOR_NONE : want[i]);
	}
}

static void a_map_is_searched_by_key(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct bytes item;
	/* {"x": null, 5: 1, "y": [1], "z": undefined, "y": 2, [1]: 0} as another client may send it */
	unit_put_hex(&b, "a6 6178f6 0501 61798101 617af7 617902 810100");
	assert_int_equal(cbor_map_find(buf_bytes(&b), CBOR_RPC, "y", &item), OK);
	unit_assert_hex(item, "8101");
	assert_int_equal(cbor_map_find(buf_bytes(&b), CBOR_RPC, "x", &item), ERR_NOT_FOUND);
	assert_int_equal(cbor_map_find(buf_bytes(&b), CBOR_RPC, "z", &item), ERR_NOT_FOUND);
	assert_int_equal(cbor_map_find(buf_bytes(&b), CBOR_RPC, "", &item), ERR_NOT_FOUND);
	assert_int_equal(cbor_map_find(bytes_of(b.data, 6), CBOR_RPC, "y", &item), ERR_TRUNCATED);
	assert_int_equal(cbor_map_find(bytes_of("\x80", 1), CBOR_RPC, "y", &item), ERR_INVALID);
	assert_int_equal(cbor_map_find(bytes_of(NULL, 0), CBOR_RPC, "y", &item), ERR_TRUNCATED);
}

static void the_encoder_keeps_its_first_error(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT(4);
	struct cbor_enc e = cbor_enc_init(&b);
	cbor_put_bytes(&e, "12345", 5);
	cbor_put_text(&e, "\xff");
	assert_int_equal(cbor_enc_end(&e), ERR_RANGE);
	e = cbor_enc_init(&b);
	cbor_put_text(&e, "\xff");
	assert_int_equal(cbor_enc_end(&e), ERR_INVALID);
	e = cbor_enc_init(&b);
	cbor_put_raw(&e, bytes_of(NULL, 0));
	assert_int_equal(cbor_enc_end(&e), ERR_INVALID);
	struct buf big = BUF_INIT(1 << 20);
	e = cbor_enc_init(&big);
	heap_fail_at(1);
	cbor_put_uint(&e, 1);
	heap_fail_at(0);
	cbor_put_uint(&e, 2);
	assert_int_equal(cbor_enc_end(&e), ERR_NOMEM);
	assert_int_equal(big.len, 0);
	buf_release(&big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_items_pass),
		cmocka_unit_test(every_truncation_is_truncated),
		cmocka_unit_test(other_encodings_are_refused_for_their_reason),
		cmocka_unit_test(nesting_is_limited),
		cmocka_unit_test(the_number_of_items_is_limited),
		cmocka_unit_test(encodings_are_the_shortest),
		cmocka_unit_test(every_kind_goes_there_and_back),
		cmocka_unit_test(getters_refuse_other_items),
		cmocka_unit_test(after_an_error_getters_give_zeros_and_the_first_error_stays),
		cmocka_unit_test(peek_names_every_type),
		cmocka_unit_test(a_map_is_searched_by_key),
		cmocka_unit_test(the_encoder_keeps_its_first_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
