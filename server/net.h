/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net: the network thread: one libwebsockets context, its HTTP requests and WebSocket connections, the hub, and the
 * way to and from writer and readers. Nothing here waits for the disk.
 *
 *	struct net *n;
 *	if ((err = net_new(relay, "127.0.0.1", 5379, &n)) < 0) ...    // ERR_BUSY: the port is in use
 *	net_run(n);        // until net_stop, then drains for at most 5 s
 *	net_free(n);
 */
#ifndef COFFER_SERVER_NET_H
#define COFFER_SERVER_NET_H

#include <libwebsockets.h>
#include "server/hub.h"
#include "server/reader.h"
#include "server/relay.h"

#define NET_MAX_CONNECTIONS 4096
#define NET_BUCKETS 4096
#define NET_MAX_BYTES (512u << 20) /* of messages on their way in, all connections together */

struct conn;
struct request;

struct net {
	struct relay *relay;
	struct lws_context *lws;
	struct lws_vhost *vhost;
	struct writer *writer;
	struct reader *reader;
	struct hub *hub;
	struct job_queue done; /* jobs that come back */
	struct conn *conns[NET_BUCKETS];
	struct request *requests[NET_BUCKETS];
	uint64_t next_id;
	size_t n_conns, n_requests;   /* open; uploads under way */
	size_t in_bytes;              /* held by messages that come in or are worked on */
	lws_sorted_usec_list_t timer; /* once a second */
	volatile int stop;            /* set by net_stop */
	bool draining;
};

/* Listens on `host` (an address, or NULL for all) and `port` (0: any; net_port says which). */
int net_new(struct relay *relay, const char *host, int port, struct net **ret_n) MUST_CHECK;
int net_port(const struct net *n);
void net_run(struct net *n);
/* Async-signal-safe. */
void net_stop(struct net *n);
void net_free(struct net *n);

/* Hands a job to its lane. */
void net_dispatch(struct net *n, struct job *j);

/* The address of the client, as limits_address makes it: of the socket, or as a proxy on this machine says. */
void net_address(struct lws *wsi, char *out, size_t size);
/* Whether such an address is this machine's: then caps by address do not apply, because a proxy may stand there. */
bool net_is_local(const char *addr);

#endif
