/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws: the WebSocket connections (protocol.md §1): authentication in time, keep-alives, a bounded life, frames in both
 * directions, bounded queues. Network thread only.
 */
#ifndef COFFER_SERVER_WS_H
#define COFFER_SERVER_WS_H

#include "server/net.h"

#define WS_RESUME_OUT (512u << 10) /* bytes queued: a stream goes on below this */

/* libwebsockets' callback of the subprotocol. */
int ws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

/* A job came back: sends what it brought. Takes it. */
void ws_done(struct net *n, struct job *j);
/* The issuers' keys have changed: tokens that waited for them are looked at again. */
void ws_auth_again(struct net *n);
/* Tells the connections of a mailbox that there is something in it. */
void ws_tell_mailbox(struct net *n, const struct id32 *mailbox);
/* Once a second. */
void ws_tick(struct net *n, int64_t now);
/* Those whose tokens are in doubt (relay.h) are closed soon, so that they show one again. */
void ws_come_back(struct net *n, unsigned doubted);
/* Frees what the library did not close. */
void ws_forget_all(struct net *n);

#endif
