/* SPDX-License-Identifier: Apache-2.0 */
#include "syncd/ipc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE 262144u
#define SOCKET_BUFFER (1 << 20)
#define OUT_MAX (64u << 20) /* the carrier stops reading the relay long before */

struct ipc {
	const struct ipc_handler *handler;
	struct poller *poller;
	struct poll_source source;
	struct buf in, out;
	size_t written; /* of out */
	bool paused, over, taking;
};

static void ready(void *ctx, uint32_t events);

int ipc_new(int fd, const struct ipc_handler *handler, struct poller *p, struct ipc **ret_i)
{
	struct ipc *i = calloc(1, sizeof *i);
	int size = SOCKET_BUFFER;

	if (!i) {
		close(fd);
		return ERR_NOMEM;
	}
	*i = (struct ipc){
		.handler = handler,
		.poller = p,
		.in = BUF_INIT(MSG_MAX + 4 + READ_SIZE),
		.out = BUF_INIT(OUT_MAX),
		.source = { .fd = fd, .ready = ready, .ctx = i },
	};
	/* Best effort: fewer wake-ups for large messages. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	if (poller_watch(p, &i->source, EPOLLIN) < 0) {
		ipc_free(i);
		return ERR_IO;
	}
	*ret_i = i;
	return OK;
}

void ipc_free(struct ipc *i)
{
	if (!i)
		return;
	poller_end(i->poller, &i->source);
	close(i->source.fd);
	buf_release(&i->in);
	buf_release(&i->out);
	free(i);
}

static void end(struct ipc *i, int err)
{
	if (i->over)
		return;
	i->over = true;
	poller_end(i->poller, &i->source);
	i->handler->closed(i->handler->ctx, err);
}

static void watch(struct ipc *i)
{
	uint32_t events = (i->paused ? 0u : (uint32_t)EPOLLIN) | (i->written < i->out.len ? (uint32_t)EPOLLOUT : 0u);

	if (i->over)
		return;
	/* EPOLLRDHUP alone tells nothing new; errors and hang-ups are always reported. */
	if (poller_watch(i->poller, &i->source, events ? events : (uint32_t)EPOLLRDHUP) < 0)
		end(i, ERR_IO);
}

static void take_messages(struct ipc *i)
{
	size_t at = 0;

	if (i->taking)
		return;
	i->taking = true;
	while (!i->paused && !i->over) {
		struct msg m;
		size_t used;
		int err = msg_take(bytes_of(i->in.data + at, i->in.len - at), &m, &used);

		if (err == ERR_AGAIN)
			break;
		if (err < 0) {
			end(i, err);
			break;
		}
		i->handler->message(i->handler->ctx, &m);
		at += used;
	}
	buf_consume(&i->in, at);
	i->taking = false;
}

static void read_more(struct ipc *i)
{
	uint8_t *p;
	ssize_t n;

	if (buf_grow(&i->in, READ_SIZE, &p) < 0) {
		end(i, ERR_NOMEM);
		return;
	}
	n = recv(i->source.fd, p, READ_SIZE, MSG_DONTWAIT);
	i->in.len -= READ_SIZE - (n > 0 ? (size_t)n : 0);
	if (n > 0)
		take_messages(i);
	else if (n == 0)
		end(i, ERR_CLOSED);
	else if (errno != EAGAIN && errno != EINTR)
		end(i, errno == ECONNRESET ? ERR_CLOSED : ERR_IO);
}

static void ready(void *ctx, uint32_t events)
{
	struct ipc *i = ctx;

	if (events & EPOLLOUT)
		ipc_flush(i);
	if (i->over)
		return;
	if (i->paused && (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)))
		end(i, ERR_CLOSED);
	else if (!i->paused && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		read_more(i);
}

int ipc_tell(struct ipc *i, const struct msg *m)
{
	if (i->written == i->out.len) {
		buf_clear(&i->out);
		i->written = 0;
	} else if (i->written > i->out.len / 2) {
		buf_consume(&i->out, i->written);
		i->written = 0;
	}
	return msg_put(&i->out, m);
}

void ipc_flush(struct ipc *i)
{
	while (!i->over && i->written < i->out.len) {
		ssize_t n = send(
			i->source.fd, i->out.data + i->written, i->out.len - i->written, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0) {
			i->written += (size_t)n;
		} else if (errno == EAGAIN) {
			break;
		} else if (errno != EINTR) {
			end(i, errno == EPIPE || errno == ECONNRESET ? ERR_CLOSED : ERR_IO);
			return;
		}
	}
	if (i->written == i->out.len && i->out.alloc > SOCKET_BUFFER) {
		buf_release(&i->out);
		i->written = 0;
	}
	watch(i);
}

void ipc_pause(struct ipc *i, bool paused)
{
	if (i->paused == paused)
		return;
	i->paused = paused;
	if (!paused)
		take_messages(i);
	watch(i);
}

size_t ipc_unsent(const struct ipc *i)
{
	return i->out.len - i->written;
}
