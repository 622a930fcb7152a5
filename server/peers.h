/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers: how many sockets, or requests, are open from each address, so that one address cannot take all of them.
 * Network thread only.
 *
 *	struct peer *p;
 *	if ((err = peers_open(all, addr, max, &p)) < 0) close it;     // ERR_RANGE: it has that many
 *	peers_close(all, p);
 *
 * Addresses are what limits_address makes of them.
 */
#ifndef COFFER_SERVER_PEERS_H
#define COFFER_SERVER_PEERS_H

#include <stddef.h>
#include <stdint.h>
#include "base/env.h"

#define PEER_ADDR 64

struct peer {
	struct peer *next;
	size_t sockets;
	uint64_t bytes;
	char addr[PEER_ADDR];
};

struct peers;

int peers_new(const struct env *env, struct peers **ret_p) MUST_CHECK;
void peers_free(struct peers *p);
/* The peer lasts until as many peers_close, and until it holds nothing. max 0: any number. */
int peers_open(struct peers *p, const char *addr, uint64_t max, struct peer **ret_peer) MUST_CHECK;
void peers_close(struct peers *p, struct peer *peer); /* NULL is allowed */
/* How many are open. */
size_t peers_count(struct peers *p, const char *addr);
/* A peer that is open, or holds something already, holds `more` and no longer `less`; how much now. */
uint64_t peers_hold(struct peers *p, const char *addr, uint64_t more, uint64_t less);

#endif
