/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/mountpoint.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"

#define FS_TYPE "fuse.coffer"
#define HELPER_FD 3
#define HELPER_FD_TEXT "3"

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
	struct statvfs
		fs; /* always asks the file system: stat(2) of a dead mount may be answered from the kernel's cache */
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

/* ---- mounting ---- */

static int open_device(int *ret_fd)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || errno == ENODEV || errno == ENXIO ? ERR_PERMISSION : err_from_errno(errno);
	*ret_fd = fd;
	return 0;
}

static unsigned long mount_flags(const struct mountpoint_options *o)
{
	return (o->read_only ? MS_RDONLY : 0ul) | (o->exec_off ? MS_NOEXEC : 0ul) | (o->suid ? 0ul : MS_NOSUID) |
	       (o->dev ? 0ul : MS_NODEV);
}

/* Without it the kernel asks for 128 KiB at a time. Asked for of the mount without a request to it, which nobody would
 * answer yet. Where it does not work (a container without sysfs), reading is slower, nothing else. */
static void set_read_ahead(const char *dir, unsigned kib)
{
	struct statx st;
	char path[64], text[16];

	if (statx(AT_FDCWD, dir, AT_STATX_DONT_SYNC, 0, &st) < 0)
		return;
	snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", st.stx_dev_major, st.stx_dev_minor);
	int n = snprintf(text, sizeof text, "%u", kib);
	CLOSE_AFTER int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, text, (size_t)n);
}

static int mount_directly(const char *dir, const struct mountpoint_options *o, int *ret_fd)
{
	char data[160];
	int fd, err = open_device(&fd);

	if (err < 0)
		return err;
	snprintf(data, sizeof data, "fd=%d,rootmode=%o,user_id=%u,group_id=%u,default_permissions%s", fd, S_IFDIR,
		geteuid(), getegid(), o->allow_other ? ",allow_other" : "");
	if (mount(o->source, dir, FS_TYPE, mount_flags(o), data) < 0) {
		err = err_from_errno(errno);
		close(fd);
		return err;
	}
	set_read_ahead(dir, o->read_ahead_kib);
	*ret_fd = fd;
	return 0;
}

/* The descriptor that fusermount3 sends; -1 if it sends none. */
static int receive_fd(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
	};
	ssize_t n;
	int fd;

	do
		n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	const struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof fd))
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof fd);
	return fd;
}

/* Runs fusermount3 to its end; *ret_ok: it was content. `socket` becomes its descriptor HELPER_FD, unless it is
 * negative. */
static int run_helper(char *const argv[], int socket, bool *ret_ok)
{
	char comm[] = "_FUSE_COMMFD=" HELPER_FD_TEXT, path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
	char *const envp[] = { path, comm, NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status;

	posix_spawn_file_actions_init(&actions);
	int rc = socket >= 0 ? posix_spawn_file_actions_adddup2(&actions, socket, HELPER_FD) : 0;
	if (rc == 0)
		rc = posix_spawnp(&pid, argv[0], &actions, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	if (rc != 0)
		return rc == ENOENT ? ERR_PERMISSION : err_from_errno(rc);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_from_errno(errno);
	*ret_ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	return 0;
}

/* As a value in the list of options: fusermount3 takes a backslash off. `out` has room for twice the text. */
static void escape(const char *text, char *out)
{
	for (; *text; *out++ = *text++)
		if (*text == ',' || *text == '\\')
			*out++ = '\\';
	*out = 0;
}

/* fusermount3 adds nosuid and nodev by itself. It sends the descriptor before it ends, so the socket holds it. */
static int mount_by_helper(const char *dir, const struct mountpoint_options *o, int *ret_fd)
{
	char program[] = "fusermount3", dash_o[] = "-o", end[] = "--", options[2 * MOUNTPOINT_SOURCE_MAX + 160];
	FREE_AFTER char *path = strdup(dir);
	char *argv[] = { program, dash_o, options, end, path, NULL };
	int pair[2];
	bool ok = false;

	if (!path)
		return ERR_NOMEM;
	int n = snprintf(options, sizeof options,
		"subtype=coffer,default_permissions%s%s%s,fsname=", o->allow_other ? ",allow_other" : "",
		o->read_only ? ",ro" : "", o->exec_off ? ",noexec" : "");
	escape(o->source, options + n);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_from_errno(errno);
	int err = run_helper(argv, pair[1], &ok);
	close(pair[1]);
	int fd = err == 0 ? receive_fd(pair[0]) : -1;
	close(pair[0]);
	if (fd < 0)
		return err < 0 ? err : ERR_PERMISSION; /* it has said why on standard error */
	*ret_fd = fd;
	return 0;
}

int mountpoint_mount(const char *dir, const struct mountpoint_options *options, int *ret_fd)
{
	return geteuid() == 0 ? mount_directly(dir, options, ret_fd) : mount_by_helper(dir, options, ret_fd);
}

/* ---- unmounting ---- */

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
	bool ok;

	if (!path)
		return ERR_NOMEM;
	if (!is_ours(dir))
		return ERR_NOT_FOUND;
	int err = run_helper(argv, -1, &ok);
	if (err < 0 || ok)
		return err;
	return is_ours(dir) ? ERR_BUSY : ERR_NOT_FOUND; /* its status tells no more */
}

int mountpoint_unmount(const char *dir, bool lazy)
{
	return geteuid() == 0 ? unmount_directly(dir, lazy) : unmount_by_helper(dir, lazy);
}
