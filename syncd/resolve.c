/* SPDX-License-Identifier: Apache-2.0 */
#include "syncd/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* An answer crosses the socket whole, as one packet. */
struct resolve {
	struct poller *poller;
	struct poll_source source;
	int thread_end;
	uint64_t serial; /* 0: nothing is wanted */
	uint64_t last;
	void (*done)(void *ctx, const struct resolve_answer *a);
	void *ctx;
};

struct lookup {
	int fd; /* owned */
	struct resolve_answer answer;
	char host[NI_MAXHOST];
};

static void add(struct resolve_answer *a, const struct sockaddr *s)
{
	const void *p = s->sa_family == AF_INET ? (const void *)&((const struct sockaddr_in *)(const void *)s)->sin_addr
						: &((const struct sockaddr_in6 *)(const void *)s)->sin6_addr;

	if (inet_ntop(s->sa_family, p, a->address[a->n], sizeof a->address[0]))
		a->n++;
}

static void *look_up(void *arg)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	const struct addrinfo any = { .ai_socktype = SOCK_STREAM };
	struct lookup *l = arg;
	struct addrinfo *found = NULL;

	/* AI_ADDRCONFIG hides ::1 and 127.0.0.1 where only a loopback interface is up. */
	if (getaddrinfo(l->host, NULL, &hints, &found) != 0 && getaddrinfo(l->host, NULL, &any, &found) != 0)
		found = NULL;
	for (const struct addrinfo *i = found; i && l->answer.n < RESOLVE_MAX; i = i->ai_next)
		if (i->ai_family == AF_INET || i->ai_family == AF_INET6)
			add(&l->answer, i->ai_addr);
	if (found)
		freeaddrinfo(found);
	/* If nobody listens any more there is nothing to do. */
	(void)!send(l->fd, &l->answer, sizeof l->answer, MSG_NOSIGNAL);
	close(l->fd);
	free(l);
	return NULL;
}

static void ready(void *ctx, uint32_t events)
{
	struct resolve *r = ctx;
	struct resolve_answer a;

	(void)events;
	if (recv(r->source.fd, &a, sizeof a, MSG_DONTWAIT) != (ssize_t)sizeof a || a.serial != r->serial)
		return;
	r->serial = 0;
	r->done(r->ctx, &a);
}

int resolve_new(
	struct poller *p, void (*done)(void *ctx, const struct resolve_answer *a), void *ctx, struct resolve **ret_r)
{
	struct resolve *r = calloc(1, sizeof *r);
	int pair[2];

	if (!r)
		return ERR_NOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		free(r);
		return ERR_IO;
	}
	*r = (struct resolve){
		.poller = p,
		.thread_end = pair[1],
		.done = done,
		.ctx = ctx,
		.source = { .fd = pair[0], .ready = ready, .ctx = r },
	};
	if (poller_watch(p, &r->source, EPOLLIN) < 0) {
		resolve_free(r);
		return ERR_IO;
	}
	*ret_r = r;
	return OK;
}

void resolve_free(struct resolve *r)
{
	if (!r)
		return;
	poller_end(r->poller, &r->source);
	close(r->source.fd);
	close(r->thread_end);
	free(r);
}

bool resolve_numeric(const char *host, struct resolve_answer *ret_a)
{
	struct resolve_answer a = { .n = 1 };
	struct in6_addr address;
	int family = strchr(host, ':') ? AF_INET6 : AF_INET;

	if (inet_pton(family, host, &address) != 1 || !inet_ntop(family, &address, a.address[0], sizeof a.address[0]))
		return false;
	*ret_a = a;
	return true;
}

int resolve_start(struct resolve *r, const char *host)
{
	struct lookup *l = calloc(1, sizeof *l);
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	r->serial = 0;
	if (!l)
		return ERR_NOMEM;
	snprintf(l->host, sizeof l->host, "%s", host);
	l->answer.serial = ++r->last;
	l->fd = dup(r->thread_end);
	if (l->fd < 0 || pthread_attr_init(&attr) != 0) {
		if (l->fd >= 0)
			close(l->fd);
		free(l);
		return ERR_IO;
	}
	err = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (err == 0)
		err = pthread_create(&thread, &attr, look_up, l);
	(void)pthread_attr_destroy(&attr);
	if (err != 0) {
		close(l->fd);
		free(l);
		return ERR_IO;
	}
	r->serial = r->last;
	return OK;
}

void resolve_cancel(struct resolve *r)
{
	r->serial = 0;
}
