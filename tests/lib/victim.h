/* SPDX-License-Identifier: Apache-2.0 */
/*
 * victim: a real relay under attack, and somebody on it who must not notice. The bystander comes from 127.0.0.1,
 * attackers from MALLORY; no address is a proxy's, so that all are counted.
 *
 *	struct victim v;
 *	victim_start(&v, (const char *const[]){ "LIMITS_HTTP_UPLOADS=2", NULL });
 *	... attack v.relay.port from MALLORY ...
 *	victim_serves(&v);          // also while the attack lasts
 *	victim_stop(&v, 64);        // it still serves, and took 64 MiB at most
 */
#ifndef COFFER_TESTS_LIB_VICTIM_H
#define COFFER_TESTS_LIB_VICTIM_H

#include "tests/lib/relay_process.h"
#include "tests/lib/rpc_client.h"

#define MALLORY "127.0.0.2"

struct victim {
	struct relay_process relay;
	struct party alice, mallory;
	struct new_space s; /* alice's */
	struct id16 space;
	struct rpc_client by; /* alice's connection */
};

/* settings: SECTION_KEY=VALUE as in the environment without the prefix; NULL at the end. */
void victim_start(struct victim *v, const char *const *settings);
/* The bystander asks over both protocols and is answered. */
void victim_serves(struct victim *v);
/* The value of a metric, without labels. */
uint64_t victim_metric(const struct victim *v, const char *name);
/* Waits until it has this value, as after a connection that the relay has to notice. */
void victim_await(const struct victim *v, const char *name, uint64_t value);
void victim_stop(struct victim *v, size_t mib);

/* A connection of MALLORY's that is let in. */
void victim_enter(struct victim *v, struct rpc_client *c);
/* All that comes over a socket until the relay closes it. Fails after RPC_DEADLINE_S. */
void read_to_end(int fd, struct buf *ret_all);
/* How often `what` stands in it. */
size_t count_in(const struct buf *b, const char *what);
/* Sends what fits before the relay closes. */
void send_some(int fd, struct bytes b);

#endif
