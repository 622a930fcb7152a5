/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subscribe {spaces: [{id, since}]}: the reader decides who may; the network thread registers and only then takes the
 * cursors for the result (rpc_subscribe_result), so that no step falls between the cursor and the first notification.
 */
#include <stdlib.h>
#include "server/relay.h"
#include "server/rpc.h"
#include "server/subscribe.h"

#define SUBSCRIBE_MAX 1000

struct subscribed {
	struct id16 id;
	struct space *space; /* held by the job's watches */
	const char *error;
};

struct subscribe {
	struct subscribed *spaces;
	size_t n;
};

static void subscribe_free(void *state)
{
	struct subscribe *s = state;

	if (s)
		free(s->spaces);
	free(s);
}

static int look_up(struct relay *relay, struct job *j, struct depot *store, struct subscribed *s)
{
	struct space *sp;
	struct space_view v;
	int err = spaces_get(relay->spaces, store, &s->id, &sp);

	if (err < 0) {
		s->error = err == ERR_NOT_FOUND ? "forbidden" : "internal";
		return err == ERR_NOMEM ? err : OK;
	}
	v = space_view(sp);
	if (!v.log || !log_may_read(v.log->log, &j->caller->device))
		s->error = "forbidden";
	else if ((err = job_watch(relay, j, sp)) == OK)
		s->space = sp;
	space_view_release(&v);
	spaces_put(relay->spaces, sp);
	return err;
}

static int subscribe_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct subscribe *s = calloc(1, sizeof *s);
	struct cbor_dec d;
	size_t n;
	int err;

	if (!s)
		return ERR_NOMEM;
	j->state = s;
	err = param_array(j->params, "spaces", SUBSCRIBE_MAX, &d, &n);
	if (err == ERR_RANGE)
		return job_error(j, "bad_request", "too many spaces in subscribe request");
	if (err < 0)
		return job_error(j, "invalid_params", "spaces is not an array");
	if (!(s->spaces = calloc(n + 1, sizeof *s->spaces)))
		return ERR_NOMEM;
	for (s->n = 0; s->n < n; s->n++) {
		struct bytes item = cbor_get_raw(&d);

		if (cbor_dec_error(&d) < 0)
			return job_error(j, "invalid_params", "spaces is not an array of maps");
		if (param_id(item, "id", &s->spaces[s->n].id) < 0)
			s->spaces[s->n].error = "bad_request";
		else if ((err = look_up(relay, j, store, &s->spaces[s->n])) < 0)
			return err;
	}
	return OK;
}

static size_t count_errors(const struct subscribe *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += s->spaces[i].error != NULL;
	return n;
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
		put_id(e, &s->spaces[i].id);
		cbor_put_text(e, "error");
		cbor_put_text(e, s->spaces[i].error);
	}
}

int subscribe_result(struct job *j)
{
	const struct subscribe *s = j->state;
	struct buf b;
	struct cbor_enc e;
	size_t errors;

	if (!s || !s->spaces || j->out.first)
		return OK;
	errors = count_errors(s);
	job_begin_result(j, &b, &e);
	cbor_put_map(&e, errors ? 2 : 1);
	cbor_put_text(&e, "spaces");
	cbor_put_array(&e, s->n - errors);
	for (size_t i = 0; i < s->n; i++) {
		struct space_view v;

		if (s->spaces[i].error)
			continue;
		v = space_view(s->spaces[i].space);
		cbor_put_map(&e, 3);
		cbor_put_text(&e, "id");
		put_id(&e, &s->spaces[i].id);
		cbor_put_text(&e, "cursor");
		cbor_put_uint(&e, v.cursor);
		cbor_put_text(&e, "key_generation");
		cbor_put_uint(&e, v.log ? log_epoch_number(v.log->log) : 0);
		space_view_release(&v);
	}
	if (errors)
		put_errors(&e, s, errors);
	return job_send(j, &b, &e);
}

const struct method method_subscribe = { "subscribe", LANE_READ, NULL, subscribe_run, subscribe_free };
