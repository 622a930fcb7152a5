/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each connection has a number, kept as libwebsockets' user pointer: a callback whose number is not the current one belongs
 * to a connection that was given up and is ignored. What fails inside ws_connect is reported on the next round.
 */
#include "syncd/transport_ws.h"

#include <libwebsockets.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "wire/frame.h"

#define WATCH_PROTOCOL "watch"
#define PATH_MAX_BYTES (RELAY_URL_MAX + 32)
#define REASON_MAX 128
#define READ_SIZE 131072u
#define KEPT_MAX 262144u    /* a larger message buffer is given back */
#define UNSENT_TCP_MS 30000 /* sent bytes that nobody acknowledges for so long end the connection */

struct out {
	struct out *next;
	struct buf b;
	size_t headroom;
};

struct ws {
	const struct ws_handler *handler;
	struct lws_context *context;
	struct lws_vhost *vhost;
	struct lws *wsi;
	uintptr_t number; /* of the current connection; 0 is never used */
	bool live, open, paused, stop;
	bool connecting, failed; /* failed: inside ws_connect, to be reported from ws_run */
	unsigned close_code;
	char close_reason[REASON_MAX];
	size_t close_reason_len;
	struct buf in; /* message being put together */
	struct out *first, *last;
	size_t unsent;
	uint64_t sent, received;
};

static struct ws *ws_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

static bool current(const struct ws *w, const void *user)
{
	return w->live && (uintptr_t)user == w->number;
}

static void drop_queue(struct ws *w)
{
	while (w->first) {
		struct out *o = w->first;

		w->first = o->next;
		buf_release(&o->b);
		free(o);
	}
	w->last = NULL;
	w->unsent = 0;
}

/* The connection is over for us; libwebsockets may still hold it for a while. */
static void detach(struct ws *w)
{
	w->live = w->open = w->paused = false;
	w->wsi = NULL;
	w->number++;
	drop_queue(w);
	buf_release(&w->in);
}

static const char *failure_of(const char *text)
{
	if (!text)
		return "unreachable";
	if (strstr(text, "server's cert") || strstr(text, "tls") || strstr(text, "SSL") || strstr(text, "ssl"))
		return "tls";
	return strstr(text, "imeout") || strstr(text, "imed out") ? "timeout" : "unreachable";
}

static void on_error(struct ws *w, struct lws *wsi, const char *text)
{
	unsigned status = lws_http_client_http_response(wsi);

	log_debug("connection failed: %s, status %u", text ? text : "no reason", status);
	detach(w);
	if (w->connecting)
		w->failed = true;
	else if (status >= 100 && status <= 599)
		w->handler->answered(w->handler->ctx, status);
	else
		w->handler->failed(w->handler->ctx, failure_of(text));
}

static void on_closed(struct ws *w)
{
	char reason[REASON_MAX];
	size_t n = w->close_reason_len;
	unsigned code = w->close_code;

	memcpy(reason, w->close_reason, n);
	detach(w);
	w->handler->closed(w->handler->ctx, code, bytes_of(reason, n));
}

static int on_receive(struct ws *w, struct lws *wsi, const void *p, size_t n)
{
	bool whole = lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0;
	uintptr_t number = w->number;

	w->received += n;
	if (!lws_frame_is_binary(wsi))
		return -1;
	if (whole && w->in.len == 0) {
		w->handler->message(w->handler->ctx, bytes_of(p, n));
		return w->number == number ? 0 : -1;
	}
	if (w->in.len == 0 && buf_reserve(&w->in, n + lws_remaining_packet_payload(wsi)) < 0)
		return -1;
	if (buf_put(&w->in, p, n) < 0)
		return -1;
	if (!whole) {
		w->handler->heard(w->handler->ctx);
		return 0;
	}
	w->handler->message(w->handler->ctx, buf_bytes(&w->in));
	if (w->number != number)
		return -1;
	if (w->in.alloc > KEPT_MAX)
		buf_release(&w->in);
	else
		buf_clear(&w->in);
	return 0;
}

static int on_writeable(struct ws *w, struct lws *wsi)
{
	while (w->first && !lws_send_pipe_choked(wsi)) {
		struct out *o = w->first;
		size_t n = o->b.len - o->headroom;
		int sent = lws_write(wsi, o->b.data + o->headroom, n, LWS_WRITE_BINARY);

		if (sent < (int)n)
			return -1;
		w->sent += n;
		w->unsent -= n;
		w->first = o->next;
		if (!w->first)
			w->last = NULL;
		buf_release(&o->b);
		free(o);
	}
	if (w->first)
		lws_callback_on_writable(wsi);
	return 0;
}

static void on_peer_close(struct ws *w, const uint8_t *p, size_t n)
{
	w->close_code = n >= 2 ? (unsigned)p[0] << 8 | p[1] : 0;
	w->close_reason_len = n > 2 ? n - 2 : 0;
	if (w->close_reason_len > REASON_MAX)
		w->close_reason_len = REASON_MAX;
	if (w->close_reason_len)
		memcpy(w->close_reason, p + 2, w->close_reason_len);
}

static void on_established(struct ws *w, struct lws *wsi)
{
	int fd = lws_get_socket_fd(wsi), timeout = UNSENT_TCP_MS, on = 1;

	/* Best effort: neither is needed for correctness. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	w->open = true;
	w->handler->opened(w->handler->ctx);
}

static bool has_subprotocol(struct lws *wsi)
{
	char name[sizeof FRAME_SUBPROTOCOL + 1];
	int n = lws_hdr_copy(wsi, name, sizeof name, WSI_TOKEN_PROTOCOL);

	return n == (int)strlen(FRAME_SUBPROTOCOL) && memcmp(name, FRAME_SUBPROTOCOL, (size_t)n) == 0;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct ws *w;

	switch (reason) {
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
	case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
	case LWS_CALLBACK_CLIENT_RECEIVE:
	case LWS_CALLBACK_CLIENT_WRITEABLE:
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
	case LWS_CALLBACK_CLIENT_CLOSED:
		break;
	default:
		return 0;
	}
	w = ws_of(wsi);
	if (!w || !current(w, user))
		return reason == LWS_CALLBACK_CLIENT_CONNECTION_ERROR || reason == LWS_CALLBACK_CLIENT_CLOSED ? 0 : -1;
	if (reason == LWS_CALLBACK_CLIENT_CONNECTION_ERROR)
		on_error(w, wsi, in);
	else if (reason == LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH)
		return has_subprotocol(wsi) ? 0 : -1;
	else if (reason == LWS_CALLBACK_CLIENT_ESTABLISHED)
		on_established(w, wsi);
	else if (reason == LWS_CALLBACK_CLIENT_RECEIVE)
		return on_receive(w, wsi, in, len);
	else if (reason == LWS_CALLBACK_CLIENT_WRITEABLE)
		return on_writeable(w, wsi);
	else if (reason == LWS_CALLBACK_WS_PEER_INITIATED_CLOSE)
		on_peer_close(w, in, len);
	else
		on_closed(w);
	return 0;
}

static int watch_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	(void)user;
	(void)in;
	(void)len;
	if (reason == LWS_CALLBACK_RAW_RX_FILE) {
		struct ws *w = ws_of(wsi);

		w->handler->watched(w->handler->ctx);
	}
	return 0;
}

static void emit(int level, const char *line)
{
	size_t n = strlen(line);

	while (n > 0 && line[n - 1] == '\n')
		n--;
	if (level == LLL_ERR)
		log_debug("libwebsockets: %.*s", (int)n, line);
}

static const struct lws_protocols protocols[] = {
	{ .name = FRAME_SUBPROTOCOL, .callback = callback, .rx_buffer_size = READ_SIZE },
	{ .name = WATCH_PROTOCOL, .callback = watch_callback },
	{ .name = NULL },
};

int ws_new(const struct ws_handler *handler, int watch_fd, struct ws **ret_w)
{
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.protocols = protocols,
		.gid = -1,
		.uid = -1,
		.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
		.pt_serv_buf_size = READ_SIZE,
		.fd_limit_per_thread = 64,
		.timeout_secs = 10,
		.vhost_name = "relay",
	};
	lws_sock_file_fd_type fd = { .filefd = dup(watch_fd) };
	struct ws *w = calloc(1, sizeof *w);

	if (!w || fd.filefd < 0) {
		if (fd.filefd >= 0)
			close(fd.filefd);
		free(w);
		return ERR_NOMEM;
	}
	lws_set_log_level(LLL_ERR, emit);
	w->handler = handler;
	w->number = 1;
	w->in = (struct buf)BUF_INIT(FRAME_MAX);
	info.user = w;
	w->context = lws_create_context(&info);
	if (w->context)
		w->vhost = lws_create_vhost(w->context, &info);
	if (!w->vhost || !lws_adopt_descriptor_vhost(w->vhost, LWS_ADOPT_RAW_FILE_DESC, fd, WATCH_PROTOCOL, NULL)) {
		close(fd.filefd); /* what it refuses and is no socket the library leaves open */
		ws_free(w);
		return ERR_IO;
	}
	*ret_w = w;
	return OK;
}

void ws_free(struct ws *w)
{
	if (!w)
		return;
	detach(w);
	if (w->context)
		lws_context_destroy(w->context);
	free(w);
}

void ws_run(struct ws *w)
{
	while (!w->stop) {
		if (lws_service(w->context, 0) < 0)
			return;
		if (w->failed) {
			w->failed = false;
			w->handler->failed(w->handler->ctx, "unreachable");
		}
		w->handler->turned(w->handler->ctx);
	}
}

void ws_stop(struct ws *w)
{
	w->stop = true;
	lws_cancel_service(w->context);
}

void ws_connect(struct ws *w, const struct relay_url *url, const char *address)
{
	struct lws_client_connect_info info = {
		.context = w->context,
		.vhost = w->vhost,
		.address = address,
		.port = url->port,
		.protocol = FRAME_SUBPROTOCOL,
		.local_protocol_name = FRAME_SUBPROTOCOL,
		.ietf_version_or_minus_one = -1,
		.alpn = "http/1.1",
		.ssl_connection = (url->tls ? LCCSCF_USE_SSL : 0) | LCCSCF_HTTP_NO_FOLLOW_REDIRECT,
	};
	char path[PATH_MAX_BYTES], host[RELAY_HOST_MAX + 20];

	ws_close(w);
	snprintf(path, sizeof path, "%s%s", url->prefix, FRAME_WS_PATH);
	/* What follows "scheme://" in the origin. */
	snprintf(host, sizeof host, "%s", url->origin + (url->tls ? 8 : 7));
	info.path = path;
	info.host = host;
	w->number++;
	info.userdata = (void *)w->number;
	info.pwsi = &w->wsi;
	w->live = w->connecting = true;
	w->close_code = 0;
	w->close_reason_len = 0;
	if (!lws_client_connect_via_info(&info) && w->live) {
		detach(w);
		w->failed = true;
	}
	w->connecting = false;
	if (w->failed)
		lws_cancel_service(w->context);
}

void ws_close(struct ws *w)
{
	struct lws *wsi = w->wsi;

	w->failed = false;
	if (!w->live)
		return;
	detach(w);
	if (wsi)
		lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

int ws_send(struct ws *w, struct buf *b, size_t headroom)
{
	struct out *o;

	if (!w->open || headroom < LWS_PRE) {
		buf_release(b);
		return ERR_CLOSED;
	}
	o = calloc(1, sizeof *o);
	if (!o)
		return ERR_NOMEM;
	o->b = *b;
	*b = (struct buf){ .cap = b->cap };
	o->headroom = headroom;
	w->unsent += o->b.len - headroom;
	if (w->last)
		w->last->next = o;
	else
		w->first = o;
	w->last = o;
	lws_callback_on_writable(w->wsi);
	return OK;
}

void ws_pause(struct ws *w, bool paused)
{
	if (!w->open || w->paused == paused)
		return;
	w->paused = paused;
	(void)lws_rx_flow_control(w->wsi, paused ? 0 : 1);
}

size_t ws_unsent(const struct ws *w)
{
	return w->unsent;
}

bool ws_sending(const struct ws *w)
{
	int unacknowledged = 0;

	if (!w->open)
		return false;
	if (w->unsent > 0 || lws_partial_buffered(w->wsi))
		return true;
	return ioctl(lws_get_socket_fd(w->wsi), SIOCOUTQ, &unacknowledged) == 0 && unacknowledged > 0;
}

uint64_t ws_sent(const struct ws *w)
{
	return w->sent;
}

uint64_t ws_received(const struct ws *w)
{
	return w->received;
}
