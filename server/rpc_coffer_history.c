/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer.history {space, ids, before opt, limit opt}: what is left of the versions of some records, newest first.
 * coffer.at {space, cursor | time, from opt, limit opt}: the records that were current then, as far as they are kept.
 *
 * Both stream slices of about SLICE_BYTES, each from one snapshot, and ask before each whether the caller may still read; a slice of
 * coffer.at looks at DEPOT_AT_NUMBERS versions at most, so that a long history holds none of the few readers. Versions that are
 * replaced or expire meanwhile stand in one slice or in none; what a caller needs whole it asks for again.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "server/relay.h"
#include "server/rpc.h"
#include "wire/record.h"

#define IDS_MAX 1000
#define VERSIONS_MAX 1000 /* of one record */
#define SLICE_BYTES (1u << 20)
#define LIMIT_DEFAULT (64ull << 20)

/* A stream of versions. */
struct versions {
	struct id16 space;
	uint64_t no;
	uint64_t frames, bytes, limit;
	uint64_t below; /* the next version is numbered below it (history), or before it (at) */

	/* history */
	struct id16 *ids;
	size_t n_ids, at;
	bool begun; /* with this id */
	uint64_t first_below, most, sent;

	/* at */
	uint64_t from, cursor;
	int64_t time;
	bool by_time;

	/* one slice */
	struct depot *store;
	struct job *job;
	size_t slice;
};

static void versions_free(void *state)
{
	struct versions *v = state;

	if (v)
		free(v->ids);
	free(v);
}

static int send_version(struct versions *v, uint64_t space, const struct depot_version *one)
{
	struct depot_step step;
	struct buf b;
	struct cbor_enc e;
	int err = depot_step_get(v->store, space, one->cursor, &step);

	if (err < 0)
		return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
	job_begin_chunk(v->job, "coffer.version", &b, &e);
	cbor_put_map(&e, one->current ? 4 : 5);
	cbor_put_text(&e, "id");
	put_id(&e, &one->id);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, one->cursor);
	cbor_put_text(&e, "time");
	cbor_put_uint(&e, (uint64_t)step.time);
	if (!one->current) {
		cbor_put_text(&e, "expires");
		cbor_put_uint(&e, (uint64_t)one->expires);
	}
	cbor_put_text(&e, "blob");
	cbor_put_bytes(&e, one->blob.p, one->blob.len);
	v->frames++;
	v->slice += one->blob.len + 128;
	v->bytes += one->blob.len + 128;
	return job_send(v->job, &b, &e);
}

/* --- history --- */

static int read_ids(struct versions *v, struct bytes params)
{
	struct cbor_dec d;
	size_t n;
	int err = param_array(params, "ids", IDS_MAX, &d, &n);

	if (err < 0)
		return err;
	if (!(v->ids = calloc(n + 1, sizeof *v->ids)))
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct bytes text = cbor_get_text(&d, 36);

		if ((err = cbor_dec_error(&d)) < 0 ||
			(err = id16_parse((const char *)text.p, text.len, &v->ids[i])) < 0)
			return err;
	}
	v->n_ids = n;
	return OK;
}

static int read_history(struct versions *v, struct bytes params)
{
	int err = param_id(params, "space", &v->space);

	if (err < 0 || (err = read_ids(v, params)) < 0)
		return err;
	v->cursor = UINT64_MAX;
	v->most = VERSIONS_MAX;
	if ((err = param_uint(params, "before", &v->cursor)) < 0 && err != ERR_NOT_FOUND)
		return err;
	if ((err = param_uint(params, "limit", &v->most)) < 0 && err != ERR_NOT_FOUND)
		return err;
	return v->most == 0 || v->most > VERSIONS_MAX ? ERR_RANGE : OK;
}

static int send_replaced(void *ctx, uint64_t space, const struct depot_version *one)
{
	struct versions *v = ctx;
	int err = send_version(v, space, one);

	if (err < 0)
		return err;
	v->below = one->number;
	return ++v->sent == v->most || v->slice >= SLICE_BYTES;
}

static int send_current(void *ctx, uint64_t space, const struct depot_version *one)
{
	struct versions *v = ctx;

	if (!one->current)
		return OK;
	v->sent++;
	return send_version(v, space, one);
}

/* The current version of the id that comes next. */
static int begin_id(struct versions *v)
{
	struct depot_record r;
	int err = depot_record_find(v->store, v->no, &v->ids[v->at], &r);

	v->begun = true;
	v->sent = 0;
	v->below = v->first_below;
	if (err < 0)
		return err == ERR_NOT_FOUND ? OK : err;
	return r.number < v->below ? depot_versions(v->store, v->no, r.number, 1, send_current, v) : OK;
}

/* > 0: there is more. */
static int history_slice(struct versions *v)
{
	while (v->at < v->n_ids && v->slice < SLICE_BYTES) {
		int err = v->begun ? OK : begin_id(v);

		if (err == OK && v->sent < v->most)
			err = depot_history(
				v->store, v->no, &v->ids[v->at], v->below, v->most - v->sent, send_replaced, v);
		if (err < 0)
			return err;
		if (err > 0 && v->sent < v->most)
			return 1;
		v->at++;
		v->begun = false;
	}
	return v->at < v->n_ids;
}

/* The number of the first version that `cursor` or a later step brought. */
static int below_cursor(struct versions *v, uint64_t cursor)
{
	struct depot_step step;
	int err;

	v->below = cursor ? UINT64_MAX : 0;
	if (!cursor || cursor == UINT64_MAX)
		return OK;
	err = depot_step_get(v->store, v->no, cursor, &step);
	if (err == OK)
		v->below = step.first_version;
	return err == ERR_NOT_FOUND ? OK : err;
}

static int end_history(struct versions *v, struct job *j)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "_chunks");
	cbor_put_uint(&e, v->frames);
	return job_send(j, &b, &e);
}

/* The state of a run; > 0: answered. */
static int open_run(struct relay *relay, struct job *j, struct depot *store,
	int (*read)(struct versions *v, struct bytes params), bool *ret_first)
{
	struct versions *v = j->state;
	struct space_view view;
	int err;

	*ret_first = !v;
	if (!v) {
		if (!(v = calloc(1, sizeof *v)))
			return ERR_NOMEM;
		j->state = v;
		v->limit = LIMIT_DEFAULT;
		if (read(v, j->params) < 0)
			return (err = job_error(j, "bad_request", "invalid params")) < 0 ? err : 1;
	}
	err = spaces_view_for(relay->spaces, store, &v->space, &j->caller->device, &view);
	if (err == ERR_FORBIDDEN)
		return (err = job_error(j, "forbidden", "forbidden")) < 0 ? err : 1;
	if (err < 0)
		return err;
	v->no = view.no;
	if (*ret_first && v->by_time)
		v->cursor = view.cursor;
	space_view_release(&view);
	v->store = store;
	v->job = j;
	v->slice = 0;
	return depot_begin_read(store);
}

static int history_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct versions *v;
	bool first;
	int err = open_run(relay, j, store, read_history, &first);

	if (err)
		return err < 0 ? err : OK;
	v = j->state;
	if (first && (err = below_cursor(v, v->cursor)) == OK)
		v->first_below = v->below;
	if (err == OK)
		err = history_slice(v);
	depot_end_read(store);
	return err ? err : end_history(v, j);
}

const struct method method_history = { "coffer.history", LANE_READ, NULL, history_run, versions_free };

/* --- at --- */

static int read_at(struct versions *v, struct bytes params)
{
	uint64_t time = 0;
	int err = param_id(params, "space", &v->space);

	if (err < 0)
		return err;
	if ((err = param_uint(params, "from", &v->from)) < 0 && err != ERR_NOT_FOUND)
		return err;
	if ((err = param_uint(params, "limit", &v->limit)) < 0 && err != ERR_NOT_FOUND)
		return err;
	err = param_uint(params, "cursor", &v->cursor);
	if (err != ERR_NOT_FOUND)
		return err;
	v->by_time = true;
	if ((err = param_uint(params, "time", &time)) < 0)
		return err;
	v->time = time > INT64_MAX ? INT64_MAX : (int64_t)time;
	return OK;
}

/* The last step that was taken at `time` or before: by halves, for steps are in the order of their times as far as the clock was. */
static int find_cursor(struct versions *v)
{
	uint64_t low = 0, high = v->cursor;

	while (low < high) {
		uint64_t middle = low + (high - low + 1) / 2;
		struct depot_step step;
		int err = depot_step_get(v->store, v->no, middle, &step);

		if (err < 0)
			return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
		if (step.time <= v->time)
			low = middle;
		else
			high = middle - 1;
	}
	v->cursor = low;
	return OK;
}

static int begin_at(struct versions *v)
{
	struct depot_step step = { .time = 0 };
	struct buf b;
	struct cbor_enc e;
	int err = v->by_time ? find_cursor(v) : OK;

	if (err == OK)
		err = below_cursor(v, v->cursor == UINT64_MAX ? v->cursor : v->cursor + 1);
	if (err == OK && (err = depot_step_get(v->store, v->no, v->cursor, &step)) == ERR_NOT_FOUND)
		err = OK;
	if (err < 0)
		return err;
	job_begin_chunk(v->job, "coffer.begin", &b, &e);
	cbor_put_map(&e, 3);
	cbor_put_text(&e, "space");
	put_id(&e, &v->space);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, v->cursor);
	cbor_put_text(&e, "time");
	cbor_put_uint(&e, (uint64_t)step.time);
	v->frames++;
	return job_send(v->job, &b, &e);
}

static int send_then(void *ctx, uint64_t space, const struct depot_version *one)
{
	struct versions *v = ctx;
	int err = send_version(v, space, one);

	if (err < 0)
		return err;
	return v->slice >= SLICE_BYTES || v->bytes >= v->limit;
}

static int end_at(struct versions *v, struct job *j, bool more)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, more ? 2 : 1);
	cbor_put_text(&e, "_chunks");
	cbor_put_uint(&e, v->frames);
	if (more) {
		cbor_put_text(&e, "next");
		cbor_put_uint(&e, v->from);
	}
	return job_send(j, &b, &e);
}

static int at_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct versions *v;
	bool first;
	int err = open_run(relay, j, store, read_at, &first);

	if (err)
		return err < 0 ? err : OK;
	v = j->state;
	err = first ? begin_at(v) : OK;
	if (err == OK)
		err = depot_versions_at(store, v->no, &v->from, v->below, send_then, v);
	depot_end_read(store);
	if (err < 0)
		return err;
	if (err > 0 && v->bytes < v->limit)
		return 1;
	return end_at(v, j, err > 0);
}

const struct method method_at = { "coffer.at", LANE_READ, NULL, at_run, versions_free };
