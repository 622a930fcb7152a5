/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: what the parts of a running relay share. Made once by main (or a test); only its config changes after.
 *
 *	struct relay r;
 *	if ((err = relay_open(&r, env_system(), config)) < 0) ...      // takes config over, also on failure
 *	... writer_start, reader_start, net_run ...
 *	relay_close(&r);
 */
#ifndef COFFER_SERVER_RELAY_H
#define COFFER_SERVER_RELAY_H

#include "base/env.h"
#include "server/blob.h"
#include "server/config.h"
#include "server/history.h"
#include "server/job.h"
#include "server/jwt.h"
#include "server/limits.h"
#include "server/metrics.h"
#include "server/quota.h"
#include "server/presence.h"
#include "server/seen.h"
#include "server/spaces.h"
#include "server/depot.h"

struct relay {
	const struct env *env;
	struct config *_Atomic config; /* relay_config */
	struct depot *store; /* the writer's; readers open their own from it */
	struct blobs *blobs;
	struct spaces *spaces;
	struct space *touched; /* batch.c: spaces changed in the writer's transaction */
	struct limits *limits; /* by address */
	struct limits *rates;  /* by device and by space: apart, so that they push no misses out */
	struct metrics metrics;
	struct quota quota;
	struct history history;
	struct presence *presence;
	struct seen *tokens; /* struct auth (auth.c) */
	struct seen *chains; /* struct plain_right (plain.c) */
	struct jwt_rules jwt;
};

/* ERR_BUSY: another relay uses the directory; ERR_VERSION: of another format; ERR_PERMISSION, ERR_READ_ONLY, ERR_IO. */
int relay_open(struct relay *r, const struct env *env, struct config *config) MUST_CHECK;
/* Puts a newer config in place and takes it over. Old ones are kept to the end, since any thread may be reading them: a
 * few KiB for each reload. Network thread, if that runs. Tokens that were found good are judged anew; *ret_doubted says
 * whose bearers had better show them again, as a set. ERR_NOMEM: nothing has changed, and `config` is the caller's. */
enum { RELAY_DOUBTS_ISSUED = 1, RELAY_DOUBTS_SELF_ISSUED = 2 };
int relay_configure(struct relay *r, struct config *config, unsigned *ret_doubted) MUST_CHECK;
void relay_close(struct relay *r);

/* The settings of this moment; valid as long as the relay. Any thread. */
static inline const struct config *relay_config(const struct relay *r)
{
	return atomic_load_explicit(&r->config, memory_order_acquire);
}

static inline int64_t relay_now(const struct relay *r)
{
	return r->env->wall_ns(r->env->ctx) / 1000000000;
}

#endif
