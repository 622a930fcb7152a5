/* SPDX-License-Identifier: Apache-2.0 */
#include "syncd/netwatch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct netwatch {
	struct poller *poller;
	struct poll_source source;
	void (*changed)(void *ctx);
	void *ctx;
};

/* What it says does not matter, only that it says something. */
static void ready(void *ctx, uint32_t events)
{
	struct netwatch *n = ctx;
	char scratch[8192];
	bool any = false;

	(void)events;
	while (recv(n->source.fd, scratch, sizeof scratch, MSG_DONTWAIT | MSG_TRUNC) > 0)
		any = true;
	/* An overflow (ENOBUFS) ends the loop too, and is a change as well. */
	if (any || (events & EPOLLERR))
		n->changed(n->ctx);
}

int netwatch_new(struct poller *p, void (*changed)(void *ctx), void *ctx, struct netwatch **ret_n)
{
	const struct sockaddr_nl address = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
	};
	struct netwatch *n = calloc(1, sizeof *n);

	if (!n)
		return ERR_NOMEM;
	*n = (struct netwatch){ .poller = p, .changed = changed, .ctx = ctx };
	n->source = (struct poll_source){
		.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE),
		.ready = ready,
		.ctx = n,
	};
	if (n->source.fd < 0 || bind(n->source.fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
		poller_watch(p, &n->source, EPOLLIN) < 0) {
		netwatch_free(n);
		return ERR_UNSUPPORTED;
	}
	*ret_n = n;
	return OK;
}

void netwatch_free(struct netwatch *n)
{
	if (!n)
		return;
	poller_end(n->poller, &n->source);
	if (n->source.fd >= 0)
		close(n->source.fd);
	free(n);
}
