/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http.h"

#include <stdlib.h>
#include <sys/socket.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "server/auth.h"
#include "server/http_file.h"
#include "server/request.h"
#include "server/rpc.h"
#include "wire/chunk.h"

#define SECOND 1000000000ll
#define FEDERATION_PATH "/api/v1/federation/ws"
#define CHUNK_ROUTE "/api/v1/coffer/spaces/"

static struct request **find_request(struct net *n, uint64_t id)
{
	struct request **r = &n->requests[id % NET_BUCKETS];

	while (*r && (*r)->id != id)
		r = &(*r)->next;
	return r;
}

static struct request *request_open(struct net *n, struct lws *wsi)
{
	struct request *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	*r = (struct request){ .net = n,
		.wsi = wsi,
		.id = n->next_id++,
		.in = BUF_INIT(CHUNK_MAX_BLOB),
		.out = BUF_INIT(4u << 20),
		.type = "application/json" };
	r->started = r->moved = n->relay->env->mono_ns(n->relay->env->ctx);
	r->next = n->requests[r->id % NET_BUCKETS];
	n->requests[r->id % NET_BUCKETS] = r;
	n->n_requests++;
	return r;
}

static void upload_ends(struct request *r)
{
	if (r->uploading)
		r->net->n_uploads--;
	r->uploading = false;
	peers_close(r->net->uploaders, STEAL(&r->uploads));
	buf_release(&r->in);
}

static void request_free(struct request *r)
{
	struct request **at;

	if (!r)
		return;
	at = find_request(r->net, r->id);
	*at = r->next;
	r->net->n_requests--;
	upload_ends(r);
	upload_free(r->net->relay, r->upload);
	job_free(r->net->relay, r->parked);
	peers_close(r->net->askers, r->asks);
	caller_unref(r->caller);
	buf_release(&r->out);
	free(r);
}

/* The client has gone. What is worked on for it stays counted until it is back: else one who goes away in time has any number of
 * bodies waiting for a slow disk. */
static void request_leave(struct request *r)
{
	if (r && r->phase == PHASE_WORK)
		r->wsi = NULL;
	else
		request_free(r);
}

/* While a request is worked on nothing is read: the library would look again and again at what waits on the socket. (Nor does
 * it write to a socket that is not read, so this ends with the answer.) */
static void hear(struct request *r, bool on)
{
	if (r->deaf != on)
		return;
	r->deaf = !on;
	lws_rx_flow_control(r->wsi, on);
}

/* The time for the next piece starts again. */
static void expect_more(struct request *r)
{
	const struct env *env = r->net->relay->env;

	r->moved = env->mono_ns(env->ctx);
	lws_set_timeout(r->wsi, PENDING_TIMEOUT_HTTP_CONTENT, HTTP_KEPT_SECONDS);
}

void request_begin_work(struct request *r, int seconds)
{
	r->phase = PHASE_WORK;
	hear(r, false);
	lws_set_timeout(r->wsi, PENDING_TIMEOUT_HTTP_CONTENT, seconds);
}

/* --- answers --- */

void request_respond(struct request *r, int status)
{
	r->status = status;
	r->phase = PHASE_HEADERS;
	hear(r, true);
	expect_more(r);
	lws_callback_on_writable(r->wsi);
}

void request_go_on(struct request *r)
{
	r->phase = PHASE_SEND;
	hear(r, true);
	lws_callback_on_writable(r->wsi);
}

void request_respond_error(struct request *r, int status, const char *message)
{
	buf_clear(&r->out);
	r->is_chunk = false;
	if (buf_printf(&r->out, "{\"error\":\"%s\"}", message) < 0)
		r->close = true;
	request_respond(r, status);
}

struct header {
	struct lws *wsi;
	unsigned char **p, *end;
	int failed;
};

static void put_header(struct header *h, const char *name, const char *value)
{
	h->failed |= lws_add_http_header_by_name(
		h->wsi, (const unsigned char *)name, (const unsigned char *)value, (int)strlen(value), h->p, h->end);
}

const struct lws_protocol_vhost_options http_headers[] = {
	{ .next = http_headers + 1, .name = "x-protocol-version:", .value = "1" },
	{ .next = http_headers + 2, .name = "access-control-allow-origin:", .value = "*" },
	{ .next = http_headers + 3, .name = "access-control-allow-methods:", .value = "GET, PUT, HEAD, POST, OPTIONS" },
	{ .next = http_headers + 4,
		.name = "access-control-allow-headers:",
		.value = "Content-Type, Content-Length, Authorization, X-UCAN, X-Wrapped-DEK, X-Record-ID" },
	{ .next = http_headers + 5, .name = "access-control-expose-headers:", .value = "X-Wrapped-DEK, ETag" },
	{ .name = "access-control-max-age:", .value = "86400" },
};

static void put_chunk_headers(struct header *h, const struct request *r)
{
	char text[96], id[ID16_TEXT_SIZE];

	id16_format(&r->chunk, id);
	snprintf(text, sizeof text, "\"%s\"", id);
	put_header(h, "etag:", text);
	put_header(h, "accept-ranges:", "bytes");
	if (r->status == 206 || r->status == 416) {
		if (r->status == 206)
			snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)r->range_from,
				(unsigned long long)(r->range_from + r->out.len - 1), (unsigned long long)r->size);
		else
			snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)r->size);
		put_header(h, "content-range:", text);
	}
}

static void put_file_headers(struct header *h, const struct request *r)
{
	char text[ID16_TEXT_SIZE + 2] = "\"";

	id16_format(&r->chunk, text + 1);
	text[ID16_TEXT_SIZE] = '"';
	put_header(h, "etag:", text);
	put_header(h, "x-wrapped-dek:", r->dek);
}

static int write_headers(struct request *r)
{
	unsigned char buffer[LWS_PRE + 2048], *start = buffer + LWS_PRE, *p = start;
	struct header h = { r->wsi, &p, buffer + sizeof buffer - 1, 0 };
	uint64_t length = r->verb == VERB_HEAD && (r->is_chunk || r->is_file) ? r->size : r->out.len + r->left;

	h.failed |= lws_add_http_header_status(r->wsi, (unsigned)r->status, &p, h.end);
	if (r->is_chunk)
		put_chunk_headers(&h, r);
	if (r->is_file)
		put_file_headers(&h, r);
	if (r->out.len || r->is_file)
		put_header(&h, "content-type:", r->type);
	if (r->cached)
		put_header(&h, "cache-control:", "public, max-age=3600, stale-while-revalidate=86400");
	if (r->close)
		put_header(&h, "connection:", "close");
	if (r->status != 204)
		h.failed |= lws_add_http_header_content_length(r->wsi, length, &p, h.end);
	if (h.failed || lws_finalize_http_header(r->wsi, &p, h.end))
		return -1;
	return lws_write(r->wsi, start, (size_t)(p - start), LWS_WRITE_HTTP_HEADERS) < 0 ? -1 : 0;
}

static int64_t pause_seconds(const struct request *r)
{
	return (int64_t)relay_config(r->net->relay)->limits.http_pause_seconds;
}

/* Once all of it is on its way, also what the library still had to send: till then the request is there to be late. */
static int complete(struct request *r)
{
	struct lws *wsi = r->wsi;
	struct request **slot = lws_wsi_user(wsi);
	bool ends = r->close || r->net->draining;

	if (lws_send_pipe_choked(wsi)) {
		lws_callback_on_writable(wsi);
		return 0;
	}
	*slot = NULL;
	request_free(r);
	return ends || lws_http_transaction_completed(wsi) ? -1 : 0;
}

/* Whether a body, in or out, takes too long: no slower than 64 KiB/s after the time that any may take. */
static bool is_late(const struct request *r, uint64_t length)
{
	const struct env *env = r->net->relay->env;
	const uint64_t seconds = relay_config(r->net->relay)->limits.http_body_seconds + (length >> 16);

	return env->mono_ns(env->ctx) - r->started > (int64_t)seconds * SECOND;
}

/* It sent the next request before it read the answer, and reads nothing: while it is waited for, the library turns round and
 * round on what it sent. */
static bool is_pushing(const struct request *r, int64_t now)
{
	return r->phase != PHASE_BODY && now > r->moved + SECOND && lws_send_pipe_choked(r->wsi) &&
	       recv(lws_get_socket_fd(r->wsi), &(char){ 0 }, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/* The library's own time-outs wait until its loop is idle, which somebody may prevent; a socket that is shut down ends at once. */
static void cut_off(struct request *r)
{
	shutdown(lws_get_socket_fd(r->wsi), SHUT_RDWR);
	lws_set_timeout(r->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

static void tick(struct request *r, int64_t now)
{
	if (r->phase == PHASE_WORK)
		return;
	if (now > r->moved + pause_seconds(r) * SECOND || is_pushing(r, now) ||
		is_late(r, r->phase == PHASE_BODY ? r->length : r->size))
		cut_off(r);
	else
		lws_set_timeout(r->wsi, PENDING_TIMEOUT_HTTP_CONTENT, HTTP_KEPT_SECONDS);
}

void http_tick(struct net *n, int64_t now)
{
	for (size_t i = 0; i < NET_BUCKETS; i++)
		for (struct request *r = n->requests[i]; r; r = r->next)
			tick(r, now);
}

/* The next slice of a long answer; without one the answer breaks off. */
static int ask_for_more(struct request *r)
{
	struct job *j = STEAL(&r->parked);

	if (!j)
		return -1;
	r->sent = 0;
	request_begin_work(r, 60);
	net_dispatch(r->net, j);
	return 0;
}

static int request_writable(struct request *r)
{
	if (r->phase == PHASE_HEADERS) {
		if (write_headers(r) < 0)
			return -1;
		r->phase = PHASE_SEND;
		expect_more(r);
		if (r->out.len && r->verb != VERB_HEAD) {
			lws_callback_on_writable(r->wsi);
			return 0;
		}
		return complete(r);
	}
	if (r->phase != PHASE_SEND)
		return 0;
	while (r->sent < r->out.len && !lws_send_pipe_choked(r->wsi)) {
		size_t n = r->out.len - r->sent < 262144 ? r->out.len - r->sent : 262144;
		bool last = !r->left && r->sent + n == r->out.len;

		if (lws_write(r->wsi, r->out.data + r->sent, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < 0)
			return -1;
		r->sent += n;
	}
	if ((r->sent < r->out.len || r->left) && is_late(r, r->size))
		return -1;
	if (r->sent < r->out.len) {
		expect_more(r);
		lws_callback_on_writable(r->wsi);
		return 0;
	}
	return r->left ? ask_for_more(r) : complete(r);
}

/* --- requests --- */

static enum verb verb_of(struct lws *wsi)
{
	if (lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI))
		return VERB_GET;
	if (lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI))
		return VERB_HEAD;
	if (lws_hdr_total_length(wsi, WSI_TOKEN_PUT_URI))
		return VERB_PUT;
	if (lws_hdr_total_length(wsi, WSI_TOKEN_OPTIONS_URI))
		return VERB_OPTIONS;
	return VERB_OTHER;
}

/* Content-Length: decimal digits and nothing else, once. 0 if absent; *ret_present says. */
static int parse_length(struct lws *wsi, uint64_t *ret_length, bool *ret_present)
{
	char text[24];
	uint64_t v = 0;
	int n = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH);

	*ret_length = 0;
	*ret_present = n > 0 || lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, 0) > 0;
	if (!*ret_present)
		return OK;
	if (n <= 0 || n > 18 || lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, 1) > 0 ||
		lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_HTTP_CONTENT_LENGTH) < 0)
		return ERR_INVALID;
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return ERR_INVALID;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	*ret_length = v;
	return OK;
}

/* 0, or the status that refuses the request's framing. */
static int check_framing(struct request *r)
{
	bool present;

	if (lws_hdr_total_length(r->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
		return r->verb == VERB_PUT ? 411 : 400;
	if (parse_length(r->wsi, &r->length, &present) < 0)
		return 400;
	if (r->verb == VERB_PUT)
		return present ? 0 : 411;
	return r->length ? 400 : 0;
}

static int parse_range(struct request *r)
{
	char text[64], *end;
	int n = lws_hdr_copy(r->wsi, text, sizeof text, WSI_TOKEN_HTTP_RANGE);

	if (n <= 6 || strncmp(text, "bytes=", 6) != 0 || strchr(text, ','))
		return 0;
	if (text[6] == '-') {
		r->range_from = UINT64_MAX; /* the last range_to bytes */
		r->range_to = strtoull(text + 7, &end, 10);
		r->has_range = *end == '\0' && end != text + 7;
		return 0;
	}
	if (text[6] < '0' || text[6] > '9')
		return 0;
	r->range_from = strtoull(text + 6, &end, 10);
	if (*end++ != '-' || r->range_from == UINT64_MAX)
		return 0;
	r->range_to = *end ? strtoull(end, &end, 10) : UINT64_MAX;
	r->has_range = *end == '\0' && r->range_to >= r->range_from;
	return 0;
}

/* SPACE/chunks/ID */
static int parse_chunk_path(struct request *r, const char *path)
{
	size_t len = strlen(path);

	if (len != 36 + 8 + 36 || strncmp(path + 36, "/chunks/", 8) != 0 || id16_parse(path, 36, &r->space) < 0)
		return ERR_INVALID;
	return id16_parse(path + 44, 36, &r->chunk);
}

/* NULL, or why the token is not good, and *ret_status. */
const char *request_authenticate(struct request *r, int *ret_status)
{
	char text[AUTH_TOKEN_MAX + 16], addr[CALLER_ADDR];
	int n = lws_hdr_copy(r->wsi, text, sizeof text, WSI_TOKEN_HTTP_AUTHORIZATION);
	struct auth a;
	const char *no;

	r->counted = net_address(r->wsi, addr, sizeof addr);
	no = auth_check_bearer(
		r->net->relay, bytes_of(text, n > 0 ? (size_t)n : 0), r->counted ? addr : NULL, &a, ret_status);
	if (no) {
		r->counted = false;
		r->close |= *ret_status == 429;
		metrics_add(&r->net->relay->metrics, auth_failures, *ret_status != 503);
		return no;
	}
	r->caller = caller_new(&a.person, &a.device, addr, r->counted);
	*ret_status = 503;
	if (!r->caller || (r->counted && peers_open(r->net->askers, addr, 0, &r->asks) < 0))
		return "out of memory";
	r->caller->plain = a.plain;
	if (caller_ask(r->caller, r->net->relay->rates, r->length, r->started) < 0) {
		*ret_status = 429;
		return "too many requests of this device";
	}
	return NULL;
}

static int dispatch(struct request *r, const struct method *m)
{
	struct job *j = job_new(m, r->id, r->caller);

	if (!j) {
		request_respond_error(r, 500, "out of memory");
		return 0;
	}
	j->in = r->in;
	r->in = (struct buf)BUF_INIT(CHUNK_MAX_BLOB);
	j->space = r->space;
	j->chunk = r->chunk;
	j->has_range = r->has_range;
	j->range_from = r->range_from;
	j->range_to = r->range_to;
	j->head_only = r->verb == VERB_HEAD;
	request_begin_work(r, 60);
	net_dispatch(r->net, j);
	return 0;
}

/* Curl waits for this before it sends a large body. */
static void send_continue(struct request *r)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	unsigned char buffer[LWS_PRE + sizeof text];

	if (lws_hdr_total_length(r->wsi, WSI_TOKEN_HTTP_EXPECT) <= 0)
		return;
	memcpy(buffer + LWS_PRE, text, sizeof text - 1);
	if (lws_write(r->wsi, buffer + LWS_PRE, sizeof text - 1, LWS_WRITE_HTTP_HEADERS) < 0)
		r->close = true;
}

/* Whether the client's address has as many requests under way (or uploads) as one may have. */
bool request_address_is_full(const struct request *r, bool uploads)
{
	const struct config *c = relay_config(r->net->relay);

	if (!r->counted)
		return false;
	if (uploads)
		return peers_count(r->net->uploaders, r->caller->addr) >= c->limits.http_uploads_per_address;
	return peers_count(r->net->askers, r->caller->addr) > c->limits.http_requests_per_address; /* with this one */
}

void request_begin_draining(struct request *r)
{
	r->uploading = true;
	if (r->counted && peers_open(r->net->uploaders, r->caller->addr, 0, &r->uploads) < 0)
		r->uploads = NULL; /* out of memory: one that is not counted */
	r->net->n_uploads++;
	r->phase = PHASE_BODY;
	expect_more(r);
}

void request_begin_upload(struct request *r)
{
	request_begin_draining(r);
	send_continue(r);
}

static int start_upload(struct request *r)
{
	const char *no;
	int status;

	if (r->length > CHUNK_MAX_BLOB || !r->length ||
		r->net->n_uploads >= relay_config(r->net->relay)->limits.http_uploads) {
		r->close = true;
		request_respond_error(r,
			!r->length                   ? 400
			: r->length > CHUNK_MAX_BLOB ? 413
						     : 503,
			"chunk too large or too many");
		return 0;
	}
	if ((no = request_authenticate(r, &status))) {
		r->close = true;
		request_respond_error(r, status, no);
		return 0;
	}
	if (request_address_is_full(r, true)) {
		r->close = true;
		request_respond_error(r, 503, "too many uploads");
		return 0;
	}
	if (buf_reserve(&r->in, r->length) < 0)
		return -1;
	request_begin_upload(r);
	return 0;
}

static int route_chunk(struct request *r, const char *path)
{
	const char *no;
	int status;

	if (parse_chunk_path(r, path) < 0) {
		r->close = r->verb == VERB_PUT;
		request_respond_error(r, 400, "invalid space or chunk ID");
		return 0;
	}
	if (r->verb == VERB_PUT)
		return start_upload(r);
	if ((no = request_authenticate(r, &status))) {
		request_respond_error(r, status, no);
		return 0;
	}
	if (request_address_is_full(r, false)) {
		request_respond_error(r, 503, "too many requests");
		return 0;
	}
	parse_range(r);
	return dispatch(r, &method_http_get);
}

static bool speaks_our_protocol(struct lws *wsi)
{
	char text[256], *save = NULL;
	bool good = false;

	if (lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_PROTOCOL) > 0)
		for (char *p = strtok_r(text, ", ", &save); p; p = strtok_r(NULL, ", ", &save))
			good |= strcmp(p, FRAME_SUBPROTOCOL) == 0;
	return good;
}

/* How a path is answered that is no WebSocket here. There is no federation. */
static int refusal_of(struct lws *wsi, const char *uri)
{
	return strcmp(uri, FEDERATION_PATH) == 0 && speaks_our_protocol(wsi) ? 404 : 400;
}

static int route(struct request *r, const char *uri)
{
	int refused = check_framing(r);

	if (refused) {
		r->close = true;
		request_respond_error(
			r, refused, refused == 411 ? "Content-Length required" : "ambiguous request body");
	} else if (r->verb == VERB_OPTIONS) {
		request_respond(r, 204);
	} else if (strncmp(uri, CHUNK_ROUTE, sizeof CHUNK_ROUTE - 1) == 0 && r->verb != VERB_OTHER) {
		return route_chunk(r, uri + sizeof CHUNK_ROUTE - 1);
	} else if (strncmp(uri, FILE_ROUTE, sizeof FILE_ROUTE - 1) == 0 && strstr(uri, FILE_PART) &&
		   r->verb <= VERB_PUT && strcmp(relay_config(r->net->relay)->storage.backend, "none") != 0) {
		return file_route(r, uri + sizeof FILE_ROUTE - 1);
	} else if (r->verb <= VERB_HEAD && strcmp(uri, "/.well-known/jwks.json") == 0) {
		r->cached = true;
		if (buf_printf(&r->out, "{\"keys\":[]}") < 0)
			return -1;
		request_respond(r, 200);
	} else if (r->verb <= VERB_HEAD && (strcmp(uri, "/health") == 0 || strcmp(uri, "/metrics") == 0)) {
		if (buf_put(&r->in, uri, strlen(uri)) < 0)
			return -1;
		r->type = uri[1] == 'h' ? "application/json" : "text/plain; version=0.0.4";
		return dispatch(r, &method_http_status);
	} else if (strcmp(uri, FRAME_WS_PATH) == 0 || strcmp(uri, FEDERATION_PATH) == 0) {
		r->close = r->verb > VERB_HEAD; /* a body may follow */
		request_respond(r, refusal_of(r->wsi, uri));
	} else {
		int status;
		const char *no = request_authenticate(r, &status);

		r->close = r->verb == VERB_PUT || r->verb == VERB_OTHER;
		request_respond_error(r, no ? status : 404, no ? no : "not found");
	}
	return 0;
}

static int request_body(struct request *r, const void *p, size_t n)
{
	if (r->phase != PHASE_BODY)
		return r->close ? 0 : -1; /* answered already; the connection closes */
	if (is_late(r, r->length) || (r->upload ? file_body(r, bytes_of(p, n)) : buf_put(&r->in, p, n)) < 0 ||
		r->in.len > r->length)
		return -1;
	expect_more(r);
	return 0;
}

static int request_body_ends(struct request *r)
{
	if (r->phase != PHASE_BODY)
		return 0;
	if (r->upload)
		return file_body_ends(r);
	if (r->in.len != r->length)
		return -1;
	return dispatch(r, r->in.len > CHUNK_SMALL_BLOB ? &method_http_keep : &method_http_put);
}

void http_done(struct net *n, struct job *j)
{
	struct request *r = *find_request(n, j->conn), *left = r && !r->wsi ? r : NULL;

	const struct env *env = n->relay->env;

	if (j->caller && j->body.len)
		caller_owe(j->caller, n->relay->rates, j->body.len, env->mono_ns(env->ctx));
	if (left)
		r = NULL;
	if (r && method_is_file(j->method)) {
		file_done(r, j);
		return;
	}
	/* Also for a client that has gone: what is kept gets its row, or is dropped. */
	if (j->more && (j->method == &method_http_keep || j->method == &method_http_put)) {
		j->more = false;
		j->method = j->method == &method_http_keep ? &method_http_put : &method_http_keep;
		net_dispatch(n, j);
		return;
	}
	if (r) {
		upload_ends(r);
		r->out = j->body;
		j->body = (struct buf)BUF_INIT(0);
		r->size = j->size;
		r->range_from = j->range_from;
		r->is_chunk = j->method == &method_http_get && (j->status < 300 || j->status == 416);
		if (r->is_chunk)
			r->type = "application/octet-stream";
		request_respond(r, j->status);
	}
	job_free(n->relay, j);
	request_free(left);
}

void http_forget_all(struct net *n)
{
	for (size_t i = 0; i < NET_BUCKETS; i++)
		while (n->requests[i])
			request_free(n->requests[i]);
}

/* An answer without a body to a request that never came to be one here. 1, or -1. */
static int refuse_upgrade(struct lws *wsi, int status)
{
	unsigned char buffer[LWS_PRE + 1024], *start = buffer + LWS_PRE, *p = start, *end = buffer + sizeof buffer - 1;

	if (lws_add_http_header_status(wsi, (unsigned)status, &p, end) ||
		lws_add_http_header_content_length(wsi, 0, &p, end) || lws_finalize_http_header(wsi, &p, end) ||
		lws_write(wsi, start, (size_t)(p - start), LWS_WRITE_HTTP_HEADERS) < 0)
		return -1;
	return 1;
}

/* Only to WebSocket, on /api/v1/ws, with our subprotocol. What else somebody wants to speak, the library has answered with 403 by
 * now, and thrown away the header that the callback's argument points to. */
static int confirm_upgrade(struct lws *wsi)
{
	char to[16], uri[sizeof FEDERATION_PATH] = "", *path;
	int length, status = 400;

	if (lws_hdr_copy(wsi, to, sizeof to, WSI_TOKEN_UPGRADE) <= 0 ||
		(strcasecmp(to, "websocket") != 0 && strcasecmp(to, "h2c") != 0))
		return -1;
	if (strcasecmp(to, "websocket") == 0 && lws_http_get_uri_and_method(wsi, &path, &length) >= 0 &&
		length < (int)sizeof uri) {
		memcpy(uri, path, (size_t)length);
		status = refusal_of(wsi, uri);
		if (strcmp(uri, FRAME_WS_PATH) == 0 && speaks_our_protocol(wsi))
			return 0;
	}
	return refuse_upgrade(wsi, status);
}

static int start(struct lws *wsi, struct request **slot, const char *uri)
{
	struct net *n = lws_context_user(lws_get_context(wsi));
	struct request *r;

	request_leave(*slot);
	*slot = r = request_open(n, wsi);
	if (!r || n->draining)
		return -1;
	r->verb = verb_of(wsi);
	return route(r, uri);
}

int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct request **slot = user;

	switch (reason) {
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return confirm_upgrade(wsi);
	case LWS_CALLBACK_HTTP:
		return start(wsi, slot, in);
	case LWS_CALLBACK_HTTP_BODY:
		return *slot ? request_body(*slot, in, len) : -1;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return *slot ? request_body_ends(*slot) : -1;
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return *slot ? request_writable(*slot) : 0;
	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
	case LWS_CALLBACK_CLOSED_HTTP:
		if (slot && *slot) {
			request_leave(*slot);
			*slot = NULL;
		}
		return 0;
	default:
		return 0;
	}
}
