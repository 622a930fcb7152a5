/* SPDX-License-Identifier: Apache-2.0 */
/*
 * presence: who is here now: a few sealed bytes of each connection in each space, in memory, forgotten some time
 * (limits.presence_seconds) after they were last set. Others know a connection by a name that differs from space to
 * space and from run to run. Thread-safe;
 * callbacks run under its lock and must not call back.
 */
#ifndef COFFER_SERVER_PRESENCE_H
#define COFFER_SERVER_PRESENCE_H

#include "base/env.h"
#include "base/id.h"
#include "server/config.h"

#define PRESENCE_PEER_SIZE 33 /* 32 hex digits and NUL */

struct presence;

int presence_new(const struct env *env, const struct config *c, struct presence **ret_p) MUST_CHECK;
/* Other limits from now on; what is there stays until it is stale. */
void presence_configure(struct presence *p, const struct config *c);
/* Takes another secret than its own, so that several relays give a connection one name. Before anybody is here. */
void presence_share(struct presence *p, const uint8_t secret[32]);
void presence_free(struct presence *p);

/* What others call a connection in a space: HMAC-SHA256(secret, connection ‖ 00 ‖ space text), 16 bytes of it in
 * hex. */
void presence_name(
	const uint8_t secret[32], const char *connection, const struct id16 *space, char out[PRESENCE_PEER_SIZE]);
void presence_peer(const struct presence *p, uint64_t conn, const struct id16 *space, char out[PRESENCE_PEER_SIZE]);

/* ERR_RANGE: too long, or the space is full; ERR_NOMEM. */
int presence_set(struct presence *p, const struct id16 *space, uint64_t conn, struct bytes data) MUST_CHECK;
/* Whether there was something. */
bool presence_clear(struct presence *p, const struct id16 *space, uint64_t conn);

typedef void presence_each(void *ctx, const struct id16 *space, uint64_t conn, struct bytes data);
/* All of a space but `except`. */
void presence_list(struct presence *p, const struct id16 *space, uint64_t except, presence_each *each, void *ctx);
/* Removes a connection's / what is stale, and calls each() for it. */
void presence_leave(struct presence *p, uint64_t conn, presence_each *each, void *ctx);
void presence_sweep(struct presence *p, presence_each *each, void *ctx);

#endif
