/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_http: uploads and downloads of chunks, and GET /health, on libcurl's multi interface (its only user in
 * coffer-syncd). Connections are kept and shared; no redirects, no proxies, no other schemes than http and https.
 *
 * An answer is one code: "" (done), "not_found", "conflict" (409: the relay has other bytes under this id),
 * "unauthorized", "forbidden", "storage_full", "payload_too_large", "rate_limited", "offline" (no answer),
 * "bad_response" (anything else, also a download of more than CHUNK_MAX_BLOB bytes).
 */
#ifndef COFFER_SYNCD_TRANSPORT_HTTP_H
#define COFFER_SYNCD_TRANSPORT_HTTP_H

#include "base/buf.h"
#include "base/id.h"
#include "syncd/poller.h"
#include "wire/relay_url.h"

struct http;

struct http_handler {
	void *ctx;
	/* `data` is valid during the call, `code` is static. Never called from inside a function below but
	 * http_turn. */
	void (*done)(void *ctx, uint64_t num, const char *code, struct bytes data);
	/* status 0: no answer. version: X-Protocol-Version, 0 if absent or no number. */
	void (*health)(void *ctx, unsigned status, unsigned version);
};

struct http_chunk {
	uint64_t num;
	struct id16 space, chunk;
	struct bytes token; /* text, copied */
};

/* handler and poller outlive http. ERR_NOMEM, ERR_INTERNAL (libcurl does not start). */
int http_new(const struct http_handler *handler, struct poller *p, struct http **ret_h) MUST_CHECK;
void http_free(struct http *h);

/* Takes blob's memory. ERR_NOMEM. */
int http_put(struct http *h, const struct relay_url *url, const struct http_chunk *c, struct buf *blob) MUST_CHECK;
int http_get(struct http *h, const struct relay_url *url, const struct http_chunk *c) MUST_CHECK;
int http_health(struct http *h, const struct relay_url *url) MUST_CHECK;

/* No `done` comes for it any more. */
void http_abort(struct http *h, uint64_t num);
void http_abort_health(struct http *h);

/* When http_turn must be called again at the latest (poller_now's clock); UINT64_MAX: not. */
uint64_t http_deadline(const struct http *h);

/* Runs what is due and reports what is done; also to be called after the poller dispatched. */
void http_turn(struct http *h);

size_t http_held(const struct http *h); /* bytes of blobs being uploaded and downloaded */
uint64_t http_sent(const struct http *h);
uint64_t http_received(const struct http *h);

#endif
