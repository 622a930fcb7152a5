/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/kept.h"
#include <fcntl.h>
#include <stdio.h>
#include "base/bytes.h"
#include "base/cleanup.h"

#define NOTE "damaged.txt"
#define COPYING "damaged-copying"

enum { NAME_SIZE = 64, SOME = 1 << 20, TRIES = 100 };

static const char note[] =
	"Coffer found its journal damaged at a start: something that had been written to the disk for sure could\n"
	"not be read any more. The changes of the last seconds before that start are cut off; everything before is\n"
	"there. The time is that of this file. What was cut off is kept here in damaged-*, sealed as all else.\n"
	"Look at what was changed last, and at the disk. When you need nothing of it any more, delete damaged-* and\n"
	"this file, which ends the alarm.\n";

static bool is_there(const struct env *env, int dirfd, const char *name)
{
	int fd = env->open(env->ctx, dirfd, name, O_RDONLY, 0);
	if (fd >= 0)
		env->close(env->ctx, fd);
	return fd != ERR_NOT_FOUND;
}

int kept_note(const struct env *env, int dirfd)
{
	return kept_any(env, dirfd) ? 0 : env_write_file(env, dirfd, NOTE, note, sizeof note - 1, 0600);
}

bool kept_any(const struct env *env, int dirfd)
{
	return is_there(env, dirfd, NOTE);
}

static int copy_bytes(const struct env *env, int from, int to)
{
	FREE_AFTER uint8_t *p = malloc(SOME);
	if (!p)
		return ERR_NOMEM;
	for (off_t at = 0;; at += SOME) {
		ssize_t n = env->pread(env->ctx, from, p, SOME, at);
		int err = n > 0 ? env->pwrite(env->ctx, to, p, (size_t)n, at) : (int)n;
		if (err < 0 || n < SOME)
			return err < 0 ? err : env->fsync(env->ctx, to);
	}
}

int kept_copy(const struct env *env, int dirfd, const char *name, uint64_t pos)
{
	char kept[NAME_SIZE];
	snprintf(kept, sizeof kept, "damaged-%s-at-%llu", name, (unsigned long long)pos);
	int from = env->open(env->ctx, dirfd, name, O_RDONLY, 0);
	if (from < 0)
		return from;
	int to = env->open(env->ctx, dirfd, COPYING, O_RDWR | O_CREAT | O_TRUNC, 0600);
	int err = to < 0 ? to : copy_bytes(env, from, to);
	env->close(env->ctx, from);
	if (to < 0)
		return err;
	env->close(env->ctx, to);
	if (err == 0)
		err = env->rename(env->ctx, dirfd, COPYING, kept);
	if (err == 0)
		return env->fsync(env->ctx, dirfd);
	(void)!env->unlink(env->ctx, dirfd, COPYING);
	return err;
}

int kept_move(const struct env *env, int dirfd, const char *name)
{
	char kept[NAME_SIZE];
	for (int i = 0; i < TRIES; i++) { /* a number is used again once its file was put aside */
		snprintf(kept, sizeof kept, "damaged-%s.%d", name, i);
		if (!is_there(env, dirfd, kept))
			return env->rename(env->ctx, dirfd, name, kept);
	}
	return ERR_RANGE;
}
