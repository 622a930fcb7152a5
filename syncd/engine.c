/* SPDX-License-Identifier: Apache-2.0 */
#include "syncd/engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "syncd/action.h"
#include "syncd/calls.h"
#include "syncd/jobs.h"
#include "wire/frame.h"

#define CONNECT_MS 30000 /* name, TCP, TLS and upgrade */
#define VERIFY_MS 15000  /* first response after auth */
#define HEALTH_MS 15000
#define PROBE_MS 5000   /* answer expected after a network change */
#define STUCK_MS 120000 /* no progress of the oldest call */
#define TOKEN_MAX_TEXT 4096
#define PROTOCOL_VERSION 1

enum phase { PHASE_IDLE, PHASE_WAIT, PHASE_CONNECT, PHASE_VERIFY, PHASE_ONLINE, PHASE_HEALTH };

struct engine {
	enum phase phase;
	bool configured;
	struct buf token;   /* text; empty: none */
	uint64_t token_end; /* ms */
	struct calls *calls;
	struct jobs *jobs;
	uint64_t deadline;   /* of the phase: attempt due, or time-out */
	uint64_t heard;      /* when the relay last said anything */
	uint64_t probe_end;  /* an answer is due; ENGINE_NEVER */
	uint64_t connection; /* counts authenticated connections */
	uint64_t serial;     /* of the engine's own requests */
	unsigned failures;   /* in a row */
	unsigned answered;   /* HTTP status in place of the upgrade */
};

int engine_new(struct engine **ret_e)
{
	struct engine *e = calloc(1, sizeof *e);
	int err;

	if (!e)
		return ERR_NOMEM;
	e->token = (struct buf)BUF_INIT_SECRET(TOKEN_MAX_TEXT);
	e->deadline = e->probe_end = ENGINE_NEVER;
	err = calls_new(&e->calls);
	if (err == OK)
		err = jobs_new(&e->jobs);
	if (err < 0) {
		engine_free(e);
		return err;
	}
	*ret_e = e;
	return OK;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	calls_free(e->calls);
	jobs_free(e->jobs);
	buf_release(&e->token);
	free(e);
}

void engine_freep(struct engine **pe)
{
	engine_free(*pe);
}

bool engine_online(const struct engine *e)
{
	return e->phase == PHASE_ONLINE;
}

size_t engine_held(const struct engine *e)
{
	return calls_held(e->calls) + jobs_held(e->jobs);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* a + b that stops at ENGINE_NEVER. */
static uint64_t later(uint64_t a, uint64_t b)
{
	return a > ENGINE_NEVER - b ? ENGINE_NEVER : a + b;
}

uint64_t engine_deadline(const struct engine *e)
{
	uint64_t d = e->deadline;

	if (e->phase != PHASE_ONLINE)
		return d;
	d = min_u64(d, later(e->heard, ENGINE_SILENCE_MS));
	d = min_u64(d, e->probe_end);
	return min_u64(d, later(calls_since(e->calls), STUCK_MS));
}

static int tell_state(
	struct engine *e, enum msg_state state, const char *reason, uint64_t retry_ms, struct engine_actions *out)
{
	const struct msg m = {
		.type = MSG_STATE,
		.state = state,
		.connection = e->connection,
		.text = bytes_str(reason),
		.retry_ms = retry_ms,
	};

	return action_tell(out, &m);
}

/* Half fixed, half random: the relay's clients do not come back all at once. */
static uint64_t backoff(const struct engine *e, uint32_t random)
{
	unsigned doublings = e->failures < 16 ? e->failures : 16;
	uint64_t base = min_u64((uint64_t)2 * ENGINE_BACKOFF_MIN_MS << doublings, ENGINE_BACKOFF_MAX_MS);

	return base / 2 + base / 2 * (random & 0xffff) / 0xffff;
}

static int drop_open(struct engine *e, struct engine_actions *out)
{
	int err = calls_drop(e->calls, "offline", out);

	e->probe_end = ENGINE_NEVER;
	return err < 0 ? err : jobs_drop(e->jobs, "offline", out);
}

/* The connection or attempt is over: everything open is answered, the next attempt is planned. */
static int give_up(struct engine *e, const struct engine_event *ev, enum msg_state state, const char *reason,
	struct engine_actions *out)
{
	uint64_t delay = state == MSG_REFUSED ? ENGINE_BACKOFF_MAX_MS : backoff(e, ev->random);
	int err = drop_open(e, out);

	if (err < 0)
		return err;
	if (e->failures < UINT16_MAX)
		e->failures++;
	e->phase = PHASE_WAIT;
	e->deadline = later(ev->now, delay);
	return tell_state(e, state, reason, delay, out);
}

static int give_up_closing(
	struct engine *e, const struct engine_event *ev, const char *reason, struct engine_actions *out)
{
	int err = action_plain(out, ENGINE_CLOSE);

	return err < 0 ? err : give_up(e, ev, MSG_OFFLINE, reason, out);
}

/* Starts an attempt if there is a relay and a token. */
static int attempt(struct engine *e, const struct engine_event *ev, struct engine_actions *out)
{
	int err;

	e->deadline = ENGINE_NEVER;
	e->phase = PHASE_IDLE;
	if (!e->configured || e->token.len == 0)
		return OK;
	if (ev->now >= e->token_end) {
		buf_clear(&e->token);
		return tell_state(e, MSG_REFUSED, "delegation", 0, out);
	}
	e->phase = PHASE_CONNECT;
	e->deadline = later(ev->now, CONNECT_MS);
	err = action_plain(out, ENGINE_CONNECT);
	return err < 0 ? err : tell_state(e, MSG_CONNECTING, "", 0, out);
}

/* A new connection at once, whatever the phase. */
static int restart(struct engine *e, const struct engine_event *ev, struct engine_actions *out)
{
	int err = OK;

	if (e->phase == PHASE_CONNECT || e->phase == PHASE_VERIFY || e->phase == PHASE_ONLINE ||
		e->phase == PHASE_HEALTH)
		err = action_plain(out, ENGINE_CLOSE);
	if (err == OK)
		err = drop_open(e, out);
	e->failures = 0;
	return err < 0 ? err : attempt(e, ev, out);
}

static int send_frame(struct engine *e, const char *method, bool request, char id_kind, struct bytes param_key,
	struct bytes param_text, struct engine_actions *out)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT_SECRET(ENGINE_HEADROOM + 2 * TOKEN_MAX_TEXT);
	struct cbor_enc enc = cbor_enc_init(&b);
	uint8_t *headroom;
	char id[24];
	int err = buf_grow(&b, ENGINE_HEADROOM, &headroom);

	if (err < 0)
		return err;
	memset(headroom, 0, ENGINE_HEADROOM);
	if (request) {
		int n = snprintf(id, sizeof id, "%c%" PRIu64, id_kind, ++e->serial);

		frame_begin_request(&enc, bytes_of(id, (size_t)n), bytes_str(method));
	} else {
		frame_begin_notification(&enc, bytes_str(method));
	}
	cbor_put_map(&enc, 1);
	cbor_put_text_n(&enc, (const char *)param_key.p, param_key.len);
	if (param_text.len)
		cbor_put_text_n(&enc, (const char *)param_text.p, param_text.len);
	else
		cbor_put_array(&enc, 0);
	err = cbor_enc_end(&enc);
	return err < 0 ? err : action_send(out, &b);
}

static int send_auth(struct engine *e, struct engine_actions *out)
{
	return send_frame(e, "auth", false, 0, bytes_str("token"), buf_bytes(&e->token), out);
}

static int send_refresh(struct engine *e, struct engine_actions *out)
{
	return send_frame(e, "token.refresh", true, 'r', bytes_str("token"), buf_bytes(&e->token), out);
}

/* An empty subscribe: costs the relay nothing and is answered only after a good auth. */
static int send_probe(struct engine *e, struct engine_actions *out)
{
	return send_frame(e, "subscribe", true, 'p', bytes_str("spaces"), bytes_of(NULL, 0), out);
}

static int on_delegation(struct engine *e, const struct engine_event *ev, struct engine_actions *out)
{
	int err;

	buf_clear(&e->token);
	if (ev->data.len == 0) {
		if (e->phase == PHASE_WAIT || e->phase == PHASE_IDLE) {
			e->phase = PHASE_IDLE;
			e->deadline = ENGINE_NEVER;
			return tell_state(e, MSG_REFUSED, "delegation", 0, out);
		}
		return OK;
	}
	err = buf_put(&e->token, ev->data.p, ev->data.len);
	if (err < 0)
		return err;
	e->token_end = later(ev->now, ev->life_ms);
	if (e->phase == PHASE_ONLINE)
		return send_refresh(e, out);
	if (e->phase == PHASE_WAIT || e->phase == PHASE_IDLE)
		return restart(e, ev, out);
	return OK;
}

static int on_config(struct engine *e, const struct engine_event *ev, struct engine_actions *out)
{
	e->configured = true;
	if (!ev->changed && e->phase != PHASE_WAIT && e->phase != PHASE_IDLE)
		return OK;
	return restart(e, ev, out);
}

static int on_network(struct engine *e, const struct engine_event *ev, struct engine_actions *out)
{
	if (e->phase == PHASE_WAIT) {
		/* Interfaces change in bursts: one attempt, shortly after the first sign. */
		e->failures = 0;
		e->deadline = min_u64(e->deadline, later(ev->now, ENGINE_BACKOFF_MIN_MS));
		return OK;
	}
	if (e->phase != PHASE_ONLINE || e->probe_end != ENGINE_NEVER)
		return OK;
	e->probe_end = later(ev->now, PROBE_MS);
	return send_probe(e, out);
}

static int on_opened(struct engine *e, const struct engine_event *ev, struct engine_actions *out)
{
	int err;

	if (e->phase != PHASE_CONNECT)
		return OK;
	if (e->token.len == 0) {
		err = action_plain(out, ENGINE_CLOSE);
		return err < 0 ? err : give_up(e, ev, MSG_REFUSED, "delegation", out);
	}
	e->phase = PHASE_VERIFY;
	e->deadline = later(ev->now, VERIFY_MS);
	err = send_auth(e, out);
	return err < 0 ? err : send_probe(e, out);
}

/* What answered the upgrade may be no relay at all; a proxy in front of a sleeping relay is no reason to call a person. */
static int on_answered(struct engine *e, const struct engine_event *ev, struct engine_actions *out)
{
	if (e->phase != PHASE_CONNECT)
		return OK;
	if (ev->status >= 500 || ev->status == 408 || ev->status == 425 || ev->status == 429)
		return give_up(e, ev, MSG_OFFLINE, "busy", out);
	e->answered = ev->status;
	e->phase = PHASE_HEALTH;
	e->deadline = later(ev->now, HEALTH_MS);
	return action_plain(out, ENGINE_HEALTH);
}

static int on_health(struct engine *e, const struct engine_event *ev, struct engine_actions *out)
{
	if (e->phase != PHASE_HEALTH)
		return OK;
	if (ev->status == 0)
		return give_up(e, ev, MSG_OFFLINE, "unreachable", out);
	if (ev->status >= 500)
		return give_up(e, ev, MSG_OFFLINE, "busy", out);
	if (ev->status != 200 || ev->version == 0)
		return give_up(e, ev, MSG_REFUSED, "not-a-relay", out);
	if (ev->version != PROTOCOL_VERSION || e->answered == 101)
		return give_up(e, ev, MSG_REFUSED, "version", out);
	/* A relay that is well, behind a proxy that does not pass WebSockets on. */
	return give_up(e, ev, MSG_REFUSED, "no-websocket", out);
}

static int on_closed(struct engine *e, const struct engine_event *ev, struct engine_actions *out)
{
	if (e->phase != PHASE_VERIFY && e->phase != PHASE_ONLINE && e->phase != PHASE_CONNECT)
		return OK;
	switch (ev->code) {
	case 4000:
		/* Too slow is not the same as wrong. */
		if (bytes_equal(ev->data, bytes_str("auth timeout")))
			return give_up(e, ev, MSG_OFFLINE, "timeout", out);
		return give_up(e, ev, MSG_REFUSED, "auth", out);
	case 4002:
		return give_up(e, ev, MSG_REFUSED, "forbidden", out);
	case 4003:
		return give_up(e, ev, MSG_OFFLINE, "too-many", out);
	case 4006:
		return give_up(e, ev, MSG_OFFLINE, "replaced", out);
	case 4007:
		return give_up(e, ev, MSG_OFFLINE, "busy", out);
	default:
		return give_up(e, ev, MSG_OFFLINE, "closed", out);
	}
}

/* The answer to the engine's own request. Any answer proves that the relay took the token. */
static int on_own_response(
	struct engine *e, const struct engine_event *ev, const struct frame *f, struct engine_actions *out)
{
	struct bytes ok;
	struct cbor_dec d;

	if (f->id.p[0] == 'p') {
		e->probe_end = ENGINE_NEVER;
		if (e->phase != PHASE_VERIFY)
			return OK;
		e->phase = PHASE_ONLINE;
		e->deadline = ENGINE_NEVER;
		e->failures = 0;
		e->connection++;
		return tell_state(e, MSG_ONLINE, "", 0, out);
	}
	if (e->phase != PHASE_ONLINE)
		return OK;
	if (!f->is_error && cbor_map_find(f->value, CBOR_RPC, "ok", &ok) == OK) {
		d = cbor_dec_init_rpc(ok);
		if (cbor_get_bool(&d) && cbor_dec_end(&d) == OK)
			return OK;
	}
	/* The new token was not taken: the full auth of a new connection says why. */
	return give_up_closing(e, ev, "closed", out);
}

static int on_frame(struct engine *e, const struct engine_event *ev, const struct frame *f, struct engine_actions *out)
{
	const struct msg notify = { .type = MSG_NOTIFY, .text = f->name, .item = f->value };

	switch (f->type) {
	case FRAME_NOTIFICATION:
		return e->phase == PHASE_ONLINE ? action_tell(out, &notify) : OK;
	case FRAME_RESPONSE:
		if (f->id.len > 1 && (f->id.p[0] == 'p' || f->id.p[0] == 'r'))
			return on_own_response(e, ev, f, out);
		return calls_frame(e->calls, f, ev->now, out);
	case FRAME_CHUNK:
		return calls_frame(e->calls, f, ev->now, out);
	default:
		return OK;
	}
}

/* A relay that speaks is there; an answer that is due may still stand behind what it says. */
static void heard(struct engine *e, const struct engine_event *ev)
{
	e->heard = ev->now;
	if (e->probe_end != ENGINE_NEVER)
		e->probe_end = later(ev->now, PROBE_MS);
}

static int on_message(struct engine *e, const struct engine_event *ev, struct engine_actions *out)
{
	struct frame f;
	int err;

	if (e->phase != PHASE_VERIFY && e->phase != PHASE_ONLINE)
		return OK;
	heard(e, ev);
	if (frame_is_keepalive(ev->data))
		return OK;
	err = frame_decode(ev->data, &f);
	if (err == ERR_NOMEM)
		return err;
	if (err < 0)
		return give_up_closing(e, ev, "bad-frame", out);
	return on_frame(e, ev, &f, out);
}

static int on_timer(struct engine *e, const struct engine_event *ev, struct engine_actions *out)
{
	int err;

	if (ev->now < engine_deadline(e))
		return OK;
	switch (e->phase) {
	case PHASE_IDLE:
		return OK;
	case PHASE_WAIT:
		return attempt(e, ev, out);
	case PHASE_HEALTH:
		err = action_plain(out, ENGINE_CLOSE);
		return err < 0 ? err : give_up(e, ev, MSG_OFFLINE, "timeout", out);
	case PHASE_ONLINE:
		if (ev->now >= later(calls_since(e->calls), STUCK_MS))
			return give_up_closing(e, ev, "stuck", out);
		return give_up_closing(e, ev, "timeout", out);
	default:
		return give_up_closing(e, ev, "timeout", out);
	}
}

static int on_ipc(struct engine *e, const struct engine_event *ev, struct engine_actions *out)
{
	const struct msg *m = ev->msg;

	if (m->type == MSG_CANCEL) {
		calls_cancel(e->calls, m->num);
		return jobs_cancel(e->jobs, m->num, buf_bytes(&e->token), out);
	}
	if (m->type != MSG_CALL && m->type != MSG_PUT && m->type != MSG_GET)
		return ERR_INVALID;
	if (calls_has(e->calls, m->num) || jobs_has(e->jobs, m->num))
		return ERR_INVALID;
	if (e->phase != PHASE_ONLINE)
		return action_tell_code(out, m->num, "offline");
	if (m->type == MSG_CALL)
		return calls_add(e->calls, m, ev->now, out);
	return jobs_add(e->jobs, m, buf_bytes(&e->token), out);
}

int engine_step(struct engine *e, const struct engine_event *ev, struct engine_actions *out)
{
	switch (ev->kind) {
	case ENGINE_CONFIG:
		return on_config(e, ev, out);
	case ENGINE_DELEGATION:
		return on_delegation(e, ev, out);
	case ENGINE_OPENED:
		e->heard = ev->now;
		return on_opened(e, ev, out);
	case ENGINE_ANSWERED:
		return on_answered(e, ev, out);
	case ENGINE_FAILED:
		return e->phase == PHASE_CONNECT ? give_up(e, ev, MSG_OFFLINE, ev->reason, out) : OK;
	case ENGINE_CLOSED:
		return on_closed(e, ev, out);
	case ENGINE_MESSAGE:
		return on_message(e, ev, out);
	case ENGINE_HEARD:
		heard(e, ev);
		calls_progress(e->calls, ev->now);
		return OK;
	case ENGINE_HTTP_DONE:
		return jobs_done(e->jobs, ev->num, ev->reason, ev->data, buf_bytes(&e->token), out);
	case ENGINE_HEALTH_DONE:
		return on_health(e, ev, out);
	case ENGINE_NETWORK:
		return on_network(e, ev, out);
	case ENGINE_TIMER:
		return on_timer(e, ev, out);
	case ENGINE_IPC:
		return on_ipc(e, ev, out);
	}
	return ERR_INTERNAL;
}
