/* SPDX-License-Identifier: Apache-2.0 */
#include "server/peers.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/hash.h"

#define BUCKETS 4096

struct peers {
	uint8_t seed[HASH_SEED];
	struct peer *buckets[BUCKETS];
};

int peers_new(const struct env *env, struct peers **ret_p)
{
	struct peers *p = calloc(1, sizeof *p);

	if (!p)
		return ERR_NOMEM;
	env->random(env->ctx, p->seed, sizeof p->seed);
	*ret_p = p;
	return OK;
}

void peers_free(struct peers *p)
{
	for (size_t i = 0; p && i < BUCKETS; i++)
		for (struct peer *peer = p->buckets[i], *next; peer; peer = next) {
			next = peer->next;
			free(peer);
		}
	free(p);
}

static struct peer **find(struct peers *p, const char *addr)
{
	struct peer **at = &p->buckets[hash_short(p->seed, bytes_str(addr)) % BUCKETS];

	while (*at && strcmp((*at)->addr, addr) != 0)
		at = &(*at)->next;
	return at;
}

int peers_open(struct peers *p, const char *addr, uint64_t max, struct peer **ret_peer)
{
	struct peer **at = find(p, addr);

	if (!*at) {
		if (!(*at = calloc(1, sizeof **at)))
			return ERR_NOMEM;
		snprintf((*at)->addr, sizeof(*at)->addr, "%s", addr);
	}
	if (max && (*at)->sockets >= max)
		return ERR_RANGE;
	(*at)->sockets++;
	*ret_peer = *at;
	return OK;
}

static void forget_idle(struct peer **at)
{
	struct peer *peer = *at;

	if (peer->sockets || peer->bytes)
		return;
	*at = peer->next;
	free(peer);
}

void peers_close(struct peers *p, struct peer *peer)
{
	if (!peer)
		return;
	peer->sockets--;
	forget_idle(find(p, peer->addr));
}

size_t peers_count(struct peers *p, const char *addr)
{
	struct peer *const *at = find(p, addr);

	return *at ? (*at)->sockets : 0;
}

uint64_t peers_hold(struct peers *p, const char *addr, uint64_t more, uint64_t less)
{
	struct peer **at = find(p, addr);
	uint64_t bytes;

	assert(*at && (*at)->bytes + more >= less);
	bytes = (*at)->bytes += more - less;
	forget_idle(at);
	return bytes;
}
