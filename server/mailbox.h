/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox: finds the connections of one mailbox without asking all. A device that speaks for itself is a mailbox of its
 * own. Network thread only.
 *
 *	mailboxes_join(all, &c->seat, &mailbox, c);
 *	for (s = mailboxes_first(all, &mailbox); s; s = mailbox_next(s)) tell(s->owner);
 *	mailbox_leave(&c->seat);
 */
#ifndef COFFER_SERVER_MAILBOX_H
#define COFFER_SERVER_MAILBOX_H

#include "base/env.h"
#include "base/id.h"

/* Embedded in what is found; all zero: in none. */
struct mailbox_seat {
	struct mailbox_seat *next, **at; /* of the bucket */
	struct id32 mailbox;
	void *owner;
};

struct mailboxes;

int mailboxes_new(const struct env *env, struct mailboxes **ret_m) MUST_CHECK;
void mailboxes_free(struct mailboxes *m); /* all must have left */
/* Leaves the mailbox it was in. */
void mailboxes_join(struct mailboxes *m, struct mailbox_seat *s, const struct id32 *mailbox, void *owner);
void mailbox_leave(struct mailbox_seat *s);
/* In no order. NULL: no (more). */
struct mailbox_seat *mailboxes_first(const struct mailboxes *m, const struct id32 *mailbox);
struct mailbox_seat *mailbox_next(const struct mailbox_seat *s);

#endif
