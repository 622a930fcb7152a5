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

#define HTTP_MAX_UPLOADS 128        /* bodies in memory at once */
#define HTTP_MAX_ADDRESS_UPLOADS 32 /* of one address: a slow sender must not hold all places */
#define HTTP_MAX_ADDRESS_REQUESTS 128
#define HTTP_BODY_SECONDS 20 /* between two pieces of a body */

int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

/* A job of a request came back. Takes it. */
void http_done(struct net *n, struct job *j);

#endif
