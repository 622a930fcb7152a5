/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/ctl_socket.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/cleanup.h"

#define SOCKET_NAME "agent.sock"
#define WAITING 32

struct address {
	struct sockaddr_un sun;
	socklen_t len;
};

/* By way of the directory's descriptor: the length of HOME does not matter. */
static struct address in_home(int home)
{
	struct address a = { .sun = { .sun_family = AF_UNIX }, .len = sizeof a.sun };
	snprintf(a.sun.sun_path, sizeof a.sun.sun_path, "/proc/self/fd/%d/%s", home, SOCKET_NAME);
	return a;
}

static struct address apart(const struct stat *home)
{
	struct address a = { .sun = { .sun_family = AF_UNIX } };
	int n = snprintf(a.sun.sun_path + 1, sizeof a.sun.sun_path - 1, "coffer-agent/%llx/%llx",
		(unsigned long long)home->st_dev, (unsigned long long)home->st_ino);
	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	return a;
}

static bool peer_is(int fd, uid_t a, uid_t b)
{
	struct ucred peer;
	socklen_t len = sizeof peer;
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == a || peer.uid == b);
}

static int connect_to(const struct address *a, int *ret_fd)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_from_errno(errno);
	if (connect(fd, (const struct sockaddr *)&a->sun, a->len) < 0) {
		int err = err_from_errno(errno);
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int ctl_socket_connect(const char *home, int *ret_fd)
{
	CLOSE_AFTER int dir = open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	if (dir < 0 || fstat(dir, &st) < 0)
		return err_from_errno(errno);
	struct address a = in_home(dir);
	int err = connect_to(&a, ret_fd);
	if (err == 0)
		return 0;
	int fd;
	a = apart(&st);
	if (connect_to(&a, &fd) < 0)
		return err;
	if (!peer_is(fd, st.st_uid, geteuid())) {
		close(fd);
		return ERR_PERMISSION;
	}
	*ret_fd = fd;
	return 0;
}

/* coffer-fs has a umask of 077, so that nobody else can connect even before the chmod. */
static int bind_in_home(int fd, int home)
{
	struct address a = in_home(home);
	if (unlinkat(home, SOCKET_NAME, 0) < 0 && errno != ENOENT)
		return err_from_errno(errno);
	if (bind(fd, (struct sockaddr *)&a.sun, a.len) < 0 || fchmodat(home, SOCKET_NAME, 0600, 0) < 0)
		return err_from_errno(errno);
	return 0;
}

static int bind_apart(int fd, int home)
{
	struct stat st;
	if (fstat(home, &st) < 0)
		return err_from_errno(errno);
	struct address a = apart(&st);
	return bind(fd, (struct sockaddr *)&a.sun, a.len) < 0 ? err_from_errno(errno) : 0;
}

int ctl_socket_listen(int home, int *ret_fd)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_from_errno(errno);
	int err = bind_in_home(fd, home);
	if (err == ERR_READ_ONLY)
		err = bind_apart(fd, home);
	if (err == 0 && listen(fd, WAITING) < 0)
		err = err_from_errno(errno);
	if (err < 0) {
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

void ctl_socket_unlink(int home)
{
	(void)unlinkat(home, SOCKET_NAME, 0);
}

bool ctl_socket_may_ask(int fd)
{
	return peer_is(fd, geteuid(), geteuid());
}
