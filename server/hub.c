/* SPDX-License-Identifier: Apache-2.0 */
#include "server/hub.h"

#include <stdlib.h>
#include "crypto/hash.h"

#define BUCKETS 4096

struct topic {
	struct topic *next;
	struct id16 id;
	struct space *space; /* a reference; NULL: a plain space */
	struct subscription *first;
	size_t n;            /* of them */
	bool looking, again; /* hub_look */
};

struct subscription {
	struct subscriber *who;
	struct topic *topic;
	struct grant *grant; /* NULL: none is needed */
	struct subscription *topic_prev, *topic_next;
	struct subscription *own_prev, *own_next;
};

struct hub {
	struct spaces *spaces;
	uint8_t seed[HASH_SEED];
	struct topic *buckets[BUCKETS];
};

int hub_new(const struct env *env, struct spaces *spaces, struct hub **ret_h)
{
	struct hub *h = calloc(1, sizeof *h);

	if (!h)
		return ERR_NOMEM;
	h->spaces = spaces;
	env->random(env->ctx, h->seed, sizeof h->seed);
	*ret_h = h;
	return OK;
}

void hub_free(struct hub *h)
{
	free(h);
}

static struct topic **find(struct hub *h, const struct id16 *id)
{
	struct topic **t = &h->buckets[hash_short(h->seed, bytes_of(id->b, sizeof id->b)) % BUCKETS];

	while (*t && !id16_equal(&(*t)->id, id))
		t = &(*t)->next;
	return t;
}

/* The shorter list is gone through: who listens to thousands of spaces may name thousands of them again and again. */
static struct subscription *find_own(struct hub *h, const struct subscriber *s, const struct id16 *id)
{
	const struct topic *t = *find(h, id);
	struct subscription *p;

	if (!t)
		return NULL;
	if (t->n < s->n) {
		for (p = t->first; p && p->who != s;)
			p = p->topic_next;
		return p;
	}
	for (p = s->first; p && p->topic != t;)
		p = p->own_next;
	return p;
}

static struct topic *topic_new(struct hub *h, const struct id16 *id, struct space *sp)
{
	struct topic *t = calloc(1, sizeof *t);

	if (t) {
		t->id = *id;
		t->space = sp ? spaces_ref(h->spaces, sp) : NULL;
	}
	return t;
}

static void link_in(struct subscription *p, struct subscriber *s, struct topic *t)
{
	p->who = s;
	p->topic = t;
	p->topic_next = t->first;
	if (p->topic_next)
		p->topic_next->topic_prev = p;
	t->first = p;
	t->n++;
	p->own_next = s->first;
	if (p->own_next)
		p->own_next->own_prev = p;
	s->first = p;
	s->n++;
}

static int copy_grant(const struct grant *grant, struct grant **ret_copy)
{
	*ret_copy = NULL;
	if (!grant)
		return OK;
	if (!(*ret_copy = malloc(sizeof *grant)))
		return ERR_NOMEM;
	**ret_copy = *grant;
	return OK;
}

int hub_subscribe(
	struct hub *h, struct subscriber *s, const struct id16 *id, struct space *sp, const struct grant *grant)
{
	struct topic **t = find(h, id);
	struct subscription *p = find_own(h, s, id);
	struct grant *own;
	int err;

	if (!p && s->n >= s->max)
		return ERR_RANGE;
	if ((err = copy_grant(grant, &own)) < 0)
		return err;
	if (p) {
		free(p->grant);
		p->grant = own;
		return OK;
	}
	p = calloc(1, sizeof *p);
	if (!p || (!*t && !(*t = topic_new(h, id, sp)))) {
		free(p);
		free(own);
		return ERR_NOMEM;
	}
	p->grant = own;
	link_in(p, s, *t);
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
	t->n--;
	free(p->grant);
	free(p);
	if (t->first)
		return;
	at = find(h, &t->id);
	*at = t->next;
	spaces_put(h->spaces, t->space);
	free(t);
}

void hub_unsubscribe(struct hub *h, struct subscriber *s, const struct id16 *id)
{
	struct subscription *p = find_own(h, s, id);

	if (p)
		drop(h, p);
}

void hub_leave(struct hub *h, struct subscriber *s)
{
	while (s->first)
		drop(h, s->first);
}

/* `log` of a Coffer space. */
static bool may_read(const struct subscription *p, const struct shared_log *log, int64_t now)
{
	if (p->topic->space)
		return log && log_may_read(log->log, &p->who->device);
	return !p->grant || p->grant->exp >= now;
}

bool hub_may_hear(struct hub *h, const struct subscriber *s, const struct id16 *id, int64_t now)
{
	const struct subscription *p = find_own(h, s, id);
	struct space_view v = { 0 };
	bool may;

	if (!p)
		return false;
	if (p->topic->space)
		v = space_view(p->topic->space);
	may = may_read(p, v.log, now);
	space_view_release(&v);
	return may;
}

bool hub_look(struct hub *h, const struct id16 *id)
{
	struct topic *t = *find(h, id);

	if (!t)
		return false;
	t->again = t->looking;
	t->looking = true;
	return !t->again;
}

bool hub_looked(struct hub *h, const struct id16 *id)
{
	struct topic *t = *find(h, id);

	if (!t)
		return false;
	t->looking = t->again;
	t->again = false;
	return t->looking;
}

void hub_each(struct hub *h, void (*each)(void *ctx, const struct id16 *id), void *ctx)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (const struct topic *t = h->buckets[i]; t; t = t->next)
			each(ctx, &t->id);
}

size_t hub_publish(struct hub *h, const struct id16 *id, struct message *m, uint64_t except, int64_t now)
{
	struct topic *t = *find(h, id);
	struct subscription *p = t ? t->first : NULL, *next;
	struct space_view v = { 0 };
	size_t n = 0;

	if (!p)
		return 0;
	if (t->space)
		v = space_view(t->space);
	for (; p; p = next) {
		struct subscriber *who = p->who;

		next = p->topic_next;
		if (!may_read(p, v.log, now)) {
			who->revoked(who->ctx, id);
			drop(h, p);
		} else if (m && who->id != except) {
			who->deliver(who->ctx, m);
			n++;
		}
	}
	space_view_release(&v);
	return n;
}

static bool stands_on(const struct grant *g, const struct id32 *cid)
{
	for (size_t i = 0; g && i < g->n; i++)
		if (id32_equal(&g->cids[i], cid))
			return true;
	return false;
}

void hub_revoke(struct hub *h, const struct id16 *id, const struct id32 *cid)
{
	struct topic *t = *find(h, id);
	struct subscription *p = t ? t->first : NULL, *next;

	for (; p; p = next) {
		next = p->topic_next;
		if (stands_on(p->grant, cid))
			drop(h, p);
	}
}
