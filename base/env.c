/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env_system: thin calls of the kernel. Interrupted calls go on, short reads and writes are completed.
 *
 * env_write_file: crash before the rename leaves the old file and a ".tmp-*" name that nothing reads; crash after it
 * leaves either file whole.
 */
#include "base/env.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;
	if (clock_gettime(clock, &ts) < 0)
		abort();
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t sys_wall_ns(void *ctx)
{
	(void)ctx;
	return clock_ns(CLOCK_REALTIME);
}

int64_t env_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static int64_t sys_mono_ns(void *ctx)
{
	(void)ctx;
	return env_mono_ns();
}

static void sys_random(void *ctx, void *p, size_t n)
{
	(void)ctx;
	for (uint8_t *at = p; n > 0;) {
		ssize_t got = getrandom(at, n, 0);
		if (got < 0 && errno != EINTR)
			abort(); /* a key from a broken source is worse than no program */
		if (got > 0) {
			at += got;
			n -= (size_t)got;
		}
	}
}

static int sys_open(void *ctx, int dirfd, const char *path, int flags, mode_t mode)
{
	(void)ctx;
	int fd;
	do {
		fd = openat(dirfd, path, flags | O_CLOEXEC, mode);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? err_from_errno(errno) : fd;
}

static int sys_close(void *ctx, int fd)
{
	(void)ctx;
	if (close(fd) < 0 && errno != EINTR) /* Linux has closed it even so */
		return err_from_errno(errno);
	return 0;
}

static ssize_t sys_pread(void *ctx, int fd, void *p, size_t n, off_t off)
{
	(void)ctx;
	size_t done = 0;
	while (done < n) {
		ssize_t got = pread(fd, (uint8_t *)p + done, n - done, off + (off_t)done);
		if (got == 0)
			break;
		if (got < 0 && errno != EINTR)
			return err_from_errno(errno);
		if (got > 0)
			done += (size_t)got;
	}
	return (ssize_t)done;
}

static int sys_pwrite(void *ctx, int fd, const void *p, size_t n, off_t off)
{
	(void)ctx;
	size_t done = 0;
	while (done < n) {
		ssize_t put = pwrite(fd, (const uint8_t *)p + done, n - done, off + (off_t)done);
		if (put == 0)
			return ERR_IO;
		if (put < 0 && errno != EINTR)
			return err_from_errno(errno);
		if (put > 0)
			done += (size_t)put;
	}
	return 0;
}

static int sys_fdatasync(void *ctx, int fd)
{
	(void)ctx;
	int rc;
	do {
		rc = fdatasync(fd);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? err_from_errno(errno) : 0;
}

static int sys_fsync(void *ctx, int fd)
{
	(void)ctx;
	int rc;
	do {
		rc = fsync(fd);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? err_from_errno(errno) : 0;
}

static int sys_ftruncate(void *ctx, int fd, off_t size)
{
	(void)ctx;
	int rc;
	do {
		rc = ftruncate(fd, size);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? err_from_errno(errno) : 0;
}

static int sys_fallocate(void *ctx, int fd, int mode, off_t off, off_t len)
{
	(void)ctx;
	int rc;
	do {
		rc = fallocate(fd, mode, off, len);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? err_from_errno(errno) : 0;
}

static int64_t sys_fsize(void *ctx, int fd)
{
	(void)ctx;
	struct stat st;
	return fstat(fd, &st) < 0 ? err_from_errno(errno) : st.st_size;
}

static int sys_rename(void *ctx, int dirfd, const char *from, const char *to)
{
	(void)ctx;
	return renameat(dirfd, from, dirfd, to) < 0 ? err_from_errno(errno) : 0;
}

static int sys_unlink(void *ctx, int dirfd, const char *path)
{
	(void)ctx;
	return unlinkat(dirfd, path, 0) < 0 ? err_from_errno(errno) : 0;
}

static const struct env system_env = {
	.ctx = NULL,
	.wall_ns = sys_wall_ns,
	.mono_ns = sys_mono_ns,
	.random = sys_random,
	.open = sys_open,
	.close = sys_close,
	.pread = sys_pread,
	.pwrite = sys_pwrite,
	.fdatasync = sys_fdatasync,
	.fsync = sys_fsync,
	.ftruncate = sys_ftruncate,
	.fallocate = sys_fallocate,
	.fsize = sys_fsize,
	.rename = sys_rename,
	.unlink = sys_unlink,
};

const struct env *env_system(void)
{
	return &system_env;
}

/* Writes and syncs the open file, and closes it in any case. */
static int fill_and_close(const struct env *env, int fd, const void *p, size_t n)
{
	int err = env->pwrite(env->ctx, fd, p, n, 0);
	if (err == 0)
		err = env->fsync(env->ctx, fd);
	int close_err = env->close(env->ctx, fd);
	return err < 0 ? err : close_err;
}

static int sync_dir(const struct env *env, int dirfd)
{
	if (dirfd != AT_FDCWD)
		return env->fsync(env->ctx, dirfd);
	int fd = env->open(env->ctx, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	int err = env->fsync(env->ctx, fd);
	int close_err = env->close(env->ctx, fd);
	return err < 0 ? err : close_err;
}

int env_write_file(const struct env *env, int dirfd, const char *name, const void *p, size_t n, mode_t mode)
{
	assert(!strchr(name, '/'));
	uint64_t tag;
	char temp[32];
	env->random(env->ctx, &tag, sizeof tag);
	(void)snprintf(temp, sizeof temp, ".tmp-%016jx", (uintmax_t)tag);

	int fd = env->open(env->ctx, dirfd, temp, O_WRONLY | O_CREAT | O_EXCL, mode);
	if (fd < 0)
		return fd;
	int err = fill_and_close(env, fd, p, n);
	if (err == 0)
		err = env->rename(env->ctx, dirfd, temp, name);
	if (err < 0) {
		(void)env->unlink(env->ctx, dirfd, temp); /* the first error counts */
		return err;
	}
	return sync_dir(env, dirfd);
}

int env_read_file(const struct env *env, int dirfd, const char *name, size_t cap, uint8_t **ret_p, size_t *ret_len)
{
	int fd = env->open(env->ctx, dirfd, name, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	int err = 0;
	uint8_t *p = NULL;
	ssize_t got = 0;
	int64_t size = env->fsize(env->ctx, fd);
	if (size < 0)
		err = (int)size;
	else if ((uint64_t)size > cap)
		err = ERR_RANGE;
	else if (!(p = malloc((size_t)size + 1))) /* never malloc(0) */
		err = ERR_NOMEM;
	else if ((got = env->pread(env->ctx, fd, p, (size_t)size, 0)) < 0)
		err = (int)got;
	(void)env->close(env->ctx, fd); /* nothing was written */
	if (err < 0) {
		free(p);
		return err;
	}
	*ret_p = p;
	*ret_len = (size_t)got;
	return 0;
}
