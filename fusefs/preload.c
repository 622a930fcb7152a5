/* SPDX-License-Identifier: Apache-2.0 */
#define FUSE_USE_VERSION 314
#include "fusefs/preload.h"
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SLOTS 8192

struct preload {
	struct fuse_session *se;
	struct store *store;
	pthread_mutex_t giving; /* from before content is read until the kernel has it */
	/* Nodes of whose content the kernel may have some, each in the slot of its number. One that another put out is
	 * given once more; one whose pages the kernel dropped is read as any other. */
	atomic_uint_fast64_t given[SLOTS];
};

int preload_new(struct fuse_session *se, struct store *store, struct preload **ret_p)
{
	struct preload *p = calloc(1, sizeof *p);

	if (!p)
		return ERR_NOMEM;
	p->se = se;
	p->store = store;
	pthread_mutex_init(&p->giving, NULL);
	*ret_p = p;
	return 0;
}

void preload_free(struct preload *p)
{
	if (!p)
		return;
	pthread_mutex_destroy(&p->giving);
	free(p);
}

static atomic_uint_fast64_t *slot_of(struct preload *p, uint64_t ino)
{
	return &p->given[ino % SLOTS];
}

static void give(struct preload *p, uint64_t kernel_ino, uint64_t ino, uint8_t *room)
{
	struct fuse_bufvec content = FUSE_BUFVEC_INIT(0);
	struct node n;
	uint64_t chunk;
	size_t len;

	if (store_getattr(p->store, ino, &n) < 0 || n.size == 0 || n.size > PRELOAD_MAX)
		return;
	if (store_read(p->store, ino, 0, room, PRELOAD_MAX, &len, &chunk) < 0)
		return; /* the reader sees why */
	content.buf[0].mem = room;
	content.buf[0].size = len;
	if (fuse_lowlevel_notify_store(p->se, kernel_ino, 0, &content, 0) == 0)
		preload_known(p, ino);
}

void preload_give(struct preload *p, uint64_t kernel_ino, uint64_t ino, uint8_t *room)
{
	if (atomic_load_explicit(slot_of(p, ino), memory_order_relaxed) == ino)
		return;
	pthread_mutex_lock(&p->giving);
	give(p, kernel_ino, ino, room);
	pthread_mutex_unlock(&p->giving);
}

void preload_await(struct preload *p)
{
	pthread_mutex_lock(&p->giving);
	pthread_mutex_unlock(&p->giving);
}

void preload_known(struct preload *p, uint64_t ino)
{
	atomic_store_explicit(slot_of(p, ino), ino, memory_order_relaxed);
}

void preload_forget(struct preload *p, uint64_t ino)
{
	uint_fast64_t is = ino;

	atomic_compare_exchange_strong(slot_of(p, ino), &is, 0);
}
