/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "fusefs/verb.h"
#include "wire/cbor.h"
#include "wire/ctl.h"
#include "wire/msg.h"

#define SOCKET_NAME "agent.sock"
#define REQUEST_WAIT_MS 10000 /* a connection that sends nothing for so long is closed */

struct control {
	struct agent *agent;
	int fd, wake;              /* wake: eventfd, written when serving must end */
	pthread_mutex_t lock;
	pthread_cond_t ended;
	unsigned connections;
};

struct connection {
	struct control *c;
	int fd;
};

/* Binds by way of the directory's descriptor: the length of HOME does not matter. */
int control_open(struct agent *a, struct control **ret_c)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct control *c = calloc(1, sizeof *c);

	if (!c)
		return ERR_NOMEM;
	c->agent = a;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->ended, NULL);
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/%s", profile_dir(a->profile), SOCKET_NAME);
	(void)unlinkat(profile_dir(a->profile), SOCKET_NAME, 0);
	mode_t old = umask(0177);
	int failed = c->fd < 0 || c->wake < 0 || bind(c->fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(c->fd, 32) < 0;
	int err = failed ? err_from_errno(errno) : OK;
	umask(old);
	if (err < 0) {
		control_free(c);
		return err;
	}
	*ret_c = c;
	return OK;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	(void)unlinkat(profile_dir(c->agent->profile), SOCKET_NAME, 0);
	if (c->fd >= 0)
		close(c->fd);
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

static bool serve_request(struct connection *k)
{
	CLEANUP(buf_release) struct buf in = BUF_INIT_SECRET(CTL_MAX);
	CLEANUP(buf_release) struct buf out = BUF_INIT_SECRET(CTL_MAX + 64);
	struct ctl_request request;
	struct bytes item;

	if (read_request(k->fd, &in, &item) < 0)
		return false;
	if (cbor_check(item, CBOR_STRICT, 10000) < 0 || ctl_decode_request(item, &request) < 0) {
		log_warn("a request on the control socket is malformed");
		return false;
	}
	struct call call = { .agent = k->c->agent, .args = request.args, .result = MAP_INIT_SECRET };
	map_uint(&call.result, "v", 1);
	int err = verb_run(&call, request.verb);
	if (err < 0 && call.err == OK)
		call_fail_err(&call, err, "the request failed");
	if (encode_answer(&call, &out) >= 0)
		send_answer(k->fd, &out);
	map_release(&call.result);
	return call.stop;
}

static void *connection_main(void *arg)
{
	struct connection *k = arg;
	struct control *c = k->c;

	if (serve_request(k) && write(c->wake, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0)
		log_error("cannot wake the control loop");
	close(k->fd);
	free(k);
	pthread_mutex_lock(&c->lock);
	c->connections--;
	c->agent->last_use_ns = c->agent->env->mono_ns(c->agent->env->ctx);
	pthread_cond_broadcast(&c->ended);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static void accept_one(struct control *c)
{
	struct timeval wait = { .tv_sec = REQUEST_WAIT_MS / 1000 };
	pthread_t thread;

	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	struct connection *k = malloc(sizeof *k);
	pthread_mutex_lock(&c->lock);
	bool full = c->connections >= CONTROL_MAX_CONNECTIONS;
	if (k && !full)
		c->connections++;
	pthread_mutex_unlock(&c->lock);
	if (!k || full) {
		close(fd);
		free(k);
		return;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	*k = (struct connection){ .c = c, .fd = fd };
	if (pthread_create(&thread, NULL, connection_main, k) == 0) {
		pthread_detach(thread);
		return;
	}
	close(fd);
	free(k);
	pthread_mutex_lock(&c->lock);
	c->connections--;
	pthread_mutex_unlock(&c->lock);
}

/* Nothing mounted, connected or waiting to be sent since idle_ns. */
static bool is_idle(struct control *c, int64_t idle_ns)
{
	struct agent *a = c->agent;
	struct store_stat stat = { 0 };

	pthread_mutex_lock(&c->lock);
	bool quiet = c->connections == 0 && a->env->mono_ns(a->env->ctx) - a->last_use_ns >= idle_ns;
	pthread_mutex_unlock(&c->lock);
	if (!quiet || a->n_mounts > 0)
		return false;
	if (agent_use(a) < 0)
		return true;
	int err = store_stat(a->store, &stat);
	agent_unuse(a);
	return err == OK && stat.dirty_nodes == 0 && stat.outbox_records == 0;
}

void control_serve(struct control *c, int stop_fd, int64_t idle_ns)
{
	struct pollfd p[] = { { .fd = c->fd, .events = POLLIN }, { .fd = stop_fd, .events = POLLIN }, { .fd = c->wake, .events = POLLIN } };

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
	pthread_mutex_lock(&c->lock);
	while (c->connections > 0)
		pthread_cond_wait(&c->ended, &c->lock);
	pthread_mutex_unlock(&c->lock);
}
