/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poller: the descriptors and the one timer that coffer-syncd waits for besides the WebSocket, behind one epoll
 * descriptor. libwebsockets owns the outer loop and watches that descriptor (transport_ws.h); so everything runs on one
 * thread.
 */
#ifndef COFFER_SYNCD_POLLER_H
#define COFFER_SYNCD_POLLER_H

#include <stdint.h>
#include "base/err.h"

struct poller;

/* One watched descriptor. The owner keeps it in place while it is watched. */
struct poll_source {
	int fd;
	void (*ready)(void *ctx, uint32_t events); /* EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP */
	void *ctx;
	uint32_t events; /* watched now; 0 if not added */
};

int poller_new(struct poller **ret_p) MUST_CHECK; /* ERR_IO, ERR_NOMEM */
void poller_free(struct poller *p);

/* The epoll descriptor, readable while something is to be dispatched. It belongs to p. */
int poller_fd(const struct poller *p);

/* Watches s->fd for exactly `events` (not 0). ERR_IO. */
int poller_watch(struct poller *p, struct poll_source *s, uint32_t events) MUST_CHECK;

/* Watches it no more; to be called before the descriptor is closed. Nothing happens if it is not watched. */
void poller_end(struct poller *p, struct poll_source *s);

/* `ready` of the timer is called once when poller_now() reaches `at` (ms); UINT64_MAX stops it. */
void poller_timer(struct poller *p, uint64_t at, void (*ready)(void *ctx), void *ctx);

/* Calls `ready` of what is ready, without waiting; returns after a bounded number. A source may be ended in any
 * call. */
void poller_dispatch(struct poller *p);

/* Milliseconds that count suspend and never go back. */
uint64_t poller_now(void);

#endif
