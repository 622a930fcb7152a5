/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sync thread and what others call. The thread takes posted jobs, looks at poked spaces, lets each space do what is due, and
 * sleeps in poll until a socket, a poke or a time. All state that must survive is in the store, so stopping at any point loses nothing.
 */
#include "fusefs/sync.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "fusefs/sync_inner.h"
#include "wire/map.h"

#define MS 1000000ll
#define SECOND (1000 * MS)
#define PEERS_MAX 64
#define INTERRUPT_NS (100 * MS)
#define HOPE_NS (3 * SECOND) /* how long a call waits for a relay that is said to be away */
#define RATE_NS (2 * SECOND)

int64_t sync_now(const struct sync *s)
{
	return s->config.env->mono_ns(s->config.env->ctx);
}

static void wake(void *ctx)
{
	const struct sync *s = ctx;
	uint64_t one = 1;

	while (write(s->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

/* ---- jobs ---- */

struct sync_job *sync_job_new(int (*run)(struct sync *s, struct sync_job *job), void *ctx)
{
	struct sync_job *job = calloc(1, sizeof *job);
	pthread_condattr_t attr;

	if (!job)
		return NULL;
	job->run = run;
	job->ctx = ctx;
	job->refs = 1;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&job->cond, &attr);
	pthread_condattr_destroy(&attr);
	return job;
}

/* Under the lock. */
static void unref(struct sync_job *job)
{
	if (--job->refs > 0)
		return;
	if (job->release)
		job->release(job->ctx);
	pthread_cond_destroy(&job->cond);
	free(job);
}

void sync_job_let_go(struct sync *s, struct sync_job *job)
{
	pthread_mutex_lock(&s->lock);
	unref(job);
	pthread_mutex_unlock(&s->lock);
}

static struct timespec timespec_of(int64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND) };
}

int sync_job_post(struct sync *s, struct sync_job *job, int64_t deadline, bool (*interrupted)(void *arg), void *arg)
{
	pthread_mutex_lock(&s->lock);
	if (s->stop || !s->started) {
		pthread_mutex_unlock(&s->lock);
		return ERR_CANCELLED;
	}
	job->posted = sync_now(s);
	job->deadline = deadline;
	job->refs++;
	job->next = NULL;
	*s->jobs_tail = job;
	s->jobs_tail = &job->next;
	wake(s);
	int err = OK;
	while (!job->done) {
		int64_t now = sync_now(s),
			until = interrupted && now + INTERRUPT_NS < deadline ? now + INTERRUPT_NS : deadline;

		if (now >= deadline) {
			err = ERR_TIMEOUT;
			break;
		}
		struct timespec ts = timespec_of(until);
		pthread_cond_timedwait(&job->cond, &s->lock, &ts);
		if (!job->done && interrupted) {
			pthread_mutex_unlock(&s->lock);
			bool stop = interrupted(arg);
			pthread_mutex_lock(&s->lock);
			if (stop && !job->done) {
				err = ERR_CANCELLED;
				break;
			}
		}
	}
	if (job->done)
		err = job->err;
	else
		job->dead = true;
	pthread_mutex_unlock(&s->lock);
	return err;
}

static void finish_job(struct sync *s, struct sync_job *job, int err)
{
	pthread_mutex_lock(&s->lock);
	job->done = true;
	job->err = err;
	pthread_cond_broadcast(&job->cond);
	unref(job);
	pthread_mutex_unlock(&s->lock);
}

bool sync_job_dead(struct sync *s, const struct sync_job *job)
{
	pthread_mutex_lock(&s->lock);
	bool dead = job->dead;
	pthread_mutex_unlock(&s->lock);
	return dead;
}

/* Runs new jobs and those that waited. A job whose poster has gone is run once more, to clean up. */
void sync_run_jobs(struct sync *s, bool stopping)
{
	pthread_mutex_lock(&s->lock);
	struct sync_job *jobs = s->jobs;
	s->jobs = NULL;
	s->jobs_tail = &s->jobs;
	pthread_mutex_unlock(&s->lock);
	struct sync_job *old = s->waiting, **tail = &s->waiting;
	s->waiting = NULL;
	for (int round = 0; round < 2; round++) {
		struct sync_job *list = round == 0 ? old : jobs;

		while (list) {
			struct sync_job *job = list;

			list = job->next;
			job->next = NULL;
			int err = stopping ? ERR_CANCELLED : job->run(s, job);
			if (err == ERR_AGAIN) {
				*tail = job;
				tail = &job->next;
				continue;
			}
			finish_job(s, job, err);
		}
	}
}

/* ---- peers and spaces ---- */

static void on_state(void *ctx, struct peer *p)
{
	struct sync_peer *sp = ctx;
	struct sync *s = sp->sync;
	bool failed = peer_state(p) == MSG_OFFLINE || peer_state(p) == MSG_REFUSED;

	/* Each try to connect is told: what counts is when the first one failed. */
	if (peer_online(p) ? sp->failed_at != 0 || sp->since_wall == 0 : failed && sp->failed_at == 0)
		sp->since_wall = s->config.env->wall_ns(s->config.env->ctx);
	if (peer_online(p))
		sp->failed_at = 0;
	else if (failed && sp->failed_at == 0)
		sp->failed_at = sync_now(s);
	if (!peer_online(p))
		sync_fetch_offline(s, sp);
	for (struct sync_space *ss = s->spaces; ss; ss = ss->next) {
		if (ss->peer == sp)
			sync_space_connection(ss);
	}
}

static void on_notify(void *ctx, struct peer *p, struct bytes method, struct bytes params)
{
	struct sync_peer *sp = ctx;
	bool step = cbor_text_is(method, "coffer.sync"), revoked = cbor_text_is(method, "revoked");
	struct id16 id;

	(void)p;
	if ((!step && !revoked) || !map_get_uuid(params, "space", &id))
		return;
	for (struct sync_space *ss = sp->sync->spaces; ss; ss = ss->next) {
		if (ss->peer != sp || !id16_equal(&id, &ss->space->row.id))
			continue;
		if (step)
			sync_pull_notified(ss, params);
		else
			sync_space_revoked(ss);
	}
}

struct sync_peer *sync_peer_of(struct sync *s, const char *relay, bool make)
{
	for (struct sync_peer *p = s->peers; p; p = p->next) {
		if (strcmp(peer_relay(p->peer), relay) == 0)
			return p;
	}
	if (!make)
		return NULL;
	struct sync_peer *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->sync = s;
	p->next_number = 1;
	struct peer_config config = { .env = s->config.env,
		.who = s->config.who,
		.program = s->config.syncd_path,
		.relay = relay,
		.ctx = p,
		.state = on_state,
		.notify = on_notify };
	if (peer_new(&config, &p->peer) < 0) {
		free(p);
		return NULL;
	}
	p->next = s->peers;
	s->peers = p;
	return p;
}

struct sync_space *sync_space_of(struct sync *s, uint32_t row)
{
	for (struct sync_space *ss = s->spaces; ss; ss = ss->next) {
		if (ss->row == row)
			return ss;
	}
	return NULL;
}

bool sync_trusts(const struct sync *s, const struct id32 *owner, const struct id32 *author)
{
	const struct identity *who = s->config.who;

	if (!id32_equal(owner, identity_person(who)))
		return false;
	if (id32_is_zero(author) || id32_equal(author, identity_device(who)))
		return true;
	/* The personal space's log names every device of the own person, and no other. */
	for (const struct sync_space *ss = s->spaces; ss; ss = ss->next) {
		if (!ss->space->personal)
			continue;
		pthread_mutex_lock(&ss->space->lock);
		bool own = log_find_device(ss->space->log, author) != NULL;
		pthread_mutex_unlock(&ss->space->lock);
		return own;
	}
	return false;
}

int sync_peer_ready(const struct sync_peer *p, const struct sync_job *job)
{
	int64_t now = sync_now(p->sync);

	if (peer_online(p->peer))
		return OK;
	if (peer_state(p->peer) == MSG_REFUSED)
		return ERR_VERSION;
	peer_hurry(p->peer);
	if (p->failed_at && now - job->posted >= HOPE_NS && now - p->failed_at >= HOPE_NS)
		return ERR_OFFLINE;
	return ERR_AGAIN;
}

/* ---- the loop ---- */

/* After a poke the thread looks again by itself a while later, and further pokes until then wake nobody (calm.h): a copy of
 * ten thousand files would wake it for each. */
static void take_pokes(struct sync *s)
{
	int64_t now = sync_now(s);

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->poked.size; i++) {
		struct sync_space *ss =
			s->poked.slots[i].key ? sync_space_of(s, (uint32_t)s->poked.slots[i].key) : NULL;

		if (ss)
			ss->poked = true;
	}
	if (s->poked.n > 0) {
		table_release(&s->poked);
		calm_look(&s->calm, now);
	}
	pthread_mutex_unlock(&s->lock);
}

static void measure(struct sync *s, int64_t now)
{
	uint64_t up = 0, down = 0;

	if (now - s->rate_at < RATE_NS)
		return;
	for (struct sync_peer *p = s->peers; p; p = p->next) {
		uint64_t u, d;

		peer_traffic(p->peer, &u, &d);
		up += u;
		down += d;
	}
	double seconds = (double)(now - s->rate_at) / SECOND;
	pthread_mutex_lock(&s->lock);
	s->up_rate = up >= s->rate_up ? (double)(up - s->rate_up) / seconds : 0;
	s->down_rate = down >= s->rate_down ? (double)(down - s->rate_down) / seconds : 0;
	pthread_mutex_unlock(&s->lock);
	s->rate_up = up;
	s->rate_down = down;
	s->rate_at = now;
}

static int64_t next_due(struct sync *s, int64_t now)
{
	int64_t due = now + 5 * SECOND;

	for (struct sync_peer *p = s->peers; p; p = p->next) {
		int64_t at = peer_deadline(p->peer);
		due = at < due ? at : due;
	}
	for (struct sync_space *ss = s->spaces; ss; ss = ss->next) {
		int64_t at = sync_space_due(ss, now);
		due = at < due ? at : due;
	}
	int64_t keep = sync_keep_due(s, now);
	due = keep < due ? keep : due;
	for (struct sync_job *job = s->waiting; job; job = job->next)
		due = now + 50 * MS < due ? now + 50 * MS : due;
	return due;
}

/* A poke that woke nobody, because a moment ago all was calm. */
static bool poked(struct sync *s)
{
	pthread_mutex_lock(&s->lock);
	bool any = s->poked.n > 0;
	pthread_mutex_unlock(&s->lock);
	return any;
}

static void wait_for_events(struct sync *s, int64_t now)
{
	struct pollfd fds[PEERS_MAX + 1] = { { .fd = s->wake_fd, .events = POLLIN } };
	struct sync_peer *of[PEERS_MAX + 1];
	nfds_t n = 1;
	int64_t due = next_due(s, now), calm = poked(s) && !calm_holds(&s->calm, now) ? now : s->calm.until;

	if (calm >= now && calm < due)
		due = calm;
	for (struct sync_peer *p = s->peers; p && n <= PEERS_MAX; p = p->next) {
		if (peer_fd(p->peer) < 0)
			continue;
		of[n] = p;
		fds[n++] = (struct pollfd){ .fd = peer_fd(p->peer), .events = peer_events(p->peer) };
	}
	struct timespec ts = timespec_of(due > now ? due - now : 0);
	if (ppoll(fds, n, &ts, NULL) < 0)
		return;
	if (fds[0].revents) {
		uint64_t v;
		while (read(s->wake_fd, &v, sizeof v) < 0 && errno == EINTR)
			;
	}
	now = sync_now(s);
	for (nfds_t i = 1; i < n; i++)
		peer_run(of[i]->peer, fds[i].revents, now);
	for (struct sync_peer *p = s->peers; p; p = p->next) {
		if (peer_fd(p->peer) < 0)
			peer_run(p->peer, 0, now);
	}
}

static bool stopping(struct sync *s)
{
	pthread_mutex_lock(&s->lock);
	bool stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return stop;
}

static void *loop(void *arg)
{
	struct sync *s = arg;

	while (!stopping(s)) {
		int64_t now = sync_now(s);

		take_pokes(s);
		workers_collect(s->workers);
		sync_run_jobs(s, false);
		for (struct sync_space *ss = s->spaces; ss; ss = ss->next)
			sync_space_step(ss, now);
		sync_keep_step(s, now);
		sync_fetch_pump(s, now);
		sync_run_jobs(s, false); /* barriers that were reached just now */
		measure(s, now);
		wait_for_events(s, sync_now(s));
	}
	/* What is being sealed and opened ends first, then open calls, while what they belong to is there; then the jobs that waited. */
	workers_free(&s->workers);
	for (struct sync_peer *p = s->peers; p; p = p->next)
		peer_free(&p->peer);
	sync_run_jobs(s, true);
	return NULL;
}

int sync_start(const struct sync_config *config, struct sync **ret_s)
{
	struct sync *s = calloc(1, sizeof *s);

	if (!s)
		return ERR_NOMEM;
	s->config = *config;
	s->jobs_tail = &s->jobs;
	config->env->random(config->env->ctx, s->fingerprint_key, sizeof s->fingerprint_key);
	pthread_mutex_init(&s->lock, NULL);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->started = true;
	if (s->wake_fd >= 0 && workers_new(wake, s, &s->workers) < 0)
		log_warn("sync: no threads for sealing; it is done by one");
	if (s->wake_fd < 0 || pthread_create(&s->thread, NULL, loop, s) != 0) {
		int err = s->wake_fd < 0 ? err_from_errno(errno) : ERR_NOMEM;

		workers_free(&s->workers);
		if (s->wake_fd >= 0)
			close(s->wake_fd);
		pthread_mutex_destroy(&s->lock);
		free(s);
		return err;
	}
	*ret_s = s;
	return OK;
}

void sync_quit(struct sync *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_mutex_unlock(&s->lock);
	wake(s);
}

void sync_stop(struct sync **ps)
{
	struct sync *s = *ps;

	if (!s)
		return;
	*ps = NULL;
	sync_quit(s);
	pthread_join(s->thread, NULL);
	while (s->spaces) {
		struct sync_space *ss = s->spaces;

		s->spaces = ss->next;
		sync_space_free(ss);
	}
	while (s->peers) {
		struct sync_peer *p = s->peers;

		s->peers = p->next;
		free(p);
	}
	sync_fetch_free(s);
	table_release(&s->poked);
	close(s->wake_fd);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void sync_poke(struct sync *s, uint32_t space_row)
{
	pthread_mutex_lock(&s->lock);
	bool first = !table_get(&s->poked, space_row, NULL);
	int err = first && space_row ? table_put(&s->poked, space_row, 1) : OK;
	bool calm = space_row && calm_holds(&s->calm, sync_now(s));
	pthread_mutex_unlock(&s->lock);
	if ((first && !calm) || err < 0)
		wake(s);
}

/* ---- spaces come and go ---- */

static int run_add(struct sync *s, struct sync_job *job)
{
	struct space *space = job->ctx;
	struct sync_space *ss;

	if (sync_space_of(s, space->row.row))
		return ERR_EXISTS;
	int err = sync_space_new(s, space, &ss);
	if (err < 0)
		return err;
	ss->next = s->spaces;
	s->spaces = ss;
	sync_space_connection(ss);
	return OK;
}

int sync_add_space(struct sync *s, struct space *space)
{
	struct sync_job *job = sync_job_new(run_add, space);

	if (!job)
		return ERR_NOMEM;
	int err = sync_job_post(s, job, INT64_MAX / 2, NULL, NULL);
	sync_job_let_go(s, job);
	return err;
}
