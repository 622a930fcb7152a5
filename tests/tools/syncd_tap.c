/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syncd_tap: stands in for coffer-syncd and records what passes between it and coffer-fs, byte for byte.
 *
 *	DIR/coffer-fs, DIR/coffer-syncd (this program), DIR/coffer-syncd.real, DIR/tape/
 *
 * coffer-fs starts what stands beside it, with descriptor 3 as the socket. Bytes for the real program go to tape/PID.to, bytes
 * for coffer-fs to tape/PID.from, each written before it is passed on, so that nothing passes that is not on the tape.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FS_FD = 3, STEP = 1 << 18 };

struct pump {
	int from, to, tape;
};

static void die(const char *what)
{
	perror(what);
	_exit(EXIT_FAILURE);
}

static bool write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return false;
		p += done;
		n -= (size_t)done;
	}
	return true;
}

static void *pump(void *arg)
{
	static _Thread_local char bytes[STEP];
	const struct pump *p = arg;
	ssize_t n;

	while ((n = read(p->from, bytes, sizeof bytes)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		if (!write_all(p->tape, bytes, (size_t)n))
			die("syncd_tap: tape");
		if (!write_all(p->to, bytes, (size_t)n))
			break;
	}
	shutdown(p->to, SHUT_WR);
	return NULL;
}

static int open_tape(const char *dir, const char *suffix)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof path, "%s/tape/%d.%s", dir, (int)getpid(), suffix);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		die(path);
	return fd;
}

static pid_t start_real(const char *dir, int fd)
{
	char path[PATH_MAX + 64], *argv[] = { path, NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;

	snprintf(path, sizeof path, "%s/coffer-syncd.real", dir);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, FS_FD);
	posix_spawn_file_actions_addclosefrom_np(&actions, FS_FD + 1);
	errno = posix_spawn(&pid, path, &actions, NULL, argv, environ);
	if (errno != 0)
		die(path);
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

int main(void)
{
	char self[PATH_MAX];
	int pair[2], status = 0;
	pthread_t to_thread;
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n <= 0)
		die("/proc/self/exe");
	self[n] = 0;
	const char *dir = dirname(self);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	struct pump to = { .from = FS_FD, .to = pair[0], .tape = open_tape(dir, "to") };
	struct pump from = { .from = pair[0], .to = FS_FD, .tape = open_tape(dir, "from") };
	pid_t pid = start_real(dir, pair[1]);
	close(pair[1]);
	if (pthread_create(&to_thread, NULL, pump, &to) != 0)
		die("pthread_create");
	pthread_detach(to_thread); /* may be waiting for coffer-fs, which does not matter any more at the end */
	pump(&from);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}
