/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_peer: fusefs/peer.h without a process: what sync asks of the relay waits in a list until somebody takes it out
 * and answers. A test that is linked with this has no other peer.
 */
#ifndef COFFER_TESTS_LIB_SIM_PEER_H
#define COFFER_TESTS_LIB_SIM_PEER_H

#include "fusefs/peer.h"

struct sim_sent {
	uint64_t num;
	char method[32]; /* "put", "get" or an RPC's */
	struct id16 chunk;
	uint8_t *item;
	size_t len;
	struct peer_answer answer;
	bool at_relay;
	struct sim_sent *next;
};

struct peer {
	struct peer_config config;
	struct sim_sent *sent; /* in their order */
	uint64_t next_num, connection;
	bool online, no_gets; /* no_gets: there is no memory for them */
};

/* Off the list, to be freed with sim_free_sent(); NULL: there is none of that number. */
struct sim_sent *sim_take_sent(struct peer *p, uint64_t num);
void sim_free_sent(struct sim_sent *s);

#endif
