/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection's requests run in two lanes: writes in the order they came, many at once in the writer's hands; reads
 * one at a time, each after the writes that came before it. Answers carry the request's id.
 *
 * What is queued to a connection is bounded: a stream stops until most of it is sent, and a subscriber that lets
 * notifications pile up is closed (4006), so that it comes back and pulls. What it may have under way is bounded too, and
 * so is what it leaves unread: then its socket is not read.
 */
#include "server/ws.h"

#include <stdlib.h>
#include "base/log.h"
#include "server/auth.h"
#include "server/live.h"
#include "server/rpc.h"

#define SECOND 1000000000ll
#define CLOSE_SECONDS 10 /* for a client to take in why it is closed */

enum {
	CLOSE_GOING_AWAY = 1001,
	CLOSE_TOO_BIG = 1009,
	CLOSE_TRY_LATER = 1013,
	CLOSE_AUTH = 4000,
	CLOSE_LIFETIME = 4001,
	CLOSE_TOO_MANY = 4003,
	CLOSE_PROTOCOL = 4005,
	CLOSE_SLOW = 4006,
	CLOSE_RATE_LIMITED = 4007
};

struct conn {
	struct conn *next; /* in the bucket */
	struct net *net;
	struct lws *wsi;
	uint64_t id;
	char addr[CALLER_ADDR];
	struct peer *peer;
	struct caller *caller; /* NULL before authentication */
	struct mailbox_seat seat;
	struct subscriber subscriber;
	struct buf in;
	int64_t in_since; /* its first piece */

	struct message_list out;
	int64_t opened, keepalive_at, ends_at;
	const char *close_reason;
	int close_code; /* 0: open */

	bool counted;    /* among those of its address */
	bool auth_waits; /* `in` holds the message with a token until the issuers' keys change; the socket is not read */
	bool binary;     /* of `in` */
	bool keepalive_due;
	bool recalled;       /* ends_at is not its age */
	bool paused;         /* the socket is not read */
	bool turn_of_writes; /* if any are `reading` */

	size_t in_counted;      /* what of `in` is counted in net->in_bytes */
	size_t jobs, job_bytes; /* under way or waiting */
	uint64_t writes_sent, writes_done;
	struct job *reads, *reads_last; /* waiting */
	size_t reading;                 /* under way: one read, or any number of writes that have their turn */
	struct job *parked;             /* a read that waits for room */
};

static const struct config *config_of(const struct conn *c)
{
	return relay_config(c->net->relay);
}

static struct conn **find_conn(struct net *n, uint64_t id)
{
	struct conn **c = &n->conns[id % NET_BUCKETS];

	while (*c && (*c)->id != id)
		c = &(*c)->next;
	return c;
}

/* Closes soon, from outside of the connection's own callback. */
static void conn_close(struct conn *c, int code, const char *reason)
{
	if (c->close_code)
		return;
	c->close_code = code;
	c->close_reason = reason;
	metrics_close(&c->net->relay->metrics, code);
	message_list_clear(&c->out); /* nothing of it is sent any more */
	lws_set_timeout(c->wsi, PENDING_TIMEOUT_CLOSE_SEND, CLOSE_SECONDS);
	lws_callback_on_writable(c->wsi);
}

/* Closes now, as the value that the callback returns. */
static int conn_close_now(struct conn *c, int code, const char *reason)
{
	if (!c->close_code)
		metrics_close(&c->net->relay->metrics, code);
	c->close_code = code; /* the library may still call for room to write */
	c->close_reason = reason;
	lws_close_reason(c->wsi, (enum lws_close_status)code, (unsigned char *)(uintptr_t)reason, strlen(reason));
	return -1;
}

/* A client that asks and does not read would have its answers pile up without end. */
static void flow_control(struct conn *c)
{
	const struct config *f = config_of(c);
	bool full = c->auth_waits || c->jobs >= f->limits.requests || c->job_bytes >= f->limits.request_bytes ||
		    c->out.bytes > f->limits.queue_bytes || c->out.count > f->limits.queue_messages || c->net->draining;

	if (full == c->paused)
		return;
	c->paused = full;
	lws_rx_flow_control(c->wsi, !full);
}

static void conn_send(struct conn *c, struct message *m)
{
	if (c->close_code) {
		message_unref(m);
		return;
	}
	if (message_list_add(&c->out, m) < 0)
		conn_close(c, CLOSE_SLOW, "out of memory");
	else
		lws_callback_on_writable(c->wsi);
	flow_control(c);
}

static void cut_slow(struct conn *c)
{
	metrics_add(&c->net->relay->metrics, slow_consumers, c->close_code == 0);
	conn_close(c, CLOSE_SLOW, "slow consumer");
}

static void conn_deliver(void *ctx, struct message *m)
{
	struct conn *c = ctx;

	if (c->out.bytes > config_of(c)->limits.queue_bytes) {
		cut_slow(c);
		return;
	}
	conn_send(c, message_ref(m));
}

static void conn_revoked(void *ctx, const struct id16 *space)
{
	struct buf b = message_buf();
	struct cbor_enc e = cbor_enc_init(&b);

	frame_begin_notification(&e, bytes_str("revoked"));
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "space");
	put_id(&e, space);
	cbor_put_text(&e, "reason");
	cbor_put_text(&e, "membership");
	if (cbor_enc_end(&e) < 0)
		buf_release(&b);
	else
		conn_send(ctx, message_take(&b));
}

static int conn_open(struct conn **slot, struct lws *wsi)
{
	struct net *n = lws_context_user(lws_get_context(wsi));
	const struct env *env = n->relay->env;
	const struct config *limits = relay_config(n->relay);
	struct conn *c = calloc(1, sizeof *c);
	uint16_t jitter;

	if (!c)
		return -1;
	c->counted = net_address(wsi, c->addr, sizeof c->addr);
	if (n->draining || n->n_conns >= limits->limits.connections ||
		peers_open(n->senders, c->addr, c->counted ? limits->limits.connections_per_address : 0, &c->peer) <
			0) {
		free(c);
		return -1;
	}
	env->random(env->ctx, &jitter, sizeof jitter);
	c->net = n;
	c->wsi = wsi;
	c->id = n->next_id++;
	c->in = (struct buf)BUF_INIT(limits->limits.message_bytes);
	c->opened = env->mono_ns(env->ctx);
	c->keepalive_at = c->opened + (int64_t)limits->limits.keepalive_seconds * SECOND;
	/* Give or take 10 %, so that many clients do not come back at once. */
	c->ends_at = c->opened + (int64_t)((double)limits->limits.life_seconds * (0.9 + 0.2 * jitter / 65536) * SECOND);
	c->subscriber = (struct subscriber){ .id = c->id,
		.max = limits->limits.subscriptions,
		.deliver = conn_deliver,
		.revoked = conn_revoked,
		.ctx = c };
	c->next = n->conns[c->id % NET_BUCKETS];
	n->conns[c->id % NET_BUCKETS] = c;
	n->n_conns++;
	*slot = c;
	metrics_add(&n->relay->metrics, connections, 1);
	metrics_add(&n->relay->metrics, connections_active, 1);
	return 0;
}

/* Brings what is counted up to date with c->in; what all connections of the address hold. */
static uint64_t count_in(struct conn *c)
{
	const size_t was = c->in_counted;

	c->net->in_bytes += c->in.len;
	c->net->in_bytes -= was;
	c->in_counted = c->in.len;
	return peers_hold(c->net->senders, c->addr, c->in.len, was);
}

/* One address may hold an eighth of what all may, and two messages at least: then it is closed, not whoever sends next. */
static bool is_holding_too_much(const struct conn *c, uint64_t held)
{
	const uint64_t all = config_of(c)->limits.incoming_bytes;

	return c->net->in_bytes > all || (c->counted && held > (all / 8 > 2 * FRAME_MAX ? all / 8 : 2 * FRAME_MAX));
}

static void job_ends(struct net *n, struct job *j)
{
	n->in_bytes -= j->in.len;
	peers_hold(n->senders, j->caller->addr, 0, j->in.len);
	job_free(n->relay, j);
}

static void conn_free(struct conn *c)
{
	struct net *n = c->net;
	struct conn **at = find_conn(n, c->id);
	struct job *j;

	*at = c->next;
	mailbox_leave(&c->seat);
	if (!c->close_code)
		metrics_close(&n->relay->metrics, 0);
	n->n_conns--;
	live_leave(n, &c->subscriber);
	while ((j = c->reads)) {
		c->reads = j->next;
		job_ends(n, j);
	}
	if (c->parked)
		job_ends(n, c->parked);
	n->in_bytes -= c->in_counted;
	peers_hold(n->senders, c->addr, 0, c->in_counted);
	peers_close(n->senders, c->peer);
	message_list_clear(&c->out);
	buf_release(&c->in);
	caller_unref(c->caller);
	free(c);
	metrics_add(&n->relay->metrics, connections_active, -1);
}

/* --- requests --- */

/* What this thread does itself, when the requests before it have been answered. */
static const struct method method_here = { "", LANE_READ, NULL, NULL, NULL };

static void work_here(struct conn *c, struct job *j);

/* The writer keeps the order, so that writes go to it at once, and into one transaction; a read waits for those before it, and until
 * most of what was answered is sent: else each of many small requests leaves a large answer to whoever reads nothing. */
static bool may_start(const struct conn *c, const struct job *j)
{
	return c->out.bytes <= WS_RESUME_OUT && j->order <= c->writes_done &&
	       (!c->reading || (c->turn_of_writes && j->method->lane == LANE_TURN));
}

static void start_reads(struct conn *c)
{
	struct job *j;

	while ((j = c->reads) && may_start(c, j)) {
		c->reads = j->next;
		if (!c->reads)
			c->reads_last = NULL;
		j->next = NULL;
		if (j->method == &method_here) {
			work_here(c, j);
			continue;
		}
		c->reading++;
		c->turn_of_writes = j->method->lane == LANE_TURN;
		net_dispatch(c->net, j);
	}
}

static void enqueue(struct conn *c, struct job *j)
{
	c->jobs++;
	c->job_bytes += j->in.len;
	if (j->method->lane == LANE_WRITE) {
		c->writes_sent++;
		net_dispatch(c->net, j);
	} else { /* a read, or a write that waits for its turn among them */
		j->order = c->writes_sent;
		if (c->reads_last)
			c->reads_last->next = j;
		else
			c->reads = j;
		c->reads_last = j;
		start_reads(c);
	}
	flow_control(c);
}

/* A job that holds the message that came: what was decoded of it points there. It stays counted in net->in_bytes. */
static struct job *new_job(struct conn *c, const struct method *m)
{
	struct job *j = job_new(m, c->id, c->caller);

	if (!j)
		return NULL;
	j->in = c->in;
	c->in = (struct buf)BUF_INIT(config_of(c)->limits.message_bytes);
	c->in_counted = 0;
	return j;
}

/* An answer that is known already leaves after those to what was asked before. */
static void answer_in_turn(struct conn *c, struct message *m)
{
	struct job *j = c->jobs && m ? job_new(&method_here, c->id, c->caller) : NULL;

	if (!j) {
		conn_send(c, m);
		return;
	}
	if (message_list_add(&j->out, m) < 0)
		conn_close(c, CLOSE_SLOW, "out of memory");
	enqueue(c, j);
}

static void send_error(struct conn *c, struct bytes id, const char *code, const char *message)
{
	struct buf b = message_buf();
	struct cbor_enc e = cbor_enc_init(&b);

	metrics_add(&c->net->relay->metrics, requests_refused, 1);
	frame_put_error(&e, id, code, message);
	if (cbor_enc_end(&e) < 0)
		buf_release(&b);
	else
		answer_in_turn(c, message_take(&b));
}

/* Checking a token costs this thread two signatures. */
static bool may_bring_token(const struct conn *c)
{
	const struct relay *r = c->net->relay;

	return !c->counted || limits_take(r->limits, LIMIT_AUTH, c->addr, r->env->mono_ns(r->env->ctx)) == OK;
}

/* NULL, or why a connection may not go on with this token; or it waits for its issuer's keys. `again`: it was counted. */
static const char *refresh(struct conn *c, struct bytes text, bool again)
{
	struct auth a;
	struct caller *fresh;
	int err;

	if (!text.len)
		return "missing auth token";
	if (!again && !may_bring_token(c))
		return "too many auth tokens";
	err = auth_check(c->net->relay, text, NULL, &a);
	c->auth_waits = err == ERR_AGAIN;
	if (err < 0)
		return auth_reason(err);
	if (!a.plain.sync)
		return "sync scope required";
	if (!id32_equal(&a.person, &c->caller->person) || !id32_equal(&a.device, &c->caller->device) ||
		!id32_equal(&a.plain.subject, &c->caller->plain.subject))
		return "token identity mismatch";
	if (!a.plain.trusted)
		return NULL; /* it says nothing new */
	if (!(fresh = caller_new(&a.person, &a.device, c->addr, c->counted)))
		return "out of memory";
	fresh->plain = a.plain;
	caller_unref(c->caller);
	c->caller = fresh;
	return NULL;
}

static void answer_refresh(struct conn *c, struct bytes id, const char *no)
{
	struct buf b = message_buf();
	struct cbor_enc e = cbor_enc_init(&b);

	frame_begin_response(&e, id);
	cbor_put_map(&e, no ? 2 : 1);
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, !no);
	if (no) {
		cbor_put_text(&e, "error");
		cbor_put_text(&e, no);
	}
	if (cbor_enc_end(&e) < 0)
		buf_release(&b);
	else
		answer_in_turn(c, message_take(&b));
}

static void token_refresh(struct conn *c, const struct frame *f)
{
	const bool again = c->auth_waits;
	struct bytes text;
	const char *no = "invalid auth token";

	c->auth_waits = false;
	if (param_text_opt(f->value, "token", AUTH_TOKEN_MAX, &text) == OK)
		no = refresh(c, text, again);
	if (!c->auth_waits)
		answer_refresh(c, f->id, no);
}

/* What waited has been answered: the connection goes on. */
static void stop_waiting(struct conn *c)
{
	c->auth_waits = false;
	buf_clear(&c->in);
	count_in(c);
	flow_control(c);
}

/* The token.refresh that waits is looked at again, or given up. */
static void end_refresh(struct conn *c, bool give_up)
{
	struct frame f;

	if (frame_decode(buf_bytes(&c->in), &f) < 0)
		c->auth_waits = false;
	else if (!give_up)
		token_refresh(c, &f);
	else
		answer_refresh(c, f.id, auth_reason(ERR_AGAIN));
	if (give_up || !c->auth_waits)
		stop_waiting(c);
}

static void take_request(struct conn *c, const struct frame *f)
{
	const struct method *m = rpc_find(f->name);
	char message[FRAME_MAX_NAME + 32];
	struct job *j;

	metrics_add(&c->net->relay->metrics, requests, 1);
	if (cbor_text_is(f->name, "token.refresh")) {
		token_refresh(c, f);
	} else if (!m) {
		snprintf(message, sizeof message, "unknown method: %.*s", (int)f->name.len, (const char *)f->name.p);
		send_error(c, f->id, "method_not_found", message);
	} else if (!f->value.len || (f->value.p[0] & 0xe0) != 0xa0) {
		send_error(c, f->id, "invalid_params", "params is not a map");
	} else if (caller_ask(c->caller, c->net->relay->rates, c->in.len, c->in_since) < 0) {
		send_error(c, f->id, "rate_limited", "too many requests of this device");
	} else if (!(j = new_job(c, m))) {
		send_error(c, f->id, "internal", "out of memory");
	} else {
		j->id = f->id;
		j->params = f->value;
		enqueue(c, j);
	}
}

static void unsubscribe(struct conn *c, struct bytes params)
{
	struct cbor_dec d;
	struct id16 id;
	size_t n;

	if (param_array(params, "spaces", config_of(c)->limits.subscriptions, &d, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct bytes text = cbor_get_text(&d, 36);

		if (cbor_dec_error(&d) < 0)
			return;
		if (id16_parse((const char *)text.p, text.len, &id) == OK)
			live_unsubscribe(c->net, &c->subscriber, &id);
	}
}

static void notification(struct conn *c, const struct frame *f)
{
	if (cbor_text_is(f->name, "unsubscribe"))
		unsubscribe(c, f->value);
	else
		live_take(c->net, &c->subscriber, f->name, f->value);
}

/* After what was asked before: a subscribe must be through before what builds on it. */
static void take_notification(struct conn *c, const struct frame *f)
{
	struct job *j = c->jobs ? new_job(c, &method_here) : NULL;

	if (j)
		enqueue(c, j);
	else
		notification(c, f);
}

static void work_here(struct conn *c, struct job *j)
{
	struct frame f;

	c->jobs--;
	c->job_bytes -= j->in.len;
	if (j->out.first) {
		message_list_move(&c->out, &j->out);
		lws_callback_on_writable(c->wsi);
	} else if (frame_decode(buf_bytes(&j->in), &f) == OK) {
		notification(c, &f);
	}
	job_ends(c->net, j);
}

/* A device has at most so many connections; a new one replaces the oldest. */
static void replace_oldest(struct conn *c)
{
	struct conn *oldest = NULL;
	size_t count = 0;

	for (struct mailbox_seat *s = mailboxes_first(c->net->mailboxes, &c->seat.mailbox); s; s = mailbox_next(s)) {
		struct conn *o = s->owner;

		if (o->close_code || !id32_equal(&o->caller->device, &c->caller->device))
			continue;
		count++;
		if (!oldest || o->id < oldest->id)
			oldest = o;
	}
	if (count > config_of(c)->limits.connections_per_device)
		conn_close(oldest, CLOSE_SLOW, "replaced by a newer connection");
}

/* An issuer's token says whose mailbox it is; the protocol counts by that. */
static bool mailbox_is_full(const struct conn *c)
{
	size_t count = 0;

	if (!c->caller->plain.trusted)
		return false;
	for (struct mailbox_seat *s = mailboxes_first(c->net->mailboxes, &c->seat.mailbox); s; s = mailbox_next(s)) {
		const struct conn *o = s->owner;

		count += !o->close_code && o->caller->plain.trusted;
	}
	return count > config_of(c)->limits.connections_per_mailbox;
}

static void refuse_auth(struct conn *c, const char *reason)
{
	metrics_add(&c->net->relay->metrics, auth_failures, 1);
	conn_close(c, CLOSE_AUTH, reason);
}

static void take_caller(struct conn *c, const struct auth *a)
{
	if (!a->plain.sync) {
		refuse_auth(c, "sync scope required");
		return;
	}
	c->caller = caller_new(&a->person, &a->device, c->addr, c->counted);
	if (!c->caller) {
		conn_close(c, CLOSE_TRY_LATER, "out of memory");
		return;
	}
	c->caller->plain = a->plain;
	c->subscriber.device = a->device;
	mailboxes_join(c->net->mailboxes, &c->seat, &a->plain.mailbox, c);
	if (mailbox_is_full(c))
		conn_close(c, CLOSE_TOO_MANY, "too many connections");
	else if (!a->plain.trusted)
		replace_oldest(c);
	log_debug("connection %llu: device %s", (unsigned long long)c->id, log_id32(&a->device).s);
}

static void check_token(struct conn *c, struct bytes text)
{
	struct auth a;
	int err = auth_check(c->net->relay, text, NULL, &a);

	c->auth_waits = err == ERR_AGAIN;
	if (err == ERR_OFFLINE)
		conn_close(c, CLOSE_TRY_LATER, auth_reason(err));
	else if (err < 0 && !c->auth_waits)
		refuse_auth(c, text.len ? auth_reason(err) : "empty auth token");
	else if (err == OK)
		take_caller(c, &a);
}

static void authenticate(struct conn *c)
{
	struct bytes text;
	struct frame f;

	if (!c->binary)
		refuse_auth(c, "expected binary auth frame");
	else if (!c->in.len)
		refuse_auth(c, "empty auth frame");
	else if (frame_decode(buf_bytes(&c->in), &f) < 0)
		refuse_auth(c, "invalid auth frame");
	else if (f.type != FRAME_NOTIFICATION || !cbor_text_is(f.name, "auth"))
		refuse_auth(c, "first frame must be an auth notification");
	else if (param_text(f.value, "token", AUTH_TOKEN_MAX, &text) < 0)
		refuse_auth(c, "missing auth token");
	else if (!c->auth_waits && !may_bring_token(c))
		conn_close(c, CLOSE_RATE_LIMITED, "too many auth tokens");
	else
		check_token(c, text);
}

void ws_auth_again(struct net *n)
{
	for (size_t i = 0; i < NET_BUCKETS; i++)
		for (struct conn *c = n->conns[i]; c; c = c->next) {
			if (!c->auth_waits || c->close_code)
				continue;
			if (c->caller) {
				end_refresh(c, false);
				continue;
			}
			authenticate(c);
			if (!c->auth_waits)
				stop_waiting(c);
		}
}

void ws_tell_mailbox(struct net *n, const struct id32 *mailbox)
{
	struct buf b = message_buf();
	struct cbor_enc e = cbor_enc_init(&b);
	struct message *m;

	frame_begin_notification(&e, bytes_str("invitation"));
	cbor_put_map(&e, 0);
	if (cbor_enc_end(&e) < 0 || !(m = message_take(&b))) {
		buf_release(&b);
		return;
	}
	for (struct mailbox_seat *s = mailboxes_first(n->mailboxes, mailbox); s; s = mailbox_next(s))
		conn_deliver(s->owner, m);
	message_unref(m);
}

static int take_message(struct conn *c)
{
	struct frame f;

	metrics_add(&c->net->relay->metrics, bytes_in, c->in.len);
	if (frame_is_keepalive(buf_bytes(&c->in)))
		return 0;
	if (!c->caller) {
		authenticate(c);
		return 0;
	}
	if (!c->binary)
		return conn_close_now(c, CLOSE_PROTOCOL, "expected binary rpc frame");
	if (!c->in.len)
		return conn_close_now(c, CLOSE_PROTOCOL, "empty binary frame");
	if (frame_decode(buf_bytes(&c->in), &f) < 0)
		return conn_close_now(c, CLOSE_PROTOCOL, "invalid cbor frame");
	if (f.type == FRAME_REQUEST)
		take_request(c, &f);
	else if (f.type == FRAME_NOTIFICATION)
		take_notification(c, &f);
	return 0;
}

static int conn_receive(struct conn *c, const void *p, size_t n)
{
	struct lws *wsi = c->wsi;

	if (c->close_code)
		return 0;
	if (lws_is_first_fragment(wsi)) {
		buf_clear(&c->in);
		c->in_since = c->net->relay->env->mono_ns(c->net->relay->env->ctx);
		c->binary = lws_frame_is_binary(wsi);
	}
	if (!c->caller && c->in.len + n > AUTH_TOKEN_MAX + 256)
		return conn_close_now(c, CLOSE_AUTH, "invalid auth frame");
	if (!c->in.len && lws_remaining_packet_payload(wsi) > n &&
		buf_reserve(&c->in, n + lws_remaining_packet_payload(wsi)) < 0)
		return conn_close_now(c, CLOSE_TOO_BIG, "message too big");
	if (buf_put(&c->in, p, n) < 0)
		return conn_close_now(c, CLOSE_TOO_BIG, "message too big");
	if (is_holding_too_much(c, count_in(c)))
		return conn_close_now(c, CLOSE_RATE_LIMITED, "relay is busy");
	if (lws_remaining_packet_payload(wsi) || !lws_is_final_fragment(wsi))
		return 0;
	int err = take_message(c);
	if (!c->auth_waits)
		buf_clear(&c->in);
	count_in(c);
	flow_control(c);
	return err;
}

static void resume(struct conn *c)
{
	struct job *j = c->parked;

	if (!j || c->out.bytes > WS_RESUME_OUT)
		return;
	c->parked = NULL;
	net_dispatch(c->net, j);
}

static int conn_writable(struct conn *c)
{
	struct message *m;
	int sent = 0;

	if (c->close_code)
		return conn_close_now(c, c->close_code, c->close_reason);
	while (sent >= 0 && !lws_send_pipe_choked(c->wsi) && (m = message_list_shift(&c->out))) {
		sent = lws_write(c->wsi, m->data + MESSAGE_HEADROOM, m->len, LWS_WRITE_BINARY);
		metrics_add(&c->net->relay->metrics, bytes_out, m->len);
		message_unref(m);
	}
	if (sent >= 0 && c->keepalive_due && !c->out.first && !lws_send_pipe_choked(c->wsi)) {
		uint8_t beat[LWS_PRE + 1] = { 0 };

		beat[LWS_PRE] = FRAME_KEEPALIVE;
		c->keepalive_due = false;
		sent = lws_write(c->wsi, beat + LWS_PRE, 1, LWS_WRITE_BINARY);
	}
	if (sent < 0)
		return -1;
	flow_control(c);
	resume(c);
	start_reads(c);
	if (c->out.first || c->keepalive_due)
		lws_callback_on_writable(c->wsi);
	return 0;
}

static void register_watches(struct conn *c, struct job *j)
{
	struct watch *w;

	while ((w = j->watches)) {
		if (hub_subscribe(c->net->hub, &c->subscriber, &w->id, w->space, w->granted ? &w->grant : NULL) < 0)
			conn_close(c, CLOSE_SLOW, "too many subscriptions");
		j->watches = w->next;
		spaces_put(c->net->relay->spaces, w->space);
		free(w);
	}
}

void ws_done(struct net *n, struct job *j)
{
	struct conn *c = *find_conn(n, j->conn);

	if (!c || c->close_code) {
		if (c && j->method->lane != LANE_WRITE)
			c->reading--;
		job_ends(n, j);
		return;
	}
	caller_owe(j->caller, n->relay->rates, j->out.bytes, n->relay->env->mono_ns(n->relay->env->ctx));
	if (j->more)
		register_watches(c, j);
	message_list_move(&c->out, &j->out);
	if (j->method->lane == LANE_WRITE && c->out.bytes > config_of(c)->limits.queue_bytes)
		cut_slow(c);
	flow_control(c);
	lws_callback_on_writable(c->wsi);
	if (j->more) {
		c->parked = j;
		resume(c);
		return;
	}
	c->jobs--;
	c->job_bytes -= j->in.len;
	if (j->method->lane == LANE_WRITE)
		c->writes_done++;
	else
		c->reading--;
	job_ends(n, j);
	start_reads(c);
	flow_control(c);
}

static void tick(struct conn *c, int64_t now)
{
	const struct config *limits = config_of(c);
	const int64_t auth_seconds =
		(int64_t)(c->auth_waits ? limits->limits.issuer_seconds : limits->limits.auth_seconds);

	if (c->net->draining) {
		flow_control(c);
		if ((!c->jobs && !c->out.first) || now >= c->net->drain_until)
			conn_close(c, CLOSE_GOING_AWAY, "relay is stopping");
	} else if (!c->caller && now >= c->opened + auth_seconds * SECOND) {
		metrics_add(&c->net->relay->metrics, auth_failures, c->close_code == 0);
		conn_close(c, CLOSE_AUTH, "auth timeout");
	} else if (c->caller && c->auth_waits) {
		if (now >= c->in_since + auth_seconds * SECOND)
			end_refresh(c, true);
	} else if (c->in.len && now >= c->in_since + (int64_t)limits->limits.message_seconds * SECOND) {
		conn_close(c, CLOSE_SLOW, "message not finished");
	} else if (now >= c->ends_at) {
		conn_close(c, CLOSE_LIFETIME, c->recalled ? "trust has changed" : "connection timeout");
	} else if (now >= c->keepalive_at) {
		c->keepalive_at = now + (int64_t)limits->limits.keepalive_seconds * SECOND;
		c->keepalive_due = true;
		lws_callback_on_writable(c->wsi);
	}
}

void ws_tick(struct net *n, int64_t now)
{
	for (size_t i = 0; i < NET_BUCKETS; i++)
		for (struct conn *c = n->conns[i]; c; c = c->next)
			tick(c, now);
	live_sweep(n);
}

void ws_come_back(struct net *n, unsigned doubted)
{
	const struct env *env = n->relay->env;
	const int64_t now = env->mono_ns(env->ctx);
	const int64_t within = (int64_t)relay_config(n->relay)->server.return_seconds * SECOND;

	for (size_t i = 0; i < NET_BUCKETS && doubted; i++)
		for (struct conn *c = n->conns[i]; c; c = c->next) {
			uint16_t part;

			if (!c->caller || !(doubted & (c->caller->plain.trusted ? RELAY_DOUBTS_ISSUED
										: RELAY_DOUBTS_SELF_ISSUED)))
				continue;
			env->random(env->ctx, &part, sizeof part); /* so that not all come back at once */
			if (c->ends_at > now + within / 65536 * part) {
				c->ends_at = now + within / 65536 * part;
				c->recalled = true;
			}
		}
}

void ws_forget_all(struct net *n)
{
	for (size_t i = 0; i < NET_BUCKETS; i++)
		while (n->conns[i])
			conn_free(n->conns[i]);
}

int ws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct conn **c = user;

	switch (reason) {
	case LWS_CALLBACK_ESTABLISHED:
		return conn_open(c, wsi);
	case LWS_CALLBACK_RECEIVE:
		return *c ? conn_receive(*c, in, len) : -1;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return *c ? conn_writable(*c) : -1;
	case LWS_CALLBACK_CLOSED:
		if (*c)
			conn_free(*c);
		*c = NULL;
		return 0;
	default:
		return 0;
	}
}
