/* SPDX-License-Identifier: Apache-2.0 */
#include "server/presence.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "crypto/hash.h"

#define BUCKETS 4096
#define SECOND 1000000000ll

struct here {
	struct here *next;                 /* in the bucket of the space */
	struct here *own_next, **own_prev; /* in that of the connection; what points to it there */
	struct id16 space;
	uint64_t conn;
	int64_t set; /* monotonic ns */
	size_t len;
	uint8_t data[]; /* len bytes */
};

struct presence {
	const struct env *env;
	uint8_t secret[32], seed[HASH_SEED];
	pthread_mutex_t lock;          /* of all below */
	struct here *buckets[BUCKETS]; /* by space */
	struct here *conns[BUCKETS];
	size_t n;
	uint64_t max_bytes, max_in_space;
	int64_t lasts; /* ns */
};

void presence_configure(struct presence *p, const struct config *c)
{
	pthread_mutex_lock(&p->lock);
	p->max_bytes = c->limits.presence_bytes;
	p->max_in_space = c->limits.presence_per_space;
	p->lasts = (int64_t)c->limits.presence_seconds * SECOND;
	pthread_mutex_unlock(&p->lock);
}

int presence_new(const struct env *env, const struct config *c, struct presence **ret_p)
{
	struct presence *p = calloc(1, sizeof *p);

	if (!p)
		return ERR_NOMEM;
	p->env = env;
	env->random(env->ctx, p->secret, sizeof p->secret);
	env->random(env->ctx, p->seed, sizeof p->seed);
	pthread_mutex_init(&p->lock, NULL);
	presence_configure(p, c);
	*ret_p = p;
	return OK;
}

void presence_share(struct presence *p, const uint8_t secret[32])
{
	memcpy(p->secret, secret, sizeof p->secret);
}

static void drop(struct presence *p, struct here **at)
{
	struct here *h = *at;

	*at = h->next;
	*h->own_prev = h->own_next;
	if (h->own_next)
		h->own_next->own_prev = h->own_prev;
	free(h);
	p->n--;
}

static void link_own(struct presence *p, struct here *h)
{
	struct here **first = &p->conns[h->conn % BUCKETS];

	h->own_next = *first;
	h->own_prev = first;
	if (*first)
		(*first)->own_prev = &h->own_next;
	*first = h;
}

void presence_free(struct presence *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (p->buckets[i])
			drop(p, &p->buckets[i]);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void presence_name(
	const uint8_t secret[32], const char *connection, const struct id16 *space, char out[PRESENCE_PEER_SIZE])
{
	char text[1 + ID16_TEXT_SIZE] = { '\0' }, hex[ID32_TEXT_SIZE];
	struct id32 mac;

	id16_format(space, text + 1);
	hash_hmac(bytes_of(secret, 32), bytes_str(connection), bytes_of(text, ID16_TEXT_SIZE), &mac);
	id32_format(&mac, hex);
	snprintf(out, PRESENCE_PEER_SIZE, "%.32s", hex);
}

void presence_peer(const struct presence *p, uint64_t conn, const struct id16 *space, char out[PRESENCE_PEER_SIZE])
{
	char connection[24];

	snprintf(connection, sizeof connection, "%llu", (unsigned long long)conn);
	presence_name(p->secret, connection, space, out);
}

static struct here **bucket(struct presence *p, const struct id16 *space)
{
	return &p->buckets[hash_short(p->seed, bytes_of(space->b, sizeof space->b)) % BUCKETS];
}

/* The place of a connection in a space, or the end of its bucket; *ret_n others are in the space. */
static struct here **find(struct presence *p, const struct id16 *space, uint64_t conn, size_t *ret_n)
{
	struct here **at = bucket(p, space), **found = NULL;

	*ret_n = 0;
	for (; *at; at = &(*at)->next)
		if (id16_equal(&(*at)->space, space)) {
			if ((*at)->conn == conn)
				found = at;
			else
				++*ret_n;
		}
	return found ? found : at;
}

int presence_set(struct presence *p, const struct id16 *space, uint64_t conn, struct bytes data)
{
	struct here *h, **at;
	size_t n;

	if (!(h = calloc(1, sizeof *h + data.len)))
		return ERR_NOMEM;
	*h = (struct here){ .space = *space, .conn = conn, .len = data.len };
	h->set = p->env->mono_ns(p->env->ctx);
	memcpy(h->data, data.p, data.len);
	pthread_mutex_lock(&p->lock);
	at = find(p, space, conn, &n);
	if (data.len > p->max_bytes || (!*at && n >= p->max_in_space)) {
		pthread_mutex_unlock(&p->lock);
		free(h);
		return ERR_RANGE;
	}
	if (*at)
		drop(p, at);
	h->next = *at;
	*at = h;
	link_own(p, h);
	p->n++;
	pthread_mutex_unlock(&p->lock);
	return OK;
}

bool presence_clear(struct presence *p, const struct id16 *space, uint64_t conn)
{
	struct here **at;
	bool was;
	size_t n;

	pthread_mutex_lock(&p->lock);
	at = find(p, space, conn, &n);
	was = *at != NULL;
	if (was)
		drop(p, at);
	pthread_mutex_unlock(&p->lock);
	return was;
}

void presence_list(struct presence *p, const struct id16 *space, uint64_t except, presence_each *each, void *ctx)
{
	pthread_mutex_lock(&p->lock);
	for (struct here *h = *bucket(p, space); h; h = h->next)
		if (h->conn != except && id16_equal(&h->space, space))
			each(ctx, &h->space, h->conn, bytes_of(h->data, h->len));
	pthread_mutex_unlock(&p->lock);
}

/* What points to it in the bucket of its space. */
static struct here **place_of(struct presence *p, const struct here *h)
{
	struct here **at = bucket(p, &h->space);

	while (*at != h)
		at = &(*at)->next;
	return at;
}

void presence_leave(struct presence *p, uint64_t conn, presence_each *each, void *ctx)
{
	struct here *h, *next;

	pthread_mutex_lock(&p->lock);
	for (h = p->conns[conn % BUCKETS]; h; h = next) {
		next = h->own_next;
		if (h->conn != conn)
			continue;
		each(ctx, &h->space, h->conn, bytes_of(h->data, h->len));
		drop(p, place_of(p, h));
	}
	pthread_mutex_unlock(&p->lock);
}

void presence_sweep(struct presence *p, presence_each *each, void *ctx)
{
	int64_t before = p->env->mono_ns(p->env->ctx);

	pthread_mutex_lock(&p->lock);
	before -= p->lasts;
	for (size_t i = 0; i < BUCKETS && p->n; i++)
		for (struct here **at = &p->buckets[i]; *at;) {
			struct here *h = *at;

			if (h->set >= before) {
				at = &h->next;
				continue;
			}
			each(ctx, &h->space, h->conn, bytes_of(h->data, h->len));
			drop(p, at);
		}
	pthread_mutex_unlock(&p->lock);
}
