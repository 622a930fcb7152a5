/* SPDX-License-Identifier: Apache-2.0 */
/* The thread. What it wants of the writer goes there as a job, and it waits until that is freed. */
#include <stdlib.h>
#include <time.h>
#include "base/log.h"
#include "server/blob.h"
#include "server/relay.h"
#include "server/sweep.h"

#define PASS_SECONDS 60
#define FIRST_PASSES 60 /* until orphans are looked for: not amid a start */
#define DAY_PASSES (86400 / PASS_SECONDS)

struct sweeper {
	struct relay *relay;
	struct writer *writer;
	struct depot *store;
	pthread_t thread;
	bool running;
	unsigned passes; /* until orphans are looked for */

	pthread_mutex_t lock; /* what is below */
	pthread_cond_t wake;
	bool closed, waiting; /* waiting: for a job */
	int result;           /* of that */
};

struct sweep_state {
	struct sweeper *sweeper;
	struct sweep_list list;
	int result;
};

static int run(struct relay *relay, struct job *j, struct depot *store)
{
	struct sweep_state *st = j->state;

	(void)store;
	st->result = sweep_apply(relay, &st->list);
	return st->result;
}

static void state_free(void *state)
{
	struct sweep_state *st = state;
	struct sweeper *s = st->sweeper;

	pthread_mutex_lock(&s->lock);
	s->waiting = false;
	s->result = st->result;
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->lock);
	free(st);
}

static const struct method method_sweep = { "/sweep", LANE_WRITE, NULL, run, state_free };

/* Has the writer do it, and waits. */
static int apply(struct sweeper *s, const struct sweep_list *l)
{
	struct sweep_state *st;
	struct job *j;
	int err;

	if (!l->n)
		return OK;
	st = calloc(1, sizeof *st);
	j = st ? job_new(&method_sweep, 0, NULL) : NULL;
	if (!j) {
		free(st);
		return ERR_NOMEM;
	}
	*st = (struct sweep_state){ .sweeper = s, .list = *l, .result = ERR_CANCELLED };
	j->state = st;
	pthread_mutex_lock(&s->lock);
	s->waiting = true;
	pthread_mutex_unlock(&s->lock);
	writer_put(s->writer, j);
	pthread_mutex_lock(&s->lock);
	while (s->waiting && !s->closed)
		pthread_cond_wait(&s->wake, &s->lock);
	err = s->waiting ? ERR_CANCELLED : s->result;
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* A page of which nothing went ends the pass: what stands behind it has its turn in the next. */
static int take_garbage(struct sweeper *s)
{
	struct sweep_list l;
	int first = OK, err, applied;

	do {
		err = sweep_garbage(s->relay, s->store, &l);
		applied = apply(s, &l);
		if (first == OK)
			first = err < 0 ? err : applied;
	} while (applied == OK && l.gone && l.n == SWEEP_MANY);
	return first;
}

static int find_orphans(struct sweeper *s)
{
	struct blob_seen at = { 0 };
	struct sweep_list l;
	size_t n = 0;
	int err = sweep_owns_objects(s->relay), more;

	if (err == 0)
		log_warn("objects of another relay stand in the same bucket or folder: what nothing names is left "
			 "there");
	if (err <= 0)
		return err;
	do {
		more = sweep_orphans(s->relay, s->store, &at, &l);
		err = more < 0 ? more : apply(s, &l);
		n += l.n;
	} while (err == OK && more > 0);
	if (n)
		log_info("%zu objects that nothing names will go in an hour", n);
	return err < 0 ? err : blob_tidy(s->relay->blobs, relay_now(s->relay) - SWEEP_ORPHAN_SECONDS);
}

/* False: it is to end. */
static bool wait_pass(struct sweeper *s)
{
	struct timespec until;
	bool closed;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PASS_SECONDS;
	pthread_mutex_lock(&s->lock);
	while (!(closed = s->closed))
		if (pthread_cond_timedwait(&s->wake, &s->lock, &until))
			break;
	pthread_mutex_unlock(&s->lock);
	return !closed;
}

static void complain(const char *what, int err)
{
	if (err < 0 && err != ERR_CANCELLED)
		log_warn("%s: %s", what, err_str(err));
}

static void count(struct sweeper *s)
{
	complain("counting what is stored", metrics_count(&s->relay->metrics, s->store));
}

static void *sweeper_main(void *arg)
{
	struct sweeper *s = arg;

	count(s);
	while (wait_pass(s)) {
		complain("removing objects", take_garbage(s));
		if (!--s->passes) {
			int err = find_orphans(s);

			complain("looking for objects that nothing names", err);
			s->passes = err < 0 ? FIRST_PASSES : DAY_PASSES;
		}
		count(s);
	}
	return NULL;
}

int sweeper_start(struct relay *r, struct writer *w, struct sweeper **ret_s)
{
	struct sweeper *s = calloc(1, sizeof *s);
	pthread_condattr_t attr;
	int err;

	if (!s)
		return ERR_NOMEM;
	*s = (struct sweeper){ .relay = r, .writer = w, .passes = FIRST_PASSES };
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	err = depot_open_reader(r->store, &s->store);
	if (err == OK && pthread_create(&s->thread, NULL, sweeper_main, s))
		err = ERR_NOMEM;
	s->running = err == OK;
	if (err < 0) {
		sweeper_free(s);
		return err;
	}
	*ret_s = s;
	return OK;
}

void sweeper_stop(struct sweeper *s)
{
	if (!s || !s->running)
		return;
	pthread_mutex_lock(&s->lock);
	s->closed = true;
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	s->running = false;
}

void sweeper_free(struct sweeper *s)
{
	if (!s)
		return;
	sweeper_stop(s);
	depot_close(s->store);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
