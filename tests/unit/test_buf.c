/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "tests/lib/heap.h"
#include "tests/lib/unit.h"

static void put_appends_up_to_the_cap_and_no_further(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT(100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(buf_put_u8(&b, (uint8_t)i), OK);
	assert_int_equal(buf_put_u8(&b, 0), ERR_RANGE);
	assert_int_equal(buf_put(&b, NULL, 0), OK);
	assert_int_equal(b.len, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(b.data[i], i);
}

static void a_size_near_the_end_of_memory_does_not_wrap_around(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT(SIZE_MAX);
	uint8_t *p;
	assert_int_equal(buf_put_u8(&b, 1), OK);
	assert_int_equal(buf_grow(&b, SIZE_MAX, &p), ERR_RANGE);
	/* Volatile: the compiler must not reason about this size. */
	volatile size_t huge = SIZE_MAX - 1;
	heap_fail_from(1);
	assert_int_equal(buf_grow(&b, huge, &p), ERR_NOMEM);
	heap_fail_at(0);
	assert_int_equal(b.len, 1);
}

static void integers_are_big_endian(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT(100);
	assert_int_equal(buf_put_u16be(&b, 0x0102), OK);
	assert_int_equal(buf_put_u32be(&b, 0x03040506), OK);
	assert_int_equal(buf_put_u64be(&b, 0x0708090a0b0c0d0e), OK);
	unit_assert_hex(buf_bytes(&b), "0102030405060708090a0b0c0d0e");
}

static void printf_appends_without_its_nul_and_may_fill_the_cap(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT(8);
	assert_int_equal(buf_printf(&b, "%s", ""), OK);
	assert_int_equal(buf_printf(&b, "%d-%s", 12, "abcde"), OK);
	unit_assert_bytes(buf_bytes(&b), bytes_str("12-abcde"));
	assert_int_equal(buf_printf(&b, "x"), ERR_RANGE);
	assert_int_equal(b.len, 8);
}

static void consume_removes_from_the_front(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT_SECRET(100);
	assert_int_equal(buf_put(&b, "abcdef", 6), OK);
	buf_consume(&b, 2);
	unit_assert_bytes(buf_bytes(&b), bytes_str("cdef"));
	assert_int_equal(b.data[4] | b.data[5], 0);
	buf_consume(&b, 4);
	assert_int_equal(b.len, 0);
}

static void clear_wipes_a_secret(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT_SECRET(100);
	assert_int_equal(buf_put(&b, "secret", 6), OK);
	buf_clear(&b);
	assert_int_equal(b.len, 0);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(b.data[i], 0);
}

static void a_secret_keeps_its_content_when_it_grows(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT_SECRET(1 << 16);
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(buf_put_u16be(&b, (uint16_t)i), OK);
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(b.data[2 * i] << 8 | b.data[2 * i + 1], i);
}

static void after_reserve_puts_do_not_allocate(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	assert_int_equal(buf_reserve(&b, 1000), OK);
	heap_fail_from(1);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_put_u8(&b, 7), OK);
	assert_int_equal(heap_count(), 0);
	heap_fail_at(0);
	assert_int_equal(buf_reserve(&b, 1), ERR_RANGE);
}

static void without_memory_the_content_stays(void **state)
{
	(void)state;
	for (int secret = 0; secret < 2; secret++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(1 << 20);
		static const uint8_t zeros[4096];
		b.secret = secret;
		assert_int_equal(buf_put(&b, "abc", 3), OK);
		heap_fail_at(1);
		assert_int_equal(buf_put(&b, zeros, sizeof zeros), ERR_NOMEM);
		assert_true(heap_failed());
		heap_fail_at(0);
		unit_assert_bytes(buf_bytes(&b), bytes_str("abc"));
		assert_int_equal(buf_put(&b, zeros, sizeof zeros), OK);
	}
}

static void steal_hands_the_memory_over(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(100);
	uint8_t *p;
	size_t n;
	assert_int_equal(buf_put(&b, "abc", 3), OK);
	buf_steal(&b, &p, &n);
	unit_assert_bytes(bytes_of(p, n), bytes_str("abc"));
	assert_null(b.data);
	assert_int_equal(b.len, 0);
	free(p);
	buf_release(&b);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_appends_up_to_the_cap_and_no_further),
		cmocka_unit_test(a_size_near_the_end_of_memory_does_not_wrap_around),
		cmocka_unit_test(integers_are_big_endian),
		cmocka_unit_test(printf_appends_without_its_nul_and_may_fill_the_cap),
		cmocka_unit_test(consume_removes_from_the_front),
		cmocka_unit_test(clear_wipes_a_secret),
		cmocka_unit_test(a_secret_keeps_its_content_when_it_grows),
		cmocka_unit_test(after_reserve_puts_do_not_allocate),
		cmocka_unit_test(without_memory_the_content_stays),
		cmocka_unit_test(steal_hands_the_memory_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
