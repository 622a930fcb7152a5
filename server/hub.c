/* SPDX-License-Identifier: Apache-2.0 */
#include "server/hub.h"

#include <stdlib.h>

#define BUCKETS 4096

struct topic {
	struct topic *next;
	struct space *space; /* a reference */
	struct subscription *first;
};

struct subscription {
	struct subscriber *who;
	struct topic *topic;
	struct subscription *topic_prev, *topic_next;
	struct subscription *own_prev, *own_next;
};

struct hub {
	struct spaces *spaces;
	struct topic *buckets[BUCKETS];
};

int hub_new(struct spaces *spaces, struct hub **ret_h)
{
	struct hub *h = calloc(1, sizeof *h);

	if (!h)
		return ERR_NOMEM;
	h->spaces = spaces;
	*ret_h = h;
	return OK;
}

void hub_free(struct hub *h)
{
	free(h);
}

static struct topic **find(struct hub *h, const struct id16 *id)
{
	struct topic **t = &h->buckets[((size_t)id->b[0] << 8 | id->b[1]) % BUCKETS];

	while (*t && !id16_equal(&(*t)->space->id, id))
		t = &(*t)->next;
	return t;
}

static struct subscription *find_own(struct subscriber *s, const struct id16 *id)
{
	struct subscription *p = s->first;

	while (p && !id16_equal(&p->topic->space->id, id))
		p = p->own_next;
	return p;
}

int hub_subscribe(struct hub *h, struct subscriber *s, struct space *sp)
{
	struct topic **t = find(h, &sp->id);
	struct subscription *p;

	if (find_own(s, &sp->id))
		return OK;
	if (s->n >= s->max)
		return ERR_RANGE;
	if (!(p = calloc(1, sizeof *p)))
		return ERR_NOMEM;
	if (!*t) {
		if (!(*t = calloc(1, sizeof **t))) {
			free(p);
			return ERR_NOMEM;
		}
		(*t)->space = spaces_ref(h->spaces, sp);
	}
	p->who = s;
	p->topic = *t;
	p->topic_next = (*t)->first;
	if (p->topic_next)
		p->topic_next->topic_prev = p;
	(*t)->first = p;
	p->own_next = s->first;
	if (p->own_next)
		p->own_next->own_prev = p;
	s->first = p;
	s->n++;
	return OK;
}

static void drop(struct hub *h, struct subscription *p)
{
	struct topic *t = p->topic, **at;

	if (p->own_prev)
		p->own_prev->own_next = p->own_next;
	else
		p->who->first = p->own_next;
	if (p->own_next)
		p->own_next->own_prev = p->own_prev;
	if (p->topic_prev)
		p->topic_prev->topic_next = p->topic_next;
	else
		t->first = p->topic_next;
	if (p->topic_next)
		p->topic_next->topic_prev = p->topic_prev;
	p->who->n--;
	free(p);
	if (t->first)
		return;
	at = find(h, &t->space->id);
	*at = t->next;
	spaces_put(h->spaces, t->space);
	free(t);
}

void hub_unsubscribe(struct hub *h, struct subscriber *s, const struct id16 *space)
{
	struct subscription *p = find_own(s, space);

	if (p)
		drop(h, p);
}

void hub_leave(struct hub *h, struct subscriber *s)
{
	while (s->first)
		drop(h, s->first);
}

size_t hub_publish(struct hub *h, struct space *sp, struct message *m, uint64_t except)
{
	struct topic *t = *find(h, &sp->id);
	struct subscription *p = t ? t->first : NULL, *next;
	struct space_view v;
	size_t n = 0;

	if (!p)
		return 0;
	v = space_view(sp);
	for (; p; p = next) {
		struct subscriber *who = p->who;

		next = p->topic_next;
		if (!v.log || !log_may_read(v.log->log, &who->device)) {
			who->revoked(who->ctx, &sp->id);
			drop(h, p);
		} else if (m && who->id != except) {
			who->deliver(who->ctx, m);
			n++;
		}
	}
	space_view_release(&v);
	return n;
}
