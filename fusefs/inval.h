/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inval: tells the kernel which of its cached entries, attributes and pages no longer hold. A thread of its own with
 * no lock held, since a notification may wait for a request that is being answered.
 *
 *	inval_start(se, root_ino, preload, &q);
 *	inval_add(q, inv, n);
 *	inval_stop(&q);       // the connection is closed or about to be; what is queued is dropped
 */
#ifndef COFFER_FUSEFS_INVAL_H
#define COFFER_FUSEFS_INVAL_H

#include "fusefs/mount.h"

struct fuse_session;
struct inval;
struct preload;

/* root_ino is the store's number of what the kernel knows as FUSE_ROOT_ID. What is being given to the kernel is awaited
 * before it is told (preload.h). se and p must outlive it. ERR_NOMEM. */
int inval_start(struct fuse_session *se, uint64_t root_ino, struct preload *p, struct inval **ret_q) MUST_CHECK;
/* Copies. An invalidation for which there is no memory is lost: the kernel then keeps what it has for a day at most.
 *  */
void inval_add(struct inval *q, const struct invalidation *inv, size_t n);
/* Waits until all that was added before is told, `ms` at most. */
void inval_drain(struct inval *q, unsigned ms);
void inval_stop(struct inval **q);

#endif
