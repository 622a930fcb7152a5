/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent: the key agent of a profile: identity, store, sync, spaces and mounts of the one process that holds the keys.
 *
 *	agent_new(env, profile, syncd_path, &a);       // locked
 *	agent_unlock(a, passphrase);                   // store open, spaces loaded, sync running
 *	... verbs (fusefs/verb.h) from the control socket's threads ...
 *	agent_lock(a, lazy); agent_free(a);
 *
 * States: empty (no key file), locked, unlocked. Lock: `lock` protects the fields below; it is never held over a call to the relay,
 * a mount's start, or a store transaction that waits. A verb that uses the unlocked parts holds a use (agent_use), so that
 * agent_lock waits for it. Order: agent lock, then store transaction, then a space's lock.
 */
#ifndef COFFER_FUSEFS_AGENT_H
#define COFFER_FUSEFS_AGENT_H

#include <pthread.h>
#include "fusefs/mount.h"
#include "fusefs/profile.h"
#include "fusefs/space.h"
#include "fusefs/sync.h"

#define AGENT_MAX_SPACES 1000
#define AGENT_MAX_MOUNTS 64

struct chores;

/* A space in the agent's list. `synced`: sync has it (a space made off line waits until the relay took its first entries). */
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

	pthread_mutex_t lock;
	pthread_cond_t idle;       /* uses fell to 0 */
	bool unlocked, closing;
	unsigned uses;
	int64_t last_use_ns;       /* monotonic: of the last control connection */
	struct identity *who;
	int cache_fd;
	struct store *store;
	struct sync *sync;
	struct chores *chores;
	struct held_space *spaces;
	size_t n_spaces;
	struct held_mount mounts[AGENT_MAX_MOUNTS];
	size_t n_mounts;
	char alarm[128];           /* newest alarm of the sync, for status; "" if none */
};

int agent_new(const struct env *env, struct profile *profile, const char *syncd_path, struct agent **ret_a) MUST_CHECK;
void agent_free(struct agent *a); /* locks first; NULL is fine. The profile is the caller's. */

/* Opens the key file and brings everything up. Errors of profile_unlock and store_open; ERR_EXISTS: unlocked already. */
int agent_unlock(struct agent *a, const struct secret *passphrase) MUST_CHECK;

/* Brings store and sync up for an identity that no key file holds yet, over the directory HOME/dir_name; takes the identity. */
int agent_bring_up(struct agent *a, struct identity *who, const char *dir_name) MUST_CHECK;

/* Unmounts, stops sync, closes the store, wipes the keys. lazy false: ERR_BUSY if files are open in a mount (what could be
 * unmounted is). */
int agent_lock(struct agent *a, bool lazy);

/* Holds the unlocked state until agent_unuse: ERR_LOCKED. */
int agent_use(struct agent *a) MUST_CHECK;
void agent_unuse(struct agent *a);

/* Adds a space that stands in the store. With sync false it is only listed. */
int agent_add_space(struct agent *a, struct space *s, bool sync) MUST_CHECK;
/* Hands a listed space to sync. */
int agent_sync_space(struct agent *a, struct space *s) MUST_CHECK;
/* By name, UUID text or genesis hash; NULL if there is none. Spaces live until the agent is locked. */
struct space *agent_find_space(struct agent *a, struct bytes name);
struct space *agent_find_genesis(struct agent *a, const struct id32 *genesis);
struct space *agent_personal(struct agent *a);
struct space *agent_space_of_row(struct agent *a, uint32_t row);

/* Forwards invalidations to every mount. */
void agent_invalidate(struct agent *a, const struct invalidation *inv, size_t n);

#endif
