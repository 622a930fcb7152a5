/* SPDX-License-Identifier: Apache-2.0 */
#include "base/table.h"
#include "cache/hold.h"
#include "tests/lib/heap.h"
#include "tests/lib/unit.h"

#define KEYS 500

/* Against an array, with keys that share their places. */
static void it_holds_what_was_put_last(void **state)
{
	struct table t = { 0 };
	uint64_t model[KEYS] = { 0 }, seed = 7, value;
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t r = unit_random(&seed);
		size_t k = r % KEYS;
		uint64_t key = (k + 1) << (k % 3 * 20);

		if (r >> 40 & 1) {
			n += model[k] == 0;
			model[k] = (r >> 8) | 1;
			assert_int_equal(table_put(&t, key, model[k]), 0);
		} else {
			assert_int_equal(table_del(&t, key), model[k] != 0);
			n -= model[k] != 0;
			model[k] = 0;
		}
		assert_int_equal(t.n, n);
		k = (r >> 20) % KEYS;
		value = 0;
		assert_int_equal(table_get(&t, (k + 1) << (k % 3 * 20), &value), model[k] != 0);
		assert_true(value == model[k]);
	}
	table_release(&t);
	assert_false(table_get(&t, 1, NULL));
	assert_false(table_del(&t, 1));
}

static void a_node_is_held_until_its_last_handle_goes(void **state)
{
	struct holds h = { 0 };

	(void)state;
	assert_false(holds_has(&h, 5));
	assert_false(holds_drop(&h, 5));
	assert_int_equal(holds_add(&h, 5), 0);
	assert_int_equal(holds_add(&h, 5), 0);
	assert_int_equal(holds_add(&h, 6), 0);
	assert_false(holds_drop(&h, 5));
	assert_true(holds_has(&h, 5));
	assert_true(holds_drop(&h, 5));
	assert_false(holds_has(&h, 5));
	assert_true(holds_has(&h, 6));
	holds_release(&h);
}

static void a_second_handle_is_remembered_until_all_are_gone(void **state)
{
	struct holds h = { 0 };

	(void)state;
	assert_true(holds_shared(&h, 5));
	assert_int_equal(holds_add(&h, 5), 0);
	assert_false(holds_shared(&h, 5));
	assert_int_equal(holds_add(&h, 5), 0);
	assert_false(holds_drop(&h, 5));
	assert_true(holds_shared(&h, 5));
	assert_true(holds_drop(&h, 5));
	assert_int_equal(holds_add(&h, 5), 0);
	assert_false(holds_shared(&h, 5));
	holds_release(&h);
}

static void what_could_not_be_counted_makes_all_shared(void **state)
{
	struct holds h = { 0 };

	(void)state;
	heap_fail_at(1);
	assert_int_equal(holds_add(&h, 5), ERR_NOMEM);
	heap_fail_at(0);
	assert_int_equal(holds_add(&h, 5), 0);
	assert_true(holds_shared(&h, 5));
	holds_release(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_holds_what_was_put_last),
		cmocka_unit_test(a_node_is_held_until_its_last_handle_goes),
		cmocka_unit_test(a_second_handle_is_remembered_until_all_are_gone),
		cmocka_unit_test(what_could_not_be_counted_makes_all_shared),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
