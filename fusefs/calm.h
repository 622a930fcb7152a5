/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calm: how long the sync thread leaves local changes alone after it has looked at some. Pure: no clock of its own.
 *
 *	a change:   if (!calm_holds(&c, now)) wake the thread;
 *	the thread: when there are changes: calm_look(&c, now), look; sleep until c.until if others came since
 *
 * A change to a quiet store is looked at once. A look takes the store's lock and writes the changed nodes that the
 * index holds in memory, which is wasted on a node that is about to change again, as a file that is being unpacked
 * does a dozen times. So while changes keep coming the looks become rarer, each pause twice the last one, up to
 * CALM_LONGEST_NS. What is to be sealed is looked at right before, so nothing is sent later for it.
 */
#ifndef COFFER_FUSEFS_CALM_H
#define COFFER_FUSEFS_CALM_H

#include <stdbool.h>
#include <stdint.h>

#define CALM_SHORTEST_NS 4000000ll /* 4 ms */
#define CALM_LONGEST_NS 64000000ll /* 64 ms */

/* All zero to begin with. Monotonic ns. */
struct calm {
	int64_t until, span;
};

/* Changes are looked at now: others may wait for c->until. */
void calm_look(struct calm *c, int64_t now);
/* Whether a change that comes now can wait for c->until. */
bool calm_holds(const struct calm *c, int64_t now);

#endif
