/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane: when changed nodes of one space are sealed, and which together. Pure: events in, decisions out; no clock of its
 * own.
 *
 *	lanes_new(&l);
 *	lanes_changed(l, &change, now);               // a local change was seen
 *	at lanes_due(l): n = lanes_cut(l, now, inos)  // seal and queue these as one cut
 *	lanes_done(l, ino);                           // its version is confirmed, or was given up
 *	lanes_again(l, ino, now);                     // it could not be sealed
 *
 * A lane is a top-level folder of the space; the files in its root are one more. A cut takes all changed nodes of a
 * lane (and of lanes joined to it by a rename or link), so that what arrives elsewhere is a state that was here. The
 * first change to a quiet node is due LANE_SETTLE_NS after its last change, and so are LANE_BURST versions in a row,
 * one more for each LANE_REFILL_NS; a node rewritten beyond that backs off, doubling from LANE_DELAY_MIN_NS to
 * LANE_HOLD_NS, and holds its lane as long; at most LANE_HOLD_NS after the lane's first waiting change the cut goes
 * anyway. A file whose content changed within the settle time and was not fsynced is left out (it is still growing),
 * unless its links changed. A node has one version in flight: if it changes again the lane waits for it, as long as for
 * a hot one. A node that could not be sealed is tried again after LANE_AGAIN_MIN_NS, doubling to LANE_AGAIN_MAX_NS;
 * nothing waits for it.
 *
 * Each changed node is in one lane until it is cut. Each lane has a time when it is due, or all that waits in it is in
 * flight.
 *
 * Times are monotonic ns. Not thread-safe.
 */
#ifndef COFFER_FUSEFS_LANE_H
#define COFFER_FUSEFS_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

#define LANE_SETTLE_NS 10000000ll      /* 10 ms */
#define LANE_DELAY_MIN_NS 20000000ll   /* 20 ms */
#define LANE_BURST 32
#define LANE_REFILL_NS 500000000ll     /* 0.5 s */
#define LANE_HOLD_NS 10000000000ll     /* 10 s */
#define LANE_AGAIN_MIN_NS 100000000ll  /* 0.1 s */
#define LANE_AGAIN_MAX_NS 60000000000ll /* 60 s */
#define LANE_CUT_MAX 2048              /* nodes of one cut; the rest follows as the next */

struct lanes;

struct lane_change {
	uint64_t ino;
	uint64_t lane;     /* ino of the top-level folder; 0: the root's files */
	uint64_t other;    /* lane that it was renamed or linked from; equal to lane if none */
	bool growing;      /* content changed, not fsynced, links not changed */
};

int lanes_new(struct lanes **ret_l) MUST_CHECK;
void lanes_free(struct lanes *l); /* NULL is fine */

/* A node changed, or changed again. ERR_NOMEM. */
int lanes_changed(struct lanes *l, const struct lane_change *c, int64_t now) MUST_CHECK;
/* When lanes_cut has something; INT64_MAX: nothing waits but for versions in flight. */
int64_t lanes_due(const struct lanes *l);
/* Takes a cut that is due now: up to LANE_CUT_MAX inos in the order of their first change; 0: none. *ret_lane is where
 * they are to be queued; *ret_joined says that other lanes are in it: what these have in flight goes first. The nodes
 * are in flight then. */
size_t lanes_cut(struct lanes *l, int64_t now, uint64_t inos[LANE_CUT_MAX], uint64_t *ret_lane, bool *ret_joined);
/* A version of it that was sealed in an earlier run is in flight. */
int lanes_sent(struct lanes *l, uint64_t ino) MUST_CHECK;
/* No version of it is in flight any more. */
void lanes_done(struct lanes *l, uint64_t ino);
/* What was cut of it could not be sealed: it waits again. ERR_NOT_FOUND: it was never cut. */
int lanes_again(struct lanes *l, uint64_t ino, int64_t now) MUST_CHECK;
/* Everything that waits is due now (a barrier). */
void lanes_force(struct lanes *l);

/* Whether a version of the node is on its way / it has changes that no cut took. */
bool lanes_in_flight(const struct lanes *l, uint64_t ino);
bool lanes_dirty(const struct lanes *l, uint64_t ino);

#endif
