/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl tells which sockets it wants watched (on_socket) and when it wants to be called (on_timer); poller.c does that.
 * Each transfer is one easy handle; done ones are collected in http_turn, so that no callback of ours runs inside libcurl.
 */
#include "syncd/transport_http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "wire/chunk.h"

#define CONNECT_MS 10000L
#define STALL_S 30L
#define STALL_BYTES 1024L
#define HEALTH_MS 10000L
#define HEALTH_MAX 65536
#define TOKEN_MAX_TEXT 4096
#define UPLOAD_BUFFER (256L * 1024)

enum kind { KIND_PUT, KIND_GET, KIND_HEALTH };

struct transfer {
	struct http *http;
	struct transfer *next;
	enum kind kind;
	uint64_t num;
	CURL *easy;
	struct curl_slist *headers;
	struct buf body; /* PUT: the blob; else what came */
	bool too_long;
	unsigned version; /* X-Protocol-Version */
};

/* One of libcurl's sockets. */
struct watch {
	struct poll_source source;
	struct http *http;
};

struct http {
	const struct http_handler *handler;
	struct poller *poller;
	CURLM *multi;
	struct transfer *transfers;
	uint64_t deadline, sent, received;
	size_t held;
};

static void transfer_free(struct transfer *t)
{
	struct http *h = t->http;

	if (t->easy) {
		(void)curl_multi_remove_handle(h->multi, t->easy);
		curl_easy_cleanup(t->easy);
	}
	curl_slist_free_all(t->headers);
	h->held -= t->body.len;
	buf_release(&t->body);
	free(t);
}

static struct transfer *take(struct http *h, enum kind kind, uint64_t num)
{
	for (struct transfer **p = &h->transfers; *p; p = &(*p)->next) {
		struct transfer *t = *p;

		if ((t->kind == KIND_HEALTH) != (kind == KIND_HEALTH) || t->num != num)
			continue;
		*p = t->next;
		return t;
	}
	return NULL;
}

/* --- libcurl's sockets and timer ---------------------------------------------------------------------------------- */

static void socket_ready(void *ctx, uint32_t events)
{
	struct watch *w = ctx;
	int mask = 0, running;

	if (events & EPOLLIN)
		mask |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		mask |= CURL_CSELECT_ERR;
	/* May free w. Results come with http_turn. */
	(void)curl_multi_socket_action(w->http->multi, w->source.fd, mask, &running);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct http *h = ctx;
	struct watch *w = socket_ctx;
	uint32_t events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w)
			poller_end(h->poller, &w->source);
		free(w);
		(void)curl_multi_assign(h->multi, fd, NULL);
		return 0;
	}
	if (!w) {
		w = calloc(1, sizeof *w);
		if (!w)
			return -1;
		w->http = h;
		w->source = (struct poll_source){ .fd = fd, .ready = socket_ready, .ctx = w };
		(void)curl_multi_assign(h->multi, fd, w);
	}
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	return poller_watch(h->poller, &w->source, events) < 0 ? -1 : 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
	struct http *h = ctx;

	(void)multi;
	h->deadline = timeout_ms < 0 ? UINT64_MAX : poller_now() + (uint64_t)timeout_ms;
	return 0;
}

int http_new(const struct http_handler *handler, struct poller *p, struct http **ret_h)
{
	struct http *h = calloc(1, sizeof *h);

	if (!h)
		return ERR_NOMEM;
	h->handler = handler;
	h->poller = p;
	h->deadline = UINT64_MAX;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
		free(h);
		return ERR_INTERNAL;
	}
	h->multi = curl_multi_init();
	if (!h->multi) {
		http_free(h);
		return ERR_NOMEM;
	}
	(void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	(void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	(void)curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	(void)curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	(void)curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	(void)curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 16L);
	*ret_h = h;
	return OK;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	while (h->transfers) {
		struct transfer *t = h->transfers;

		h->transfers = t->next;
		transfer_free(t);
	}
	if (h->multi)
		(void)curl_multi_cleanup(h->multi);
	curl_global_cleanup();
	free(h);
}

/* --- one transfer ------------------------------------------------------------------------------------------------- */

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;

	n *= size;
	if (t->kind == KIND_PUT)
		return n; /* an answer to an upload says nothing beyond its status */
	if (buf_put(&t->body, p, n) < 0) {
		t->too_long = true;
		return 0;
	}
	t->http->held += n;
	return n;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
	static const char name[] = "x-protocol-version:";
	struct transfer *t = ctx;
	size_t len = size * n, i = sizeof name - 1;

	if (len < i || strncasecmp(p, name, i) != 0)
		return len;
	t->version = 0;
	while (i < len && p[i] == ' ')
		i++;
	for (; i < len && p[i] >= '0' && p[i] <= '9' && t->version < 1000; i++)
		t->version = t->version * 10 + (unsigned)(p[i] - '0');
	return len;
}

/* Sets the options that every transfer has. 0 or the number of options that libcurl refused. */
static int set_common(struct transfer *t, const char *url)
{
	const char *ca = getenv("SSL_CERT_FILE");
	CURL *c = t->easy;
	int bad = 0;

	bad += curl_easy_setopt(c, CURLOPT_URL, url) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_PRIVATE, t) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_PROXY, "") != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALL_S) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_BUFFERSIZE, UPLOAD_BUFFER) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_WRITEDATA, t) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_HEADERDATA, t) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->headers) != CURLE_OK;
	if (ca)
		bad += curl_easy_setopt(c, CURLOPT_CAINFO, ca) != CURLE_OK;
	return bad;
}

static int set_kind(struct transfer *t)
{
	CURL *c = t->easy;
	int bad = 0;

	if (t->kind == KIND_HEALTH)
		return curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, HEALTH_MS) != CURLE_OK;
	if (t->kind == KIND_GET)
		return curl_easy_setopt(c, CURLOPT_MAXFILESIZE, (long)CHUNK_MAX_BLOB) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_POST, 1L) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, "PUT") != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.len) != CURLE_OK;
	bad += curl_easy_setopt(c, CURLOPT_POSTFIELDS, (const char *)t->body.data) != CURLE_OK;
	return bad;
}

static int add_header(struct transfer *t, const char *line)
{
	struct curl_slist *l = curl_slist_append(t->headers, line);

	if (!l)
		return ERR_NOMEM;
	t->headers = l;
	return OK;
}

static int add_headers(struct transfer *t, struct bytes token)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT_SECRET(TOKEN_MAX_TEXT + 64);
	int err = add_header(t, "Expect:");

	if (err == OK && t->kind == KIND_PUT)
		err = add_header(t, "Content-Type: application/octet-stream");
	if (err < 0 || t->kind == KIND_HEALTH)
		return err;
	err = buf_put(&b, "Authorization: Bearer ", 22);
	if (err == OK)
		err = buf_put(&b, token.p, token.len);
	if (err == OK)
		err = buf_put_u8(&b, 0);
	return err < 0 ? err : add_header(t, (const char *)b.data);
}

static int start(struct http *h, enum kind kind, const char *url, const struct http_chunk *c, struct buf *blob)
{
	struct transfer *t = calloc(1, sizeof *t);
	int err;

	if (!t)
		return ERR_NOMEM;
	t->http = h;
	t->kind = kind;
	t->num = c ? c->num : 0;
	t->body = (struct buf)BUF_INIT(kind == KIND_HEALTH ? HEALTH_MAX : CHUNK_MAX_BLOB);
	if (blob) {
		t->body = *blob;
		*blob = (struct buf){ .cap = blob->cap };
		h->held += t->body.len;
	}
	t->easy = curl_easy_init();
	err = t->easy ? add_headers(t, c ? c->token : bytes_of(NULL, 0)) : ERR_NOMEM;
	if (err == OK && (set_common(t, url) != 0 || set_kind(t) != 0))
		err = ERR_NOMEM;
	if (err == OK && curl_multi_add_handle(h->multi, t->easy) != CURLM_OK)
		err = ERR_NOMEM;
	if (err < 0) {
		transfer_free(t);
		return err;
	}
	t->next = h->transfers;
	h->transfers = t;
	return OK;
}

static void chunk_url(const struct relay_url *url, const struct http_chunk *c, char *out, size_t size)
{
	char space[ID16_TEXT_SIZE], chunk[ID16_TEXT_SIZE];

	id16_format(&c->space, space);
	id16_format(&c->chunk, chunk);
	snprintf(out, size, "%s%s/api/v1/coffer/spaces/%s/chunks/%s", url->origin, url->prefix, space, chunk);
}

#define URL_SIZE (2 * RELAY_URL_MAX + 256)

int http_put(struct http *h, const struct relay_url *url, const struct http_chunk *c, struct buf *blob)
{
	char text[URL_SIZE];

	chunk_url(url, c, text, sizeof text);
	return start(h, KIND_PUT, text, c, blob);
}

int http_get(struct http *h, const struct relay_url *url, const struct http_chunk *c)
{
	char text[URL_SIZE];

	chunk_url(url, c, text, sizeof text);
	return start(h, KIND_GET, text, c, NULL);
}

int http_health(struct http *h, const struct relay_url *url)
{
	char text[URL_SIZE];

	snprintf(text, sizeof text, "%s%s/health", url->origin, url->prefix);
	return start(h, KIND_HEALTH, text, NULL, NULL);
}

void http_abort(struct http *h, uint64_t num)
{
	struct transfer *t = take(h, KIND_GET, num);

	if (t)
		transfer_free(t);
}

void http_abort_health(struct http *h)
{
	struct transfer *t = take(h, KIND_HEALTH, 0);

	if (t)
		transfer_free(t);
}

uint64_t http_deadline(const struct http *h)
{
	return h->deadline;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static const char *code_of(const struct transfer *t, CURLcode result, long status)
{
	if (t->too_long || result == CURLE_FILESIZE_EXCEEDED)
		return "bad_response";
	if (result != CURLE_OK)
		return "offline";
	switch (status) {
	case 200:
		return t->kind == KIND_GET ? "" : "bad_response";
	case 201:
	case 204:
		return t->kind == KIND_PUT ? "" : "bad_response";
	case 401:
		return "unauthorized";
	case 403:
		return "forbidden";
	case 404:
		return "not_found";
	case 409:
		return "conflict";
	case 413:
		return "payload_too_large";
	case 429:
		return "rate_limited";
	case 502:
	case 503:
	case 504:
		return "offline";
	case 507:
		return "storage_full";
	default:
		return "bad_response";
	}
}

static void finish(struct http *h, struct transfer *t, CURLcode result)
{
	curl_off_t up = 0, down = 0;
	long status = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &up);
	(void)curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
	h->sent += (uint64_t)up;
	h->received += (uint64_t)down;
	if (result != CURLE_OK)
		log_debug("transfer failed: %s", curl_easy_strerror(result));
	if (t->kind == KIND_HEALTH)
		h->handler->health(h->handler->ctx, result == CURLE_OK ? (unsigned)status : 0, t->version);
	else
		h->handler->done(h->handler->ctx, t->num, code_of(t, result, status),
			t->kind == KIND_GET ? buf_bytes(&t->body) : bytes_of(NULL, 0));
}

void http_turn(struct http *h)
{
	struct CURLMsg *m;
	int left, running;

	if (poller_now() >= h->deadline) {
		h->deadline = UINT64_MAX;
		(void)curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	while ((m = curl_multi_info_read(h->multi, &left))) {
		struct transfer *t = NULL;
		CURLcode result = m->data.result;

		if (m->msg != CURLMSG_DONE || curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t) != CURLE_OK || !t)
			continue;
		/* Off the list first: the handler may start and abort others. */
		(void)take(h, t->kind, t->num);
		finish(h, t, result);
		transfer_free(t);
	}
}

size_t http_held(const struct http *h)
{
	return h->held;
}

uint64_t http_sent(const struct http *h)
{
	return h->sent;
}

uint64_t http_received(const struct http *h)
{
	return h->received;
}
