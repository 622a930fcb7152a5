/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries that appear or change are dropped from the kernel's cache by name, entries that went are deleted (which
 * tells inotify). Either way the directory's attributes and cached listing are dropped too: the kernel does that by
 * itself only if it had cached the entry. The kernel answers ENOENT for what it does not know; no error of a
 * notification matters.
 */
#define FUSE_USE_VERSION 314
#include "fusefs/inval.h"
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include "fusefs/preload.h"

/* A queued invalidation with a name of its true length. */
struct item {
	struct item *next;
	uint64_t ino, child;
	uint8_t name_len;
	char name[];
};

struct inval {
	struct fuse_session *se;
	struct preload *preload;
	uint64_t root_ino;
	pthread_t thread;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t cond;
	struct item *first, **last;
	uint64_t added, told; /* items ever */
	pthread_cond_t told_cond;
	struct item *newest; /* of those queued; NULL if none is */
	bool stopping;
};

static fuse_ino_t to_kernel(const struct inval *q, uint64_t ino)
{
	return ino == q->root_ino ? FUSE_ROOT_ID : ino;
}

static void tell_entry(const struct inval *q, const struct item *it)
{
	fuse_ino_t dir = to_kernel(q, it->ino);

	/* A directory that the kernel still sees filled, or a mount point on it, cannot be deleted; dropping it
	 * still works. */
	if (it->child == 0 || fuse_lowlevel_notify_delete(q->se, dir, it->child, it->name, it->name_len) < 0)
		fuse_lowlevel_notify_inval_entry(q->se, dir, it->name, it->name_len);
}

/* Notifies of a whole batch; the caller frees it. */
static void tell(const struct inval *q, const struct item *batch)
{
	for (const struct item *it = batch; it; it = it->next) {
		if (it->name_len > 0)
			tell_entry(q, it);
		/* The directory once per run of entries. */
		if (it->name_len == 0 || !it->next || it->next->ino != it->ino || it->next->name_len == 0)
			fuse_lowlevel_notify_inval_inode(q->se, to_kernel(q, it->ino), 0, 0);
	}
}

static void free_items(struct item *it)
{
	while (it) {
		struct item *next = it->next;
		free(it);
		it = next;
	}
}

static void *run(void *arg)
{
	struct inval *q = arg;

	pthread_mutex_lock(&q->lock);
	while (!q->stopping) {
		if (!q->first) {
			pthread_cond_wait(&q->cond, &q->lock);
			continue;
		}
		struct item *batch = q->first;
		q->first = NULL;
		q->last = &q->first;
		q->newest = NULL;
		uint64_t all = q->added;
		pthread_mutex_unlock(&q->lock);
		preload_await(q->preload);
		tell(q, batch);
		free_items(batch);
		pthread_mutex_lock(&q->lock);
		q->told = all;
		pthread_cond_broadcast(&q->told_cond);
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

int inval_start(struct fuse_session *se, uint64_t root_ino, struct preload *p, struct inval **ret_q)
{
	struct inval *q = calloc(1, sizeof *q);
	pthread_condattr_t clock;

	if (!q)
		return ERR_NOMEM;
	q->se = se;
	q->preload = p;
	q->root_ino = root_ino;
	q->last = &q->first;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->cond, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&q->told_cond, &clock);
	pthread_condattr_destroy(&clock);
	if (pthread_create(&q->thread, NULL, run, q) != 0) {
		pthread_mutex_destroy(&q->lock);
		pthread_cond_destroy(&q->cond);
		pthread_cond_destroy(&q->told_cond);
		free(q);
		return ERR_NOMEM;
	}
	*ret_q = q;
	return 0;
}

/* Whether the newest one says it already: so who writes a long file does not fill the queue. Lock held. */
static bool is_queued(const struct inval *q, const struct invalidation *inv)
{
	const struct item *it = q->newest;

	return it && it->ino == inv->ino && it->name_len == 0 && inv->name_len == 0;
}

void inval_add(struct inval *q, const struct invalidation *inv, size_t n)
{
	pthread_mutex_lock(&q->lock);
	for (size_t i = 0; i < n; i++) {
		if (is_queued(q, &inv[i]))
			continue;
		struct item *it = malloc(sizeof *it + inv[i].name_len + 1u);
		if (!it)
			break; /* the caches stay stale for a day at most; the store is right */
		it->next = NULL;
		it->ino = inv[i].ino;
		it->child = inv[i].child;
		it->name_len = inv[i].name_len;
		memcpy(it->name, inv[i].name, inv[i].name_len);
		it->name[inv[i].name_len] = '\0';
		*q->last = it;
		q->last = &it->next;
		q->newest = it;
		q->added++;
	}
	pthread_cond_signal(&q->cond);
	pthread_mutex_unlock(&q->lock);
}

void inval_drain(struct inval *q, unsigned ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	pthread_mutex_lock(&q->lock);
	for (uint64_t all = q->added; q->told < all && !q->stopping;)
		if (pthread_cond_timedwait(&q->told_cond, &q->lock, &until) != 0)
			break;
	pthread_mutex_unlock(&q->lock);
}

void inval_stop(struct inval **qp)
{
	struct inval *q = *qp;

	if (!q)
		return;
	pthread_mutex_lock(&q->lock);
	q->stopping = true;
	pthread_cond_signal(&q->cond);
	pthread_mutex_unlock(&q->lock);
	pthread_join(q->thread, NULL);
	free_items(q->first);
	pthread_mutex_destroy(&q->lock);
	pthread_cond_destroy(&q->cond);
	pthread_cond_destroy(&q->told_cond);
	free(q);
	*qp = NULL;
}
