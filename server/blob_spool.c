/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Temporary files. Each process has a folder of its own for them, DIR/tmp/NAME, and holds a lock on it, which goes with the
 * process however that ends. So any process that starts knows which of them are nobody's, also where several share DIR.
 */
#include "server/blob_engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include "base/cleanup.h"

#define TRIES 8

static int make_dir(int dir, const char *name)
{
	return mkdirat(dir, name, 0700) < 0 && errno != EEXIST ? err_from_errno(errno) : OK;
}

/* A folder of this process's. Who tidies up may take it between mkdir and the lock: then it is gone, and another is made. */
static int make_own(struct blobs *b)
{
	char path[BLOB_TMP_SIZE];
	struct stat st;
	uint64_t name;
	int err;

	if ((err = make_dir(b->dir, "tmp")) < 0)
		return err;
	for (unsigned i = 0; i < TRIES; i++) {
		b->env->random(b->env->ctx, &name, sizeof name);
		snprintf(b->own_name, sizeof b->own_name, "%016llx", (unsigned long long)name);
		snprintf(path, sizeof path, "tmp/%s", b->own_name);
		if (mkdirat(b->dir, path, 0700) < 0 && errno != EEXIST)
			return err_from_errno(errno);
		b->own = openat(b->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (b->own >= 0 && flock(b->own, LOCK_EX | LOCK_NB) == 0 && fstat(b->own, &st) == 0 && st.st_nlink > 0)
			return OK;
		if (b->own < 0 && errno != ENOENT)
			return err_from_errno(errno);
		if (b->own >= 0)
			close(b->own);
		b->own = -1;
	}
	return ERR_BUSY;
}

/* Empties a folder and removes it, unless a process lives that holds it. */
static void remove_dead(int tmp, const char *name)
{
	int fd = openat(tmp, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(fd, e->d_name, 0);
	unlinkat(tmp, name, AT_REMOVEDIR);
	closedir(d);
}

void blob_tmp_tidy(struct blobs *b)
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
		if (e->d_name[0] != '.' && strcmp(e->d_name, b->own_name) != 0 && unlinkat(fd, e->d_name, 0) < 0)
			remove_dead(fd, e->d_name); /* files: of a version that had no folders */
	closedir(d);
}

int blob_base_open_beside(struct blobs *b, const struct blob_engine *engine, const struct env *env, const char *dir)
{
	b->engine = engine;
	b->env = env;
	b->own = -1;
	b->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return b->dir < 0 ? err_from_errno(errno) : OK;
}

int blob_base_open(struct blobs *b, const struct blob_engine *engine, const struct env *env, const char *dir)
{
	int err;

	b->own = b->dir = -1;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_from_errno(errno);
	if ((err = blob_base_open_beside(b, engine, env, dir)) < 0 || (err = make_own(b)) < 0)
		return err;
	blob_tmp_tidy(b);
	return OK;
}

void blob_base_release(struct blobs *b)
{
	char path[BLOB_TMP_SIZE];

	snprintf(path, sizeof path, "tmp/%s", b->own_name);
	if (b->own >= 0) {
		unlinkat(b->dir, path, AT_REMOVEDIR);
		close(b->own);
	}
	if (b->dir >= 0)
		close(b->dir);
}

void blob_tmp_name(struct blobs *b, char out[BLOB_TMP_SIZE])
{
	snprintf(out, BLOB_TMP_SIZE, "tmp/%s/%llx", b->own_name, (unsigned long long)atomic_fetch_add(&b->next, 1));
}

struct blob_spool {
	struct blobs *b;
	int fd;
	uint64_t size;
	XXH3_state_t *sum;
	bool moved;
	char tmp[BLOB_TMP_SIZE];
};

int blob_spool_new(struct blobs *b, struct blob_spool **ret_s)
{
	struct blob_spool *s = calloc(1, sizeof *s);
	int err;

	if (!s)
		return ERR_NOMEM;
	s->b = b;
	blob_tmp_name(b, s->tmp);
	s->sum = XXH3_createState();
	s->fd = s->sum ? b->env->open(b->env->ctx, b->dir, s->tmp, O_RDWR | O_CREAT | O_EXCL, 0600) : ERR_NOMEM;
	if ((err = s->fd) < 0) {
		XXH3_freeState(s->sum);
		free(s);
		return err;
	}
	XXH3_128bits_reset(s->sum);
	*ret_s = s;
	return OK;
}

int blob_spool_write(struct blob_spool *s, struct bytes data)
{
	int err = s->b->env->pwrite(s->b->env->ctx, s->fd, data.p, data.len, (off_t)s->size);

	if (err < 0)
		return err;
	XXH3_128bits_update(s->sum, data.p, data.len);
	s->size += data.len;
	return OK;
}

uint64_t blob_spool_size(const struct blob_spool *s)
{
	return s->size;
}

struct id16 blob_spool_sum(const struct blob_spool *s)
{
	return blob_sum_digest(s->sum);
}

int blob_spool_keep(struct blob_spool *s, const struct id16 *space, const struct id16 *object)
{
	return s->b->engine->keep(s->b, s->fd, s->tmp, s->size, space, object, &s->moved);
}

void blob_spool_free(struct blob_spool *s)
{
	if (!s)
		return;
	s->b->env->close(s->b->env->ctx, s->fd);
	if (!s->moved)
		unlinkat(s->b->dir, s->tmp, 0);
	XXH3_freeState(s->sum);
	free(s);
}
