/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include "base/log.h"
#include "server/admission.h"
#include "server/elsewhere.h"
#include "server/http.h"
#include "server/rpc.h"
#include "server/service.h"
#include "server/sweep.h"
#include "server/ws.h"

#define READERS 2 /* threads: their work is mostly for the processor */
#define TICK_LATE 2000000000ll
#define TICK_GRACE 500000000ll /* to read what came in meanwhile */

static int callback_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);
static int callback_accept(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

static const struct lws_protocols protocols[] = {
	{ "http", callback_http, sizeof(void *), 0, 0, NULL, 0 },
	{ FRAME_SUBPROTOCOL, ws_callback, sizeof(void *), 65536, 0, NULL, 0 },
	{ "accept", callback_accept, 0, 0, 0, NULL, 0 },
	{ 0 },
};

static int64_t mono(const struct net *n)
{
	return n->relay->env->mono_ns(n->relay->env->ctx);
}

static void job_came_back(void *ctx, struct job *j)
{
	struct net *n = ctx;

	if (job_queue_put(&n->done, j))
		lws_cancel_service(n->lws);
}

struct late {
	struct late *next;
	struct id32 mailbox;
	int64_t due; /* monotonic ns */
};

/* One notice says as much as many. */
static bool is_late_due(const struct net *n, const struct id32 *mailbox)
{
	const struct late *l = n->late;

	while (l && !id32_equal(&l->mailbox, mailbox))
		l = l->next;
	return l != NULL;
}

/* A random 1 to 5 s from now. */
void net_tell_mailbox(struct net *n, const struct id32 *mailbox)
{
	const struct env *env = n->relay->env;
	struct late *l = calloc(1, sizeof *l);
	uint32_t ms;

	if (!l || is_late_due(n, mailbox)) {
		free(l); /* without memory: the mailbox will be looked into anyway */
		return;
	}
	env->random(env->ctx, &ms, sizeof ms);
	l->mailbox = *mailbox;
	l->due = env->mono_ns(env->ctx) + (1000 + ms % 4000) * 1000000ll;
	l->next = n->late;
	n->late = l;
}

static void tell_late(struct net *n, int64_t now)
{
	for (struct late **at = &n->late; *at;) {
		struct late *l = *at;

		if (l->due > now) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		ws_tell_mailbox(n, &l->mailbox);
		free(l);
	}
}

static void tell_subscribers(struct net *n, struct job *j)
{
	const int64_t now = relay_now(n->relay);
	struct notice *notice;

	while ((notice = j->notices)) {
		if (notice->to_mailbox)
			net_tell_mailbox(n, &notice->mailbox);
		else
			metrics_add(&n->relay->metrics, notices,
				hub_publish(
					n->hub, &notice->space, notice->message, notice->to_sender ? 0 : j->conn, now));
		if (notice->revokes)
			hub_revoke(n->hub, &notice->space, &notice->cid);
		j->notices = notice->next;
		message_unref(notice->message);
		free(notice);
	}
}

static void note_time(struct net *n, const struct job *j)
{
	bool write = j->method->lane == LANE_WRITE || j->method->lane == LANE_TURN, http = j->method->name[0] == '/';
	enum metrics_kind kind = http    ? (write ? METRICS_UPLOAD : METRICS_DOWNLOAD)
				 : write ? METRICS_WRITE
					 : METRICS_READ;

	histogram_add(&n->relay->metrics.request_time[kind], mono(n) - j->started);
}

static void keys_changed(void *ctx)
{
	struct net *n = ctx;

	atomic_store(&n->keys_changed, true);
	lws_cancel_service(n->lws);
}

static void take_done(struct net *n)
{
	struct job *j = job_queue_take_all(&n->done), *next;

	for (; j; j = next) {
		next = j->next;
		j->next = NULL;
		tell_subscribers(n, j);
		if (j->started && !j->more)
			note_time(n, j);
		if (j->method == &method_elsewhere)
			elsewhere_done(n, j);
		else if (j->method == &method_admission)
			job_free(n->relay, j);
		else if (j->method->name[0] == '/')
			http_done(n, j);
		else
			ws_done(n, j);
	}
}

static bool is_proxy(const struct net *n, const char *addr)
{
	const struct config *c = relay_config(n->relay);
	bool is = false;

	for (size_t i = 0; i < c->server.trusted_proxies.n && !is; i++)
		is = network_has(&c->proxies[i], addr);
	return is;
}

/* Every socket is counted, also one that says nothing: whoever opens many and is slow must not take all. */
static int count_socket(struct net *n, struct lws *wsi)
{
	char text[CALLER_ADDR], addr[PEER_ADDR] = "unknown";
	struct peer *peer;
	uint64_t max;

	lws_get_peer_simple(wsi, text, sizeof text);
	if (limits_address(text, addr, sizeof addr) < 0)
		snprintf(addr, sizeof addr, "unknown");
	max = is_proxy(n, text) ? 0 : relay_config(n->relay)->limits.sockets_per_address;
	if (n->draining || peers_open(n->peers, addr, max, &peer) < 0)
		return -1;
	lws_set_opaque_user_data(wsi, peer);
	return 0;
}

static int callback_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct net *n = lws_context_user(lws_get_context(wsi));

	switch (reason) {
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		take_done(n);
		elsewhere_take(n);
		if (atomic_exchange(&n->keys_changed, false))
			ws_auth_again(n);
		return 0;
	case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
		return count_socket(n, wsi);
	case LWS_CALLBACK_WSI_DESTROY:
		peers_close(n->peers, lws_get_opaque_user_data(wsi));
		lws_set_opaque_user_data(wsi, NULL);
		return 0;
	default:
		return http_callback(wsi, reason, user, in, len);
	}
}

static void adopt(struct net *n, int fd)
{
	unsigned gone_ms = (unsigned)relay_config(n->relay)->limits.gone_seconds * 1000;
	int one = 1;

	/* Answers are written whole; nothing is gained by waiting for more. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &gone_ms, sizeof gone_ms);
	lws_adopt_socket_vhost(n->vhost, fd); /* closes it on failure */
}

static void accept_some(struct net *n, int listening)
{
	for (int i = 0; i < NET_MAX_ACCEPTS; i++) {
		int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			adopt(n, fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_warn("no descriptors or memory left for connections; raise the limit of open files");
			n->full = true; /* the socket stays readable: without a pause this would spin */
			for (size_t k = 0; k < n->listener.n; k++)
				lws_rx_flow_control(n->accepting[k], 0);
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return;
		}
	}
}

static int callback_accept(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct net *n = lws_context_user(lws_get_context(wsi));

	(void)user, (void)in, (void)len;
	for (size_t i = 0; reason == LWS_CALLBACK_RAW_RX_FILE && i < n->listener.n; i++)
		if (n->accepting[i] == wsi)
			accept_some(n, n->listener.fds[i]);
	return 0;
}

void net_dispatch(struct net *n, struct job *j)
{
	if (!j->started) {
		j->started = mono(n);
		metrics_add(&n->relay->metrics, queued, 1);
	}
	if (j->method->lane == LANE_READ)
		reader_put(n->reader, j);
	else if (j->method->lane == LANE_BLOB)
		reader_put(n->blob_reader, j);
	else
		writer_put(n->writer, j);
}

/* libwebsockets would ping each client in a list that it walks at every connection; keep-alives and TCP_USER_TIMEOUT do. */
static const lws_retry_bo_t no_pings;

static int make_vhost(struct net *n, const char *name, struct lws_vhost **ret_v)
{
	const struct config *c = relay_config(n->relay);
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.protocols = protocols,
		.headers = http_headers,
		.vhost_name = name,
		.timeout_secs = 20,
		.keepalive_timeout = (int)c->limits.http_idle_seconds,
		.timeout_secs_ah_idle = (unsigned)c->limits.http_header_seconds,
		.alpn = "http/1.1",
		.retry_and_idle_policy = &no_pings,
	};

	if (*c->server.tls_certificate) {
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
		info.ssl_cert_filepath = c->server.tls_certificate;
		info.ssl_private_key_filepath = c->server.tls_key;
		info.ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;
	}
	*ret_v = lws_create_vhost(n->lws, &info);
	return *ret_v ? OK : ERR_INVALID;
}

static int start_lws(struct net *n)
{
	const struct config *c = relay_config(n->relay);
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.user = n,
		.options =
			LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_VALIDATE_UTF8 | LWS_SERVER_OPTION_LIBEV,
		.foreign_loops = (void **)&n->loop,
		.pt_serv_buf_size = 65536,
		/* No fd_limit_per_thread: with one below the limit of open files, libwebsockets walks all sockets to find one. */
		/* UCANs travel in a header. The pool of header tables is left at its standard, one for each connection, made when needed: with
		 * fewer, whoever sends half a header on as many sockets keeps all others out. */
		.max_http_header_data = 65535, /* as much as it takes */
		.count_threads = 1,
		.timeout_secs = HTTP_KEPT_SECONDS,
	};
	int err;

	n->loop = ev_loop_new(EVBACKEND_EPOLL);
	if (!n->loop)
		return ERR_UNSUPPORTED;
	ev_set_userdata(n->loop, n);
	lws_set_log_level(0, NULL);
	if (*c->server.tls_certificate)
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
	n->lws = lws_create_context(&info);
	if (!n->lws)
		return ERR_UNSUPPORTED; /* its plug-in for libev is a package of its own */
	if ((err = make_vhost(n, "relay", &n->vhost)) < 0)
		return err;
	for (size_t i = 0; i < n->listener.n; i++) {
		lws_sock_file_fd_type fd = { .filefd = n->listener.fds[i] };

		n->accepting[i] = lws_adopt_descriptor_vhost(n->vhost, LWS_ADOPT_RAW_FILE_DESC, fd, "accept", NULL);
		if (!n->accepting[i])
			return ERR_NOMEM;
	}
	return OK;
}

int net_reload_tls(struct net *n)
{
	const struct config *c = relay_config(n->relay);
	struct lws_vhost *trial;

	if (!*c->server.tls_certificate)
		return OK;
	/* A certificate without its key would leave the running ones half changed: they are tried apart first. */
	if (make_vhost(n, "trial", &trial) < 0)
		return ERR_INVALID;
	lws_vhost_destroy(trial);
	return lws_tls_cert_updated(n->lws, c->server.tls_certificate, c->server.tls_key, NULL, 0, NULL, 0)
		       ? ERR_INVALID
		       : OK;
}

void net_settings_changed(struct net *n, unsigned doubted)
{
	struct job *j = job_new(&method_admission, 0, NULL);

	ws_come_back(n, doubted);
	if (j)
		net_dispatch(n, j);
}

/* Where several relays share a store they name connections to each other: numbers apart from each other's. */
static uint64_t first_id(const struct relay *relay)
{
	uint32_t part = 0;

	if (depot_is_shared(relay->store))
		relay->env->random(relay->env->ctx, &part, sizeof part);
	return ((uint64_t)part << 31) + 1;
}

int net_new(struct relay *relay, struct listener *listener, struct net **ret_n)
{
	struct net *n = calloc(1, sizeof *n);
	int err;

	if (!n)
		return ERR_NOMEM;
	n->relay = relay;
	n->next_id = first_id(relay);
	n->listener = *listener;
	job_queue_init(&n->done);
	if ((err = hub_new(relay->env, relay->spaces, &n->hub)) < 0 ||
		(err = mailboxes_new(relay->env, &n->mailboxes)) < 0 || (err = peers_new(relay->env, &n->peers)) < 0 ||
		(err = peers_new(relay->env, &n->senders)) < 0 || (err = peers_new(relay->env, &n->askers)) < 0 ||
		(err = peers_new(relay->env, &n->uploaders)) < 0 || (err = start_lws(n)) < 0 ||
		(err = writer_start(relay, job_came_back, n, &n->writer)) < 0 ||
		(err = reader_start(relay, READERS, job_came_back, n, &n->reader)) < 0 ||
		(err = reader_start(
			 relay, relay_config(relay)->storage.blob_threads, job_came_back, n, &n->blob_reader)) < 0 ||
		(err = sweeper_start(relay, n->writer, &n->sweeper)) < 0 ||
		(err = issuers_start(relay->jwt.issuers, keys_changed, n)) < 0 || (err = elsewhere_start(n)) < 0) {
		net_free(n);
		*listener = (struct listener){ 0 };
		return err;
	}
	*listener = (struct listener){ 0 };
	*ret_n = n;
	return OK;
}

void net_on_reload(struct net *n, void (*reload)(void *ctx), void *ctx)
{
	n->on_reload = reload;
	n->on_reload_ctx = ctx;
}

void net_stop(struct net *n)
{
	n->stop = 1;
	lws_cancel_service(n->lws);
}

void net_reload(struct net *n)
{
	n->reload = 1;
	lws_cancel_service(n->lws);
}

/* The service manager hears of a relay that lives: this thread turns, and the writer is not stuck on its disk. */
static void feed_watchdog(struct net *n, int64_t now)
{
	int64_t every = service_watchdog_ns();

	if (!every || now < n->watchdog_at || writer_busy_ns(n->writer, now) > 2 * every)
		return;
	n->watchdog_at = now + every;
	service_notify("WATCHDOG=1");
}

/* Ends whose time is up; not at once after a standstill of this thread, process or machine, but when what came in meanwhile has been
 * read. Else whoever sent its token in time would be told that it did not. */
static void tick(struct net *n, int64_t now)
{
	if (!n->grace && now > n->ticked_at + TICK_LATE)
		n->grace = now + TICK_GRACE;
	n->ticked_at = now;
	if (now < n->grace)
		return;
	n->grace = 0;
	ws_tick(n, now);
	http_tick(n, now);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct net *n = ev_userdata(loop);
	int64_t now = mono(n);

	(void)timer, (void)events;
	tick(n, now);
	tell_late(n, now);
	feed_watchdog(n, now);
	for (size_t i = 0; n->full && i < n->listener.n; i++)
		lws_rx_flow_control(n->accepting[i], 1);
	n->full = false;
	lws_cancel_service(n->lws); /* has libwebsockets look at its own time-outs */
}

/* Nobody new is let in; who is in gets what is under way, and is then told to connect again. */
static void start_draining(struct net *n)
{
	service_notify("STOPPING=1");
	n->draining = true;
	n->drain_until = mono(n) + (int64_t)relay_config(n->relay)->server.drain_seconds * 1000000000;
	for (size_t i = 0; i < n->listener.n; i++)
		lws_set_timeout(n->accepting[i], PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
	ev_timer_stop(n->loop, &n->timer);
	ev_timer_init(&n->timer, on_timer, 0, 0.1);
	ev_timer_start(n->loop, &n->timer);
}

void net_run(struct net *n)
{
	n->ticked_at = mono(n);
	ev_timer_init(&n->timer, on_timer, 0, 1);
	ev_timer_start(n->loop, &n->timer);
	service_notify("READY=1");
	/* After the last second those that do not read their close are left behind. */
	while (!n->draining || (mono(n) < n->drain_until + 1000000000 && (n->n_conns || n->n_requests))) {
		ev_run(n->loop, EVRUN_ONCE);
		if (n->reload && n->on_reload)
			n->on_reload(n->on_reload_ctx);
		n->reload = 0;
		if (n->stop && !n->draining)
			start_draining(n);
	}
	ev_timer_stop(n->loop, &n->timer);
}

void net_free(struct net *n)
{
	struct job *j, *next;
	struct late *l;

	if (!n)
		return;
	elsewhere_stop(n);
	issuers_stop(n->relay->jwt.issuers);
	blob_give_up(n->relay->blobs);
	sweeper_stop(n->sweeper);
	writer_stop(n->writer);
	reader_stop(n->reader);
	reader_stop(n->blob_reader);
	if (n->lws)
		lws_context_destroy(n->lws);
	if (n->loop)
		ev_loop_destroy(n->loop);
	for (j = job_queue_take_all(&n->done); j; j = next) {
		next = j->next;
		job_free(n->relay, j);
	}
	sweeper_free(n->sweeper);
	ws_forget_all(n);
	http_forget_all(n);
	while ((l = n->late)) {
		n->late = l->next;
		free(l);
	}
	hub_free(n->hub);
	mailboxes_free(n->mailboxes);
	peers_free(n->peers);
	peers_free(n->senders);
	peers_free(n->askers);
	peers_free(n->uploaders);
	job_queue_release(&n->done);
	free(n);
}

/* Of a header that proxies append to, only the last address is the proxy's own word; the rest is what the client said. A
 * header that cannot be read is nobody's word, and no other is asked in its place. */
bool net_address(struct lws *wsi, char *out, size_t size)
{
	static const enum lws_token_indexes said[] = { WSI_TOKEN_X_FORWARDED_FOR, WSI_TOKEN_HTTP_X_REAL_IP };
	const struct net *n = lws_context_user(lws_get_context(wsi));
	char text[1024];

	lws_get_peer_simple(wsi, text, sizeof text);
	if (limits_address(text, out, size) < 0)
		snprintf(out, size, "unknown");
	if (!is_proxy(n, text))
		return true;
	for (size_t i = 0; i < 2; i++) {
		const char *last;

		if (lws_hdr_total_length(wsi, said[i]) <= 0)
			continue;
		if (lws_hdr_copy(wsi, text, sizeof text, said[i]) <= 0)
			return false;
		last = strrchr(text, ',');
		last = last ? last + 1 : text;
		if (limits_address(last + strspn(last, " "), out, size) == OK)
			return true;
		log_debug("a proxy names a client by no address");
		return false;
	}
	return false;
}
