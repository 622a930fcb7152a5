/* SPDX-License-Identifier: Apache-2.0 */
#include "server/mailbox.h"

#include <stdlib.h>
#include "crypto/hash.h"

#define BUCKETS 4096

struct mailboxes {
	uint8_t seed[HASH_SEED];
	struct mailbox_seat *buckets[BUCKETS];
};

int mailboxes_new(const struct env *env, struct mailboxes **ret_m)
{
	struct mailboxes *m = calloc(1, sizeof *m);

	if (!m)
		return ERR_NOMEM;
	env->random(env->ctx, m->seed, sizeof m->seed);
	*ret_m = m;
	return OK;
}

void mailboxes_free(struct mailboxes *m)
{
	free(m);
}

static size_t bucket(const struct mailboxes *m, const struct id32 *mailbox)
{
	return hash_short(m->seed, bytes_of(mailbox->b, sizeof mailbox->b)) % BUCKETS;
}

void mailboxes_join(struct mailboxes *m, struct mailbox_seat *s, const struct id32 *mailbox, void *owner)
{
	struct mailbox_seat **first = &m->buckets[bucket(m, mailbox)];

	mailbox_leave(s);
	*s = (struct mailbox_seat){ .next = *first, .at = first, .mailbox = *mailbox, .owner = owner };
	if (s->next)
		s->next->at = &s->next;
	*first = s;
}

void mailbox_leave(struct mailbox_seat *s)
{
	if (!s->at)
		return;
	*s->at = s->next;
	if (s->next)
		s->next->at = s->at;
	*s = (struct mailbox_seat){ 0 };
}

static struct mailbox_seat *find(struct mailbox_seat *s, const struct id32 *mailbox)
{
	while (s && !id32_equal(&s->mailbox, mailbox))
		s = s->next;
	return s;
}

struct mailbox_seat *mailboxes_first(const struct mailboxes *m, const struct id32 *mailbox)
{
	return find(m->buckets[bucket(m, mailbox)], mailbox);
}

struct mailbox_seat *mailbox_next(const struct mailbox_seat *s)
{
	return find(s->next, &s->mailbox);
}
