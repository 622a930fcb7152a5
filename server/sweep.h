/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep: takes away objects (blob.h) that nothing names, beside the writer, since a bucket takes its time. In two
 * steps, so that nobody loses what he still reads or is about to name: what is named no more is listed as garbage, and
 * goes an hour later. Garbage is made by housekeeping, by whoever drops a file, and here, of objects that have no row
 * because a crash came between: those that are a day old and that no chunk and no file names.
 *
 *	sweep_garbage(r, store, &list);                   // any thread, with its store; removes the objects
 *	sweep_orphans(r, store, &at, &list);              // > 0: again, for more
 *	sweep_apply(r, &list);                            // the writer: the rows
 *
 * The sweeper is a thread that does so each minute and each day, and counts what is stored for /metrics (metrics.h).
 *
 * Objects outside of the relay's own directory are swept only by the relay that came first: its store's id stands among
 * them as an object of the space zero. Otherwise a second relay that was given the same bucket would take the first
 * one's objects for orphans.
 */
#ifndef COFFER_SERVER_SWEEP_H
#define COFFER_SERVER_SWEEP_H

#include "server/writer.h"

#define SWEEP_MANY 200
#define SWEEP_GARBAGE_SECONDS 3600
#define SWEEP_ORPHAN_SECONDS 86400 /* longer than any upload takes to get its row */

struct blob_seen;

struct sweep_list {
	bool add; /* to the garbage; or remove from it */
	size_t n, gone;
	struct {
		struct id16 space, object;
		bool later; /* could not be removed: garbage from now on */
	} items[SWEEP_MANY];
};

/* Up to SWEEP_MANY objects that have been garbage for an hour: ret_l->gone of them are gone now, the others are put off
 * for an hour, so that they are not in the way of what stands behind them. Returns the first of their errors; *ret_l
 * holds also then. When nothing can be removed at all (ERR_OFFLINE, ERR_CANCELLED) it ends at once. */
int sweep_garbage(struct relay *r, struct depot *store, struct sweep_list *ret_l) MUST_CHECK;
/* A page of objects behind *at, which moves on; *ret_l: those that nothing names. 1: there may be more; 0: that was
 * all. */
int sweep_orphans(struct relay *r, struct depot *store, struct blob_seen *at, struct sweep_list *ret_l) MUST_CHECK;
/* 1 if orphans may be looked for here: the objects are this relay's alone, which is noted at the first time. */
int sweep_owns_objects(struct relay *r) MUST_CHECK;
/* In a transaction of the writer's. */
int sweep_apply(struct relay *r, const struct sweep_list *l) MUST_CHECK;

struct sweeper;

int sweeper_start(struct relay *r, struct writer *w, struct sweeper **ret_s) MUST_CHECK;
/* Ends the thread, within a second if blob_give_up was called. NULL is allowed, here and below. */
void sweeper_stop(struct sweeper *s);
/* After the last job of its is freed. */
void sweeper_free(struct sweeper *s);

#endif
