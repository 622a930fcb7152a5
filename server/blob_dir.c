/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks as files. Temporary files stand in DIR/tmp and are removed at start. Syncing a few objects is fdatasync of
 * each and fsync of their directories; syncing many is one syncfs, which waits for the same bytes without a journal
 * commit each.
 */
#include "server/blob.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"

#define SYNC_MANY 16
#define PATH_SIZE 96

struct blobs {
	const struct env *env;
	int dir;
	atomic_ullong next; /* temporary names */
};

static int make_dir(int dir, const char *name)
{
	return mkdirat(dir, name, 0700) < 0 && errno != EEXIST ? err_from_errno(errno) : OK;
}

static void clear_tmp(struct blobs *b)
{
	int fd = openat(b->dir, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(fd, e->d_name, 0);
	closedir(d);
}

int blob_open(const struct env *env, const char *dir, struct blobs **ret_b)
{
	struct blobs *b = calloc(1, sizeof *b);
	int err = OK;

	if (!b)
		return ERR_NOMEM;
	b->env = env;
	b->dir = -1;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		err = err_from_errno(errno);
	if (err == OK && (b->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		err = err_from_errno(errno);
	if (err == OK)
		err = make_dir(b->dir, "tmp");
	if (err < 0) {
		blob_close(b);
		return err;
	}
	clear_tmp(b);
	*ret_b = b;
	return OK;
}

int blob_open_beside(const struct env *env, const char *dir, struct blobs **ret_b)
{
	struct blobs *b = calloc(1, sizeof *b);

	if (!b)
		return ERR_NOMEM;
	b->env = env;
	b->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->dir < 0) {
		free(b);
		return err_from_errno(errno);
	}
	*ret_b = b;
	return OK;
}

void blob_close(struct blobs *b)
{
	if (!b)
		return;
	if (b->dir >= 0)
		close(b->dir);
	free(b);
}

/* "SPACE/HH/ID"; its first 36 characters are the space's folder, its first 39 the shard. */
static void path_of(const struct id16 *space, const struct id16 *id, char out[PATH_SIZE])
{
	char s[ID16_TEXT_SIZE], i[ID16_TEXT_SIZE];

	id16_format(space, s);
	id16_format(id, i);
	snprintf(out, PATH_SIZE, "%s/%c%c/%s", s, i[0], i[1], i);
}

static int make_parents(struct blobs *b, const char *path)
{
	char part[PATH_SIZE];
	int err;

	snprintf(part, sizeof part, "%.36s", path);
	if ((err = make_dir(b->dir, part)) < 0)
		return err;
	snprintf(part, sizeof part, "%.39s", path);
	return make_dir(b->dir, part);
}

/* ERR_NOT_FOUND, ERR_EXISTS (same bytes) or ERR_CONFLICT. */
static int compare(struct blobs *b, const char *path, struct bytes data)
{
	uint8_t part[65536];
	int fd = b->env->open(b->env->ctx, b->dir, path, O_RDONLY, 0);
	int err = ERR_EXISTS;
	size_t at = 0;

	if (fd < 0)
		return fd;
	if (b->env->fsize(b->env->ctx, fd) != (int64_t)data.len)
		err = ERR_CONFLICT;
	while (err == ERR_EXISTS && at < data.len) {
		size_t want = data.len - at < sizeof part ? data.len - at : sizeof part;
		ssize_t got = b->env->pread(b->env->ctx, fd, part, want, (off_t)at);

		if (got < 0)
			err = (int)got;
		else if ((size_t)got != want || memcmp(part, data.p + at, want) != 0)
			err = ERR_CONFLICT;
		at += want;
	}
	b->env->close(b->env->ctx, fd);
	return err;
}

static int write_tmp(struct blobs *b, const char *tmp, struct bytes data)
{
	int fd = b->env->open(b->env->ctx, b->dir, tmp, O_WRONLY | O_CREAT | O_EXCL, 0600);
	int err, closed;

	if (fd < 0)
		return fd;
	err = b->env->pwrite(b->env->ctx, fd, data.p, data.len, 0);
	if (err >= 0 && sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE) < 0)
		errno = 0; /* only starts the write-back early; not every file system has it */
	closed = b->env->close(b->env->ctx, fd);
	return err < 0 ? err : closed;
}

static int rename_into(struct blobs *b, const char *tmp, const char *path)
{
	int err = b->env->rename(b->env->ctx, b->dir, tmp, path);

	if (err == ERR_NOT_FOUND && (err = make_parents(b, path)) == OK)
		err = b->env->rename(b->env->ctx, b->dir, tmp, path);
	return err;
}

int blob_put(struct blobs *b, const struct id16 *space, const struct id16 *id, struct bytes data)
{
	char path[PATH_SIZE], tmp[PATH_SIZE];
	int err;

	path_of(space, id, path);
	err = compare(b, path, data);
	if (err != ERR_NOT_FOUND)
		return err;
	snprintf(tmp, sizeof tmp, "tmp/%016llx", (unsigned long long)atomic_fetch_add(&b->next, 1));
	if ((err = write_tmp(b, tmp, data)) >= 0)
		err = rename_into(b, tmp, path);
	if (err < 0)
		unlinkat(b->dir, tmp, 0);
	return err < 0 ? err : OK;
}

static int sync_path(struct blobs *b, const char *path, int flags)
{
	int err, fd = b->env->open(b->env->ctx, b->dir, path, O_RDONLY | flags, 0);

	if (fd < 0)
		return fd;
	err = flags ? b->env->fsync(b->env->ctx, fd) : b->env->fdatasync(b->env->ctx, fd);
	b->env->close(b->env->ctx, fd);
	return err;
}

/* The folders that an object's name stands in: its shard, its space, all spaces. Cuts the path. */
static int sync_parents(struct blobs *b, char *path)
{
	int err;

	path[39] = '\0';
	if ((err = sync_path(b, path, O_DIRECTORY)) < 0)
		return err;
	path[36] = '\0';
	if ((err = sync_path(b, path, O_DIRECTORY)) < 0)
		return err;
	return sync_path(b, ".", O_DIRECTORY);
}

int blob_sync(struct blobs *b, const struct id16 *space, const struct id16 *ids, size_t n)
{
	char path[PATH_SIZE];
	int err = OK;

	if (n > SYNC_MANY)
		return syncfs(b->dir) < 0 ? err_from_errno(errno) : OK;
	for (size_t i = 0; i < n && err == OK; i++) {
		path_of(space, &ids[i], path);
		if ((err = sync_path(b, path, 0)) < 0)
			break;
		path[39] = '\0';
		err = sync_path(b, path, O_DIRECTORY);
	}
	if (n && err == OK) {
		path[36] = '\0';
		if ((err = sync_path(b, path, O_DIRECTORY)) == OK)
			err = sync_path(b, ".", O_DIRECTORY);
	}
	return err;
}

int blob_get(struct blobs *b, const struct id16 *space, const struct id16 *id, uint64_t from, size_t n, struct buf *ret)
{
	char path[PATH_SIZE];
	uint8_t *p;
	ssize_t got;
	int err, fd;

	path_of(space, id, path);
	fd = b->env->open(b->env->ctx, b->dir, path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	err = buf_grow(ret, n, &p);
	if (err == OK) {
		got = b->env->pread(b->env->ctx, fd, p, n, (off_t)from);
		err = got < 0 ? (int)got : (size_t)got != n ? ERR_CORRUPT : OK;
		if (err < 0)
			ret->len -= n;
	}
	b->env->close(b->env->ctx, fd);
	return err;
}

int blob_remove(struct blobs *b, const struct id16 *space, const struct id16 *id)
{
	char path[PATH_SIZE];
	int err;

	path_of(space, id, path);
	err = b->env->unlink(b->env->ctx, b->dir, path);
	return err == ERR_NOT_FOUND ? OK : err;
}

int64_t blob_size(struct blobs *b, const struct id16 *space, const struct id16 *id)
{
	char path[PATH_SIZE];
	struct stat st;

	path_of(space, id, path);
	return fstatat(b->dir, path, &st, 0) < 0 ? err_from_errno(errno) : (int64_t)st.st_size;
}

/* --- spools --- */

struct blob_spool {
	struct blobs *b;
	int fd;
	uint64_t size;
	bool kept;
	char tmp[PATH_SIZE];
};

int blob_spool_new(struct blobs *b, struct blob_spool **ret_s)
{
	struct blob_spool *s = calloc(1, sizeof *s);
	int err;

	if (!s)
		return ERR_NOMEM;
	s->b = b;
	snprintf(s->tmp, sizeof s->tmp, "tmp/%016llx", (unsigned long long)atomic_fetch_add(&b->next, 1));
	s->fd = b->env->open(b->env->ctx, b->dir, s->tmp, O_RDWR | O_CREAT | O_EXCL, 0600);
	if ((err = s->fd) < 0) {
		free(s);
		return err;
	}
	*ret_s = s;
	return OK;
}

int blob_spool_write(struct blob_spool *s, struct bytes data)
{
	int err = s->b->env->pwrite(s->b->env->ctx, s->fd, data.p, data.len, (off_t)s->size);

	if (err < 0)
		return err;
	s->size += data.len;
	return OK;
}

uint64_t blob_spool_size(const struct blob_spool *s)
{
	return s->size;
}

int blob_spool_keep(struct blob_spool *s, const struct id16 *space, const struct id16 *id)
{
	char path[PATH_SIZE];
	int err;

	path_of(space, id, path);
	if ((err = s->b->env->fdatasync(s->b->env->ctx, s->fd)) < 0 || (err = rename_into(s->b, s->tmp, path)) < 0)
		return err;
	s->kept = true;
	return sync_parents(s->b, path);
}

void blob_spool_free(struct blob_spool *s)
{
	if (!s)
		return;
	s->b->env->close(s->b->env->ctx, s->fd);
	if (!s->kept)
		unlinkat(s->b->dir, s->tmp, 0);
	free(s);
}
