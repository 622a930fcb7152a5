/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "fusefs/verb.h"
#include "wire/cbor.h"
#include "wire/ctl.h"
#include "wire/ctl_socket.h"
#include "wire/msg.h"

#define REQUEST_WAIT_MS 10000 /* a connection that sends nothing for so long is closed */

struct connection {
	struct control *c;
	int fd; /* -1: free */
};

struct control {
	struct agent *agent;
	int fd, wake;         /* wake: eventfd, written when serving must end */
	pthread_mutex_t lock; /* below */
	pthread_cond_t ended;
	struct connection connection[CONTROL_MAX_CONNECTIONS];
	unsigned connections;
	int64_t last_use_ns; /* monotonic: when the last one ended */
};

bool control_answers(const char *home)
{
	CLOSE_AFTER int fd = -1;

	return ctl_socket_connect(home, &fd) == OK;
}

int control_open(struct agent *a, struct control **ret_c)
{
	struct control *c = calloc(1, sizeof *c);

	if (!c)
		return ERR_NOMEM;
	c->agent = a;
	c->last_use_ns = a->env->mono_ns(a->env->ctx);
	for (size_t i = 0; i < CONTROL_MAX_CONNECTIONS; i++)
		c->connection[i] = (struct connection){ .c = c, .fd = -1 };
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->ended, NULL);
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->fd = -1;
	int err = c->wake < 0 ? err_from_errno(errno) : ctl_socket_listen(profile_dir(a->profile), &c->fd);
	if (err < 0) {
		control_free(c);
		return err;
	}
	*ret_c = c;
	return OK;
}

/* Who connects from now on starts a new agent, which waits for this one's lock. */
static void stop_listening(struct control *c)
{
	if (c->fd < 0)
		return;
	ctl_socket_unlink(profile_dir(c->agent->profile));
	close(c->fd);
	c->fd = -1;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	stop_listening(c);
	if (c->wake >= 0)
		close(c->wake);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->ended);
	free(c);
}

static int read_request(int fd, struct buf *in, struct bytes *ret_item)
{
	for (size_t used;;) {
		int err = msg_take_frame(buf_bytes(in), ret_item, &used);
		if (err != ERR_AGAIN)
			return err;
		uint8_t piece[16384];
		ssize_t n = recv(fd, piece, sizeof piece, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ERR_CLOSED;
		err = buf_put(in, piece, (size_t)n);
		explicit_bzero(piece, (size_t)n);
		if (err < 0)
			return err;
	}
}

static void send_answer(int fd, const struct buf *out)
{
	for (size_t at = 0; at < out->len;) {
		ssize_t n = send(fd, out->data + at, out->len - at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		at += (size_t)n;
	}
}

static int encode_answer(struct call *call, struct buf *out)
{
	CLEANUP(buf_release) struct buf result = BUF_INIT_SECRET(CTL_MAX);

	if (call->err == OK && map_put(&call->result, &result) < 0)
		call_fail(call, ERR_NOMEM, 0, "", "the answer is too large");
	if (call->err < 0)
		return ctl_put_error(out, call->err, call->exit, call->message, call->next);
	return ctl_put_result(out, buf_bytes(&result));
}

/* Wakes before the answer goes, when this one is to end: who connects after the answer does not reach an agent that is ending. */
static void serve_request(struct connection *k)
{
	CLEANUP(buf_release) struct buf in = BUF_INIT_SECRET(CTL_MAX);
	CLEANUP(buf_release) struct buf out = BUF_INIT_SECRET(CTL_MAX + 64);
	struct ctl_request request;
	struct bytes item;

	if (read_request(k->fd, &in, &item) < 0)
		return;
	if (cbor_check(item, CBOR_STRICT, 10000) < 0 || ctl_decode_request(item, &request) < 0) {
		log_warn("a request on the control socket is malformed");
		return;
	}
	struct call call = { .agent = k->c->agent, .args = request.args, .result = MAP_INIT_SECRET };
	map_uint(&call.result, "v", 1);
	int err = verb_run(&call, request.verb);
	if (err < 0 && call.err == OK)
		call_fail_err(&call, err, "the request failed");
	if (call.stop && write(k->c->wake, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0)
		log_error("cannot wake the control loop");
	if (encode_answer(&call, &out) >= 0)
		send_answer(k->fd, &out);
	map_release(&call.result);
}

/* A free place for a connection; NULL: there is none. */
static struct connection *take(struct control *c, int fd)
{
	struct connection *k = NULL;

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < CONTROL_MAX_CONNECTIONS && !k; i++)
		if (c->connection[i].fd < 0)
			k = &c->connection[i];
	if (k) {
		k->fd = fd;
		c->connections++;
	}
	pthread_mutex_unlock(&c->lock);
	return k;
}

static void release(struct connection *k)
{
	struct control *c = k->c;

	pthread_mutex_lock(&c->lock);
	close(k->fd);
	k->fd = -1;
	c->connections--;
	c->last_use_ns = c->agent->env->mono_ns(c->agent->env->ctx);
	pthread_cond_broadcast(&c->ended);
	pthread_mutex_unlock(&c->lock);
}

static void *connection_main(void *arg)
{
	struct connection *k = arg;

	serve_request(k);
	release(k);
	return NULL;
}

static void accept_one(struct control *c)
{
	struct timeval wait = { .tv_sec = REQUEST_WAIT_MS / 1000 };
	pthread_t thread;

	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (!ctl_socket_may_ask(fd)) {
		close(fd);
		return;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
	struct connection *k = take(c, fd);
	if (!k) {
		close(fd);
		return;
	}
	if (pthread_create(&thread, NULL, connection_main, k) == 0)
		pthread_detach(thread);
	else
		release(k);
}

/* Nothing mounted, connected or waiting to be sent since idle_ns. */
static bool is_idle(struct control *c, int64_t idle_ns)
{
	struct agent *a = c->agent;
	struct store_stat stat = { 0 };

	pthread_mutex_lock(&c->lock);
	bool quiet = c->connections == 0 && a->env->mono_ns(a->env->ctx) - c->last_use_ns >= idle_ns;
	pthread_mutex_unlock(&c->lock);
	if (!quiet || agent_count_mounts(a) > 0)
		return false;
	if (agent_use(a) < 0)
		return true;
	int err = store_stat(a->store, &stat);
	agent_unuse(a);
	return err == OK && stat.dirty_nodes == 0 && stat.outbox_records == 0;
}

void control_serve(struct control *c, int stop_fd, int64_t idle_ns)
{
	struct pollfd p[] = { { .fd = c->fd, .events = POLLIN }, { .fd = stop_fd, .events = POLLIN },
		{ .fd = c->wake, .events = POLLIN } };

	for (;;) {
		int n = poll(p, 3, idle_ns ? 10000 : -1);
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0 && (p[1].revents || p[2].revents))
			break;
		if (n > 0 && p[0].revents)
			accept_one(c);
		if (n == 0 && is_idle(c, idle_ns))
			break;
	}
	stop_listening(c);
	agent_cancel(c->agent);
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < CONTROL_MAX_CONNECTIONS; i++)
		if (c->connection[i].fd >= 0)
			shutdown(c->connection[i].fd,
				SHUT_RD); /* a request that is not whole yet does not come; answers still go */
	while (c->connections > 0)
		pthread_cond_wait(&c->ended, &c->lock);
	pthread_mutex_unlock(&c->lock);
}
