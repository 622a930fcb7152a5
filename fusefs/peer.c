/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: spawn, CONFIG, HELLO, DELEGATE, STATE online, then CALLs and their answers. A process that ends, closes its socket
 * or sends what does not decode is killed and started again after a back-off; every open call then ends with ERR_OFFLINE, and
 * whoever made it asks again, because all that must survive stands in the store.
 */
#include "fusefs/peer.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/delegation.h"
#include "wire/cbor.h"
#include "wire/relay_url.h"

#define SECOND 1000000000ll
#define DELEGATION_LIFE 3600
#define RESTART_MIN (SECOND / 10)
#define RESTART_MAX (10 * SECOND)
#define HURRY_NS SECOND
#define READ_STEP (256u * 1024)
#define READ_TURN (2u << 20) /* bytes read before other sockets get their turn */
#define SOCKET_BUFFER (1 << 20)

struct call {
	uint64_t num;
	struct peer_answer answer;
	struct call *next;
};

struct peer {
	struct peer_config config;
	char *program, *relay;
	char origin[RELAY_HOST_MAX + 20];
	int fd;
	pid_t pid;
	struct buf in, out;
	size_t out_off;
	struct call *calls, **calls_tail;
	uint64_t next_num;
	enum msg_state state;
	uint64_t connection, last_connection;
	char reason[160];
	bool hello;
	struct id32 session;
	int64_t restart_at, restart_delay, renew_at, hurried_at;
	uint64_t sent, received, sent_before, received_before;
};

static int64_t now_of(const struct peer *p)
{
	return p->config.env->mono_ns(p->config.env->ctx);
}

int peer_new(const struct peer_config *config, struct peer **ret_p)
{
	struct relay_url url;
	int err = relay_url_parse(bytes_str(config->relay), &url);
	if (err < 0)
		return err;
	struct peer *p = calloc(1, sizeof *p);
	if (!p)
		return ERR_NOMEM;
	p->config = *config;
	p->fd = -1;
	p->next_num = 1;
	p->restart_delay = RESTART_MIN;
	p->calls_tail = &p->calls;
	p->in = (struct buf)BUF_INIT(MSG_MAX + 2 * READ_STEP);
	p->out = (struct buf)BUF_INIT(PEER_MAX_QUEUED + 2 * MSG_MAX);
	p->program = strdup(config->program);
	p->relay = strdup(config->relay);
	if (!p->program || !p->relay) {
		peer_free(&p);
		return ERR_NOMEM;
	}
	memcpy(p->origin, url.origin, sizeof url.origin < sizeof p->origin ? sizeof url.origin : sizeof p->origin);
	*ret_p = p;
	return OK;
}

/* Ends every open call. Calls made by the callbacks are not among them. */
static void end_calls(struct peer *p, int err)
{
	struct call *c = p->calls;

	p->calls = NULL;
	p->calls_tail = &p->calls;
	while (c) {
		struct call *next = c->next;

		if (c->answer.result)
			c->answer.result(c->answer.ctx, err, bytes_of(NULL, 0), bytes_of(NULL, 0));
		free(c);
		c = next;
	}
}

static void set_state(struct peer *p, enum msg_state state, uint64_t connection, const char *reason)
{
	bool changed = p->state != state || p->connection != connection;

	p->state = state;
	p->connection = connection;
	snprintf(p->reason, sizeof p->reason, "%s", reason);
	if (changed && p->config.state)
		p->config.state(p->config.ctx, p);
}

static void drop_process(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	if (p->pid > 0) {
		kill(p->pid, SIGKILL);
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	p->pid = 0;
	p->hello = false;
	buf_clear(&p->in);
	buf_clear(&p->out);
	p->out_off = 0;
	p->sent_before += p->sent;
	p->received_before += p->received;
	p->sent = p->received = 0;
}

static void fail(struct peer *p, int err)
{
	log_warn("sync: the network process ended (%s); starting it again in %" PRId64 " ms", err_str(err),
		p->restart_delay / 1000000);
	drop_process(p);
	p->restart_at = now_of(p) + p->restart_delay;
	p->restart_delay = p->restart_delay * 2 < RESTART_MAX ? p->restart_delay * 2 : RESTART_MAX;
	end_calls(p, ERR_OFFLINE);
	set_state(p, MSG_OFFLINE, p->connection, "the network process ended");
}

void peer_free(struct peer **pp)
{
	struct peer *p = *pp;

	if (!p)
		return;
	*pp = NULL;
	drop_process(p);
	end_calls(p, ERR_CANCELLED);
	buf_release(&p->in);
	buf_release(&p->out);
	free(p->program);
	free(p->relay);
	free(p);
}

/* ---- sending ---- */

static void flush(struct peer *p)
{
	while (p->fd >= 0 && p->out_off < p->out.len) {
		ssize_t n = send(p->fd, p->out.data + p->out_off, p->out.len - p->out_off, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0)
			return; /* the read side sees the end and restarts */
		p->out_off += (size_t)n;
	}
	if (p->out_off == p->out.len) {
		buf_clear(&p->out);
		p->out_off = 0;
	} else if (p->out_off > p->out.len / 2) {
		buf_consume(&p->out, p->out_off);
		p->out_off = 0;
	}
}

static int send_msg(struct peer *p, const struct msg *m)
{
	int err = msg_put(&p->out, m);

	if (err == OK)
		flush(p);
	return err;
}

static int send_delegation(struct peer *p)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(DELEGATION_MAX);
	struct delegation d = { .person = *identity_person(p->config.who),
		.device = *identity_device(p->config.who),
		.session = p->session,
		.aud = bytes_str(p->origin),
		.not_after = p->config.env->wall_ns(p->config.env->ctx) / SECOND + DELEGATION_LIFE };

	int err = delegation_make(&d, identity_sign_secret(p->config.who), &b);
	if (err == OK)
		err = send_msg(p, &(struct msg){ .type = MSG_DELEGATE, .blob = buf_bytes(&b) });
	p->renew_at = now_of(p) + DELEGATION_LIFE / 2 * SECOND;
	return err;
}

static int add_call(struct peer *p, struct msg *m, size_t size, const struct peer_answer *a, uint64_t *ret_num)
{
	if (size > peer_room(p))
		return ERR_AGAIN;
	struct call *c = calloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	m->num = p->next_num;
	int err = p->fd >= 0 ? send_msg(p, m) : ERR_OFFLINE;
	if (err < 0) {
		free(c);
		return err;
	}
	c->num = p->next_num++;
	c->answer = *a;
	*p->calls_tail = c;
	p->calls_tail = &c->next;
	if (ret_num)
		*ret_num = c->num;
	return OK;
}

int peer_call(struct peer *p, const char *method, struct bytes params, const struct peer_answer *a, uint64_t *ret_num)
{
	struct msg m = { .type = MSG_CALL, .text = bytes_str(method), .item = params };
	return add_call(p, &m, params.len, a, ret_num);
}

int peer_put(struct peer *p, const struct id16 *space, const struct id16 *chunk, struct bytes blob,
	const struct peer_answer *a, uint64_t *ret_num)
{
	struct msg m = { .type = MSG_PUT, .space = *space, .chunk = *chunk, .blob = blob };
	return add_call(p, &m, blob.len, a, ret_num);
}

int peer_get(struct peer *p, const struct id16 *space, const struct id16 *chunk, const struct peer_answer *a,
	uint64_t *ret_num)
{
	struct msg m = { .type = MSG_GET, .space = *space, .chunk = *chunk };
	return add_call(p, &m, 0, a, ret_num);
}

/* Takes a call out of the list; NULL if there is none. */
static struct call *take_call(struct peer *p, uint64_t num)
{
	for (struct call **at = &p->calls; *at; at = &(*at)->next) {
		struct call *c = *at;

		if (c->num != num)
			continue;
		*at = c->next;
		if (p->calls_tail == &c->next)
			p->calls_tail = at;
		return c;
	}
	return NULL;
}

void peer_cancel(struct peer *p, uint64_t num)
{
	struct call *c = take_call(p, num);

	if (!c)
		return;
	free(c);
	if (p->fd >= 0 && send_msg(p, &(struct msg){ .type = MSG_CANCEL, .num = num }) < 0)
		log_debug("sync: cancel was not queued");
}

/* ---- receiving ---- */

static const struct call *find_call(const struct peer *p, uint64_t num)
{
	const struct call *c = p->calls;

	while (c && c->num != num)
		c = c->next;
	return c;
}

int peer_error(struct bytes code)
{
	static const struct {
		const char *text;
		int err;
	} table[] = {
		{ "offline", ERR_OFFLINE },
		{ "not_found", ERR_NOT_FOUND },
		{ "conflict", ERR_CONFLICT },
		{ "forbidden", ERR_FORBIDDEN },
		{ "unauthorized", ERR_FORBIDDEN },
		{ "storage_full", ERR_RELAY_FULL },
		{ "rate_limited", ERR_RATE_LIMITED },
		{ "payload_too_large", ERR_RANGE },
		{ "key_generation_stale", ERR_STALE },
		{ "missing", ERR_MISSING },
		{ "order", ERR_AGAIN },
		{ "bad_request", ERR_INVALID },
		{ "invalid_params", ERR_INVALID },
		{ "bad_response", ERR_INVALID },
		{ "method_not_found", ERR_UNSUPPORTED },
		{ "timeout", ERR_TIMEOUT },
		{ "busy", ERR_BUSY },
	};

	if (code.len == 0)
		return OK;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (cbor_text_is(code, table[i].text))
			return table[i].err;
	}
	return ERR_INTERNAL;
}

static void on_result(struct peer *p, const struct msg *m)
{
	struct call *c = take_call(p, m->num);

	if (!c)
		return;
	if (c->answer.result)
		c->answer.result(c->answer.ctx, peer_error(m->text), m->text, m->item);
	free(c);
}

static void on_state(struct peer *p, const struct msg *m)
{
	char reason[sizeof p->reason];

	if (m->state == MSG_ONLINE)
		p->restart_delay = RESTART_MIN;
	if (m->retry_ms)
		snprintf(reason, sizeof reason, "%.*s; next try in %" PRIu64 " s",
			(int)(m->text.len < 100 ? m->text.len : 100), (const char *)m->text.p,
			(m->retry_ms + 999) / 1000);
	else
		snprintf(reason, sizeof reason, "%.*s", (int)(m->text.len < 100 ? m->text.len : 100),
			(const char *)m->text.p);
	/* Numbers of connections of an earlier process are lower: count on. */
	if (m->connection != p->last_connection && m->state == MSG_ONLINE) {
		p->last_connection = m->connection;
		set_state(p, m->state, p->connection + 1, reason);
	} else {
		set_state(p, m->state, p->connection, reason);
	}
}

static int on_message(struct peer *p, const struct msg *m)
{
	const struct call *c;

	switch (m->type) {
	case MSG_HELLO:
		if (m->version != MSG_VERSION)
			return ERR_VERSION;
		p->hello = true;
		p->session = m->key;
		return send_delegation(p);
	case MSG_STATE:
		on_state(p, m);
		return OK;
	case MSG_RESULT:
		on_result(p, m);
		return OK;
	case MSG_PART:
		c = find_call(p, m->num);
		if (c && c->answer.part)
			c->answer.part(c->answer.ctx, m->text, m->item);
		return OK;
	case MSG_DATA:
		c = find_call(p, m->num);
		if (c && c->answer.data)
			c->answer.data(c->answer.ctx, m->blob);
		return OK;
	case MSG_NOTIFY:
		if (p->config.notify)
			p->config.notify(p->config.ctx, p, m->text, m->item);
		return OK;
	case MSG_RATE:
		p->sent = m->sent;
		p->received = m->received;
		return OK;
	default:
		return ERR_INVALID;
	}
}

static int take_messages(struct peer *p)
{
	size_t used = 0;
	int err = OK;

	while (err == OK && p->fd >= 0) {
		struct msg m;
		size_t n = 0;

		err = msg_take(bytes_of(p->in.data + used, p->in.len - used), &m, &n);
		if (err == ERR_AGAIN)
			break;
		if (err == OK)
			err = on_message(p, &m);
		used += n;
	}
	if (p->fd < 0)
		return OK;
	buf_consume(&p->in, used);
	return err == ERR_AGAIN ? OK : err;
}

static int receive(struct peer *p)
{
	size_t turn = 0;

	while (turn < READ_TURN && p->fd >= 0) {
		uint8_t *at;
		int err = buf_grow(&p->in, READ_STEP, &at);

		if (err < 0)
			return err;
		p->in.len -= READ_STEP;
		ssize_t n = recv(p->fd, at, READ_STEP, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return OK;
		if (n <= 0)
			return ERR_CLOSED;
		p->in.len += (size_t)n;
		turn += (size_t)n;
		err = take_messages(p);
		if (err < 0)
			return err;
		if ((size_t)n < READ_STEP)
			return OK;
	}
	return OK;
}

/* ---- the process ---- */

static int spawn(struct peer *p, int fd)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	char *argv[] = { p->program, NULL };

	if (posix_spawn_file_actions_init(&actions) != 0)
		return ERR_NOMEM;
	if (posix_spawnattr_init(&attr) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return ERR_NOMEM;
	}
	sigemptyset(&none);
	sigfillset(&all);
	int bad = posix_spawn_file_actions_adddup2(&actions, fd, 3);
	bad |= posix_spawn_file_actions_addclosefrom_np(&actions, 4);
	bad |= posix_spawnattr_setsigmask(&attr, &none);
	bad |= posix_spawnattr_setsigdefault(&attr, &all);
	bad |= posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	int rc = bad ? EINVAL : posix_spawn(&p->pid, p->program, &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	if (rc != 0)
		p->pid = 0;
	return rc == 0 ? OK : err_from_errno(rc);
}

static int start(struct peer *p)
{
	int pair[2], size = SOCKET_BUFFER;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_from_errno(errno);
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	(void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	p->last_connection = 0;
	p->fd = pair[0];
	int err = spawn(p, pair[1]);
	close(pair[1]);
	if (err == OK)
		err = send_msg(p, &(struct msg){ .type = MSG_CONFIG, .text = bytes_str(p->relay) });
	return err;
}

void peer_hurry(struct peer *p)
{
	int64_t now = now_of(p);

	if (p->fd < 0 || p->state == MSG_ONLINE || (p->hurried_at && now - p->hurried_at < HURRY_NS))
		return;
	p->hurried_at = now;
	/* The same address again means "try now". A full queue only loses the hint. */
	if (send_msg(p, &(struct msg){ .type = MSG_CONFIG, .text = bytes_str(p->relay) }) < 0)
		p->hurried_at = 0;
}

int peer_fd(const struct peer *p)
{
	return p->fd;
}

short peer_events(const struct peer *p)
{
	return (short)(POLLIN | (p->out_off < p->out.len ? POLLOUT : 0));
}

int64_t peer_deadline(const struct peer *p)
{
	if (p->fd < 0)
		return p->restart_at;
	return p->hello ? p->renew_at : INT64_MAX;
}

void peer_run(struct peer *p, short revents, int64_t now)
{
	int err = OK;

	if (p->fd < 0) {
		if (now < p->restart_at)
			return;
		err = start(p);
	} else {
		if (revents & POLLOUT)
			flush(p);
		if (revents & (POLLIN | POLLHUP | POLLERR))
			err = receive(p);
		if (err == OK && p->hello && now >= p->renew_at)
			err = send_delegation(p);
	}
	if (err < 0)
		fail(p, err);
}

size_t peer_room(const struct peer *p)
{
	size_t queued = p->out.len - p->out_off;
	return queued < PEER_MAX_QUEUED ? PEER_MAX_QUEUED - queued : 0;
}

bool peer_online(const struct peer *p)
{
	return p->state == MSG_ONLINE;
}

enum msg_state peer_state(const struct peer *p)
{
	return p->state;
}

uint64_t peer_connection(const struct peer *p)
{
	return p->connection;
}

const char *peer_relay(const struct peer *p)
{
	return p->relay;
}

const char *peer_reason(const struct peer *p)
{
	return p->reason;
}

void peer_traffic(const struct peer *p, uint64_t *ret_sent, uint64_t *ret_received)
{
	*ret_sent = p->sent_before + p->sent;
	*ret_received = p->received_before + p->received;
}
