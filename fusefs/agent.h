/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent: the key agent of a profile: identity, store, sync, spaces and mounts of the one process that holds the keys.
 *
 *	agent_new(env, profile, syncd_path, &a);       // locked
 *	agent_unlock(a, passphrase);                   // store open, spaces loaded, sync running
 *	... verbs (fusefs/verb.h) from the control socket's threads ...
 *	agent_lock(a, lazy); agent_free(a);
 *
 * States: empty (no key file), locked, unlocked. `life` is held while the agent goes up or down, also over calls to the
 * relay (init); `lock` protects the fields after it and is never held over a call to the relay, a mount's start or
 * stop, or a store transaction that waits. A verb that uses the unlocked parts holds a use (agent_use), so that
 * agent_lock waits for it; so `who`, `store`, `sync` and `chores` stand still for it. Order: life, agent lock, store
 * transaction, a space's lock.
 */
#ifndef COFFER_FUSEFS_AGENT_H
#define COFFER_FUSEFS_AGENT_H

#include <pthread.h>
#include "fusefs/mount.h"
#include "fusefs/profile.h"
#include "fusefs/space.h"
#include "fusefs/sync.h"

#define AGENT_CACHE_DIR "cache" /* of the store, in the profile's directory */
#define AGENT_MAX_SPACES 1000
#define AGENT_MAX_MOUNTS 64

struct chores;

/* A space in the agent's list. `synced`: sync has it (a space made off line waits until the relay took its first
 * entries). */
struct held_space {
	struct space *space;
	bool synced;
};

struct held_mount {
	struct mount *mount;
	char *dir;
	uint64_t root_ino;
};

struct agent {
	const struct env *env;
	struct profile *profile;
	char *syncd_path;

	pthread_mutex_t life;
	pthread_mutex_t lock;
	pthread_cond_t idle;       /* uses or flushing fell to 0 */
	bool unlocked, closing;
	bool ending;               /* for good: agent_cancel */
	int up_err;                /* why the last way up failed; OK */
	unsigned uses;
	struct identity *who;
	int cache_fd;
	struct store *store;
	struct sync *_Atomic sync;     /* read by callbacks that hold no lock */
	struct chores *_Atomic chores; /* the same */
	struct held_space *spaces;
	size_t n_spaces;
	struct held_mount mounts[AGENT_MAX_MOUNTS];
	size_t _Atomic n_mounts;   /* written under the lock */
	unsigned flushing;         /* mounts are being flushed: none is taken off the list */
};

int agent_new(const struct env *env, struct profile *profile, const char *syncd_path, struct agent **ret_a) MUST_CHECK;
void agent_free(struct agent *a); /* locks first; NULL is fine. The profile is the caller's. */

/* Opens the key file and brings everything up. Errors of profile_unlock and store_open; ERR_EXISTS: unlocked
 * already. */
int agent_unlock(struct agent *a, const struct secret *passphrase) MUST_CHECK;
bool agent_unlocked(struct agent *a);
/* Why the keys are not here although they could be: the error of the last way up, OK if it did not fail. */
int agent_up_error(struct agent *a);

/* The way up in steps, for init, between agent_life_begin and agent_life_end. bring_up: store and sync for an identity
 * that no key file holds yet, over the directory HOME/dir_name; takes the identity. Verbs see the agent as locked until
 * agent_show. */
void agent_life_begin(struct agent *a);
void agent_life_end(struct agent *a);
int agent_bring_up(struct agent *a, struct identity *who, const char *dir_name) MUST_CHECK;
void agent_show(struct agent *a);
void agent_take_down(struct agent *a); /* of what was brought up and not shown */

/* Unmounts, stops sync, closes the store, wipes the keys; calls that block are cancelled. lazy false: ERR_BUSY if files
 * are open in a mount (what could be unmounted is, and nothing else happened). */
int agent_lock(struct agent *a, bool lazy);

/* The process is to end: calls that block return ERR_CANCELLED, and none begins any more. Does not wait. */
void agent_cancel(struct agent *a);

/* Holds the unlocked state until agent_unuse: ERR_LOCKED. */
int agent_use(struct agent *a) MUST_CHECK;
void agent_unuse(struct agent *a);

/* Lists a mount. ERR_RANGE: there are too many; ERR_CLOSED: the kernel has ended it already. Then it stays the
 * caller's. */
int agent_hold_mount(struct agent *a, struct mount *m, const char *dir, uint64_t root_ino) MUST_CHECK;
/* Takes the mount m, or if that is NULL the one at dir, off the list; NULL if it is not there. It is the caller's
 * then. */
struct mount *agent_take_mount(struct agent *a, const struct mount *m, const char *dir);
size_t agent_count_mounts(struct agent *a);
/* Until every operation that the mounts had received is carried out (writes are answered before they are). */
void agent_flush_mounts(struct agent *a);
/* mount_config.gone, ctx the agent: takes down, on a thread of its own, what was unmounted from outside. */
void agent_mount_gone(void *ctx, struct mount *m);

/* Adds a space that stands in the store. With sync false it is only listed. */
int agent_add_space(struct agent *a, struct space *s, bool sync) MUST_CHECK;
/* Hands a listed space to sync. */
int agent_sync_space(struct agent *a, struct space *s) MUST_CHECK;
/* By name, UUID text or genesis hash; NULL if there is none. Spaces live until the agent is locked. */
struct space *agent_find_space(struct agent *a, struct bytes name);
/* Those held now; returns how many. */
size_t agent_list_spaces(struct agent *a, struct space *ret_spaces[AGENT_MAX_SPACES]);
struct space *agent_find_genesis(struct agent *a, const struct id32 *genesis);
struct space *agent_personal(struct agent *a);
struct space *agent_space_of_row(struct agent *a, uint32_t row);

/* Forwards invalidations to every mount. */
void agent_invalidate(struct agent *a, const struct invalidation *inv, size_t n);
/* mount_config.has_others and tell_others, ctx the agent. */
bool agent_has_mounts(void *ctx);
void agent_tell_mounts(void *ctx, const struct mount *from, const struct invalidation *inv, size_t n);

#endif
