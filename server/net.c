/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include "base/log.h"
#include "server/http.h"
#include "server/rpc.h"
#include "server/subscribe.h"
#include "server/ws.h"

#define DRAIN_NS 4000000000ll

static int callback_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

static const struct lws_protocols protocols[] = {
	{ "http", callback_http, sizeof(void *), 0, 0, NULL, 0 },
	{ FRAME_SUBPROTOCOL, ws_callback, sizeof(void *), 65536, 0, NULL, 0 },
	{ 0 },
};

static void job_came_back(void *ctx, struct job *j)
{
	struct net *n = ctx;

	job_queue_put(&n->done, j);
	lws_cancel_service(n->lws);
}

static void tell_subscribers(struct net *n, struct job *j)
{
	struct notice *notice;

	while ((notice = j->notices)) {
		size_t told = hub_publish(n->hub, notice->space, notice->sync, j->conn);

		metrics_add(&n->relay->metrics, notices, told);
		j->notices = notice->next;
		spaces_put(n->relay->spaces, notice->space);
		message_unref(notice->sync);
		free(notice);
	}
}

static void take_done(struct net *n)
{
	struct job *j = job_queue_take_all(&n->done), *next;

	for (; j; j = next) {
		next = j->next;
		j->next = NULL;
		tell_subscribers(n, j);
		if (j->method->name[0] == '/')
			http_done(n, j);
		else
			ws_done(n, j);
	}
}

static int callback_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	if (reason == LWS_CALLBACK_EVENT_WAIT_CANCELLED) {
		struct net *n = lws_context_user(lws_get_context(wsi));

		take_done(n);
		return 0;
	}
	return http_callback(wsi, reason, user, in, len);
}

void net_dispatch(struct net *n, struct job *j)
{
	if (j->method->lane == LANE_WRITE)
		writer_put(n->writer, j);
	else
		reader_put(n->reader, j);
}

/* libwebsockets retries a port in use in silence, so it is tried first. */
static int probe_port(const char *host, int port)
{
	char service[8];
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST, .ai_socktype = SOCK_STREAM }, *list;
	int fd, err = OK, one = 1;

	if (!port)
		return OK;
	snprintf(service, sizeof service, "%d", port);
	if (getaddrinfo(host, service, &hints, &list))
		return ERR_INVALID;
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		err = err_from_errno(errno);
	else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
		 bind(fd, list->ai_addr, list->ai_addrlen) < 0 || listen(fd, 1) < 0)
		err = errno == EADDRINUSE ? ERR_BUSY : errno == EADDRNOTAVAIL ? ERR_NOT_FOUND : err_from_errno(errno);
	if (fd >= 0)
		close(fd);
	freeaddrinfo(list);
	return err;
}

static int start_lws(struct net *n, const char *host, int port)
{
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.user = n,
		.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_VALIDATE_UTF8,
		.pt_serv_buf_size = 65536,
		.fd_limit_per_thread = NET_MAX_CONNECTIONS + 64,
		.max_http_header_data = 8192,
		.max_http_header_pool = 256,
		.count_threads = 1,
	};

	lws_set_log_level(0, NULL);
	n->lws = lws_create_context(&info);
	if (!n->lws)
		return ERR_NOMEM;
	info.port = port ? port : 0;
	info.iface = host;
	info.protocols = protocols;
	info.vhost_name = "relay";
	info.timeout_secs = 20;
	info.keepalive_timeout = 60;
	info.timeout_secs_ah_idle = 10;
	info.options = LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND;
	/* With IPv6 on, the library takes an IPv4 address for an unknown interface, and listens on all of them. */
	if (!strchr(host, ':'))
		info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
	else
		info.options |= LWS_SERVER_OPTION_IPV6_V6ONLY_MODIFY | LWS_SERVER_OPTION_IPV6_V6ONLY_VALUE;
	n->vhost = lws_create_vhost(n->lws, &info);
	return n->vhost ? OK : ERR_BUSY;
}

int net_new(struct relay *relay, const char *host, int port, struct net **ret_n)
{
	struct net *n = calloc(1, sizeof *n);
	int err;

	if (!n)
		return ERR_NOMEM;
	n->relay = relay;
	n->next_id = 1;
	job_queue_init(&n->done);
	if ((err = hub_new(relay->spaces, &n->hub)) < 0 || (err = probe_port(host, port)) < 0 ||
		(err = start_lws(n, host, port)) < 0 || (err = writer_start(relay, job_came_back, n, &n->writer)) < 0 ||
		(err = reader_start(relay, job_came_back, n, &n->reader)) < 0) {
		net_free(n);
		return err;
	}
	*ret_n = n;
	return OK;
}

int net_port(const struct net *n)
{
	return lws_get_vhost_listen_port(n->vhost);
}

void net_stop(struct net *n)
{
	n->stop = 1;
	lws_cancel_service(n->lws);
}

static void on_timer(lws_sorted_usec_list_t *timer)
{
	struct net *n = lws_container_of(timer, struct net, timer);
	const struct env *env = n->relay->env;

	ws_tick(n, env->mono_ns(env->ctx));
	lws_sul_schedule(n->lws, 0, &n->timer, on_timer, n->draining ? LWS_US_PER_SEC / 10 : LWS_US_PER_SEC);
}

void net_run(struct net *n)
{
	const struct env *env = n->relay->env;
	int64_t until = 0;

	on_timer(&n->timer);
	while (!n->draining || (env->mono_ns(env->ctx) < until && (n->n_conns || n->n_requests))) {
		if (lws_service(n->lws, 0) < 0)
			break;
		if (n->stop && !n->draining) {
			n->draining = true;
			until = env->mono_ns(env->ctx) + DRAIN_NS;
			ws_close_all(n);
			on_timer(&n->timer);
		}
	}
	lws_sul_schedule(n->lws, 0, &n->timer, NULL, LWS_SET_TIMER_USEC_CANCEL);
}

void net_free(struct net *n)
{
	struct job *j, *next;

	if (!n)
		return;
	writer_stop(n->writer);
	reader_stop(n->reader);
	if (n->lws)
		lws_context_destroy(n->lws);
	for (j = job_queue_take_all(&n->done); j; j = next) {
		next = j->next;
		job_free(n->relay, j);
	}
	ws_forget_all(n);
	hub_free(n->hub);
	job_queue_release(&n->done);
	free(n);
}

bool net_is_local(const char *addr)
{
	return strcmp(addr, "127.0.0.1") == 0 || strcmp(addr, "::1") == 0;
}

/* Of a header that proxies append to, only the last address is the proxy's own word; the rest is what the client said. A
 * header that cannot be read is nobody's word, and no other is asked in its place. */
void net_address(struct lws *wsi, char *out, size_t size)
{
	static const enum lws_token_indexes said[] = { WSI_TOKEN_X_FORWARDED_FOR, WSI_TOKEN_HTTP_X_REAL_IP };
	char text[1024];

	lws_get_peer_simple(wsi, text, sizeof text);
	if (limits_address(text, out, size) < 0)
		snprintf(out, size, "unknown");
	if (!net_is_local(out))
		return;
	for (size_t i = 0; i < 2; i++) {
		const char *last;

		if (lws_hdr_total_length(wsi, said[i]) <= 0)
			continue;
		if (lws_hdr_copy(wsi, text, sizeof text, said[i]) <= 0)
			return;
		last = strrchr(text, ',');
		last = last ? last + 1 : text;
		if (limits_address(last + strspn(last, " "), out, size) < 0)
			log_debug("a proxy names a client by no address");
		return;
	}
}
