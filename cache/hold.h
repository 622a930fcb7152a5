/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold: counts of open handles by inode number, so that an unlinked node lives until its last one is gone.
 * Not thread-safe: the store's lock guards it.
 */
#ifndef COFFER_CACHE_HOLD_H
#define COFFER_CACHE_HOLD_H

#include "base/table.h"

struct holds {
	struct table counts; /* by ino */
	bool lost;           /* a handle could not be counted: how many of what are open is not known any more */
};

/* ERR_NOMEM: it is not counted. */
int holds_add(struct holds *h, uint64_t ino) MUST_CHECK;
/* True if that was the last one. */
bool holds_drop(struct holds *h, uint64_t ino);
bool holds_has(const struct holds *h, uint64_t ino);
/* Whether there was more than one at a time since the first of those that are there. True if there is none, or
 * one was not counted, whatever its node. */
bool holds_shared(const struct holds *h, uint64_t ino);
void holds_release(struct holds *h);

#endif
