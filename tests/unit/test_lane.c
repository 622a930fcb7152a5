/* SPDX-License-Identifier: Apache-2.0 */
/* When changes go out, and which together, by a clock that the test moves. */
#include "fusefs/lane.h"
#include "tests/lib/unit.h"

#define MS 1000000ll
#define SECOND (1000 * MS)

static struct lanes *l;
static uint64_t inos[LANE_CUT_MAX];

static int setup(void **state)
{
	(void)state;
	return lanes_new(&l);
}

static int teardown(void **state)
{
	(void)state;
	lanes_free(l);
	return 0;
}

static void change(uint64_t ino, uint64_t lane, bool growing, int64_t now)
{
	struct lane_change c = { .ino = ino, .lane = lane, .other = lane, .growing = growing };
	assert_int_equal(lanes_changed(l, &c, now), 0);
}

static size_t cut(int64_t now, uint64_t want_lane)
{
	uint64_t lane = 0;
	bool joined = false;
	size_t n = lanes_cut(l, now, inos, &lane, &joined);

	if (n > 0)
		assert_int_equal(lane, want_lane);
	return n;
}

static void the_first_change_goes_out_within_20_ms(void **state)
{
	(void)state;
	assert_int_equal(lanes_due(l), INT64_MAX);
	change(5, 1, false, 100 * MS);
	assert_true(lanes_due(l) <= 120 * MS);
	assert_int_equal(cut(105 * MS, 1), 0);
	assert_int_equal(cut(120 * MS, 1), 1);
	assert_int_equal(inos[0], 5);
	assert_int_equal(lanes_due(l), INT64_MAX);
	assert_true(lanes_in_flight(l, 5));
}

static void one_cut_takes_all_changes_of_a_lane_in_order(void **state)
{
	(void)state;
	change(5, 1, false, 100 * MS);
	change(9, 2, false, 100 * MS);
	change(3, 1, false, 101 * MS);
	assert_int_equal(cut(120 * MS, 1), 2);
	assert_int_equal(inos[0], 5);
	assert_int_equal(inos[1], 3);
	assert_int_equal(cut(120 * MS, 2), 1);
	assert_int_equal(inos[0], 9);
}

static void a_file_that_grows_is_left_out_until_it_rests(void **state)
{
	(void)state;
	for (int64_t t = 0; t < 200 * MS; t += 2 * MS)
		change(5, 1, true, t);
	change(6, 1, false, 150 * MS);
	assert_int_equal(cut(199 * MS, 1), 1);
	assert_int_equal(inos[0], 6);
	assert_int_equal(cut(209 * MS, 1), 1);
	assert_int_equal(inos[0], 5);
}

static void a_file_that_grows_for_ever_goes_after_ten_seconds(void **state)
{
	(void)state;
	for (int64_t t = 0; t < LANE_HOLD_NS + 5 * MS; t += 5 * MS)
		change(5, 1, true, t);
	assert_int_equal(cut(LANE_HOLD_NS + 1, 1), 1);
}

static void a_node_rewritten_again_and_again_backs_off_to_ten_seconds(void **state)
{
	int64_t now = 0, last = 0;
	unsigned cuts = 0;

	(void)state;
	for (; now < 60 * SECOND; now += 5 * MS) {
		change(5, 1, false, now);
		if (lanes_due(l) > now || cut(now, 1) == 0)
			continue;
		cuts++;
		assert_true(now - last <= LANE_HOLD_NS + SECOND);
		last = now;
		lanes_done(l, 5);
	}
	assert_true(cuts > 5 && cuts < 60);
	/* Quiet for long: the next change goes at once again. */
	now += 60 * SECOND;
	change(5, 1, false, now);
	(void)cut(now + 20 * MS, 1);
	lanes_done(l, 5);
	now += 60 * SECOND;
	change(5, 1, false, now);
	assert_true(lanes_due(l) <= now + 20 * MS);
}

static void a_hot_node_holds_its_lane_but_not_another(void **state)
{
	int64_t now = 0;

	(void)state;
	for (; now < 20 * SECOND; now += 5 * MS) {
		change(5, 1, false, now);
		if (cut(now, 1) > 0)
			lanes_done(l, 5);
	}
	change(6, 1, false, now);
	change(7, 2, false, now);
	assert_int_equal(cut(now + 20 * MS, 2), 1);
	assert_int_equal(inos[0], 7);
	int64_t end = now + LANE_HOLD_NS + SECOND;
	while (now < end && cut(now, 1) == 0)
		now += 5 * MS;
	assert_true(now < end);
}

static void a_node_in_flight_is_not_cut_again(void **state)
{
	(void)state;
	change(5, 1, false, 0);
	assert_int_equal(cut(20 * MS, 1), 1);
	change(5, 1, false, 3 * SECOND);
	assert_int_equal(cut(4 * SECOND, 1), 0);
	lanes_done(l, 5);
	assert_int_equal(cut(4 * SECOND, 1), 1);
}

static void a_rename_between_lanes_cuts_both_together(void **state)
{
	struct lane_change c = { .ino = 5, .lane = 2, .other = 1, .growing = false };
	uint64_t lane;
	bool joined;

	(void)state;
	change(3, 1, false, 0);
	change(4, 2, false, 0);
	assert_int_equal(lanes_changed(l, &c, 0), 0);
	change(9, 3, false, 0);
	size_t n = lanes_cut(l, 20 * MS, inos, &lane, &joined);
	if (n == 1)
		n = lanes_cut(l, 20 * MS, inos, &lane, &joined); /* lane 3 may come first */
	assert_int_equal(n, 3);
	assert_true(joined);
	/* Apart again afterwards. */
	change(13, 1, false, SECOND);
	change(14, 2, false, SECOND);
	assert_int_equal(lanes_cut(l, SECOND + 20 * MS, inos, &lane, &joined), 1);
	assert_false(joined);
}

static void a_barrier_makes_everything_due(void **state)
{
	(void)state;
	change(5, 1, false, 0);
	assert_int_equal(cut(20 * MS, 1), 1);
	lanes_done(l, 5);
	for (int64_t t = 21 * MS; t < 40 * MS; t += MS)
		change(5, 1, true, t);
	lanes_force(l);
	assert_true(lanes_due(l) <= 40 * MS);
	assert_int_equal(cut(40 * MS, 1), 1);
}

static void what_could_not_be_sealed_is_tried_again_and_holds_nothing_up(void **state)
{
	int64_t now = 20 * MS;

	(void)state;
	change(5, 1, false, 0);
	assert_int_equal(cut(now, 1), 1);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(lanes_again(l, 5, now), 0);
		assert_true(lanes_dirty(l, 5));
		assert_false(lanes_in_flight(l, 5));
		int64_t due = lanes_due(l);
		assert_true(due > now && due <= now + LANE_AGAIN_MAX_NS);
		change(6, 1, false, now);
		assert_int_equal(cut(now + 20 * MS, 1), 1);
		assert_int_equal(inos[0], 6);
		lanes_done(l, 6);
		now = due > now + 20 * MS ? due : now + 20 * MS;
		assert_int_equal(cut(now, 1), 1);
		assert_int_equal(inos[0], 5);
	}
	/* A barrier tries it at once, and so does a change of its own. */
	assert_int_equal(lanes_again(l, 5, now), 0);
	lanes_force(l);
	assert_int_equal(cut(now, 1), 1);
	assert_int_equal(lanes_again(l, 5, now), 0);
	change(5, 1, false, now);
	assert_int_equal(cut(now + 20 * MS, 1), 1);
	lanes_done(l, 5);
	assert_int_equal(lanes_due(l), INT64_MAX);
}

static void a_lane_whose_nodes_are_all_in_flight_is_not_due(void **state)
{
	(void)state;
	assert_int_equal(lanes_sent(l, 5), 0);
	change(5, 1, false, 0);
	assert_int_equal(lanes_due(l), INT64_MAX);
	assert_int_equal(cut(100 * SECOND, 1), 0);
	lanes_done(l, 5);
	assert_true(lanes_due(l) <= 20 * MS);
	assert_int_equal(cut(20 * MS, 1), 1);
}

/* Whatever happens: what is changed is in a lane until it is cut, and a lane is due, or all that waits in it is in flight. */
static void at_random_nothing_changed_is_left_without_a_time(void **state)
{
	enum { NODES = 40 };
	bool changed[NODES + 1] = { false }, flying[NODES + 1] = { false };
	uint64_t seed = 7;
	int64_t now = 0;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t ino = 1 + unit_random(&seed) % NODES, lane;
		struct lane_change c = {
			.ino = ino, .lane = unit_random(&seed) % 5, .growing = unit_random(&seed) % 2
		};
		bool joined, startable = false;

		now += (int64_t)(unit_random(&seed) % 30) * MS;
		c.other = unit_random(&seed) % 4 ? c.lane : unit_random(&seed) % 5;
		switch (unit_random(&seed) % 4) {
		case 0:
			assert_int_equal(lanes_changed(l, &c, now), 0);
			changed[ino] = true;
			break;
		case 1:
			for (size_t n = lanes_cut(l, now, inos, &lane, &joined); n > 0; n--) {
				ino = inos[n - 1];
				assert_true(changed[ino] && !flying[ino]);
				flying[ino] = true;
				changed[ino] = false;
			}
			break;
		case 2:
			if (!flying[ino])
				break;
			lanes_done(l, ino);
			flying[ino] = false;
			break;
		case 3:
			if (!flying[ino])
				break;
			assert_int_equal(lanes_again(l, ino, now), 0);
			flying[ino] = false;
			changed[ino] = true;
			break;
		}
		for (ino = 1; ino <= NODES; ino++) {
			assert_int_equal(lanes_dirty(l, ino), changed[ino]);
			assert_int_equal(lanes_in_flight(l, ino), flying[ino]);
			startable = startable || (changed[ino] && !flying[ino]);
		}
		assert_true(startable == (lanes_due(l) < INT64_MAX));
		assert_true(!startable || lanes_due(l) <= now + LANE_HOLD_NS + LANE_AGAIN_MAX_NS);
	}
}

static void many_nodes_come_in_several_cuts_and_are_forgotten_later(void **state)
{
	size_t total = 0, n;
	int64_t now = 0;

	(void)state;
	for (uint64_t i = 1; i <= 3 * LANE_CUT_MAX; i++)
		change(i, 1, false, 0);
	while ((n = cut(SECOND, 1)) > 0) {
		total += n;
		for (size_t i = 0; i < n; i++)
			lanes_done(l, inos[i]);
	}
	assert_int_equal(total, 3 * LANE_CUT_MAX);
	now = 100 * SECOND;
	change(7, 1, false, now);
	assert_true(lanes_due(l) <= now + 20 * MS);
	assert_int_equal(cut(now + 20 * MS, 1), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_first_change_goes_out_within_20_ms),
		T(one_cut_takes_all_changes_of_a_lane_in_order),
		T(a_file_that_grows_is_left_out_until_it_rests),
		T(a_file_that_grows_for_ever_goes_after_ten_seconds),
		T(a_node_rewritten_again_and_again_backs_off_to_ten_seconds),
		T(a_hot_node_holds_its_lane_but_not_another),
		T(a_node_in_flight_is_not_cut_again),
		T(a_rename_between_lanes_cuts_both_together),
		T(a_barrier_makes_everything_due),
		T(what_could_not_be_sealed_is_tried_again_and_holds_nothing_up),
		T(a_lane_whose_nodes_are_all_in_flight_is_not_due),
		T(at_random_nothing_changed_is_left_without_a_time),
		T(many_nodes_come_in_several_cuts_and_are_forgotten_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
