/* SPDX-License-Identifier: Apache-2.0 */
#include "server/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_PASSED 3
#define BACKLOG 4096 /* the kernel caps it at net.core.somaxconn */

static int parse(const char *where, char *host, size_t size, const char **ret_port)
{
	const char *colon = strrchr(where, ':');
	size_t len = colon ? (size_t)(colon - where) : 0;
	char *end;

	if (!colon || colon[1] < '0' || colon[1] > '9' || strtoul(colon + 1, &end, 10) > 65535 || *end)
		return ERR_INVALID;
	if (len > 2 && where[0] == '[' && where[len - 1] == ']') {
		where++;
		len -= 2;
	}
	if (!len || len >= size)
		return ERR_INVALID;
	memcpy(host, where, len);
	host[len] = '\0';
	*ret_port = colon + 1;
	return OK;
}

/* The address that a socket is bound to. */
static void name(struct listener *l)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof addr;

	if (getsockname(l->fds[0], (struct sockaddr *)&addr, &len) < 0)
		return;
	if (addr.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&addr;

		inet_ntop(AF_INET, &in->sin_addr, l->host, sizeof l->host);
		l->port = ntohs(in->sin_port);
	} else if (addr.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&addr;

		inet_ntop(AF_INET6, &in->sin6_addr, l->host, sizeof l->host);
		l->port = ntohs(in->sin6_port);
	}
}

static int bind_to(int fd, const struct addrinfo *to, bool shared)
{
	int one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
		(to->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0) ||
		(shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0) ||
		bind(fd, to->ai_addr, to->ai_addrlen) < 0)
		return errno == EADDRINUSE ? ERR_BUSY : errno == EADDRNOTAVAIL ? ERR_NOT_FOUND : err_from_errno(errno);
	return OK;
}

int listener_open(struct listener *l, const char *where, bool shared)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST, .ai_socktype = SOCK_STREAM }, *list;
	const char *port;
	char host[64];
	int fd, err;

	*l = (struct listener){ 0 };
	if (parse(where, host, sizeof host, &port) < 0 || getaddrinfo(host, port, &hints, &list))
		return ERR_INVALID;
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = fd < 0 ? err_from_errno(errno) : bind_to(fd, list, shared);
	freeaddrinfo(list);
	if (err < 0) {
		if (fd >= 0)
			close(fd);
		return err;
	}
	l->fds[l->n++] = fd;
	name(l);
	return OK;
}

int listener_listen(struct listener *l)
{
	if (l->passed || listen(l->fds[0], BACKLOG) == 0)
		return OK;
	return errno == EADDRINUSE ? ERR_BUSY : err_from_errno(errno);
}

static bool listens(int fd)
{
	int yes = 0;
	socklen_t len = sizeof yes;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes;
}

int listener_passed(struct listener *l)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	long n = pid && fds && strtol(pid, NULL, 10) == (long)getpid() ? strtol(fds, NULL, 10) : 0;

	*l = (struct listener){ 0 };
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (n < 0 || n > LISTENER_MAX)
		return ERR_INVALID;
	for (int fd = FIRST_PASSED; fd < FIRST_PASSED + n; fd++) {
		if (!listens(fd) || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
			return ERR_INVALID;
		l->fds[l->n++] = fd;
	}
	l->passed = l->n > 0;
	if (l->n)
		name(l);
	return OK;
}

void listener_close(struct listener *l)
{
	for (size_t i = 0; i < l->n; i++)
		close(l->fds[i]);
	*l = (struct listener){ 0 };
}
