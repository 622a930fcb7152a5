/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder: objects as files SPACE/HH/OBJECT. Syncing a few of them is fdatasync of each and fsync of their
 * directories; syncing many is one syncfs, which waits for the same bytes without a journal commit each.
 */
#include "server/blob_engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"

#define SYNC_MANY 16
#define LIST_MANY 1000
#define PATH_SIZE 96
#define SPACE_END 36 /* where the parts of a path end */
#define SHARD_END 39

/* "SPACE/HH/OBJECT" */
static void path_of(const struct id16 *space, const struct id16 *object, char out[PATH_SIZE])
{
	char s[ID16_TEXT_SIZE], o[ID16_TEXT_SIZE];

	id16_format(space, s);
	id16_format(object, o);
	snprintf(out, PATH_SIZE, "%s/%c%c/%s", s, o[0], o[1], o);
}

static int make_dir(int dir, const char *name)
{
	return mkdirat(dir, name, 0700) < 0 && errno != EEXIST ? err_from_errno(errno) : OK;
}

static int make_parents(struct blobs *b, const char *path)
{
	char part[PATH_SIZE];
	int err;

	snprintf(part, sizeof part, "%.*s", SPACE_END, path);
	if ((err = make_dir(b->dir, part)) < 0)
		return err;
	snprintf(part, sizeof part, "%.*s", SHARD_END, path);
	return make_dir(b->dir, part);
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

static int dir_put(struct blobs *b, const struct id16 *space, const struct id16 *object, struct bytes data)
{
	char path[PATH_SIZE], tmp[BLOB_TMP_SIZE];
	int err;

	path_of(space, object, path);
	blob_tmp_name(b, tmp);
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

	path[SHARD_END] = '\0';
	if ((err = sync_path(b, path, O_DIRECTORY)) < 0)
		return err;
	path[SPACE_END] = '\0';
	if ((err = sync_path(b, path, O_DIRECTORY)) < 0)
		return err;
	return sync_path(b, ".", O_DIRECTORY);
}

static int dir_sync(struct blobs *b, const struct id16 *space, const struct id16 *objects, size_t n)
{
	char path[PATH_SIZE];
	int err = OK;

	if (n > SYNC_MANY)
		return syncfs(b->dir) < 0 ? err_from_errno(errno) : OK;
	for (size_t i = 0; i < n && err == OK; i++) {
		path_of(space, &objects[i], path);
		if ((err = sync_path(b, path, 0)) < 0)
			break;
		path[SHARD_END] = '\0';
		err = sync_path(b, path, O_DIRECTORY);
	}
	if (n && err == OK) {
		path[SPACE_END] = '\0';
		if ((err = sync_path(b, path, O_DIRECTORY)) == OK)
			err = sync_path(b, ".", O_DIRECTORY);
	}
	return err;
}

static int dir_get(
	struct blobs *b, const struct id16 *space, const struct id16 *object, uint64_t from, size_t n, struct buf *ret)
{
	char path[PATH_SIZE];
	uint8_t *p;
	ssize_t got;
	int err, fd;

	path_of(space, object, path);
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

static int dir_remove(struct blobs *b, const struct id16 *space, const struct id16 *object)
{
	char path[PATH_SIZE];
	int err;

	path_of(space, object, path);
	err = b->env->unlink(b->env->ctx, b->dir, path);
	return err == ERR_NOT_FOUND ? OK : err;
}

static int64_t dir_size(struct blobs *b, const struct id16 *space, const struct id16 *object)
{
	char path[PATH_SIZE];
	struct stat st;

	path_of(space, object, path);
	return fstatat(b->dir, path, &st, 0) < 0 ? err_from_errno(errno) : (int64_t)st.st_size;
}

static int dir_keep(struct blobs *b, int fd, const char *tmp, uint64_t size, const struct id16 *space,
	const struct id16 *object, bool *ret_moved)
{
	char path[PATH_SIZE];
	int err;

	(void)size;
	path_of(space, object, path);
	if ((err = b->env->fdatasync(b->env->ctx, fd)) < 0 || (err = rename_into(b, tmp, path)) < 0)
		return err;
	*ret_moved = true;
	return sync_parents(b, path);
}

/* --- listing --- */

struct names {
	struct blobs *b;
	const struct blob_seen *after;
	blob_each *each;
	void *ctx;
	size_t n;
};

/* The names in a folder that have `len` characters, in order; *ret_list is freed with free_names. ERR_NOT_FOUND. */
static int names_of(struct blobs *b, const char *path, size_t len, struct dirent ***ret_list)
{
	int fd = openat(b->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int n, kept = 0, err;

	if (fd < 0)
		return err_from_errno(errno);
	n = scandirat(fd, ".", ret_list, NULL, alphasort);
	err = n < 0 ? err_from_errno(errno) : OK;
	close(fd);
	for (int i = 0; i < n; i++) {
		struct dirent *e = (*ret_list)[i];

		if (e->d_name[0] != '.' && strlen(e->d_name) == len)
			(*ret_list)[kept++] = e;
		else
			free(e);
	}
	return err < 0 ? err : kept;
}

static void free_names(struct dirent **list, int n)
{
	for (int i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

static int list_one(struct names *l, const struct id16 *space, const char *path, const char *name)
{
	struct blob_seen seen = { .space = *space };
	char file[PATH_SIZE];
	struct stat st;

	if (id16_parse(name, strlen(name), &seen.object) < 0)
		return OK;
	if (id16_equal(space, &l->after->space) && id16_compare(&seen.object, &l->after->object) <= 0)
		return OK;
	snprintf(file, sizeof file, "%.*s/%.*s", SHARD_END, path, SPACE_END, name);
	if (fstatat(l->b->dir, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? OK : err_from_errno(errno);
	seen.modified = st.st_mtim.tv_sec;
	l->n++;
	return l->each(l->ctx, &seen);
}

static int list_shard(struct names *l, const struct id16 *space, const char *path)
{
	struct dirent **list;
	int n = names_of(l->b, path, SPACE_END, &list), err = OK;

	if (n < 0)
		return n == ERR_NOT_FOUND ? OK : n;
	for (int i = 0; i < n && err == OK; i++)
		err = list_one(l, space, path, list[i]->d_name);
	free_names(list, n);
	return err;
}

static int list_space(struct names *l, const char *name)
{
	struct dirent **list;
	struct id16 space;
	char path[PATH_SIZE];
	int n, err = OK;

	if (id16_parse(name, strlen(name), &space) < 0 || id16_compare(&space, &l->after->space) < 0)
		return OK;
	n = names_of(l->b, name, SHARD_END - SPACE_END - 1, &list);
	if (n < 0)
		return n == ERR_NOT_FOUND ? OK : n;
	for (int i = 0; i < n && err == OK && l->n < LIST_MANY; i++) {
		if (id16_equal(&space, &l->after->space) && strtoul(list[i]->d_name, NULL, 16) < l->after->object.b[0])
			continue;
		snprintf(path, sizeof path, "%.*s/%.2s", SPACE_END, name, list[i]->d_name);
		err = list_shard(l, &space, path);
	}
	free_names(list, n);
	return err;
}

static int dir_list(struct blobs *b, const struct blob_seen *after, blob_each *each, void *ctx)
{
	struct names l = { .b = b, .after = after, .each = each, .ctx = ctx };
	struct dirent **list;
	int n = names_of(b, ".", SPACE_END, &list), err = OK;

	if (n < 0)
		return n;
	for (int i = 0; i < n && err == OK && l.n < LIST_MANY; i++)
		err = list_space(&l, list[i]->d_name);
	free_names(list, n);
	return err < 0 ? err : (int)l.n;
}

static int dir_tidy(struct blobs *b, int64_t before)
{
	(void)before;
	blob_tmp_tidy(b);
	return OK;
}

static void dir_give_up(struct blobs *b)
{
	(void)b;
}

static void dir_close(struct blobs *b)
{
	blob_base_release(b);
	free(b);
}

static const struct blob_engine engine = {
	.close = dir_close,
	.give_up = dir_give_up,
	.put = dir_put,
	.sync = dir_sync,
	.get = dir_get,
	.remove = dir_remove,
	.size = dir_size,
	.list = dir_list,
	.tidy = dir_tidy,
	.keep = dir_keep,
};

int blob_dir_open(const struct env *env, const char *dir, bool beside, struct blobs **ret_b)
{
	struct blobs *b = calloc(1, sizeof *b);
	int err;

	if (!b)
		return ERR_NOMEM;
	err = beside ? blob_base_open_beside(b, &engine, env, dir) : blob_base_open(b, &engine, env, dir);
	if (err < 0) {
		blob_base_release(b);
		free(b);
		return err;
	}
	*ret_b = b;
	return OK;
}
