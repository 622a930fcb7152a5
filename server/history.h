/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history: how much of what is stored for a space is there for its replaced versions alone: they themselves, and the
 * chunks that no current record names. So much would be free if all of them went now.
 *
 *	if ((err = history_look(&r->history, env, store, space_no)) < 0) ...  // counts, unless that was done lately
 *	if (history_known(&r->history, space_no, now, &bytes)) ...            // of the last hour
 *
 * Any thread, with its store.
 *
 * Nothing is kept up to date by pushes: that would cost each of them a second count of the chunks it names and of those
 * that it lets go, and a version's body to read. What is wanted only of a space that is full is counted when somebody
 * asks: by adding up how often the replaced versions name each chunk, and comparing with its `refs`. One space at a
 * time in a process, each once in HISTORY_FRESH_NS at most, bounded in time and in memory (by calculation 80 MiB while
 * it runs).
 */
#ifndef COFFER_SERVER_HISTORY_H
#define COFFER_SERVER_HISTORY_H

#include <pthread.h>
#include "server/depot.h"

#define HISTORY_SPACES 64                /* that are remembered */
#define HISTORY_FRESH_NS 600000000000ll  /* not counted again before */
#define HISTORY_KEEP_NS 3600000000000ll  /* not told after */
#define HISTORY_COUNT_NS 5000000000ll    /* as long may one count take */
#define HISTORY_CHUNKS_MAX (1u << 20)    /* different ones that replaced versions name */

struct history {
	pthread_mutex_t lock; /* all below */
	bool counting;
	struct history_of {
		uint64_t space; /* 0: a free place */
		uint64_t bytes;
		int64_t at; /* monotonic ns */
		bool failed;
	} of[HISTORY_SPACES];
};

#define HISTORY_INIT { .lock = PTHREAD_MUTEX_INITIALIZER }

/* False: it is not known. `now`: monotonic ns. */
bool history_known(struct history *h, uint64_t space, int64_t now, uint64_t *ret_bytes);
/* Counts what is not known or not fresh, in the snapshot that `store` has begun to read. OK: history_known tells what
 * there is to tell, which may be nothing: somebody else is counting, or there was too much. Errors of the store. */
int history_look(struct history *h, const struct env *env, struct depot *store, uint64_t space) MUST_CHECK;

/* The count itself, without memory of it. ERR_RANGE: more than HISTORY_CHUNKS_MAX; ERR_TIMEOUT: `deadline` (monotonic
 * ns) has passed; errors of the store. */
int history_count(const struct env *env, struct depot *store, uint64_t space, int64_t deadline,
	uint64_t *ret_bytes) MUST_CHECK;

#endif
