/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold: counts of open handles by inode number, so that an unlinked node lives until its last one is gone.
 * Not thread-safe: the store's lock guards it.
 */
#ifndef COFFER_CACHE_HOLD_H
#define COFFER_CACHE_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct hold_slot {
	uint64_t ino; /* 0: free */
	uint64_t count;
};

struct holds {
	struct hold_slot *slot;
	size_t size, used; /* size is a power of two */
};

int holds_add(struct holds *h, uint64_t ino) MUST_CHECK;
/* True if that was the last one. */
bool holds_drop(struct holds *h, uint64_t ino);
bool holds_has(const struct holds *h, uint64_t ino);
void holds_release(struct holds *h);

#endif
