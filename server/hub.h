/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub: who listens to which space. Network thread only.
 *
 *	struct subscriber me = { .id = 7, .device = d, .max = 100, .deliver = f, .revoked = g, .ctx = c };
 *	hub_subscribe(h, &me, space);
 *	hub_publish(h, space, message, 7);     // to everybody but number 7
 *	hub_leave(h, &me);
 *
 * At each delivery the subscriber's right to read is checked against the space's log as it stands now; who lost it is
 * told once (revoked) and forgotten. deliver must not call back into the hub; it takes a reference of its own if it
 * keeps the message.
 */
#ifndef COFFER_SERVER_HUB_H
#define COFFER_SERVER_HUB_H

#include "server/message.h"
#include "server/spaces.h"

struct subscription;

struct subscriber {
	uint64_t id;
	struct id32 device;
	size_t max; /* spaces */
	void (*deliver)(void *ctx, struct message *m);
	void (*revoked)(void *ctx, const struct id16 *space);
	void *ctx;
	struct subscription *first; /* hub's */
	size_t n;
};

struct hub;

int hub_new(struct spaces *spaces, struct hub **ret_h) MUST_CHECK;
void hub_free(struct hub *h); /* nobody may be subscribed */

/* Again is harmless. ERR_RANGE over s->max. */
int hub_subscribe(struct hub *h, struct subscriber *s, struct space *sp) MUST_CHECK;
void hub_unsubscribe(struct hub *h, struct subscriber *s, const struct id16 *space);
void hub_leave(struct hub *h, struct subscriber *s);
/* m NULL: nothing is told, only rights are checked. Returns to how many it went. */
size_t hub_publish(struct hub *h, struct space *sp, struct message *m, uint64_t except);

#endif
