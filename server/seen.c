/* SPDX-License-Identifier: Apache-2.0 */
#include "server/seen.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/hash.h"

struct place {
	struct id32 key;
	int64_t since, until; /* until 0: free */
	uint8_t what[];
};

struct seen {
	uint8_t seed[HASH_SEED]; /* fixed, as the sizes: nobody chooses whose place a text takes */
	size_t places, size, stride;
	pthread_mutex_t lock; /* of what stands in the table */
	uint8_t *table;
};

int seen_new(const struct env *env, size_t places, size_t size, struct seen **ret_s)
{
	struct seen *s = calloc(1, sizeof *s);
	const size_t align = _Alignof(struct place);

	if (!s)
		return ERR_NOMEM;
	s->places = places;
	s->size = size;
	s->stride = (sizeof(struct place) + size + align - 1) / align * align;
	env->random(env->ctx, s->seed, sizeof s->seed);
	if (!(s->table = calloc(places, s->stride))) {
		free(s);
		return ERR_NOMEM;
	}
	pthread_mutex_init(&s->lock, NULL);
	*ret_s = s;
	return OK;
}

void seen_free(struct seen *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s->table);
	free(s);
}

static struct place *place_of(const struct seen *s, const struct id32 *key)
{
	return (void *)(s->table + hash_short(s->seed, bytes_of(key->b, sizeof key->b)) % s->places * s->stride);
}

bool seen_find(struct seen *s, const struct id32 *key, int64_t now, void *ret_what)
{
	const struct place *p = place_of(s, key);
	bool found;

	pthread_mutex_lock(&s->lock);
	/* A clock that was set back makes what it had verified unknown. */
	found = id32_equal(&p->key, key) && p->since <= now && now < p->until;
	if (found)
		memcpy(ret_what, p->what, s->size);
	pthread_mutex_unlock(&s->lock);
	return found;
}

void seen_keep(struct seen *s, const struct id32 *key, int64_t since, int64_t until, const void *what)
{
	struct place *p = place_of(s, key);

	pthread_mutex_lock(&s->lock);
	p->key = *key;
	p->since = since;
	p->until = until;
	memcpy(p->what, what, s->size);
	pthread_mutex_unlock(&s->lock);
}

void seen_forget(struct seen *s)
{
	pthread_mutex_lock(&s->lock);
	memset(s->table, 0, s->places * s->stride);
	pthread_mutex_unlock(&s->lock);
}
