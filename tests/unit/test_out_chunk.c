/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a chunk is seen by all queued items that name it, and forgotten with the last of them. */
#include "fusefs/sync_inner.h"
#include "tests/lib/unit.h"

static void items_share_what_becomes_of_a_chunk(void **state)
{
	struct sync_space ss = { .row = 1 };
	struct out_item a = { .ss = &ss }, b = { .ss = &ss };

	(void)state;
	for (uint64_t row = 1; row <= 1000; row++)
		assert_int_equal(out_chunk_add(&a, row, 100000), 0);
	out_chunk_set(&ss, 7, OUT_SENDING);
	assert_int_equal(out_chunk_add(&b, 7, 100000), 0);
	assert_int_equal(b.chunks[0]->state, OUT_SENDING); /* it is not sent twice */
	out_chunk_set(&ss, 7, OUT_THERE);
	assert_int_equal(a.chunks[6]->state, OUT_THERE);
	assert_int_equal(b.chunks[0]->state, OUT_THERE);
	assert_int_equal(a.chunks[7]->state, OUT_WAITING);
	out_chunk_drop_all(&a);
	assert_int_equal(b.chunks[0]->state, OUT_THERE);
	assert_int_equal(ss.chunk_of.n, 1);
	out_chunk_drop_all(&b);
	assert_int_equal(ss.chunk_of.n, 0);
	out_chunk_set(&ss, 7, OUT_THERE); /* of an answer that comes late */
	assert_int_equal(out_chunk_add(&b, 7, SYNC_INLINE_PLAIN), 0);
	assert_int_equal(b.chunks[0]->state, OUT_WAITING);
	assert_false(b.chunks[0]->by_put);
	out_chunk_drop_all(&b);
	table_release(&ss.chunk_of);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(items_share_what_becomes_of_a_chunk) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
