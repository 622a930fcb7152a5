/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 of the relay at random moments while devices write to a plain space: pushes, membership entries, turns of the key,
 * files. What was acknowledged is there with its bytes, and nothing is there twice although everything unanswered is
 * sent again. With PostgreSQL two devices write into it by a relay each, and each relay is killed. ROUNDS=200 for the
 * long form (tests/long/kill_relay_load.sh).
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tests/lib/plain_writer.h"
#include "tests/lib/program.h"
#include "tests/lib/relay_process.h"

#define ROUNDS 5
#define ROUND_DEEDS 200 /* at most in one round */
#define KILL_WITHIN_MS 150

struct side {
	struct relay_process relay;
	struct plain_writer writer;
	pthread_t thread;
	int rounds;
	uint64_t seed;
};

/* Ends the relay some milliseconds from now. */
static pid_t start_killer(struct side *s)
{
	const struct timespec wait = { .tv_nsec = (long)(unit_random(&s->seed) % KILL_WITHIN_MS) * 1000000 };
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		nanosleep(&wait, NULL);
		kill(s->relay.pid, SIGKILL);
		_exit(0);
	}
	return pid;
}

/* The last relay is no child of this thread: it would end with it. */
static void *side_main(void *arg)
{
	struct side *s = arg;

	for (int i = 0; i < s->rounds; i++) {
		pid_t killer;

		relay_process_start(&s->relay);
		killer = start_killer(s);
		plain_writer_round(&s->writer, s->relay.port, s->relay.url, ROUND_DEEDS, false);
		assert_int_equal(waitpid(killer, NULL, 0), killer);
		relay_process_kill(&s->relay, SIGKILL); /* reaps it */
	}
	return NULL;
}

static void begin(struct plain_place *place, struct side *sides, uint32_t n)
{
	const char *rounds = getenv("ROUNDS");
	struct rpc_client c;

	for (uint32_t i = 0; i < n; i++) {
		struct side *s = &sides[i];

		*s = (struct side){ .rounds = rounds ? atoi(rounds) : ROUNDS, .seed = (uint64_t)time(NULL) + i };
		print_message("seed %llu\n", (unsigned long long)s->seed);
		if (i)
			relay_process_start_beside(&s->relay, &sides[0].relay);
		else
			relay_process_start(&s->relay);
		plain_writer_init(&s->writer, place, 1 + i, i == 0, s->seed);
		if (i == 0) {
			rpc_open(&c, s->relay.port);
			rpc_auth(&c, &s->writer.me, s->relay.url);
			plain_place_create(place, &c);
			rpc_close(&c);
		}
		plain_writer_begin(&s->writer, s->relay.port, s->relay.url);
	}
	for (uint32_t i = 0; i < n; i++)
		relay_process_kill(&sides[i].relay, SIGKILL);
}

static void end(struct side *s, bool is_last)
{
	const struct plain_writer *w = &s->writer;

	print_message("%llu pushes, %llu entries, %llu turns of the key, %zu files; sent again and there already: %llu;"
		      " uploads sent again: %zu\n",
		(unsigned long long)w->done[PLAIN_PUSH], (unsigned long long)w->done[PLAIN_MEMBER],
		(unsigned long long)w->done[PLAIN_EPOCH_COMPLETE], w->files.n, (unsigned long long)w->there_already,
		w->files.again);
	if (is_last)
		relay_process_remove(&s->relay);
	else
		relay_process_kill(&s->relay, SIGKILL);
	plain_writer_release(&s->writer);
}

static void write_and_kill(uint32_t n)
{
	struct side sides[2];
	struct plain_place place;
	uint64_t deeds = 0;

	plain_place_init(&place);
	begin(&place, sides, n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(pthread_create(&sides[i].thread, NULL, side_main, &sides[i]), 0);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(pthread_join(sides[i].thread, NULL), 0);
	for (uint32_t i = 0; i < n; i++) {
		struct side *s = &sides[i];
		struct plain_writer *w = &s->writer;

		relay_process_start(&s->relay);
		plain_writer_round(w, s->relay.port, s->relay.url, 1, true);
		plain_writer_check(w, s->relay.port, s->relay.url);
		deeds += w->done[PLAIN_PUSH] + w->done[PLAIN_MEMBER] + w->files.n;
	}
	assert_int_equal(step_book_check(&place.steps), deeds);
	for (uint32_t i = n; i--;)
		end(&sides[i], i == 0);
	plain_place_release(&place);
}

static void a_killed_relay_keeps_a_plain_space(void **state)
{
	(void)state;
	write_and_kill(1);
}

static void two_relays_that_are_killed_keep_a_plain_space(void **state)
{
	(void)state;
	write_and_kill(2);
}

int main(void)
{
	const struct CMUnitTest one[] = { cmocka_unit_test(a_killed_relay_keeps_a_plain_space) };
	const struct CMUnitTest two[] = { cmocka_unit_test(two_relays_that_are_killed_keep_a_plain_space) };

	program_init(); /* threads assert, too */
	signal(SIGPIPE, SIG_IGN);
	return test_database_is_sqlite() ? cmocka_run_group_tests(one, NULL, NULL)
					 : cmocka_run_group_tests(two, NULL, NULL);
}
