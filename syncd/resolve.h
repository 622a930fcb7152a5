/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve: host names to addresses without ever blocking the loop: getaddrinfo runs on a thread of its own. A look-up
 * that is given up goes on until the system's own time limit, and its answer is dropped.
 */
#ifndef COFFER_SYNCD_RESOLVE_H
#define COFFER_SYNCD_RESOLVE_H

#include <netinet/in.h>
#include <stdbool.h>
#include "syncd/poller.h"

#define RESOLVE_MAX 8

struct resolve;

/* The answer to the newest resolve_start: addresses in the system's order of preference; none if the name is
 * unknown. */
struct resolve_answer {
	uint64_t serial;
	unsigned n;
	char address[RESOLVE_MAX][INET6_ADDRSTRLEN];
};

/* poller outlives it. ERR_NOMEM, ERR_IO. */
int resolve_new(struct poller *p, void (*done)(void *ctx, const struct resolve_answer *a), void *ctx,
		struct resolve **ret_r) MUST_CHECK;
void resolve_free(struct resolve *r); /* NULL is fine */

/* True if `host` is an address already; *ret_a then holds it alone. */
bool resolve_numeric(const char *host, struct resolve_answer *ret_a);

/* Starts a look-up in place of an earlier one. ERR_NOMEM, ERR_IO: no thread. */
int resolve_start(struct resolve *r, const char *host) MUST_CHECK;
void resolve_cancel(struct resolve *r);

#endif
