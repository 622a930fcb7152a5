/* SPDX-License-Identifier: Apache-2.0 */
#include "syncd/poller.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 64

struct poller {
	int epoll;
	struct poll_source timer;
	uint64_t at; /* what the timer is set to */
	void (*ready)(void *ctx);
	void *ctx;
};

static void timer_ready(void *ctx, uint32_t events)
{
	struct poller *p = ctx;
	uint64_t count;

	(void)events;
	if (read(p->timer.fd, &count, sizeof count) != (ssize_t)sizeof count)
		return;
	p->at = UINT64_MAX;
	if (p->ready)
		p->ready(p->ctx);
}

int poller_new(struct poller **ret_p)
{
	struct poller *p = calloc(1, sizeof *p);
	int err = ERR_IO;

	if (!p)
		return ERR_NOMEM;
	p->at = UINT64_MAX;
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->timer.fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	p->timer.ready = timer_ready;
	p->timer.ctx = p;
	if (p->epoll >= 0 && p->timer.fd >= 0)
		err = poller_watch(p, &p->timer, EPOLLIN);
	if (err < 0) {
		poller_free(p);
		return err;
	}
	*ret_p = p;
	return OK;
}

void poller_free(struct poller *p)
{
	if (!p)
		return;
	if (p->timer.fd >= 0)
		close(p->timer.fd);
	if (p->epoll >= 0)
		close(p->epoll);
	free(p);
}

int poller_fd(const struct poller *p)
{
	return p->epoll;
}

int poller_watch(struct poller *p, struct poll_source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };
	int op = s->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (events == s->events)
		return OK;
	if (epoll_ctl(p->epoll, op, s->fd, &ev) < 0)
		return ERR_IO;
	s->events = events;
	return OK;
}

void poller_end(struct poller *p, struct poll_source *s)
{
	/* It fails only for a descriptor that is closed, which epoll has forgotten by itself. */
	if (s->events)
		(void)epoll_ctl(p->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	s->events = 0;
}

void poller_timer(struct poller *p, uint64_t at, void (*ready)(void *ctx), void *ctx)
{
	struct itimerspec when = { .it_value = { .tv_sec = 0 } };

	p->ready = ready;
	p->ctx = ctx;
	if (at == p->at)
		return;
	p->at = at;
	if (at != UINT64_MAX) {
		when.it_value.tv_sec = (time_t)(at / 1000);
		when.it_value.tv_nsec = (long)(at % 1000) * 1000000 + 1; /* all zero would stop it */
	}
	/* The arguments are valid by construction; it cannot fail otherwise. */
	(void)timerfd_settime(p->timer.fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void poller_dispatch(struct poller *p)
{
	/* One event at a time: a callback may end a source whose event would stand behind it. */
	for (int i = 0; i < ROUNDS; i++) {
		struct epoll_event ev;
		struct poll_source *s;

		if (epoll_wait(p->epoll, &ev, 1, 0) != 1)
			return;
		s = ev.data.ptr;
		s->ready(s->ctx, ev.events);
	}
}

uint64_t poller_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
