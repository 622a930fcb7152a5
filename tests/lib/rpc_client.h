/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc_client: a small blocking client of a relay, over a plain socket: the WebSocket handshake and frames, requests and
 * what comes back, and HTTP requests as raw text. Every wait has a deadline after which the test fails.
 *
 *	struct rpc_client c;
 *	rpc_open(&c, port); rpc_auth(&c, party, url);
 *	struct reply r = rpc_call(&c, "coffer.push", &params);      // params is released
 *	assert_true(reply_ok(&r)); reply_release(&r);
 *	rpc_close(&c);
 */
#ifndef COFFER_TESTS_LIB_RPC_CLIENT_H
#define COFFER_TESTS_LIB_RPC_CLIENT_H

#include "tests/lib/sealed.h"
#include "wire/frame.h"

#define RPC_DEADLINE_S 20

struct rpc_client {
	int fd;
	struct buf in;      /* bytes not yet taken */
	struct buf message; /* the last message */
	unsigned next_id;
	struct buf notices; /* notifications that came while waiting: u32 big-endian length, frame */
};

/* A socket connected to the relay from this address of loopback ("127.0.0.2"), with the deadline set; close() ends
 * it. */
int rpc_dial(const char *from, uint16_t port);
/* Connects and upgrades, from 127.0.0.1 / from another address of loopback. */
void rpc_open(struct rpc_client *c, uint16_t port);
void rpc_open_from(struct rpc_client *c, const char *from, uint16_t port);
/* With further header lines, each with its CRLF, in the request to upgrade. */
void rpc_open_saying(struct rpc_client *c, const char *from, uint16_t port, const char *headers);
/* False if no relay answers there (one that is killed). */
bool rpc_try_open(struct rpc_client *c, uint16_t port);
void rpc_close(struct rpc_client *c);
/* Appends a token of this party's device for the relay. */
void rpc_token(const struct party *p, const char *url, struct buf *ret_token);
void rpc_auth(struct rpc_client *c, const struct party *p, const char *url);

/* One masked message / anything at all. */
void rpc_send(struct rpc_client *c, struct bytes message, bool binary);
void rpc_send_request(struct rpc_client *c, const char *method, struct bytes params);
/* The next message that is no keep-alive: 0, the close code if the relay closed, or -1 if it just hung up. */
int rpc_receive(struct rpc_client *c, struct bytes *ret_message);
/* Waits until the relay closes; its code. */
int rpc_wait_close(struct rpc_client *c);

struct reply {
	struct buf frames; /* chunk frames: u32 length, frame */
	struct buf raw;    /* the response */
	struct frame f;
	size_t chunks;
};

struct reply rpc_call(struct rpc_client *c, const char *method, struct buf *params);
/* The response to an earlier request; the requests of one lane are answered in their order. */
struct reply rpc_reply(struct rpc_client *c);
/* The same, but 0, or what rpc_receive says when the relay has gone. */
int rpc_try_reply(struct rpc_client *c, struct reply *ret);
/* The chunk frame at *at, which goes on to the next; false behind the last. */
bool reply_chunk(const struct reply *r, size_t *at, struct frame *ret_f);
void reply_release(struct reply *r);
bool reply_ok(const struct reply *r);
bool reply_refused(const struct reply *r, const char *code);
uint64_t reply_uint(const struct reply *r, const char *key);

/* The next notification (one that came already, or waits for it). Views until the next call. */
struct frame rpc_notice(struct rpc_client *c);

/* Sends text over a connection of its own and appends all that comes until the relay closes (or, if the answer has a
 * Content-Length, until it is complete). Returns the HTTP status, 0 if none came or nobody listens. */
int http_raw(uint16_t port, struct bytes request, struct buf *ret_answer);
/* A request with a token; body may be empty. `extra`: further header lines, or "". */
int http_chunk(uint16_t port, const char *verb, const struct party *p, const char *url, const struct id16 *space,
	const struct id16 *chunk, const char *extra, struct bytes body, struct buf *ret_answer);

#endif
