/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netwatch: tells when a network interface or address of this machine changed (rtnetlink). Without it, where the kernel
 * or a sandbox has none, the back-off alone decides when to try again.
 */
#ifndef COFFER_SYNCD_NETWATCH_H
#define COFFER_SYNCD_NETWATCH_H

#include "syncd/poller.h"

struct netwatch;

/* poller outlives it. ERR_UNSUPPORTED, ERR_NOMEM. */
int netwatch_new(struct poller *p, void (*changed)(void *ctx), void *ctx, struct netwatch **ret_n) MUST_CHECK;
void netwatch_free(struct netwatch *n); /* NULL is fine */

#endif
