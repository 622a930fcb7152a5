/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: what the parts of a running relay share. Made once by main (or a test), never changed after.
 *
 *	struct relay r;
 *	if ((err = relay_open(&r, env_system(), dir)) < 0) ...
 *	... writer_start, reader_start, net_run ...
 *	relay_close(&r);
 */
#ifndef COFFER_SERVER_RELAY_H
#define COFFER_SERVER_RELAY_H

#include "base/env.h"
#include "server/blob.h"
#include "server/job.h"
#include "server/limits.h"
#include "server/metrics.h"
#include "server/spaces.h"
#include "server/depot.h"

#define RELAY_MAX_ORIGINS 8
#define CHUNK_UNNAMED_DAYS 7

struct relay {
	const struct env *env;
	struct depot *store; /* the writer's; readers open their own from it */
	struct blobs *blobs;
	struct spaces *spaces;
	struct space *touched; /* batch.c: spaces changed in the writer's transaction */
	struct limits *limits;
	struct metrics metrics;
	const char *origins[RELAY_MAX_ORIGINS]; /* what tokens may be made out for; the first is the relay's own */
	size_t n_origins;
};

/* ERR_BUSY: another relay uses the directory; ERR_VERSION: of another format; ERR_PERMISSION, ERR_READ_ONLY, ERR_IO. */
int relay_open(struct relay *r, const struct env *env, const char *dir) MUST_CHECK;
void relay_close(struct relay *r);

static inline int64_t relay_now(const struct relay *r)
{
	return r->env->wall_ns(r->env->ctx) / 1000000000;
}

#endif
