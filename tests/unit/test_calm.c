/* SPDX-License-Identifier: Apache-2.0 */
/* How long changes wait for the next look, by a clock that the test moves. */
#include "fusefs/calm.h"
#include "tests/lib/unit.h"

#define MS 1000000ll

/* Changes without end: when the thread looks next. */
static int64_t next_look(struct calm *c, int64_t now)
{
	calm_look(c, now);
	assert_true(calm_holds(c, now));
	assert_true(calm_holds(c, c->until - 1));
	assert_false(calm_holds(c, c->until));
	return c->until;
}

static void a_change_after_quiet_is_looked_at_at_once(void **state)
{
	struct calm c = { 0 };

	(void)state;
	assert_false(calm_holds(&c, 0));
	assert_false(calm_holds(&c, 5000 * MS));
	int64_t until = next_look(&c, 5000 * MS);
	assert_int_equal(until, 5000 * MS + CALM_SHORTEST_NS);
	for (int i = 0; i < 10; i++) {
		until += 20 * MS;
		assert_false(calm_holds(&c, until));
		assert_int_equal(next_look(&c, until), until + CALM_SHORTEST_NS);
	}
}

static void a_burst_is_looked_at_less_and_less_often(void **state)
{
	static const int64_t spans[] = { 4 * MS, 8 * MS, 16 * MS, 32 * MS, 64 * MS, 64 * MS, 64 * MS };
	struct calm c = { 0 };
	int64_t now = 1000 * MS;

	(void)state;
	for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
		int64_t next = next_look(&c, now);
		assert_int_equal(next - now, spans[i]);
		now = next + (i % 2 ? MS : 0); /* the thread is late, or the change was */
	}
	now += CALM_SHORTEST_NS;
	assert_int_equal(next_look(&c, now), now + CALM_SHORTEST_NS);
}

static void a_look_before_the_end_makes_the_pause_no_longer(void **state)
{
	struct calm c = { 0 };
	int64_t now = 1000 * MS;

	(void)state;
	for (int i = 0; i < 100; i++, now += MS / 2)
		assert_int_equal(next_look(&c, now), now + CALM_SHORTEST_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_after_quiet_is_looked_at_at_once),
		cmocka_unit_test(a_burst_is_looked_at_less_and_less_often),
		cmocka_unit_test(a_look_before_the_end_makes_the_pause_no_longer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
