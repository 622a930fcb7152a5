/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/early.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

struct failure {
	struct failure *next;
	uint64_t ino;
	int err;
};

struct early {
	struct store *store;
	atomic_bool failing;             /* the last write failed */
	atomic_int_fast64_t small_until; /* when small files are expected no more */
	atomic_int n_failures;           /* spares the lock while 0 */
	pthread_mutex_t lock;            /* below */
	uint64_t budget;                 /* bytes to be answered early before room is looked at again */
	struct failure *failures;
	int lost; /* an error for which there was no memory */
};

int early_new(struct store *s, struct early **ret_e)
{
	struct early *e = calloc(1, sizeof *e);

	if (!e)
		return ERR_NOMEM;
	e->store = s;
	pthread_mutex_init(&e->lock, NULL);
	*ret_e = e;
	return 0;
}

void early_free(struct early *e)
{
	if (!e)
		return;
	for (struct failure *f = e->failures, *next; f; f = next) {
		next = f->next;
		free(f);
	}
	pthread_mutex_destroy(&e->lock);
	free(e);
}

/* Looks for room if the budget is used up. Lock held. */
static bool has_budget(struct early *e, size_t size)
{
	struct store_stat s;

	if (e->budget < size) {
		if (store_stat(e->store, &s) < 0 || s.read_only || s.free_bytes < EARLY_ROOM)
			return false;
		e->budget = EARLY_BUDGET;
	}
	e->budget -= size;
	return true;
}

bool early_may(struct early *e, size_t size)
{
	if (atomic_load(&e->failing) || atomic_load(&e->n_failures) > 0)
		return false;
	pthread_mutex_lock(&e->lock);
	bool may = has_budget(e, size);
	pthread_mutex_unlock(&e->lock);
	return may;
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void early_note(struct early *e, size_t size)
{
	int64_t until = size < EARLY_STREAM ? now_ns() + EARLY_BURST_NS : 0;

	atomic_store_explicit(&e->small_until, until, memory_order_relaxed);
}

bool early_expects_small(const struct early *e)
{
	return now_ns() < atomic_load_explicit(&e->small_until, memory_order_relaxed);
}

void early_failed(struct early *e, uint64_t ino, int err)
{
	struct failure *f = malloc(sizeof *f);

	pthread_mutex_lock(&e->lock);
	atomic_store(&e->failing, true);
	atomic_fetch_add(&e->n_failures, 1);
	if (f) {
		*f = (struct failure){ .next = e->failures, .ino = ino, .err = err };
		e->failures = f;
	} else {
		e->lost = err;
	}
	pthread_mutex_unlock(&e->lock);
}

/* Takes the newest failure of the node off the list. Lock held. */
static int take(struct early *e, uint64_t ino)
{
	for (struct failure **p = &e->failures; *p; p = &(*p)->next) {
		struct failure *f = *p;
		if (f->ino != ino)
			continue;
		int err = f->err;
		*p = f->next;
		free(f);
		return err;
	}
	int err = e->lost;
	e->lost = 0;
	return err;
}

int early_take(struct early *e, uint64_t ino)
{
	if (atomic_load(&e->n_failures) == 0)
		return 0;
	pthread_mutex_lock(&e->lock);
	int err = take(e, ino);
	if (err < 0)
		atomic_fetch_sub(&e->n_failures, 1);
	pthread_mutex_unlock(&e->lock);
	return err;
}

void early_recovered(struct early *e)
{
	atomic_store(&e->failing, false);
}
