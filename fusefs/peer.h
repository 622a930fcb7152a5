/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer: one coffer-syncd process and the socket to it: the only way from here to one relay.
 *
 *	peer_new(&config, &p);                    // nothing runs yet
 *	loop: poll(peer_fd(p), peer_events(p), until peer_deadline(p)); peer_run(p, revents, now);
 *	peer_call(p, "coffer.pull", params, &answer, &num); ... answer.result(...) ... peer_cancel(p, num);
 *	peer_free(&p);
 *
 * Starts the process when first run, and again, with back-off, when it ends. The device delegates to the process's
 * throw-away key for at most an hour, renewed at half time. Every call ends with exactly one `result` (ERR_OFFLINE if
 * the connection or the process was lost), unless it was cancelled. Never blocks: what a stopped process does not read
 * is queued up to PEER_MAX_QUEUED bytes (peer_room), then calls are refused with ERR_AGAIN.
 *
 * Not thread-safe: all calls and callbacks are on the thread that runs the loop. Callbacks may make and cancel calls.
 */
#ifndef COFFER_FUSEFS_PEER_H
#define COFFER_FUSEFS_PEER_H

#include "base/env.h"
#include "crypto/identity.h"
#include "wire/msg.h"

#define PEER_MAX_QUEUED (16u << 20)

struct peer;

struct peer_config {
	const struct env *env;
	const struct identity *who; /* outlives the peer */
	const char *program;        /* path of coffer-syncd */
	const char *relay;          /* URL */
	void *ctx;
	void (*state)(void *ctx, struct peer *p); /* peer_state changed, or the connection is another */
	void (*notify)(void *ctx, struct peer *p, struct bytes method, struct bytes params);
};

/* Where the answer of one call goes. part and data may be NULL; result may not. Views are valid during the callback. */
struct peer_answer {
	void *ctx;
	void (*part)(void *ctx, struct bytes name, struct bytes data);
	void (*data)(void *ctx, struct bytes data); /* of peer_get, before its result */
	/* err 0 and the result item; or an error and the relay's code text (empty if it came from nearer). */
	void (*result)(void *ctx, int err, struct bytes code, struct bytes item);
};

int peer_new(const struct peer_config *config, struct peer **ret_p) MUST_CHECK;
/* Ends the process; open calls end with ERR_CANCELLED. NULL is fine. */
void peer_free(struct peer **p);

int peer_fd(const struct peer *p);             /* -1: none now */
short peer_events(const struct peer *p);
int64_t peer_deadline(const struct peer *p);   /* monotonic ns of the next thing to do by time; INT64_MAX: none */
void peer_run(struct peer *p, short revents, int64_t now);

/* *ret_num (may be NULL) names the call for peer_cancel. ERR_AGAIN: the queue is full; ERR_NOMEM, ERR_RANGE. Not an
 * error while offline: the process answers "offline". */
int peer_call(struct peer *p, const char *method, struct bytes params, const struct peer_answer *a, uint64_t *ret_num)
	MUST_CHECK;
int peer_put(struct peer *p, const struct id16 *space, const struct id16 *chunk, struct bytes blob,
	     const struct peer_answer *a, uint64_t *ret_num) MUST_CHECK;
int peer_get(struct peer *p, const struct id16 *space, const struct id16 *chunk, const struct peer_answer *a,
	     uint64_t *ret_num) MUST_CHECK;
/* Its callbacks are not called any more. */
void peer_cancel(struct peer *p, uint64_t num);

/* Somebody waits for this relay: tries to reach it now instead of after the back-off; at most once a second. */
void peer_hurry(struct peer *p);

size_t peer_room(const struct peer *p);        /* bytes that the queue still takes */
bool peer_online(const struct peer *p);
enum msg_state peer_state(const struct peer *p);
uint64_t peer_connection(const struct peer *p); /* counts; another one needs new subscriptions */
const char *peer_relay(const struct peer *p);
const char *peer_reason(const struct peer *p);  /* why offline or refused, with the next try; "" if none */
void peer_traffic(const struct peer *p, uint64_t *ret_sent, uint64_t *ret_received);

/* The enum err of a relay's or coffer-syncd's code text; 0 for the empty one. */
int peer_error(struct bytes code);

#endif
