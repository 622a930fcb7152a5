/* SPDX-License-Identifier: Apache-2.0 */
/*
 * use: when chunks and files were last used, so that eviction takes the least recently used. Only noted if the store
 * has a limit.
 *
 * Bookkeeping of the index, not journaled: a crash forgets the last second's. A stamp is the number of the use, counted
 * since the store was made: no clock is trusted. Rows of chunks and files share one space of ids. A row is stamped anew
 * at most every 10 minutes, so reading costs no writing; sooner if another row took its slot meanwhile.
 *
 *	use_note(s, row);                      // under the store's lock, by readers: cheap
 *	use_save(s);                           // each turn of housekeeping, under the lock
 *	use_last(s, row, &stamp);              // 0: not known
 */
#ifndef COFFER_CACHE_USE_H
#define COFFER_CACHE_USE_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct store;

enum { USE_SLOTS = 4096, USE_WAITING = 1024 };

struct uses {
	struct {
		uint64_t row;
		int64_t when; /* monotonic ns of its last stamp */
	} slot[USE_SLOTS];
	uint64_t waiting[USE_WAITING]; /* to be stamped */
	size_t n_waiting;
};

/* All three: the store's lock is held. */
void use_note(struct store *s, uint64_t row);
/* Writes what waits into the index, in its transaction that is open. The index's errors: then it is forgotten. */
int use_save(struct store *s) MUST_CHECK;
/* Stamp of the row's last use that was saved, 0 if none was. The index's errors. */
int use_last(struct store *s, uint64_t row, uint64_t *ret_stamp) MUST_CHECK;

#endif
