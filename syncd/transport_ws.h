/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_ws: one WebSocket connection to the relay, and the outer loop of the process (libwebsockets' own poll loop;
 * the only file of coffer-syncd that knows that library).
 *
 *	ws_new -> ws_run { ws_connect -> opened | answered | failed; ws_send, message...; closed } until ws_stop
 *
 * The functions of the handler are called from ws_run only, never from inside ws_connect or ws_close. After ws_close
 * none of that connection comes any more. Messages over FRAME_MAX, text messages and compressed ones end the
 * connection.
 */
#ifndef COFFER_SYNCD_TRANSPORT_WS_H
#define COFFER_SYNCD_TRANSPORT_WS_H

#include "base/buf.h"
#include "wire/relay_url.h"

struct ws;

struct ws_handler {
	void *ctx;
	void (*opened)(void *ctx);
	/* HTTP status instead of the upgrade; 101: without our subprotocol */
	void (*answered)(void *ctx, unsigned status);
	void (*failed)(void *ctx, const char *reason);   /* token of engine.h; static */
	void (*closed)(void *ctx, unsigned code, struct bytes reason);
	void (*message)(void *ctx, struct bytes message); /* valid during the call */
	void (*heard)(void *ctx);                         /* a part of a message */
	void (*watched)(void *ctx);                       /* watch_fd is readable */
	void (*turned)(void *ctx);                        /* after each round of the loop */
};

/* The handler outlives ws. ERR_NOMEM, ERR_IO. */
int ws_new(const struct ws_handler *handler, int watch_fd, struct ws **ret_w) MUST_CHECK;
void ws_free(struct ws *w);

/* Serves until ws_stop. */
void ws_run(struct ws *w);
void ws_stop(struct ws *w);

/* Starts a connection to `address` (numeric) as url->host; one that there is is closed. */
void ws_connect(struct ws *w, const struct relay_url *url, const char *address);
void ws_close(struct ws *w);

/* Queues one message: `headroom` bytes (at least 16) that may be overwritten, then the message. Takes the memory. */
int ws_send(struct ws *w, struct buf *b, size_t headroom) MUST_CHECK;

/* Stops or resumes reading; a few messages already read may still come. */
void ws_pause(struct ws *w, bool paused);

size_t ws_unsent(const struct ws *w);       /* bytes queued here */
/* True while bytes are on their way to the relay that it has not acknowledged. Such a connection ends by itself if that
 * stays so. */
bool ws_sending(const struct ws *w);
uint64_t ws_sent(const struct ws *w);       /* bytes since start, and received */
uint64_t ws_received(const struct ws *w);

#endif
