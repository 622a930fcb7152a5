/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env: what the process reaches of the outside world, as one table of functions, so that a test can put its own clock,
 * random source and disk in place and make any call fail.
 *
 * Programs use env_system(). Modules keep the pointer they were given; it outlives them. All functions are thread-safe.
 * Functions of the disk table return a value >= 0 or a negative enum err (never -1/errno).
 */
#ifndef COFFER_BASE_ENV_H
#define COFFER_BASE_ENV_H

#include <stdbool.h>
#include <sys/types.h>
#include "base/err.h"
#include <stdint.h>
#include <stddef.h>

struct env {
	void *ctx;

	/* Wall clock in nanoseconds since 1970; may jump. For times that people see, never for time-outs. */
	int64_t (*wall_ns)(void *ctx);
	/* Monotonic nanoseconds since an arbitrary start. */
	int64_t (*mono_ns)(void *ctx);
	/* Fills p with n cryptographically random bytes; cannot fail. */
	void (*random)(void *ctx, void *p, size_t n);

	/* disk */
	int (*open)(void *ctx, int dirfd, const char *path, int flags, mode_t mode); /* O_CLOEXEC is added */
	int (*close)(void *ctx, int fd);
	ssize_t (*pread)(void *ctx, int fd, void *p, size_t n, off_t off);         /* whole or to end of file */
	int (*pwrite)(void *ctx, int fd, const void *p, size_t n, off_t off);      /* whole or an error */
	int (*fdatasync)(void *ctx, int fd);
	int (*fsync)(void *ctx, int fd);
	int (*ftruncate)(void *ctx, int fd, off_t size);
	int (*fallocate)(void *ctx, int fd, int mode, off_t off, off_t len);
	int64_t (*fsize)(void *ctx, int fd);
	int (*rename)(void *ctx, int dirfd, const char *from, const char *to);     /* both in dirfd */
	int (*unlink)(void *ctx, int dirfd, const char *path);
};

/* The real thing. Static storage. */
const struct env *env_system(void);
/* Its mono_ns, for what waits in real time whatever env it was given. */
int64_t env_mono_ns(void);

/* Opens with O_CREAT|O_EXCL a temporary name in dirfd, writes all, fsyncs, renames over `name`, fsyncs dirfd: after it
 * returns 0 the file is whole and durable, before that the old one is untouched. mode is of the new file. */
int env_write_file(const struct env *env, int dirfd, const char *name, const void *p, size_t n, mode_t mode) MUST_CHECK;

/* Reads a whole file of at most cap bytes into fresh memory (free()). ERR_RANGE if larger, ERR_NOT_FOUND if absent. */
int env_read_file(const struct env *env, int dirfd, const char *name, size_t cap, uint8_t **ret_p, size_t *ret_len)
	MUST_CHECK;

#endif
