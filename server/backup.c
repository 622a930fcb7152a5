/* SPDX-License-Identifier: Apache-2.0 */
#include "server/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "server/blob_config.h"
#include "server/depot.h"

#define DEPTH 4 /* chunks/SPACE/HH/ID */

static int copy_bytes(int from, int to)
{
	for (;;) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, 1 << 30, 0);
		char part[65536];

		if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) {
			n = read(from, part, sizeof part);
			if (n > 0 && write(to, part, (size_t)n) != n)
				return err_from_errno(errno ? errno : EIO);
		}
		if (n < 0)
			return err_from_errno(errno);
		if (!n)
			return OK;
	}
}

/* A link, or on another file system a copy. A file that has just been removed is passed over. */
static int take_file(struct backup *b, int from, int to, const char *name)
{
	struct stat st;
	int in, out, err;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? OK : err_from_errno(errno);
	if (!S_ISREG(st.st_mode))
		return OK;
	if (linkat(from, name, to, name, 0) < 0) {
		if (errno == ENOENT)
			return OK;
		if (errno != EXDEV && errno != EPERM && errno != EMLINK && errno != EOPNOTSUPP)
			return err_from_errno(errno);
		in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (in < 0)
			return errno == ENOENT ? OK : err_from_errno(errno);
		out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		err = out < 0 ? err_from_errno(errno) : copy_bytes(in, out);
		close(in);
		if (out >= 0 && close(out) < 0 && err == OK)
			err = err_from_errno(errno);
		if (err < 0)
			return err;
	}
	b->files++;
	b->bytes += (uint64_t)st.st_size;
	return OK;
}

static int open_dir(int at, const char *name, bool make)
{
	int fd;

	if (make && mkdirat(at, name, 0700) < 0 && errno != EEXIST)
		return err_from_errno(errno);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? err_from_errno(errno) : fd;
}

static int take_tree(struct backup *b, int from, int to, unsigned depth);

static int take_entry(struct backup *b, int from, int to, const struct dirent *e, unsigned depth)
{
	CLOSE_AFTER int below = -1, target = -1;

	if (e->d_name[0] == '.' || strcmp(e->d_name, "tmp") == 0)
		return OK;
	if (e->d_type != DT_DIR)
		return take_file(b, from, to, e->d_name);
	if (!depth)
		return OK;
	if ((below = open_dir(from, e->d_name, false)) < 0)
		return below == ERR_NOT_FOUND ? OK : below;
	if ((target = open_dir(to, e->d_name, true)) < 0)
		return target;
	return take_tree(b, below, target, depth - 1);
}

static int take_tree(struct backup *b, int from, int to, unsigned depth)
{
	int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = OK;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		err = err_from_errno(errno);
		if (fd >= 0)
			close(fd);
		return err;
	}
	errno = 0;
	while (err == OK && (e = readdir(d))) {
		err = take_entry(b, from, to, e, depth);
		errno = 0;
	}
	if (err == OK && errno)
		err = err_from_errno(errno);
	closedir(d);
	return err;
}

static int take_chunks(struct backup *b, const char *dir, const char *target)
{
	char path[4096];
	CLOSE_AFTER int from = -1, to = -1;
	int err;

	if ((from = open_dir(AT_FDCWD, dir, false)) < 0)
		return from == ERR_NOT_FOUND ? OK : from;
	if (snprintf(path, sizeof path, "%s/chunks", target) >= (int)sizeof path)
		return ERR_RANGE;
	if ((to = open_dir(AT_FDCWD, path, true)) < 0)
		return to;
	if ((err = take_tree(b, from, to, DEPTH)) < 0)
		return err;
	return syncfs(to) < 0 ? err_from_errno(errno) : OK;
}

static bool is_empty(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool empty = true;

	while (d && (e = readdir(d)))
		empty &= strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	if (d)
		closedir(d);
	return empty;
}

int backup_run(struct backup *ret_b, const struct env *env, const struct config *c, const char *target)
{
	struct blob_config where;
	struct depot *store;
	char path[4096];
	int err = blob_config_read(&where, c);

	*ret_b = (struct backup){ 0 };
	if (err < 0 || snprintf(path, sizeof path, "%s/relay.db", target) >= (int)sizeof path)
		return ERR_RANGE;
	if ((err = depot_open_beside(env, config_depot(c), &store)) < 0)
		return err;
	if (mkdir(target, 0700) < 0 && errno != EEXIST)
		err = err_from_errno(errno);
	else if (!is_empty(target))
		err = ERR_EXISTS;
	if (err == OK)
		err = depot_copy(store, path);
	depot_close(store);
	return err < 0 || where.place.s3 ? err : take_chunks(ret_b, where.dir, target);
}
