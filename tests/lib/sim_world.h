/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_world: devices of several people in one space, over a relay in memory: real stores, real sealing, the real sync
 * but for its thread and the network process (sim_peer.h). Nothing moves unless it is told to, and a seed says what is
 * random. Everything asserts.
 *
 *	sim_open(1);
 *	sim_make_file(&sim.d[0], "a", "text");
 *	sim_come_to_rest(1, NULL);     // all are on line, everything is sent, received and applied
 *	sim_close();
 *
 * There is one world, because libsodium's source of random bytes has no context; it gives the seed's, and while a
 * device seals it lets people go on working (`meanwhile`, else something at random now and then).
 */
#ifndef COFFER_TESTS_LIB_SIM_WORLD_H
#define COFFER_TESTS_LIB_SIM_WORLD_H

#include <pthread.h>
#include "fusefs/sync_inner.h"
#include "tests/lib/model_relay.h"
#include "tests/lib/party.h"
#include "tests/lib/sim_peer.h"
#include "tests/lib/store_fixture.h"

#define SIM_DEVICES 3
#define SIM_MS 1000000ll
#define SIM_TOKENS 4096
#define SIM_HELD 4 /* files that a device keeps open */

struct sim_device {
	unsigned number;
	struct party party;
	struct store_fixture *f;
	struct space *space;
	struct sync sync;
	struct sync_space *ss;
	struct peer *peer;
	uint64_t root;
	uint64_t held[SIM_HELD]; /* 0: none */
	bool busy;               /* it acts, or the store is taken: nothing more happens in between */
	/* a `coffer wait` on it */
	bool waits;
	pthread_t waiter;
	unsigned promised; /* tokens before this one are covered */
};

extern struct sim {
	struct sim_device d[SIM_DEVICES];
	struct model_relay *relay;
	struct epoch_ring *ring;
	uint64_t seed, first_seed;
	struct sim_device *sealing;                  /* whose sync is at work */
	void (*meanwhile)(struct sim_device *d);     /* what happens once while it seals; NULL: see above */
	bool gone[SIM_TOKENS];                       /* overwritten or removed by somebody who saw it */
	unsigned writer[SIM_TOKENS];
	unsigned next_token;
} sim;

void sim_open(uint64_t seed);
void sim_close(void);
uint64_t sim_random(uint64_t n); /* below n */

void sim_go_offline(struct sim_device *d);
void sim_go_online(struct sim_device *d);
bool sim_carry_up(struct sim_device *d);   /* one request gets to the relay; false: there is none */
bool sim_carry_down(struct sim_device *d); /* one event gets to the device */
/* Time passes, sync takes a step, and what must hold at every moment is checked. */
void sim_tick(struct sim_device *d, int64_t ns);
void sim_failing_tick(struct sim_device *d); /* the same while memory or the disk fails once */
void sim_restart(struct sim_device *d);      /* kill -9, and a new start */
/* Until nothing is under way any more; fails if that takes too long. `without` (may be NULL) takes no part. */
void sim_come_to_rest(uint64_t seed, const struct sim_device *without);

size_t sim_dirty_nodes(struct sim_device *d); /* changed and not sealed */

/* A `coffer wait` in a thread of its own; it has ended when there are no jobs any more. */
void sim_begin_wait(struct sim_device *d);
int sim_end_wait(struct sim_device *d);
bool sim_has_jobs(struct sim_device *d);

/* Single files in the space's root. */
uint64_t sim_make_file(struct sim_device *d, const char *name, const char *text);
void sim_edit(struct sim_device *d, const char *name, const char *text); /* from its start */
struct node sim_look_up(struct sim_device *d, const char *name);
void sim_rest(struct sim_device *d); /* for `meanwhile`: nothing */

#endif
