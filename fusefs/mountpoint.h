/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountpoint: a directory that is to carry, or carries, a mount of this program.
 *
 *	mountpoint_prepare(dir);          // before mounting
 *	mountpoint_unmount(dir, lazy);    // after it
 */
#ifndef COFFER_FUSEFS_MOUNTPOINT_H
#define COFFER_FUSEFS_MOUNTPOINT_H

#include <stdbool.h>
#include "base/err.h"

/* Checks that dir is an empty directory without a live mount of this program; unmounts one that a killed process left. ERR_NOT_FOUND,
 * ERR_NOT_DIR, ERR_NOT_EMPTY, ERR_BUSY, ERR_PERMISSION, ERR_IO. */
int mountpoint_prepare(const char *dir) MUST_CHECK;

/* As root directly, else by fusermount3. ERR_BUSY: files are open there. ERR_NOT_FOUND: nothing is mounted. ERR_PERMISSION, ERR_IO. */
int mountpoint_unmount(const char *dir, bool lazy) MUST_CHECK;

#endif
