/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http: the HTTP routes. /health and /metrics for everybody; PUT, GET, HEAD of
 * /api/v1/coffer/spaces/{space}/chunks/{id} with a token. Network thread only.
 *
 * libwebsockets 4.1 takes requests whose framing is ambiguous, so they are refused here before anything else: a
 * Transfer-Encoding, a Content-Length that is missing on PUT, malformed, negative or doubled, a body where none
 * belongs, and any upgrade but to the WebSocket subprotocol.
 */
#ifndef COFFER_SERVER_HTTP_H
#define COFFER_SERVER_HTTP_H

#include "server/net.h"

/* What libwebsockets lets pass without a piece of a body, before and after each callback: it has no other place for
 * this than the context's time-out. http_tick puts it off while a request may still wait, and ends those that waited
 * too long. */
#define HTTP_KEPT_SECONDS 60

/* On every answer, also those that libwebsockets makes by itself: for the vhost. */
extern const struct lws_protocol_vhost_options http_headers[];

int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

/* A job of a request came back. Takes it. */
void http_done(struct net *n, struct job *j);

/* Frees the requests whose jobs did not come back. */
void http_forget_all(struct net *n);

/* Once a second; `now`: monotonic ns. */
void http_tick(struct net *n, int64_t now);

#endif
