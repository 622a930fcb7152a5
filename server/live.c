/* SPDX-License-Identifier: Apache-2.0 */
#include "server/live.h"

#include "server/elsewhere.h"
#include "server/rpc.h"

#define MINUTE 60000000000ll

/* {space, peer, data}; without data if `data` is NULL. */
static void tell(struct net *n, const char *name, const struct id16 *space, uint64_t conn, const struct bytes *data)
{
	char peer[PRESENCE_PEER_SIZE];
	struct buf b = message_buf();
	struct cbor_enc e = cbor_enc_init(&b);
	struct message *m;

	presence_peer(n->relay->presence, conn, space, peer);
	frame_begin_notification(&e, bytes_str(name));
	cbor_put_map(&e, data ? 3 : 2);
	cbor_put_text(&e, "space");
	put_id(&e, space);
	cbor_put_text(&e, "peer");
	cbor_put_text(&e, peer);
	if (data) {
		cbor_put_text(&e, "data");
		cbor_put_bytes(&e, data->p, data->len);
	}
	if (cbor_enc_end(&e) < 0 || !(m = message_take(&b))) {
		buf_release(&b);
		return;
	}
	metrics_add(&n->relay->metrics, notices, hub_publish(n->hub, space, m, conn, relay_now(n->relay)));
	message_unref(m);
}

/* Each word goes to all who listen: so many at once, and so many a second, from one connection; what is more is dropped. */
static bool may_speak(const struct net *n, struct subscriber *from)
{
	const int64_t now = n->relay->env->mono_ns(n->relay->env->ctx);
	const struct config *c = relay_config(n->relay);
	const int64_t every = MINUTE / (int64_t)c->limits.live_per_minute;

	if (from->spoke < now)
		from->spoke = now;
	if (from->spoke - now > ((int64_t)c->limits.live_burst - 1) * every)
		return false;
	from->spoke += every;
	return true;
}

/* False: nothing came of it. */
static bool act(struct net *n, char what, const struct id16 *space, uint64_t conn, struct bytes data)
{
	if (what == 'E') {
		tell(n, "event", space, conn, &data);
	} else if (what == 'P') {
		if (presence_set(n->relay->presence, space, conn, data) < 0)
			return false;
		tell(n, "presence", space, conn, &data);
	} else {
		if (!presence_clear(n->relay->presence, space, conn))
			return false;
		tell(n, "presence.leave", space, conn, NULL);
	}
	return true;
}

void live_take(struct net *n, struct subscriber *from, struct bytes name, struct bytes params)
{
	const bool set = cbor_text_is(name, "presence.set"), clear = cbor_text_is(name, "presence.clear");
	const bool event = cbor_text_is(name, "event.send");
	const struct config *c = relay_config(n->relay);
	struct bytes data = bytes_of(NULL, 0);
	struct id16 space;

	if ((!set && !clear && !event) || param_id(params, "space", &space) < 0 ||
		!hub_may_hear(n->hub, from, &space, relay_now(n->relay)))
		return;
	if (!clear && param_bytes(params, "data", event ? c->limits.event_bytes : c->limits.presence_bytes, &data) < 0)
		return;
	if (!clear && !may_speak(n, from))
		return;
	if (act(n, event ? 'E' : set ? 'P' : 'Q', &space, from->id, data))
		elsewhere_say(n, event ? 'E' : set ? 'P' : 'Q', &space, from->id, data);
}

void live_hear(struct net *n, char what, const struct id16 *space, uint64_t conn, struct bytes data)
{
	act(n, what, space, conn, data);
}

void live_unsubscribe(struct net *n, struct subscriber *from, const struct id16 *space)
{
	if (act(n, 'Q', space, from->id, bytes_of(NULL, 0)))
		elsewhere_say(n, 'Q', space, from->id, bytes_of(NULL, 0));
	hub_unsubscribe(n->hub, from, space);
}

static void tell_left(void *ctx, const struct id16 *space, uint64_t conn, struct bytes data)
{
	(void)data;
	tell(ctx, "presence.leave", space, conn, NULL);
}

/* While the relay stops, the others here are on their way out, too. */
static void tell_elsewhere(void *ctx, const struct id16 *space, uint64_t conn, struct bytes data)
{
	struct net *n = ctx;

	(void)data;
	elsewhere_say(n, 'Q', space, conn, bytes_of(NULL, 0));
}

static void tell_all_left(void *ctx, const struct id16 *space, uint64_t conn, struct bytes data)
{
	tell_left(ctx, space, conn, data);
	tell_elsewhere(ctx, space, conn, data);
}

void live_leave(struct net *n, struct subscriber *from)
{
	hub_leave(n->hub, from);
	presence_leave(n->relay->presence, from->id, n->draining ? tell_elsewhere : tell_all_left, n);
}

void live_sweep(struct net *n)
{
	presence_sweep(n->relay->presence, tell_left, n);
}
