/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountpoint: a directory that is to carry, or carries, a mount of this program.
 *
 *	mountpoint_prepare(dir);                    // is it fit for a mount?
 *	mountpoint_mount(dir, &options, &fd);       // fd: the FUSE device, whose requests are to be served
 *	mountpoint_unmount(dir, lazy);
 *
 * Root mounts directly, others through the setuid program fusermount3. libfuse's own way is not taken because it
 * says errors on standard error only, and unmounts lazily whatever it then finds on the directory.
 */
#ifndef COFFER_FUSEFS_MOUNTPOINT_H
#define COFFER_FUSEFS_MOUNTPOINT_H

#include <stdbool.h>
#include "base/err.h"

#define MOUNTPOINT_SOURCE_MAX 1024

/* Checks that dir is an empty directory without a live mount of this program; unmounts one that a killed process
 * left. ERR_NOT_FOUND, ERR_NOT_DIR, ERR_NOT_EMPTY, ERR_BUSY, ERR_PERMISSION, ERR_IO. */
int mountpoint_prepare(const char *dir) MUST_CHECK;

struct mountpoint_options {
	const char *source; /* what the kernel's table shows as mounted; at most MOUNTPOINT_SOURCE_MAX bytes */
	bool allow_other, read_only, exec_off, suid, dev;
	unsigned read_ahead_kib; /* what the kernel reads ahead of a sequential reader; only root can set it */
};

/* Closing *ret_fd ends the connection. ERR_PERMISSION (no /dev/fuse, no fusermount3, not allowed), ERR_NOT_FOUND,
 * ERR_IO, ERR_NOMEM. */
int mountpoint_mount(const char *dir, const struct mountpoint_options *options, int *ret_fd) MUST_CHECK;

/* ERR_BUSY: files are open there. ERR_NOT_FOUND: nothing is mounted. ERR_PERMISSION, ERR_IO. */
int mountpoint_unmount(const char *dir, bool lazy) MUST_CHECK;

#endif
