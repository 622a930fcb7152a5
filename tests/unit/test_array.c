/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "tests/lib/heap.h"
#include "tests/lib/unit.h"

static void items_stay_when_it_grows(void **state)
{
	(void)state;
	FREE_AFTER unsigned *items = NULL;
	size_t alloc = 0;
	unsigned moves = 0;

	for (unsigned i = 0; i < 1000; i++) {
		size_t before = alloc;
		unsigned *more = array_room(items, &alloc, i + 1u, sizeof *more);

		assert_non_null(more);
		assert_true(alloc > i);
		moves += alloc != before;
		items = more;
		items[i] = i;
	}
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(items[i], i);
	assert_true(moves < 10);
}

static void room_for_nothing_is_an_array_too(void **state)
{
	(void)state;
	size_t alloc = 0;
	FREE_AFTER char *items = array_room(NULL, &alloc, 0, 1);

	assert_non_null(items);
}

static void what_cannot_be_changes_nothing(void **state)
{
	(void)state;
	size_t alloc = 0;
	FREE_AFTER uint64_t *items = array_room(NULL, &alloc, 1, sizeof *items);
	const size_t before = alloc;

	assert_non_null(items);
	items[0] = 7;
	volatile size_t huge = SIZE_MAX; /* the compiler must not reason about this size */
	assert_null(array_room(items, &alloc, huge, sizeof *items));
	assert_null(array_room(items, &alloc, huge / sizeof *items + 1, sizeof *items));
	heap_fail_at(1);
	assert_null(array_room(items, &alloc, before + 1, sizeof *items));
	heap_fail_at(0);
	assert_int_equal(alloc, before);
	assert_int_equal(items[0], 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_stay_when_it_grows),
		cmocka_unit_test(room_for_nothing_is_an_array_too),
		cmocka_unit_test(what_cannot_be_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
