/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/mountpoint.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <mntent.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"

#define FS_TYPE "fuse.coffer"

extern char **environ;

/* Whether a mount of this program is on dir. Asks the kernel's table only: a dead mount answers nothing else. */
static bool is_ours(const char *dir)
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	struct mntent entry;
	char text[PATH_MAX + 512];
	bool ours = false;

	if (!f)
		return false;
	while (getmntent_r(f, &entry, text, sizeof text)) /* the last one on dir is the one that is seen */
		if (strcmp(entry.mnt_dir, dir) == 0)
			ours = strcmp(entry.mnt_type, FS_TYPE) == 0;
	endmntent(f);
	return ours;
}

static int check_empty(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	int err = 0;

	if (!d)
		return err_from_errno(errno);
	while (err == 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			err = ERR_NOT_EMPTY;
	closedir(d);
	return err;
}

int mountpoint_prepare(const char *dir)
{
	struct statvfs fs; /* always asks the file system: stat(2) of a dead mount may be answered from the kernel's cache */
	struct stat st;

	if (statvfs(dir, &fs) < 0) {
		if (errno != ENOTCONN || !is_ours(dir))
			return err_from_errno(errno);
		int err = mountpoint_unmount(dir, true);
		if (err < 0)
			return err;
	}
	if (stat(dir, &st) < 0)
		return err_from_errno(errno);
	if (!S_ISDIR(st.st_mode))
		return ERR_NOT_DIR;
	if (is_ours(dir))
		return ERR_BUSY;
	return check_empty(dir);
}

static int unmount_directly(const char *dir, bool lazy)
{
	if (umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
		return 0;
	return errno == EINVAL ? ERR_NOT_FOUND : err_from_errno(errno);
}

static int unmount_by_helper(const char *dir, bool lazy)
{
	char program[] = "fusermount3", quiet[] = "-q", unmount[] = "-u", detach[] = "-uz", end[] = "--";
	FREE_AFTER char *path = strdup(dir);
	char *argv[] = { program, quiet, lazy ? detach : unmount, end, path, NULL };
	pid_t pid;
	int status, rc;

	if (!path)
		return ERR_NOMEM;
	if (!is_ours(dir))
		return ERR_NOT_FOUND;
	rc = posix_spawnp(&pid, program, NULL, NULL, argv, environ);
	if (rc != 0)
		return rc == ENOENT ? ERR_PERMISSION : err_from_errno(rc);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_from_errno(errno);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return is_ours(dir) ? ERR_BUSY : ERR_NOT_FOUND; /* the helper's status tells no more */
}

int mountpoint_unmount(const char *dir, bool lazy)
{
	return geteuid() == 0 ? unmount_directly(dir, lazy) : unmount_by_helper(dir, lazy);
}
