/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "fusefs/workers.h"

#define MANY 1000

struct item {
	struct work work; /* first */
	pthread_t runner, owner;
	_Atomic unsigned runs;
	unsigned dones;
	bool again;
	struct workers *ws;
};

static void on_wake(void *ctx)
{
	sem_post(ctx);
}

static void run(struct work *w)
{
	struct item *it = (struct item *)w;

	it->runner = pthread_self();
	it->runs++;
}

static void done(struct work *w)
{
	struct item *it = (struct item *)w;

	it->owner = pthread_self();
	it->dones++;
	if (it->again) {
		it->again = false;
		workers_add(it->ws, w);
	}
}

static size_t count_done(const struct item *items, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += items[i].dones;
	return sum;
}

static void runs_elsewhere_and_comes_back(void **state)
{
	static struct item items[MANY];
	struct workers *ws;
	sem_t woken;

	(void)state;
	memset(items, 0, sizeof items);
	sem_init(&woken, 0, 0);
	assert_int_equal(workers_new(on_wake, &woken, &ws), 0);
	for (size_t i = 0; i < MANY; i++) {
		items[i].work = (struct work){ .run = run, .done = done };
		items[i].ws = ws;
		items[i].again = i % 10 == 0;
		workers_add(ws, &items[i].work);
	}
	while (count_done(items, MANY) < MANY + MANY / 10) {
		sem_wait(&woken);
		workers_collect(ws);
	}
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(items[i].runs, i % 10 == 0 ? 2 : 1);
		assert_int_equal(items[i].dones, items[i].runs);
		assert_false(pthread_equal(items[i].runner, pthread_self()));
		assert_true(pthread_equal(items[i].owner, pthread_self()));
	}
	workers_free(&ws);
	sem_destroy(&woken);
}

static void freeing_finishes_what_was_added(void **state)
{
	static struct item items[MANY];
	struct workers *ws;
	sem_t woken;

	(void)state;
	memset(items, 0, sizeof items);
	sem_init(&woken, 0, 0);
	assert_int_equal(workers_new(on_wake, &woken, &ws), 0);
	for (size_t i = 0; i < MANY; i++) {
		items[i].work = (struct work){ .run = run, .done = done };
		workers_add(ws, &items[i].work);
	}
	workers_free(&ws);
	assert_null(ws);
	assert_int_equal(count_done(items, MANY), MANY);
	workers_free(&ws);
	sem_destroy(&woken);
}

static void without_threads_all_is_done_at_once(void **state)
{
	struct item it = { .work = { .run = run, .done = done } };

	(void)state;
	workers_add(NULL, &it.work);
	assert_int_equal(it.runs, 1);
	assert_int_equal(it.dones, 1);
	workers_collect(NULL);
}

static void run_all_waits_for_all(void **state)
{
	static struct item items[MANY], busy[8];
	struct work *works[MANY];
	struct workers *ws;
	sem_t woken;

	(void)state;
	sem_init(&woken, 0, 0);
	assert_int_equal(workers_new(on_wake, &woken, &ws), 0);
	for (size_t n = 0; n <= MANY; n = n * 3 + 1) {
		memset(items, 0, sizeof items);
		for (size_t i = 0; i < 8; i++) {
			busy[i] = (struct item){ .work = { .run = run, .done = done } };
			workers_add(ws, &busy[i].work);
		}
		for (size_t i = 0; i < n; i++) {
			items[i].work = (struct work){ .run = run };
			works[i] = &items[i].work;
		}
		workers_run_all(n % 2 ? ws : NULL, works, n);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(items[i].runs, 1);
		while (count_done(busy, 8) < 8) {
			sem_wait(&woken);
			workers_collect(ws);
		}
	}
	workers_free(&ws);
	sem_destroy(&woken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_elsewhere_and_comes_back),
		cmocka_unit_test(freeing_finishes_what_was_added),
		cmocka_unit_test(without_threads_all_is_done_at_once),
		cmocka_unit_test(run_all_waits_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
