/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net: the network thread: one libwebsockets context, its HTTP requests and WebSocket connections, the hub, and the
 * way to and from writer and readers. Nothing here waits for the disk, but one thing: the pieces of a file that comes
 * in (http_file.c) are written to its spool here, not synced, so that they wait only while the system holds writers
 * back.
 *
 *	struct net *n;
 *	if ((err = net_new(relay, &listener, &n)) < 0) ...    // takes the sockets over on success; ERR_INVALID:
 *	                                                      // the TLS files; ERR_UNSUPPORTED: no epoll
 *	net_on_reload(n, reload, ctx);
 *	net_run(n);        // until net_stop, then drains for at most server.drain_seconds
 *	net_free(n);
 */
#ifndef COFFER_SERVER_NET_H
#define COFFER_SERVER_NET_H

#include <ev.h>
#include <libwebsockets.h>
#include <stdatomic.h>
#include "server/hub.h"
#include "server/listener.h"
#include "server/mailbox.h"
#include "server/peers.h"
#include "server/reader.h"
#include "server/relay.h"

#define NET_BUCKETS 4096
#define NET_MAX_ACCEPTS 64 /* in a row, before others get their turn */

struct conn;
struct request;
struct late;
struct elsewhere;

struct net {
	struct relay *relay;
	struct ev_loop *loop; /* epoll; libwebsockets' own poll(2) reads every descriptor at every turn */
	struct lws_context *lws;
	struct lws_vhost *vhost;
	struct writer *writer;
	struct sweeper *sweeper;
	struct reader *reader, *blob_reader; /* LANE_READ, LANE_BLOB */
	struct hub *hub;
	struct elsewhere *elsewhere; /* NULL: nobody else uses the store */
	struct job_queue done; /* jobs that come back */
	struct late *late;     /* notices for mailboxes that wait for their time */
	atomic_bool keys_changed; /* set by the issuers' threads */
	struct conn *conns[NET_BUCKETS];
	struct request *requests[NET_BUCKETS];
	uint64_t next_id;
	size_t n_conns, n_requests;   /* open */
	size_t n_uploads;             /* bodies of requests that come in */
	size_t in_bytes;              /* held by messages that come in or are worked on */
	struct ev_timer timer;        /* once a second */
	struct listener listener;
	struct lws *accepting[LISTENER_MAX];
	struct mailboxes *mailboxes; /* WebSocket connections */
	struct peers *peers;   /* sockets, by the address they come from */
	struct peers *senders; /* WebSocket connections and in_bytes, by the client's address */
	/* HTTP requests of somebody known, and those with bodies coming in, by that too */
	struct peers *askers, *uploaders;
	bool full;                   /* no descriptors left: nothing is accepted until the next tick */
	volatile int stop, reload;   /* set by net_stop, net_reload */
	void (*on_reload)(void *ctx);
	void *on_reload_ctx;
	int64_t drain_until;         /* monotonic ns */
	int64_t watchdog_at;
	int64_t ticked_at; /* the timer's last turn */
	int64_t grace;     /* until when nobody's time is up, because that turn was late; 0: none */
	bool draining;
};

int net_new(struct relay *relay, struct listener *listener, struct net **ret_n) MUST_CHECK;
/* What net_reload has the network thread call. */
void net_on_reload(struct net *n, void (*reload)(void *ctx), void *ctx);
/* Reads the TLS files again; ERR_INVALID: they do not fit, and the old ones stay. Network thread. */
int net_reload_tls(struct net *n) MUST_CHECK;
/* After relay_configure, with what it doubts: those connections end within server.return_seconds (4001). */
void net_settings_changed(struct net *n, unsigned doubted);
void net_run(struct net *n);
/* Async-signal-safe. */
void net_stop(struct net *n);
void net_reload(struct net *n);
void net_free(struct net *n);

/* Tells the connections of a mailbox, some seconds later. Network thread. */
void net_tell_mailbox(struct net *n, const struct id32 *mailbox);
/* Hands a job to its lane. */
void net_dispatch(struct net *n, struct job *j);

/* The address of the client, as limits_address makes it: of the socket, or as a trusted proxy says. False: it is such a
 * proxy's own, to which nothing that is counted by address applies: else one stranger behind it used it up for all. */
bool net_address(struct lws *wsi, char *out, size_t size);

#endif
