/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads are made when a read finds no idle one, and end when they have been idle for IDLE_SECONDS. config.fetch
 * brings one chunk; a read that spans several asks again until all are here or the deadline has passed. Failure:
 * offline ENETUNREACH, deadline ETIMEDOUT, the caller was killed or interrupted EINTR; the kernel's pages stay
 * unread, so that the next read tries again. When reading ahead has failed, the kernel asks once more for the one page
 * that it needs: that must not wait for a second deadline, so what timed out just now times out at once.
 */
#define FUSE_USE_VERSION 314
#include "fusefs/late_read.h"
#include <errno.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include "base/env.h"
#include "fusefs/errno.h"

#define IDLE_SECONDS 10
#define NS_PER_S INT64_C(1000000000)
#define AGAIN_NS (2 * NS_PER_S)

struct waiting {
	struct waiting *next;
	struct late_read *l;
	fuse_req_t req;
	uint64_t ino, off, chunk;
	size_t len;
	int64_t since, deadline;
};

struct late_read {
	const struct mount_config *config;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t work, gone;
	struct waiting *first, **last;
	size_t queued, idle, threads;
	bool stopping;
	struct {
		uint64_t chunk;
		int64_t at;             /* 0: none */
	} timed_out[LATE_READ_THREADS]; /* the newest, in no order */
};

static bool is_stopping(struct late_read *l)
{
	pthread_mutex_lock(&l->lock);
	bool stopping = l->stopping;
	pthread_mutex_unlock(&l->lock);
	return stopping;
}

/* Takes those out of the queue whose callers were killed or interrupted; the lock is held. */
static struct waiting *take_interrupted(struct late_read *l)
{
	struct waiting *gone = NULL, **p = &l->first;

	while (*p) {
		struct waiting *r = *p;
		if (!fuse_req_interrupted(r->req)) {
			p = &r->next;
			continue;
		}
		*p = r->next;
		l->queued--;
		r->next = gone;
		gone = r;
	}
	l->last = p;
	return gone;
}

/* When all threads wait for content, nobody else looks at those that wait for a thread. */
static void sweep(struct late_read *l)
{
	pthread_mutex_lock(&l->lock);
	struct waiting *gone = take_interrupted(l);
	pthread_mutex_unlock(&l->lock);
	while (gone) {
		struct waiting *r = gone;
		gone = r->next;
		fuse_reply_err(r->req, EINTR);
		free(r);
	}
}

static bool interrupted(void *arg)
{
	struct waiting *r = arg;

	sweep(r->l);
	return fuse_req_interrupted(r->req) || is_stopping(r->l);
}

/* Brings what is missing and reads into p. */
static int read_late(struct waiting *r, uint8_t *p, size_t *ret_len)
{
	const struct mount_config *c = r->l->config;
	int err = ERR_ABSENT;

	while (err == ERR_ABSENT) {
		if (!c->fetch)
			return ERR_OFFLINE;
		if (interrupted(r))
			return ERR_CANCELLED;
		if (env_mono_ns() >= r->deadline)
			return ERR_TIMEOUT;
		err = c->fetch(c->ctx, r->chunk, r->deadline, interrupted, r);
		if (err < 0)
			return err;
		err = store_read(c->store, r->ino, r->off, p, r->len, ret_len, &r->chunk);
	}
	return err;
}

static void note_timeout(struct late_read *l, uint64_t chunk)
{
	size_t oldest = 0;

	pthread_mutex_lock(&l->lock);
	for (size_t i = 1; i < LATE_READ_THREADS; i++)
		if (l->timed_out[i].at < l->timed_out[oldest].at)
			oldest = i;
	l->timed_out[oldest].chunk = chunk;
	l->timed_out[oldest].at = env_mono_ns();
	pthread_mutex_unlock(&l->lock);
}

/* When a read of the chunk that comes now is to give up. Lock held. */
static int64_t deadline_of(const struct late_read *l, uint64_t chunk, int64_t now)
{
	for (size_t i = 0; i < LATE_READ_THREADS; i++)
		if (l->timed_out[i].at != 0 && l->timed_out[i].chunk == chunk && now - l->timed_out[i].at < AGAIN_NS)
			return now;
	return now + LATE_READ_SECONDS * NS_PER_S;
}

static void answer(struct waiting *r)
{
	uint8_t *p = malloc(r->len);
	size_t len = 0;
	int err = p ? read_late(r, p, &len) : ERR_NOMEM;

	if (err == ERR_TIMEOUT && env_mono_ns() >= r->since + LATE_READ_SECONDS * NS_PER_S)
		note_timeout(r->l, r->chunk);
	if (err < 0)
		fuse_reply_err(r->req, err_to_errno(err));
	else
		fuse_reply_buf(r->req, (const char *)p, len);
	free(p);
	free(r);
}

/* Waits for the next read; NULL: this thread has been idle long enough, or all ends. Lock held. */
static struct waiting *take(struct late_read *l)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_SECONDS;
	while (!l->first) {
		if (l->stopping)
			return NULL;
		l->idle++;
		int rc = pthread_cond_timedwait(&l->work, &l->lock, &until);
		l->idle--;
		if (rc == ETIMEDOUT && !l->first)
			return NULL;
	}
	struct waiting *r = l->first;
	l->first = r->next;
	if (!l->first)
		l->last = &l->first;
	l->queued--;
	return r;
}

static void *run(void *arg)
{
	struct late_read *l = arg;
	struct waiting *r;

	pthread_mutex_lock(&l->lock);
	while ((r = take(l))) {
		pthread_mutex_unlock(&l->lock);
		answer(r);
		pthread_mutex_lock(&l->lock);
	}
	l->threads--;
	pthread_cond_broadcast(&l->gone);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

int late_read_start(const struct mount_config *config, struct late_read **ret_l)
{
	struct late_read *l = calloc(1, sizeof *l);
	pthread_condattr_t attr;

	if (!l)
		return ERR_NOMEM;
	l->config = config;
	l->last = &l->first;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->work, &attr);
	pthread_cond_init(&l->gone, NULL);
	pthread_condattr_destroy(&attr);
	*ret_l = l;
	return 0;
}

/* One more thread if reads wait and none is idle. Lock held. Returns whether somebody will serve the queue. */
static bool enough_threads(struct late_read *l)
{
	pthread_t thread;

	if (l->queued <= l->idle || l->threads == LATE_READ_THREADS)
		return true;
	if (pthread_create(&thread, NULL, run, l) != 0)
		return l->threads > 0;
	pthread_detach(thread);
	l->threads++;
	return true;
}

void late_read_add(struct late_read *l, struct fuse_req *req, uint64_t ino, uint64_t off, size_t len, uint64_t chunk)
{
	struct waiting *r = malloc(sizeof *r);
	bool served;

	if (!r) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*r = (struct waiting){
		.l = l, .req = req, .ino = ino, .off = off, .len = len, .chunk = chunk, .since = env_mono_ns()
	};
	pthread_mutex_lock(&l->lock);
	r->deadline = deadline_of(l, chunk, r->since);
	l->queued++;
	served = !l->stopping && enough_threads(l);
	if (served) {
		*l->last = r;
		l->last = &r->next;
		pthread_cond_signal(&l->work);
	} else {
		l->queued--;
	}
	pthread_mutex_unlock(&l->lock);
	if (!served) {
		fuse_reply_err(req, EINTR); /* stopping, or there is no thread to be had */
		free(r);
	}
}

void late_read_cancel(struct late_read *l)
{
	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
}

void late_read_stop(struct late_read **lp)
{
	struct late_read *l = *lp;

	if (!l)
		return;
	late_read_cancel(l);
	pthread_mutex_lock(&l->lock);
	while (l->threads > 0)
		pthread_cond_wait(&l->gone, &l->lock);
	pthread_mutex_unlock(&l->lock);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->work);
	pthread_cond_destroy(&l->gone);
	free(l);
	*lp = NULL;
}
