/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live: what connections tell each other and nobody keeps: presence and events, as notifications from a client to the
 * others that are subscribed to the space. What is not well-formed, too long, too often, or of a space that the sender
 * is not subscribed to or may not read any more is ignored without an answer. Network thread only.
 */
#ifndef COFFER_SERVER_LIVE_H
#define COFFER_SERVER_LIVE_H

#include "server/net.h"

/* presence.set, presence.clear, event.send; other names are ignored. */
void live_take(struct net *n, struct subscriber *from, struct bytes name, struct bytes params);
/* The same from another relay: P (presence), Q (gone), E (event) of a connection there. */
void live_hear(struct net *n, char what, const struct id16 *space, uint64_t conn, struct bytes data);
/* Ends one subscription / all of them; the others are told that the presence is gone. */
void live_unsubscribe(struct net *n, struct subscriber *from, const struct id16 *space);
void live_leave(struct net *n, struct subscriber *from);
/* Forgets presence that was not renewed. */
void live_sweep(struct net *n);

#endif
