/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workers: a few threads that hash, seal and open chunks for the sync thread, which then has time for sockets and cuts.
 *
 *	workers_new(wake, ctx, &ws);
 *	w->run = ...; w->done = ...; workers_add(ws, w);   // w belongs to the workers until `done`
 *	workers_collect(ws);                               // on the owner's thread: calls `done` of what is ready
 *	workers_free(&ws);                                 // runs what was added, then calls `done` of all
 *
 * Work is taken in the order in which it was added, and several at a time. How much there may be at once is the
 * caller's to bound. A NULL `ws` does everything in workers_add, on the caller's thread (tests, and where no thread can
 * be had).
 */
#ifndef COFFER_FUSEFS_WORKERS_H
#define COFFER_FUSEFS_WORKERS_H

#include <stddef.h>
#include "base/err.h"

#define WORKERS_MAX 4 /* threads; no more than there are processors, and 2 at least */

struct workers;

/* Embedded in what the work is about. */
struct work {
	void (*run)(struct work *w);  /* on a worker, no lock held */
	void (*done)(struct work *w); /* on the owner's thread; may free w and add further work */
	struct work *next;
};

/* wake is called on a worker, which holds the lock of workers, when workers_collect has something after it had nothing.
 * ERR_NOMEM: not even one thread. */
int workers_new(void (*wake)(void *ctx), void *ctx, struct workers **ret_ws) MUST_CHECK;
void workers_free(struct workers **ws); /* NULL inside is fine */

void workers_add(struct workers *ws, struct work *w);
void workers_collect(struct workers *ws); /* NULL is fine */

/* Runs all of works[0..n) and returns when the last has ended: for the owner's thread, which does its share. Their
 * `done` is not called; they go before what was added. */
void workers_run_all(struct workers *ws, struct work **works, size_t n);

#endif
