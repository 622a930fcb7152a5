/* SPDX-License-Identifier: Apache-2.0 */
#include "server/writer.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "base/log.h"
#include "server/elsewhere.h"
#include "server/housekeeping.h"
#include "server/relay.h"
#include "server/rpc.h"
#include "server/batch.h"

#define BATCH_MAX 512
#define BATCH_BYTES (16u << 20)
#define VERIFIERS_MAX 4
#define TRIES_MAX 5
#define HOUSEKEEPING_SECONDS 60

struct writer {
	struct relay *relay;
	job_done *done;
	void *ctx;
	pthread_t thread, verifiers[VERIFIERS_MAX];
	size_t n_verifiers;
	bool running;            /* thread was started */
	atomic_llong busy_since; /* monotonic ns; 0: waiting */

	pthread_mutex_t lock; /* all below, and the jobs' next and prepared */
	pthread_cond_t to_verify, verified;
	struct job *first, *last;
	struct job *unprepared; /* the first that no verifier has taken yet */
	bool closed;
};

static void take_back(struct relay *relay, struct job *j)
{
	job_drop_results(relay, j);
	batch_unaccept(j);
}

static void answer_failure(struct relay *relay, struct job *j, int err)
{
	take_back(relay, j);
	if (rpc_failed(j, err) < 0)
		job_drop_results(relay, j);
}

/* One job in a transaction of its own. */
static int try_single(struct relay *relay, struct job *j)
{
	int err = batch_begin(relay, &j, 1);

	if (err < 0)
		return err;
	err = j->method->run(relay, j, relay->store);
	if (err >= 0)
		err = elsewhere_tell(relay, &j, 1);
	if (err >= 0)
		return batch_commit(relay);
	batch_rollback(relay);
	return err;
}

static void run_single(struct relay *relay, struct job *j)
{
	int err = try_single(relay, j);

	/* Another process was in the way. */
	for (int i = 0; i < TRIES_MAX && err == ERR_AGAIN; i++) {
		take_back(relay, j);
		err = try_single(relay, j);
	}
	if (err < 0) {
		log_warn("%s: %s", j->method->name, err_str(err));
		answer_failure(relay, j, err);
	}
}

static int try_batch(struct relay *relay, struct job **jobs, size_t n)
{
	int err = batch_begin(relay, jobs, n);

	if (err < 0)
		return err;
	for (size_t i = 0; i < n && err >= 0; i++)
		err = jobs[i]->method->run(relay, jobs[i], relay->store);
	if (err >= 0)
		err = elsewhere_tell(relay, jobs, n);
	if (err < 0) {
		batch_rollback(relay);
		return err;
	}
	return batch_commit(relay);
}

static void run_batch(struct relay *relay, struct job **jobs, size_t n)
{
	metrics_add(&relay->metrics, commits, 1);
	metrics_add(&relay->metrics, commit_jobs, n);
	if (n == 1) {
		run_single(relay, jobs[0]);
		return;
	}
	if (try_batch(relay, jobs, n) == OK)
		return;
	for (size_t i = 0; i < n; i++)
		take_back(relay, jobs[i]);
	for (size_t i = 0; i < n; i++)
		run_single(relay, jobs[i]);
}

void writer_run_batch(struct relay *relay, struct job **jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		rpc_prepare(relay, jobs[i]);
	run_batch(relay, jobs, n);
}

static void *verify_main(void *arg)
{
	struct writer *w = arg;
	struct job *j;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		while (!w->unprepared && !w->closed)
			pthread_cond_wait(&w->to_verify, &w->lock);
		if (!(j = w->unprepared))
			break;
		w->unprepared = j->next;
		pthread_mutex_unlock(&w->lock);
		rpc_prepare(w->relay, j);
		pthread_mutex_lock(&w->lock);
		j->prepared = true;
		if (j == w->first)
			pthread_cond_signal(&w->verified);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* Takes the prepared jobs from the front. Called and returns with the lock held. */
static size_t take_batch(struct writer *w, struct job **jobs)
{
	size_t n = 0, bytes = 0;

	while (n < BATCH_MAX && bytes < BATCH_BYTES && w->first && w->first->prepared) {
		struct job *j = w->first;

		w->first = j->next;
		if (!w->first)
			w->last = NULL;
		bytes += j->in.len;
		jobs[n++] = j;
	}
	return n;
}

/* Waits for work or, at `until` without any, returns false. */
static bool wait_work(struct writer *w, const struct timespec *until)
{
	while (!(w->first && w->first->prepared) && !(w->closed && !w->first))
		if (pthread_cond_timedwait(&w->verified, &w->lock, until))
			return false;
	return true;
}

static struct timespec seconds_from_now(unsigned seconds)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += seconds;
	return t;
}

/* In its turn also when there is always work: else whoever keeps the relay busy keeps it from ever giving space back. */
static void keep_house(struct writer *w, struct timespec *due)
{
	struct timespec now = seconds_from_now(0);
	int err;

	if (now.tv_sec < due->tv_sec || (now.tv_sec == due->tv_sec && now.tv_nsec < due->tv_nsec))
		return;
	err = housekeeping_step(w->relay);
	if (err < 0)
		log_warn("housekeeping: %s", err_str(err));
	*due = seconds_from_now(err > 0 ? 1 : HOUSEKEEPING_SECONDS);
}

static long long mono(const struct writer *w)
{
	return w->relay->env->mono_ns(w->relay->env->ctx);
}

int64_t writer_busy_ns(const struct writer *w, int64_t now)
{
	long long since = w->busy_since;

	return since ? now - since : 0;
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	struct job *jobs[BATCH_MAX];
	struct timespec due = seconds_from_now(HOUSEKEEPING_SECONDS);
	size_t n;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		bool work = wait_work(w, &due);

		if (w->closed && !w->first)
			break;
		n = work ? take_batch(w, jobs) : 0;
		pthread_mutex_unlock(&w->lock);
		w->busy_since = mono(w);
		if (work) {
			run_batch(w->relay, jobs, n);
			histogram_add(&w->relay->metrics.commit_time, mono(w) - w->busy_since);
			for (size_t i = 0; i < n; i++)
				w->done(w->ctx, jobs[i]);
		}
		keep_house(w, &due);
		w->busy_since = 0;
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int writer_start(struct relay *relay, job_done *done, void *ctx, struct writer **ret_w)
{
	struct writer *w = calloc(1, sizeof *w);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_condattr_t attr;

	if (!w)
		return ERR_NOMEM;
	*w = (struct writer){ .relay = relay, .done = done, .ctx = ctx };
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->to_verify, NULL);
	pthread_cond_init(&w->verified, &attr);
	pthread_condattr_destroy(&attr);
	for (long i = 0; i < (cpus < VERIFIERS_MAX ? cpus : VERIFIERS_MAX); i++)
		if (!pthread_create(&w->verifiers[w->n_verifiers], NULL, verify_main, w))
			w->n_verifiers++;
	if (w->n_verifiers)
		w->running = !pthread_create(&w->thread, NULL, writer_main, w);
	if (!w->running) {
		writer_stop(w);
		return ERR_NOMEM;
	}
	*ret_w = w;
	return OK;
}

void writer_put(struct writer *w, struct job *j)
{
	pthread_mutex_lock(&w->lock);
	j->next = NULL;
	if (w->last)
		w->last->next = j;
	else
		w->first = j;
	w->last = j;
	if (!w->unprepared)
		w->unprepared = j;
	pthread_cond_signal(&w->to_verify);
	pthread_mutex_unlock(&w->lock);
}

void writer_stop(struct writer *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->closed = true;
	pthread_cond_broadcast(&w->to_verify);
	pthread_cond_broadcast(&w->verified);
	pthread_mutex_unlock(&w->lock);
	for (size_t i = 0; i < w->n_verifiers; i++)
		pthread_join(w->verifiers[i], NULL);
	pthread_mutex_lock(&w->lock);
	pthread_cond_broadcast(&w->verified);
	pthread_mutex_unlock(&w->lock);
	if (w->running)
		pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->to_verify);
	pthread_cond_destroy(&w->verified);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
