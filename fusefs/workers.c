/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/workers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

struct queue {
	struct work *first, **last;
};

struct workers {
	void (*wake)(void *ctx);
	void *ctx;
	pthread_t threads[WORKERS_MAX];
	size_t n_threads;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t added;
	struct queue todo, ready;
	bool stopping;
};

static void put(struct queue *q, struct work *w)
{
	w->next = NULL;
	*q->last = w;
	q->last = &w->next;
}

static void put_first(struct queue *q, struct work *w)
{
	w->next = q->first;
	if (!q->first)
		q->last = &w->next;
	q->first = w;
}

static struct work *take(struct queue *q)
{
	struct work *w = q->first;

	if (!w)
		return NULL;
	q->first = w->next;
	if (!q->first)
		q->last = &q->first;
	return w;
}

static void *serve(void *arg)
{
	struct workers *ws = arg;
	struct work *w;

	pthread_mutex_lock(&ws->lock);
	for (;;) {
		while (!(w = take(&ws->todo)) && !ws->stopping)
			pthread_cond_wait(&ws->added, &ws->lock);
		if (!w)
			break;
		bool tell = w->done; /* without it, w is not ours after run() */
		pthread_mutex_unlock(&ws->lock);
		w->run(w);
		pthread_mutex_lock(&ws->lock);
		bool wake = tell && !ws->ready.first;
		if (tell)
			put(&ws->ready, w);
		if (wake)
			ws->wake(ws->ctx);
	}
	pthread_mutex_unlock(&ws->lock);
	return NULL;
}

int workers_new(void (*wake)(void *ctx), void *ctx, struct workers **ret_ws)
{
	struct workers *ws = calloc(1, sizeof *ws);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = cpus < 2 ? 2 : cpus > WORKERS_MAX ? WORKERS_MAX : (size_t)cpus;

	if (!ws)
		return ERR_NOMEM;
	ws->wake = wake;
	ws->ctx = ctx;
	ws->todo.last = &ws->todo.first;
	ws->ready.last = &ws->ready.first;
	pthread_mutex_init(&ws->lock, NULL);
	pthread_cond_init(&ws->added, NULL);
	while (ws->n_threads < n && pthread_create(&ws->threads[ws->n_threads], NULL, serve, ws) == 0)
		ws->n_threads++;
	if (ws->n_threads == 0) {
		workers_free(&ws);
		return ERR_NOMEM;
	}
	*ret_ws = ws;
	return OK;
}

void workers_free(struct workers **pws)
{
	struct workers *ws = *pws;

	if (!ws)
		return;
	*pws = NULL; /* what `done` adds is run at once */
	pthread_mutex_lock(&ws->lock);
	ws->stopping = true;
	pthread_cond_broadcast(&ws->added);
	pthread_mutex_unlock(&ws->lock);
	for (size_t i = 0; i < ws->n_threads; i++)
		pthread_join(ws->threads[i], NULL);
	workers_collect(ws);
	pthread_mutex_destroy(&ws->lock);
	pthread_cond_destroy(&ws->added);
	free(ws);
}

void workers_add(struct workers *ws, struct work *w)
{
	if (!ws) {
		w->run(w);
		w->done(w);
		return;
	}
	pthread_mutex_lock(&ws->lock);
	put(&ws->todo, w);
	pthread_cond_signal(&ws->added);
	pthread_mutex_unlock(&ws->lock);
}

void workers_collect(struct workers *ws)
{
	if (!ws)
		return;
	pthread_mutex_lock(&ws->lock);
	struct work *w = ws->ready.first;
	ws->ready = (struct queue){ .first = NULL };
	ws->ready.last = &ws->ready.first;
	pthread_mutex_unlock(&ws->lock);
	while (w) {
		struct work *next = w->next;

		w->done(w);
		w = next;
	}
}

/* ---- many at once, and waiting for them ---- */

struct batch {
	struct work **works;
	size_t n;
	pthread_mutex_t lock; /* the next two */
	pthread_cond_t ended;
	size_t next, helpers;
};

struct helper {
	struct work work; /* first */
	struct batch *batch;
};

static void run_what_is_left(struct batch *b)
{
	for (;;) {
		pthread_mutex_lock(&b->lock);
		struct work *w = b->next < b->n ? b->works[b->next++] : NULL;
		pthread_mutex_unlock(&b->lock);
		if (!w)
			return;
		w->run(w);
	}
}

static void help(struct work *w)
{
	struct batch *b = ((struct helper *)w)->batch;

	run_what_is_left(b);
	pthread_mutex_lock(&b->lock);
	if (--b->helpers == 0)
		pthread_cond_signal(&b->ended);
	pthread_mutex_unlock(&b->lock);
}

void workers_run_all(struct workers *ws, struct work **works, size_t n)
{
	struct batch b = { .works = works, .n = n };
	struct helper helpers[WORKERS_MAX];
	size_t most = ws ? ws->n_threads - 1 : 0; /* the caller is one, too */

	b.helpers = n < 2 ? 0 : n - 1 < most ? n - 1 : most;
	pthread_mutex_init(&b.lock, NULL);
	pthread_cond_init(&b.ended, NULL);
	for (size_t i = 0, all = b.helpers; i < all; i++) {
		helpers[i] = (struct helper){ .work = { .run = help }, .batch = &b };
		pthread_mutex_lock(&ws->lock);
		put_first(&ws->todo, &helpers[i].work); /* somebody waits */
		pthread_cond_signal(&ws->added);
		pthread_mutex_unlock(&ws->lock);
	}
	run_what_is_left(&b);
	pthread_mutex_lock(&b.lock);
	while (b.helpers > 0)
		pthread_cond_wait(&b.ended, &b.lock);
	pthread_mutex_unlock(&b.lock);
	pthread_mutex_destroy(&b.lock);
	pthread_cond_destroy(&b.ended);
}
