/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subscribe {spaces: [{id, since, ucan, presence}]}, in two steps: first the reader decides who may, and the network thread
 * registers them; only then the cursors are read for the result, so that no step falls between the cursor and the first
 * notification.
 */
#include <stdlib.h>
#include "server/plain.h"
#include "server/rpc.h"

/* Of one answer, for who is present: clients drop what is above 4 MiB, and hear of the rest when it is renewed. */
#define PEERS_BYTES (3u << 20)
#define PEER_BYTES 64 /* about, beside its data */

struct subscribed {
	struct bytes text; /* of the id, as the client wrote it */
	struct id16 id;
	bool presence;
	const char *error;
	struct space *space; /* of a Coffer space; a reference */
	/* of a plain one */
	struct plain_right right;
	struct depot_plain sp;
};

struct subscribe {
	struct relay *relay;
	struct subscribed *spaces;
	size_t n;
};

static void subscribe_free(void *state)
{
	struct subscribe *s = state;

	for (size_t i = 0; s && i < s->n; i++)
		spaces_put(s->relay->spaces, s->spaces[i].space);
	if (s)
		free(s->spaces);
	free(s);
}

static int refuse(struct subscribed *s, int err)
{
	s->error = err == ERR_FORBIDDEN || err == ERR_NOT_FOUND ? "forbidden"
		   : err == ERR_RATE_LIMITED                    ? "rate_limited"
								: "internal";
	return err == ERR_NOMEM ? err : OK;
}

static int look_up_plain(
	struct relay *relay, struct job *j, struct depot *store, struct subscribed *s, struct bytes ucan)
{
	int err;

	plain_ask(relay, j->caller, &s->id, ucan, UCAN_READ, &s->right);
	if ((err = plain_open(relay, store, &s->id, &s->right, &s->sp)) < 0)
		return refuse(s, err);
	return job_watch(relay, j, &s->id, NULL, plain_grant(&s->right));
}

static int look_up(struct relay *relay, struct job *j, struct depot *store, struct subscribed *s, struct bytes ucan)
{
	struct space_view v;
	int err = spaces_get(relay->spaces, store, &s->id, &s->space);

	if (err == ERR_NOT_FOUND)
		return look_up_plain(relay, j, store, s, ucan);
	if (err < 0)
		return refuse(s, err);
	v = space_view(s->space);
	if (!v.log || !log_may_read(v.log->log, &j->caller->device))
		s->error = "forbidden";
	else
		err = job_watch(relay, j, &s->id, s->space, NULL);
	space_view_release(&v);
	return err;
}

static int read_space(struct relay *relay, struct job *j, struct depot *store, struct bytes item, struct subscribed *s)
{
	struct bytes ucan;

	if (param_text(item, "id", FRAME_MAX, &s->text) < 0 || param_text_opt(item, "ucan", UCAN_MAX, &ucan) < 0 ||
		param_bool_opt(item, "presence", &s->presence) < 0)
		return ERR_INVALID;
	if (id16_parse((const char *)s->text.p, s->text.len, &s->id) < 0) {
		s->error = "bad_request";
		return OK;
	}
	return look_up(relay, j, store, s, ucan);
}

static int register_all(struct relay *relay, struct job *j, struct depot *store)
{
	struct subscribe *s = j->state;
	struct cbor_dec d;
	size_t n;
	int err = param_array(j->params, "spaces", relay_config(relay)->limits.spaces_per_request, &d, &n);

	if (err == ERR_RANGE)
		return job_error(j, "bad_request", "too many spaces in subscribe request");
	if (err < 0)
		return job_error(j, "invalid_params", "spaces is not an array");
	if (!(s->spaces = calloc(n + 1, sizeof *s->spaces)))
		return ERR_NOMEM;
	while (s->n < n) {
		struct bytes item = cbor_get_raw(&d);

		if (cbor_dec_error(&d) < 0)
			return job_error(j, "invalid_params", "spaces is not an array of maps");
		err = read_space(relay, j, store, item, &s->spaces[s->n++]);
		if (err < 0)
			return err == ERR_INVALID ? job_error(j, "invalid_params", "invalid params") : err;
	}
	return 1;
}

/* --- the result --- */

struct shown_peers {
	const struct presence *presence;
	struct cbor_enc e;
	size_t n, before; /* before: bytes of the answer */
};

static void put_peer(void *ctx, const struct id16 *space, uint64_t conn, struct bytes data)
{
	struct shown_peers *p = ctx;
	char peer[PRESENCE_PEER_SIZE];

	if (p->before + p->e.b->len + data.len + PEER_BYTES > PEERS_BYTES)
		return;
	presence_peer(p->presence, conn, space, peer);
	cbor_put_map(&p->e, 2);
	cbor_put_text(&p->e, "peer");
	cbor_put_text(&p->e, peer);
	cbor_put_text(&p->e, "data");
	cbor_put_bytes(&p->e, data.p, data.len);
	p->n++;
}

struct shown {
	uint64_t cursor, generation, rewrap;
};

static int put_space(struct cbor_enc *e, const struct subscribe *s, const struct job *j, const struct subscribed *one,
	const struct shown *now)
{
	struct buf rows = BUF_INIT(PEERS_BYTES);
	struct shown_peers peers = { s->relay->presence, cbor_enc_init(&rows), 0, e->b->len };

	if (one->presence)
		presence_list(s->relay->presence, &one->id, j->conn, put_peer, &peers);
	cbor_put_map(e, 3u + (now->rewrap != 0) + (peers.n != 0));
	cbor_put_text(e, "id");
	cbor_put_text_n(e, (const char *)one->text.p, one->text.len);
	cbor_put_text(e, "cursor");
	cbor_put_uint(e, now->cursor);
	cbor_put_text(e, "key_generation");
	cbor_put_uint(e, now->generation);
	if (now->rewrap) {
		cbor_put_text(e, "rewrap_epoch");
		cbor_put_uint(e, now->rewrap);
	}
	if (peers.n) {
		cbor_put_text(e, "peers");
		cbor_put_array(e, peers.n);
		if (e->err == OK)
			e->err = peers.e.err < 0 ? peers.e.err : buf_put(e->b, rows.data, rows.len);
	}
	buf_release(&rows);
	return e->err;
}

/* The space as it is now. */
static int show(struct depot *store, const struct subscribed *one, struct shown *ret)
{
	struct depot_plain sp = one->sp;
	struct space_view v;
	int err;

	if (one->space) {
		v = space_view(one->space);
		*ret = (struct shown){ v.cursor, v.log ? log_epoch_number(v.log->log) : 0, 0 };
		space_view_release(&v);
		return OK;
	}
	err = depot_plain_find(store, &one->id, &sp);
	*ret = (struct shown){ sp.cursor, sp.generation, sp.rewrap };
	return err == ERR_NOT_FOUND ? OK : err;
}

static void put_errors(struct cbor_enc *e, const struct subscribe *s, size_t n)
{
	cbor_put_text(e, "errors");
	cbor_put_array(e, n);
	for (size_t i = 0; i < s->n; i++) {
		if (!s->spaces[i].error)
			continue;
		cbor_put_map(e, 2);
		cbor_put_text(e, "space");
		cbor_put_text_n(e, (const char *)s->spaces[i].text.p, s->spaces[i].text.len);
		cbor_put_text(e, "error");
		cbor_put_text(e, s->spaces[i].error);
	}
}

static int answer(struct job *j, struct depot *store)
{
	const struct subscribe *s = j->state;
	struct buf b;
	struct cbor_enc e;
	size_t errors = 0;
	int err = OK;

	for (size_t i = 0; i < s->n; i++)
		errors += s->spaces[i].error != NULL;
	job_begin_result(j, &b, &e);
	cbor_put_map(&e, errors ? 2 : 1);
	cbor_put_text(&e, "spaces");
	cbor_put_array(&e, s->n - errors);
	for (size_t i = 0; i < s->n && err == OK; i++) {
		struct shown now;

		if (s->spaces[i].error)
			continue;
		err = show(store, &s->spaces[i], &now);
		if (err == OK)
			err = put_space(&e, s, j, &s->spaces[i], &now);
	}
	if (err < 0) {
		buf_release(&b);
		return err;
	}
	if (errors)
		put_errors(&e, s, errors);
	return job_send(j, &b, &e);
}

static int subscribe_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct subscribe *s = j->state;

	if (s)
		return answer(j, store);
	if (!(s = j->state = calloc(1, sizeof *s)))
		return ERR_NOMEM;
	s->relay = relay;
	return register_all(relay, j, store);
}

const struct method method_subscribe = { "subscribe", LANE_READ, NULL, subscribe_run, subscribe_free };
