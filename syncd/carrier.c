/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flow control: the relay is not read while HELD_MAX bytes wait for coffer-fs, and coffer-fs is not read while HELD_MAX bytes
 * of requests wait for the relay. A pause on purpose counts as hearing the relay; so does a slow upload, behind which its
 * answers must wait (that the relay takes nothing any more is TCP's to notice).
 */
#include "syncd/carrier.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/session.h"
#include "syncd/engine.h"
#include "syncd/ipc.h"
#include "syncd/netwatch.h"
#include "syncd/poller.h"
#include "syncd/resolve.h"
#include "syncd/transport_http.h"
#include "syncd/transport_ws.h"

#define HELD_MAX (16u << 20)
#define RATE_MS 1000
#define TOKEN_MAX_TEXT 4096

struct carrier {
	const struct env *env;
	struct poller *poller;
	struct ws *ws;
	struct http *http;
	struct ipc *ipc;
	struct netwatch *netwatch; /* may be NULL */
	struct resolve *resolve;
	struct session *session;
	struct engine *engine;
	struct engine_actions actions;
	struct ws_handler ws_handler;
	struct http_handler http_handler;
	struct ipc_handler ipc_handler;
	bool configured, reading_relay, stopped;
	struct relay_url url;
	struct resolve_answer addresses;
	unsigned next_address;
	uint64_t rate_at, rate_sent, rate_received; /* what was told last, and when */
	int result;
};

static void stop(struct carrier *c, int err)
{
	if (c->result == OK)
		c->result = err;
	c->stopped = true;
	ws_stop(c->ws);
}

/* --- actions ------------------------------------------------------------------------------------------------------ */

static void next_address(struct carrier *c)
{
	ws_connect(c->ws, &c->url, c->addresses.address[c->next_address++]);
}

static int connect_relay(struct carrier *c)
{
	c->addresses.n = c->next_address = 0;
	if (resolve_numeric(c->url.host, &c->addresses)) {
		next_address(c);
		return OK;
	}
	return resolve_start(c->resolve, c->url.host);
}

static void close_relay(struct carrier *c)
{
	resolve_cancel(c->resolve);
	http_abort_health(c->http);
	ws_close(c->ws);
}

static int perform(struct carrier *c, struct engine_action *a)
{
	const struct http_chunk chunk = { .num = a->num, .space = a->space, .chunk = a->chunk, .token = a->token };
	int err;

	switch (a->kind) {
	case ENGINE_CONNECT:
		return connect_relay(c);
	case ENGINE_CLOSE:
		close_relay(c);
		return OK;
	case ENGINE_SEND:
		err = ws_send(c->ws, &a->buf, ENGINE_HEADROOM);
		return err == ERR_CLOSED ? OK : err; /* `closed` follows */
	case ENGINE_PUT:
		return http_put(c->http, &c->url, &chunk, &a->buf);
	case ENGINE_GET:
		return http_get(c->http, &c->url, &chunk);
	case ENGINE_ABORT:
		http_abort(c->http, a->num);
		return OK;
	case ENGINE_HEALTH:
		return http_health(c->http, &c->url);
	case ENGINE_TELL:
		return ipc_tell(c->ipc, &a->msg);
	}
	return ERR_INTERNAL;
}

static void step(struct carrier *c, struct engine_event *ev)
{
	int err;

	ev->now = poller_now();
	c->env->random(c->env->ctx, &ev->random, sizeof ev->random);
	err = engine_step(c->engine, ev, &c->actions);
	for (size_t i = 0; i < c->actions.n && err == OK; i++)
		err = perform(c, &c->actions.v[i]);
	engine_actions_clear(&c->actions);
	if (err < 0)
		stop(c, err);
}

/* --- the relay ---------------------------------------------------------------------------------------------------- */

static void on_opened(void *ctx)
{
	step(ctx, &(struct engine_event){ .kind = ENGINE_OPENED });
}

static void on_answered(void *ctx, unsigned status)
{
	step(ctx, &(struct engine_event){ .kind = ENGINE_ANSWERED, .status = status });
}

static void on_failed(void *ctx, const char *reason)
{
	struct carrier *c = ctx;

	if (c->next_address < c->addresses.n)
		next_address(c);
	else
		step(c, &(struct engine_event){ .kind = ENGINE_FAILED, .reason = reason });
}

static void on_relay_closed(void *ctx, unsigned code, struct bytes reason)
{
	/* The text is the relay's; the log makes it harmless. */
	log_info("relay closed the connection: %u %.*s", code, (int)reason.len, (const char *)reason.p);
	step(ctx, &(struct engine_event){ .kind = ENGINE_CLOSED, .code = code, .data = reason });
}

static void on_relay_message(void *ctx, struct bytes message)
{
	step(ctx, &(struct engine_event){ .kind = ENGINE_MESSAGE, .data = message });
}

static void on_heard(void *ctx)
{
	step(ctx, &(struct engine_event){ .kind = ENGINE_HEARD });
}

static void on_resolved(void *ctx, const struct resolve_answer *a)
{
	struct carrier *c = ctx;

	c->addresses = *a;
	c->next_address = 0;
	if (a->n > 0)
		next_address(c);
	else
		step(c, &(struct engine_event){ .kind = ENGINE_FAILED, .reason = "name" });
}

static void on_http_done(void *ctx, uint64_t num, const char *code, struct bytes data)
{
	step(ctx, &(struct engine_event){ .kind = ENGINE_HTTP_DONE, .num = num, .reason = code, .data = data });
}

static void on_health(void *ctx, unsigned status, unsigned version)
{
	step(ctx, &(struct engine_event){ .kind = ENGINE_HEALTH_DONE, .status = status, .version = version });
}

static void on_network(void *ctx)
{
	step(ctx, &(struct engine_event){ .kind = ENGINE_NETWORK });
}

/* --- coffer-fs ---------------------------------------------------------------------------------------------------- */

static void configure(struct carrier *c, const struct msg *m)
{
	struct relay_url url;
	int err = relay_url_parse(m->text, &url);
	bool changed;

	if (err < 0) {
		log_error("the relay's address is malformed");
		stop(c, err);
		return;
	}
	changed = !c->configured || strcmp(url.origin, c->url.origin) != 0 || strcmp(url.prefix, c->url.prefix) != 0;
	c->url = url;
	c->configured = true;
	step(c, &(struct engine_event){ .kind = ENGINE_CONFIG, .changed = changed });
}

static void delegate(struct carrier *c, const struct msg *m)
{
	CLEANUP(buf_release) struct buf token = BUF_INIT_SECRET(TOKEN_MAX_TEXT);
	struct engine_event ev = { .kind = ENGINE_DELEGATION };
	int64_t now = c->env->wall_ns(c->env->ctx) / 1000000000, end = 0;
	int err = session_token(c->session, m->blob, now, &token, &end);

	if (err < 0) {
		log_warn("the delegation cannot be used: %s", err_str(err));
	} else if (end > now) {
		ev.data = buf_bytes(&token);
		ev.life_ms = (uint64_t)(end - now) * 1000;
	}
	step(c, &ev);
}

static void on_ipc(void *ctx, const struct msg *m)
{
	struct carrier *c = ctx;

	if (c->stopped)
		return;
	if (m->type == MSG_CONFIG)
		configure(c, m);
	else if (m->type == MSG_DELEGATE)
		delegate(c, m);
	else
		step(c, &(struct engine_event){ .kind = ENGINE_IPC, .msg = m });
}

static void on_ipc_closed(void *ctx, int err)
{
	stop(ctx, err == ERR_CLOSED ? OK : err);
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static void tell_rate(struct carrier *c, uint64_t now)
{
	const struct msg m = {
		.type = MSG_RATE,
		.sent = ws_sent(c->ws) + http_sent(c->http),
		.received = ws_received(c->ws) + http_received(c->http),
	};

	if ((m.sent == c->rate_sent && m.received == c->rate_received) || now < c->rate_at + RATE_MS)
		return;
	c->rate_at = now;
	c->rate_sent = m.sent;
	c->rate_received = m.received;
	if (ipc_tell(c->ipc, &m) < 0)
		stop(c, ERR_NOMEM);
}

static bool rate_due(const struct carrier *c)
{
	return ws_sent(c->ws) + http_sent(c->http) != c->rate_sent ||
	       ws_received(c->ws) + http_received(c->http) != c->rate_received;
}

static void on_timer(void *ctx)
{
	struct carrier *c = ctx;

	if (!c->reading_relay || ws_sending(c->ws))
		step(c, &(struct engine_event){ .kind = ENGINE_HEARD });
	step(c, &(struct engine_event){ .kind = ENGINE_TIMER });
}

static void on_turned(void *ctx)
{
	struct carrier *c = ctx;
	uint64_t now, at;

	do
		http_turn(c->http);
	while (http_deadline(c->http) <= poller_now());
	ipc_pause(c->ipc, engine_held(c->engine) + ws_unsent(c->ws) + http_held(c->http) >= HELD_MAX);
	now = poller_now();
	tell_rate(c, now);
	ipc_flush(c->ipc);
	c->reading_relay = ipc_unsent(c->ipc) < HELD_MAX;
	ws_pause(c->ws, !c->reading_relay);
	at = engine_deadline(c->engine);
	if (http_deadline(c->http) < at)
		at = http_deadline(c->http);
	if (rate_due(c) && c->rate_at + RATE_MS < at)
		at = c->rate_at + RATE_MS;
	poller_timer(c->poller, at, on_timer, c);
}

static void on_watched(void *ctx)
{
	struct carrier *c = ctx;

	poller_dispatch(c->poller);
}

static int build(struct carrier *c)
{
	int err;

	c->ws_handler = (struct ws_handler){
		.ctx = c,
		.opened = on_opened,
		.answered = on_answered,
		.failed = on_failed,
		.closed = on_relay_closed,
		.message = on_relay_message,
		.heard = on_heard,
		.watched = on_watched,
		.turned = on_turned,
	};
	c->http_handler = (struct http_handler){ .ctx = c, .done = on_http_done, .health = on_health };
	err = engine_new(&c->engine);
	if (err == OK)
		err = session_new(&c->session);
	if (err == OK)
		err = poller_new(&c->poller);
	if (err == OK)
		err = ws_new(&c->ws_handler, poller_fd(c->poller), &c->ws);
	if (err == OK)
		err = http_new(&c->http_handler, c->poller, &c->http);
	if (err == OK)
		err = resolve_new(c->poller, on_resolved, c, &c->resolve);
	if (err == OK && netwatch_new(c->poller, on_network, c, &c->netwatch) < 0)
		log_info("network changes cannot be watched");
	return err;
}

int carrier_new(const struct env *env, int fd, struct carrier **ret_c)
{
	struct msg hello = { .type = MSG_HELLO, .version = MSG_VERSION };
	struct carrier *c = calloc(1, sizeof *c);
	int err;

	if (!c) {
		close(fd);
		return ERR_NOMEM;
	}
	c->env = env;
	c->reading_relay = true;
	err = build(c);
	c->ipc_handler = (struct ipc_handler){ .ctx = c, .message = on_ipc, .closed = on_ipc_closed };
	if (err == OK)
		err = ipc_new(fd, &c->ipc_handler, c->poller, &c->ipc);
	else
		close(fd);
	if (err == OK) {
		hello.key = *session_public(c->session);
		err = ipc_tell(c->ipc, &hello);
	}
	if (err < 0) {
		carrier_free(c);
		return err;
	}
	*ret_c = c;
	return OK;
}

void carrier_free(struct carrier *c)
{
	if (!c)
		return;
	ipc_free(c->ipc);
	netwatch_free(c->netwatch);
	resolve_free(c->resolve);
	http_free(c->http);
	ws_free(c->ws);
	poller_free(c->poller);
	session_free(c->session);
	engine_free(c->engine);
	engine_actions_release(&c->actions);
	free(c);
}

int carrier_run(struct carrier *c)
{
	on_turned(c);
	ws_run(c->ws);
	return c->result;
}
