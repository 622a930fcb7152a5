/* SPDX-License-Identifier: Apache-2.0 */
/*
 * late_read: reads of content that is not here. They wait for the network on threads of their own, so that the
 * mount's threads never do.
 *
 *	late_read_start(m, &l);
 *	late_read_add(l, req, ino, off, len, chunk);   // answers req, at the latest after LATE_READ_SECONDS
 *	late_read_cancel(l);                           // waiting and further reads are answered with EINTR
 *	late_read_stop(&l);                            // cancels; all are answered when it returns; no further
 * late_read_add
 */
#ifndef COFFER_FUSEFS_LATE_READ_H
#define COFFER_FUSEFS_LATE_READ_H

#include "fusefs/mount.h"

#define LATE_READ_SECONDS 30
#define LATE_READ_THREADS 32 /* at most; further reads queue, their time runs */

struct fuse_req;
struct late_read;

int late_read_start(const struct mount_config *config, struct late_read **ret_l) MUST_CHECK;
/* Takes req over. `chunk` is what store_read found missing first. */
void late_read_add(struct late_read *l, struct fuse_req *req, uint64_t ino, uint64_t off, size_t len, uint64_t chunk);
void late_read_cancel(struct late_read *l);
void late_read_stop(struct late_read **l);

#endif
