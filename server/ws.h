/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws: the WebSocket connections (protocol.md §1): authentication within 5 s, keep-alive every 30 s, an hour of life,
 * frames in both directions, bounded queues. Network thread only.
 */
#ifndef COFFER_SERVER_WS_H
#define COFFER_SERVER_WS_H

#include "server/net.h"

#define WS_AUTH_SECONDS 5
#define WS_KEEPALIVE_SECONDS 30
#define WS_LIFE_SECONDS 3600
#define WS_MAX_PER_DEVICE 3
#define WS_MAX_PER_ADDRESS 256     /* connections; a token costs nothing, so devices alone bound nothing */
#define WS_FRAME_SECONDS 300       /* for a whole message to come in */
#define WS_MAX_OUT (24u << 20)     /* bytes queued to one connection, before it counts as too slow */
#define WS_MAX_OUT_COUNT 8192      /* messages queued, before its socket is not read any more */
#define WS_RESUME_OUT (512u << 10) /* a stream goes on below this */
#define WS_MAX_JOBS 256
#define WS_MAX_JOB_BYTES (16u << 20)

/* libwebsockets' callback of the subprotocol. */
int ws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

/* A job came back: sends what it brought. Takes it. */
void ws_done(struct net *n, struct job *j);
/* Once a second. */
void ws_tick(struct net *n, int64_t now);
/* Closes all connections (1001). */
void ws_close_all(struct net *n);
/* Frees what the library did not close. */
void ws_forget_all(struct net *n);

#endif
