/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spaces: the spaces in use, each with the state of its log, kept in memory and rebuilt from the store when needed.
 *
 *	struct space *sp;
 *	if ((err = spaces_get(all, store, &id, &sp)) < 0) ...     // ERR_NOT_FOUND
 *	struct space_view v = space_view(sp);                     // what is committed
 *	if (log_may_read(v.log->log, &device)) ...
 *	space_view_release(&v); spaces_put(all, sp);
 *
 * Two states stand side by side: the published one, that everybody reads (under the space's lock), and the writer
 * thread's, which runs ahead inside its transaction: space_publish after the commit, space_reset after a rollback. A
 * log is never changed once it is shared: an append clones. The cache holds SPACES_KEEP unused spaces at most.
 */
#ifndef COFFER_SERVER_SPACES_H
#define COFFER_SERVER_SPACES_H

#include <pthread.h>
#include <stdatomic.h>
#include "crypto/log.h"
#include "server/depot.h"

#define SPACES_KEEP 256

struct shared_log {
	atomic_uint refs;
	struct log *log;
};

struct shared_log *shared_log_new(struct log *log); /* takes the log over, also on failure (NULL) */
void shared_log_unref(struct shared_log *l);

struct space_state {
	struct depot_space row;
	struct shared_log *log; /* NULL: the space is not there (a genesis under way) */
};

/* A device whose pushes wait, since it is being removed (cut.h). */
struct hold {
	struct id32 device;
	int64_t until;  /* monotonic ns; 0: a free place */
	uint64_t since; /* no version of this number or a later one is by it */
};

#define SPACE_HOLDS 64 /* at once; those that end first make room */

enum space_phase { SPACE_EMPTY, SPACE_LOADING, SPACE_LOADED };

struct space {
	struct id16 id;
	/* spaces.c alone, under its lock */
	struct space *next_hash;
	struct space *lru_prev, *lru_next;
	unsigned users;
	enum space_phase phase;

	pthread_mutex_t lock; /* of `published` */
	struct space_state published;

	/* the writer thread's alone */
	struct space_state writing;
	bool in_writing; /* differs, or may differ, from published */
	struct hold holds[SPACE_HOLDS];
	struct space *next_writing;
};

struct space_view {
	uint64_t no, cursor;
	struct shared_log *log; /* NULL if the space is not there */
};

struct spaces;

int spaces_new(const struct env *env, struct spaces **ret_s) MUST_CHECK;
void spaces_free(struct spaces *s);

/* `store` is the caller's connection; a reader calls this before depot_begin_read, because a space loaded from an older
 * snapshot would be an old one for everybody. May wait for the store, and for another who loads the same space;
 * spaces_ref, spaces_put and space_view never do. The reference goes back with spaces_put. */
int spaces_get(struct spaces *s, struct depot *store, const struct id16 *id, struct space **ret_sp) MUST_CHECK;
/* The same, but a space that is not in the store gets an empty place (published.log NULL). Writer thread. */
int spaces_get_new(struct spaces *s, struct depot *store, const struct id16 *id, struct space **ret_sp) MUST_CHECK;
struct space *spaces_ref(struct spaces *s, struct space *sp);
void spaces_put(struct spaces *s, struct space *sp);

struct space_view space_view(struct space *sp);
void space_view_release(struct space_view *v);
/* The space as it is now, if the device may read it. ERR_FORBIDDEN: it may not, or there is none. */
int spaces_view_for(struct spaces *s, struct depot *store, const struct id16 *id, const struct id32 *device,
	struct space_view *ret_v) MUST_CHECK;

/* Writer thread: holds a device back, or longer / its hold, NULL if there is none now. */
void space_hold(struct space *sp, const struct id32 *device, uint64_t since, int64_t now, int64_t until);
const struct hold *space_held(const struct space *sp, const struct id32 *device, int64_t now);

/* Writer thread: the state inside the transaction / take over / forget. */
struct space_state *space_writing(struct space *sp);
void space_publish(struct space *sp);
void space_reset(struct space *sp);

#endif
