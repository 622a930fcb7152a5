/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine: what coffer-syncd does, as a pure state machine: (state, event) -> actions. No clock, socket, disk or
 * randomness of its own; carrier.c feeds it and carries out what it asks for.
 *
 *	idle -> connect -> verify -> online          (idle: no CONFIG or no valid delegation yet)
 *	any failure -> wait (back-off with jitter, 0.2 s to 60 s) -> connect
 *	upgrade answered by something else -> health -> wait
 *
 * `verify`: the auth notification has no reply, so an empty subscribe goes behind it; its response is the proof of an
 * authenticated exchange. Only that makes the state online and resets the back-off. When a connection ends, every open
 * CALL, PUT and GET is answered "offline"; nothing is retried here.
 *
 * Reasons in STATE (tokens): offline: "name" "unreachable" "tls" "timeout" "closed" "replaced" "too-many" "busy"
 * "bad-frame" "stuck"; refused (a person has to look; tried again every minute): "auth" "forbidden" "not-a-relay"
 * "version" "no-websocket" "delegation". Codes in RESULT: "" or the relay's own; here made: "offline", "busy" (more
 * than ENGINE_MAX_OPEN open).
 */
#ifndef COFFER_SYNCD_ENGINE_H
#define COFFER_SYNCD_ENGINE_H

#include "wire/msg.h"

#define ENGINE_MAX_OPEN 256     /* calls, and as many HTTP jobs; one more is answered "busy" */
#define ENGINE_MAX_IN_FLIGHT 32 /* calls that the relay has; the others wait here */
#define ENGINE_MAX_HTTP 8       /* HTTP requests at once, */
#define ENGINE_MAX_PUTS 6       /* of them uploads, so that a read never waits behind uploads */
#define ENGINE_HEADROOM 32      /* free bytes in front of a frame in ENGINE_SEND */
#define ENGINE_NEVER UINT64_MAX
#define ENGINE_SILENCE_MS 75000 /* a relay that says nothing for so long is gone (it sends a keepalive every 30 s) */
#define ENGINE_BACKOFF_MIN_MS 200
#define ENGINE_BACKOFF_MAX_MS 60000

enum engine_event_kind {
	ENGINE_CONFIG,      /* `changed`: another relay than before */
	ENGINE_DELEGATION,  /* data: token text, life_ms: how long it is good; empty data: it cannot be used */
	ENGINE_OPENED,      /* the WebSocket is open with the right subprotocol */
	ENGINE_ANSWERED,    /* the upgrade was answered otherwise: status, or 101 without the subprotocol */
	ENGINE_FAILED,      /* no connection: reason token */
	ENGINE_CLOSED,      /* code (0 if none), data: the relay's reason */
	ENGINE_MESSAGE,     /* data: one whole message */
	/* a part of a message came, bytes sent are still on their way, or reading is paused on purpose */
	ENGINE_HEARD,
	ENGINE_HTTP_DONE,   /* num, reason: code of the RESULT, data of a GET */
	ENGINE_HEALTH_DONE, /* status of GET /health (0: none), version: its X-Protocol-Version (0: none) */
	ENGINE_NETWORK,     /* a network interface or address changed */
	ENGINE_TIMER,       /* the deadline passed */
	ENGINE_IPC          /* msg: CALL, PUT, GET or CANCEL */
};

struct engine_event {
	enum engine_event_kind kind;
	uint64_t now;    /* ms, never going back, counting suspend */
	uint32_t random; /* fresh */
	struct bytes data;
	const struct msg *msg;
	const char *reason;
	uint64_t num, life_ms;
	unsigned status, code, version;
	bool changed;
};

enum engine_action_kind {
	ENGINE_CONNECT, /* to the configured relay; answered by OPENED, ANSWERED, FAILED */
	ENGINE_CLOSE,   /* drop the connection or the attempt; no event of it comes any more */
	ENGINE_SEND,    /* buf: ENGINE_HEADROOM bytes, then a message */
	ENGINE_PUT,     /* num, space, chunk, buf: blob, token; answered by HTTP_DONE */
	ENGINE_GET,     /* num, space, chunk, token; answered by HTTP_DONE */
	ENGINE_ABORT,   /* num: no HTTP_DONE comes any more */
	ENGINE_HEALTH,  /* GET /health; answered by HEALTH_DONE */
	/* msg to coffer-fs; its views live until the next engine_step, or as long as the event's data */
	ENGINE_TELL
};

struct engine_action {
	enum engine_action_kind kind;
	struct buf buf; /* owned by the list; the driver may buf_steal it */
	struct msg msg;
	uint64_t num;
	struct id16 space, chunk;
	struct bytes token; /* text, until the next engine_step */
};

/* Cleared by the caller between steps; zero-initialised is empty. */
struct engine_actions {
	struct engine_action *v;
	size_t n, alloc;
};

void engine_actions_clear(struct engine_actions *a); /* keeps the array */
void engine_actions_release(struct engine_actions *a);

struct engine;

/* ERR_NOMEM. Free with engine_free(). */
int engine_new(struct engine **ret_e) MUST_CHECK;
void engine_free(struct engine *e); /* NULL is fine */
void engine_freep(struct engine **pe);

/* One step; appends to *out, in order. ERR_NOMEM, or ERR_INVALID if coffer-fs broke the contract (a number used twice):
 * the process should end then. Whatever the relay sends gives OK. */
int engine_step(struct engine *e, const struct engine_event *ev, struct engine_actions *out) MUST_CHECK;

/* When ENGINE_TIMER is due, or ENGINE_NEVER. */
uint64_t engine_deadline(const struct engine *e);

/* Bytes of requests that wait here. */
size_t engine_held(const struct engine *e);

bool engine_online(const struct engine *e);

#endif
