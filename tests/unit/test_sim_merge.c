/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices of several people that change one space at random, on line and off (tests/lib/sim_world.h). Messages are delayed and lost as
 * the seed says. Afterwards all devices show one tree, nothing waits, and every edit that nobody overwrote or removed is there.
 */
#include "tests/lib/sim_people.h"
#include "tests/lib/unit.h"

static void run(uint64_t seed, unsigned rounds, unsigned steps)
{
	sim_open(seed);
	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned i = 0; i < steps; i++) {
			struct sim_device *d = &sim.d[sim_random(SIM_DEVICES)];
			uint64_t what = sim_random(100);

			if (what < 34)
				sim_act(d);
			else if (what < 35)
				sim_begin_wait(d);
			else if (what < 58)
				sim_tick(d, 15 * SIM_MS);
			else if (what < 60)
				sim_failing_tick(d);
			else if (what < 78)
				(void)sim_carry_up(d);
			else if (what < 97)
				(void)sim_carry_down(d);
			else if (sim_random(4) == 0)
				sim_restart(d);
			else if (d->peer->online)
				sim_go_offline(d);
			else
				sim_go_online(d);
			if (!d->waits || sim_has_jobs(d))
				continue;
			int err = sim_end_wait(d);
			assert_true(err == 0 || err == ERR_NOMEM || err == ERR_NO_SPACE);
			if (err == 0)
				sim_check_promise(d);
		}
		sim_come_to_rest(seed, NULL);
		sim_compare(seed);
		for (unsigned i = 0; i < SIM_DEVICES; i++) {
			if (sim.d[i].waits)
				assert_int_equal(sim_end_wait(&sim.d[i]), 0); /* never stuck at rest */
		}
	}
	sim_close();
}

/* Everybody works off line for long; then all come back. */
static void long_partitions_heal(void **state)
{
	(void)state;
	for (uint64_t seed = 1000; seed < 1010; seed++) {
		sim_open(seed);
		for (unsigned round = 0; round < 2; round++) {
			for (unsigned i = 0; i < SIM_DEVICES; i++) {
				if (sim.d[i].peer->online)
					sim_go_offline(&sim.d[i]);
			}
			for (unsigned i = 0; i < 120; i++)
				sim_act(&sim.d[sim_random(SIM_DEVICES)]);
			sim_come_to_rest(seed, NULL);
			sim_compare(seed);
		}
		sim_close();
	}
}

static void devices_converge_and_lose_nothing(void **state)
{
	const char *from = getenv("SIM_FROM"), *count = getenv("SIM_COUNT");
	uint64_t first = from ? strtoull(from, NULL, 10) : 1, n = count ? strtoull(count, NULL, 10) : 30;

	(void)state;
	for (uint64_t seed = first; seed < first + n; seed++)
		run(seed, 3, 150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(long_partitions_heal),
		cmocka_unit_test(devices_converge_and_lose_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
