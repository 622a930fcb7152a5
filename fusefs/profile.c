/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/profile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "crypto/keyfile.h"
#include "crypto/secret.h"

#define KEY_NAME "key"

struct profile {
	const struct env *env;
	char *home;
	int dir, lock;
};

/* mkdir -p: parents with the usual mode, HOME itself private. */
static int make_home(const char *home)
{
	FREE_AFTER char *path = strdup(home);

	if (!path)
		return ERR_NOMEM;
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return err_from_errno(errno);
		*slash = '/';
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_from_errno(errno);
	return OK;
}

static int take_lock(struct profile *p)
{
	p->dir = open(p->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir < 0)
		return err_from_errno(errno);
	p->lock = openat(p->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (p->lock < 0 && errno == EROFS) {
		p->lock = openat(p->dir, "lock", O_RDONLY | O_CLOEXEC);
		if (p->lock < 0)
			return ERR_READ_ONLY;
	}
	if (p->lock < 0)
		return err_from_errno(errno);
	if (flock(p->lock, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? ERR_BUSY : err_from_errno(errno);
	return OK;
}

int profile_open(const struct env *env, const char *home, struct profile **ret_p)
{
	struct profile *p = calloc(1, sizeof *p);

	if (!p)
		return ERR_NOMEM;
	p->env = env;
	p->dir = p->lock = -1;
	p->home = strdup(home);
	int err = p->home ? make_home(home) : ERR_NOMEM;
	if (err >= 0)
		err = take_lock(p);
	if (err < 0) {
		profile_close(p);
		return err;
	}
	*ret_p = p;
	return OK;
}

void profile_close(struct profile *p)
{
	if (!p)
		return;
	if (p->lock >= 0)
		close(p->lock);
	if (p->dir >= 0)
		close(p->dir);
	free(p->home);
	free(p);
}

const char *profile_home(const struct profile *p)
{
	return p->home;
}

int profile_dir(const struct profile *p)
{
	return p->dir;
}

bool profile_has_key(const struct profile *p)
{
	return faccessat(p->dir, KEY_NAME, F_OK, 0) == 0;
}

/* The key file's bytes; with kdf none they hold a key, so they are wiped by the caller's secret buffer. */
static int read_key_file(const struct profile *p, struct buf *b)
{
	uint8_t *bytes = NULL;
	size_t len = 0;

	int err = env_read_file(p->env, p->dir, KEY_NAME, KEYFILE_MAX, &bytes, &len);
	if (err < 0)
		return err == ERR_RANGE ? ERR_CORRUPT : err;
	err = buf_put(b, bytes, len);
	secret_wipe(bytes, len);
	free(bytes);
	return err;
}

int profile_needs_passphrase(const struct profile *p)
{
	CLEANUP(buf_release) struct buf file = BUF_INIT_SECRET(KEYFILE_MAX);
	int err = read_key_file(p, &file);

	return err < 0 ? err : keyfile_needs_passphrase(buf_bytes(&file));
}

int profile_unlock(const struct profile *p, const struct secret *passphrase, struct identity **ret_id)
{
	CLEANUP(buf_release) struct buf file = BUF_INIT_SECRET(KEYFILE_MAX);
	CLEANUP(secret_freep) struct secret *payload = NULL;

	int err = read_key_file(p, &file);
	if (err < 0)
		return err;
	err = keyfile_open(buf_bytes(&file), passphrase, &payload);
	return err < 0 ? err : identity_decode(secret_bytes(payload), ret_id);
}

int profile_save(struct profile *p, const struct identity *id, const struct secret *passphrase)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT_SECRET(KEYFILE_MAX_PAYLOAD);
	CLEANUP(buf_release) struct buf file = BUF_INIT_SECRET(KEYFILE_MAX);

	if (profile_has_key(p))
		return ERR_EXISTS;
	int err = identity_encode(id, &payload);
	if (err < 0 || (err = keyfile_seal(buf_bytes(&payload), passphrase, NULL, &file)) < 0)
		return err;
	return env_write_file(p->env, p->dir, KEY_NAME, file.data, file.len, 0600);
}

int profile_subdir(const struct profile *p, const char *name, int *ret_fd)
{
	if (mkdirat(p->dir, name, 0700) < 0 && errno != EEXIST)
		return err_from_errno(errno);
	int fd = openat(p->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_from_errno(errno);
	*ret_fd = fd;
	return OK;
}

int profile_remove_subdir(const struct profile *p, const char *name)
{
	int fd = openat(p->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? OK : err_from_errno(errno);
	DIR *d = fdopendir(fd);
	if (!d) {
		close(fd);
		return ERR_NOMEM;
	}
	for (struct dirent *e; (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			(void)unlinkat(fd, e->d_name, 0);
	closedir(d);
	return unlinkat(p->dir, name, AT_REMOVEDIR) < 0 ? err_from_errno(errno) : OK;
}
