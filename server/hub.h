/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub: who listens to which space. Network thread only.
 *
 *	struct subscriber me = { .id = 7, .device = d, .max = 100, .deliver = f, .revoked = g, .ctx = c };
 *	hub_subscribe(h, &me, &id, space, NULL);
 *	hub_publish(h, &id, message, 7, now);     // to everybody but number 7
 *	hub_leave(h, &me);
 *
 * At each delivery the subscriber's right to read is checked: in a Coffer space against its log as it stands now, in a
 * plain one against the end of the UCAN that let it in; who lost it is told once (revoked) and forgotten. What a
 * revoked UCAN let in is forgotten by hub_revoke. deliver must not call back into the hub; it takes a reference of its
 * own if it keeps the message.
 */
#ifndef COFFER_SERVER_HUB_H
#define COFFER_SERVER_HUB_H

#include "server/grant.h"
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
	int64_t spoke; /* live.c's: monotonic ns at which all that it said is paid for */
	struct subscription *first; /* hub's */
	size_t n;
};

struct hub;

int hub_new(const struct env *env, struct spaces *spaces, struct hub **ret_h) MUST_CHECK;
void hub_free(struct hub *h); /* nobody may be subscribed */

/* `sp` of a Coffer space, NULL for a plain one; then `grant` says by what right, NULL by the person's own. Again takes
 * the new grant. ERR_RANGE over s->max. */
int hub_subscribe(struct hub *h, struct subscriber *s, const struct id16 *id, struct space *sp,
	const struct grant *grant) MUST_CHECK;
/* Whether it listens to the space and may still read it now (unix s). */
bool hub_may_hear(struct hub *h, const struct subscriber *s, const struct id16 *id, int64_t now);
void hub_unsubscribe(struct hub *h, struct subscriber *s, const struct id16 *id);
void hub_leave(struct hub *h, struct subscriber *s);
/* One look at a time at a space that changed elsewhere: true if somebody listens to it and nobody looks; else it is
 * noted that the look under way may have come too early / the look is over; true: look again. */
bool hub_look(struct hub *h, const struct id16 *id);
bool hub_looked(struct hub *h, const struct id16 *id);
/* All spaces that somebody listens to. */
void hub_each(struct hub *h, void (*each)(void *ctx, const struct id16 *id), void *ctx);
/* m NULL: nothing is told, only rights are checked. `now`: unix s. Returns to how many it went. */
size_t hub_publish(struct hub *h, const struct id16 *id, struct message *m, uint64_t except, int64_t now);
/* Forgets those whom a UCAN of this cid let into a plain space. They are not told: the notice that goes to all does. */
void hub_revoke(struct hub *h, const struct id16 *id, const struct id32 *cid);

#endif
