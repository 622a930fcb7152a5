/* SPDX-License-Identifier: Apache-2.0 */
#include "server/limits.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/hash.h"

#define SLOTS 4096
#define WAYS 8 /* an address may stand in one of these slots */
#define SECOND 1000000000ll
#define BACKOFF_MAX (3600 * SECOND)

#define LIMITS 10
#define KIB 1024

struct rule {
	int64_t burst, miss_burst;
	int64_t every, miss_every; /* ns for one token (of bytes: KiB) to come back; 0: any amount */
};

struct bucket {
	char addr[64];
	enum limit what;
	int64_t used;
	/* Theoretical arrival times: a bucket is full at or before `now`. */
	int64_t take, miss;
	int64_t blocked_until;
	unsigned misses; /* in a row beyond the burst */
};

struct limits {
	uint8_t seed[HASH_SEED]; /* fixed */
	pthread_mutex_t lock;    /* of all below */
	struct rule rules[LIMITS];
	struct bucket slots[SLOTS];
};

static struct rule rule_of(uint64_t burst, uint64_t per_minute)
{
	return (struct rule){ (int64_t)burst, 1, 60 * SECOND / (int64_t)per_minute, SECOND };
}

static struct rule rule_of_bytes(uint64_t burst, uint64_t per_minute)
{
	return per_minute ? rule_of(burst, per_minute) : (struct rule){ 0 };
}

void limits_configure(struct limits *l, const struct config *c)
{
	pthread_mutex_lock(&l->lock);
	l->rules[LIMIT_INVITE] = rule_of(c->limits.invite_lookups_per_minute, c->limits.invite_lookups_per_minute);
	l->rules[LIMIT_INVITE].miss_burst = (int64_t)c->limits.invite_misses_per_minute;
	l->rules[LIMIT_INVITE].miss_every = 60 * SECOND / (int64_t)c->limits.invite_misses_per_minute;
	l->rules[LIMIT_GENESIS] = rule_of(c->limits.spaces_burst, c->limits.spaces_per_minute);
	l->rules[LIMIT_ENTRY] = rule_of(c->limits.entries_burst, c->limits.entries_per_minute);
	l->rules[LIMIT_MAIL] = rule_of(c->limits.letters_burst, c->limits.letters_per_minute);
	l->rules[LIMIT_AUTH] = rule_of(c->limits.auths_burst, c->limits.auths_per_minute);
	l->rules[LIMIT_DEVICE] = rule_of(c->limits.device_requests_burst, c->limits.device_requests_per_minute);
	l->rules[LIMIT_SPACE] = rule_of(c->limits.space_pushes_burst, c->limits.space_pushes_per_minute);
	l->rules[LIMIT_CHAIN] = rule_of(c->limits.chains_burst, c->limits.chains_per_minute);
	l->rules[LIMIT_DEVICE_BYTES] = rule_of_bytes(c->limits.device_kib_burst, c->limits.device_kib_per_minute);
	l->rules[LIMIT_SPACE_BYTES] = rule_of_bytes(c->limits.space_kib_burst, c->limits.space_kib_per_minute);
	pthread_mutex_unlock(&l->lock);
}

int limits_new(const struct env *env, const struct config *c, struct limits **ret_l)
{
	struct limits *l = calloc(1, sizeof *l);

	if (!l)
		return ERR_NOMEM;
	pthread_mutex_init(&l->lock, NULL);
	env->random(env->ctx, l->seed, sizeof l->seed);
	limits_configure(l, c);
	*ret_l = l;
	return OK;
}

void limits_free(struct limits *l)
{
	if (!l)
		return;
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* The bucket of an address: its own, or the longest unused of its slots. */
static struct bucket *find(struct limits *l, enum limit what, const char *addr)
{
	const uint64_t hash = hash_short(l->seed, bytes_str(addr)) + what;
	struct bucket *first = &l->slots[hash % (SLOTS / WAYS) * WAYS], *oldest = first;

	for (size_t i = 0; i < WAYS; i++) {
		struct bucket *b = &first[i];

		if (b->what == what && strncmp(b->addr, addr, sizeof b->addr - 1) == 0 && b->addr[0])
			return b;
		if (b->used < oldest->used)
			oldest = b;
	}
	memset(oldest, 0, sizeof *oldest);
	oldest->what = what;
	strncpy(oldest->addr, addr, sizeof oldest->addr - 1);
	return oldest;
}

int limits_take(struct limits *l, enum limit what, const char *addr, int64_t now)
{
	struct bucket *b;
	int err = OK;

	pthread_mutex_lock(&l->lock);
	b = find(l, what, addr);
	b->used = now;
	if (b->take < now)
		b->take = now;
	if (now < b->blocked_until || b->take - now > (l->rules[what].burst - 1) * l->rules[what].every)
		err = ERR_RATE_LIMITED;
	else
		b->take += l->rules[what].every;
	pthread_mutex_unlock(&l->lock);
	return err;
}

static int spend(struct limits *l, enum limit what, const char *who, uint64_t bytes, int64_t now, bool always)
{
	const struct rule *r = &l->rules[what];
	struct bucket *b;
	int err = OK;

	pthread_mutex_lock(&l->lock);
	if (r->every && bytes) {
		b = find(l, what, who);
		b->used = now;
		if (b->take < now)
			b->take = now;
		if (!always && b->take - now > (r->burst - 1) * r->every)
			err = ERR_RATE_LIMITED;
		else
			b->take += (int64_t)((bytes + KIB - 1) / KIB) * r->every;
	}
	pthread_mutex_unlock(&l->lock);
	return err;
}

int limits_charge(struct limits *l, enum limit what, const char *who, uint64_t bytes, int64_t now)
{
	return spend(l, what, who, bytes, now, false);
}

void limits_owe(struct limits *l, enum limit what, const char *who, uint64_t bytes, int64_t now)
{
	(void)spend(l, what, who, bytes, now, true);
}

void limits_miss(struct limits *l, enum limit what, const char *addr, int64_t now)
{
	struct bucket *b;
	int64_t wait;

	pthread_mutex_lock(&l->lock);
	b = find(l, what, addr);
	b->used = now;
	if (b->miss < now)
		b->miss = now;
	b->miss += l->rules[what].miss_every;
	if (b->miss - now > (l->rules[what].miss_burst - 1) * l->rules[what].miss_every) {
		wait = l->rules[what].miss_every << (b->misses < 16 ? b->misses : 16);
		b->blocked_until = now + (wait < BACKOFF_MAX ? wait : BACKOFF_MAX);
		b->misses++;
	}
	pthread_mutex_unlock(&l->lock);
}

void limits_hit(struct limits *l, enum limit what, const char *addr)
{
	pthread_mutex_lock(&l->lock);
	find(l, what, addr)->misses = 0;
	pthread_mutex_unlock(&l->lock);
}

int limits_address(const char *text, char *out, size_t size)
{
	char printed[INET6_ADDRSTRLEN];
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET, text, &four) != 1) {
		if (inet_pton(AF_INET6, text, &six) != 1)
			return ERR_INVALID;
		if (!IN6_IS_ADDR_V4MAPPED(&six)) {
			if (!IN6_IS_ADDR_LOOPBACK(&six))
				memset(&six.s6_addr[8], 0, 8);
			inet_ntop(AF_INET6, &six, printed, sizeof printed);
			snprintf(out, size, "%s%s", printed, IN6_IS_ADDR_LOOPBACK(&six) ? "" : "/64");
			return OK;
		}
		memcpy(&four, &six.s6_addr[12], sizeof four);
	}
	inet_ntop(AF_INET, &four, printed, sizeof printed);
	snprintf(out, size, "%s", printed);
	return OK;
}
