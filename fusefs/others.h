/* SPDX-License-Identifier: Apache-2.0 */
/*
 * others: what a request through one mount changed, for the other mounts of the same store: their kernels remember for
 * a day what they saw (inval.h).
 *
 *	n = others_of(request, len, list);
 */
#ifndef COFFER_FUSEFS_OTHERS_H
#define COFFER_FUSEFS_OTHERS_H

#include "fusefs/mount.h"

#define OTHERS_MOST 2 /* of one request */

/* The nodes and entries that the request of the kernel (struct fuse_in_header, arguments) may have changed, by the
 * kernel's numbers; whether it was carried out makes no difference. Returns how many, 0 for what only looks. An entry
 * that went has no child: what it named may have other names. */
size_t others_of(const void *request, size_t len, struct invalidation ret[OTHERS_MOST]);

#endif
