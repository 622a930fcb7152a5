/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work behind the HTTP routes, as jobs like any other: the upload of a chunk on the writer, its download on a
 * reader, and the relay's health and metrics.
 */
#include "server/chunks.h"
#include "server/relay.h"
#include "server/rpc.h"
#include "server/batch.h"
#include "wire/chunk.h"

/* The chunk that the body is; > 0: it is none, which is answered. */
static int read_chunk(struct job *j, struct chunk_new *ret_n)
{
	struct chunk c;
	int err;

	if (chunk_decode(buf_bytes(&j->in), &c) < 0 || !id16_equal(&c.space, &j->space) ||
		!id16_equal(&c.id, &j->chunk))
		return (err = job_http_error(j, 400, "not this chunk")) < 0 ? err : 1;
	*ret_n = (struct chunk_new){
		.space = j->space,
		.id = j->chunk,
		.blob = buf_bytes(&j->in),
		.named = c.named,
		.kept = j->kept,
		.object = j->object,
	};
	return OK;
}

static int keep_in_space(struct relay *relay, struct job *j, struct depot *store, const struct space_view *v)
{
	struct chunk_new n;
	int err;

	if (!v->log || !log_may_write(v->log->log, &j->caller->device))
		return job_http_error(j, 404, "space not found");
	if ((err = read_chunk(j, &n)))
		return err < 0 ? err : OK;
	if (job_take_bytes(relay, j, &j->space, j->in.len) < 0)
		return job_http_error(j, 429, "too many bytes into this space");
	if ((err = quota_check_early(relay, store, v->no, j->in.len)) == ERR_NO_SPACE)
		return job_http_error(j, 507, "no room");
	if (err == OK)
		err = chunk_keep(relay, store, v->no, &n);
	if (err == ERR_CONFLICT)
		return job_http_error(j, 409, "other bytes stand under this id");
	j->kept = n.kept;
	j->object = n.object;
	return err < 0 ? err : 1;
}

/* Brings a large chunk to where it will stand. All is looked at here too, so that nothing is kept for those who may not; what
 * counts is what put_run finds. */
static int keep_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct space *sp;
	struct space_view v;
	int err = spaces_get(relay->spaces, store, &j->space, &sp);

	if (err == ERR_NOT_FOUND)
		return job_http_error(j, 404, "space not found");
	if (err < 0)
		return err;
	v = space_view(sp);
	spaces_put(relay->spaces, sp);
	err = keep_in_space(relay, j, store, &v);
	space_view_release(&v);
	return err;
}

static int put_in_space(struct relay *relay, struct job *j, struct space *sp)
{
	const struct space_state *st = batch_state(relay, sp);
	struct chunk_new n;
	int err;

	if (!st->log || !log_may_write(st->log->log, &j->caller->device))
		return job_http_error(j, 404, "space not found");
	if ((err = read_chunk(j, &n)))
		return err < 0 ? err : OK;
	if (job_take_bytes(relay, j, &j->space, j->in.len) < 0)
		return job_http_error(j, 429, "too many bytes into this space");
	if ((err = quota_check(&relay->quota, relay, st->row.no, j->in.len)) == ERR_NO_SPACE)
		return job_http_error(j, 507, "no room");
	if (err < 0)
		return err;
	err = chunk_store(relay, st->row.no, &n);
	if (err == ERR_CONFLICT)
		return job_http_error(j, 409, "other bytes stand under this id");
	if (err == ERR_AGAIN) {
		j->more = true;
		return OK;
	}
	if (err < 0)
		return err;
	j->status = err ? 201 : 204;
	return OK;
}

static int put_run(struct relay *relay, struct job *j, struct depot *store)
{
	const struct chunk_new n = { .space = j->space, .kept = j->kept, .object = j->object };
	struct space *sp;
	int err = spaces_get(relay->spaces, store, &j->space, &sp);

	if (err == OK) {
		err = put_in_space(relay, j, sp);
		spaces_put(relay->spaces, sp);
	} else if (err == ERR_NOT_FOUND) {
		err = job_http_error(j, 404, "space not found");
	}
	return err == OK && j->status != 201 ? chunk_drop(relay, &n) : err;
}

/* The part asked for, of `size` bytes: *ret_from and how many. Negative: not there. */
static int64_t range(const struct job *j, uint64_t size, uint64_t *ret_from)
{
	uint64_t from = j->range_from, to = j->range_to;

	*ret_from = 0;
	if (!j->has_range)
		return (int64_t)size;
	if (from == UINT64_MAX) {
		from = to < size ? size - to : 0;
		to = size - 1;
	}
	if (from >= size)
		return -1;
	if (to >= size)
		to = size - 1;
	*ret_from = from;
	return (int64_t)(to - from + 1);
}

static int get_chunk(struct relay *relay, struct job *j, struct depot *store, uint64_t no)
{
	struct depot_chunk c;
	uint64_t from;
	int64_t n;
	int err = depot_chunk_find(store, no, &j->chunk, &c);

	if (err == ERR_NOT_FOUND)
		return job_http_error(j, 404, "chunk not found");
	if (err < 0)
		return err;
	j->size = c.size;
	j->status = 200;
	if (j->head_only)
		return OK;
	n = range(j, c.size, &from);
	if (n <= 0) {
		j->status = 416;
		return OK;
	}
	j->status = j->has_range ? 206 : 200;
	j->range_from = from;
	err = chunk_read(relay, store, &j->space, &c, from, (size_t)n, &j->body);
	return err == ERR_NOT_FOUND ? job_http_error(j, 404, "chunk not found") : err;
}

static int get_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct space *sp;
	struct space_view v;
	int err = spaces_get(relay->spaces, store, &j->space, &sp);

	if (err == ERR_NOT_FOUND)
		return job_http_error(j, 404, "chunk not found");
	if (err < 0)
		return err;
	v = space_view(sp);
	spaces_put(relay->spaces, sp);
	if (v.log && log_may_read(v.log->log, &j->caller->device))
		err = get_chunk(relay, j, store, v.no);
	else
		err = job_http_error(j, 404, "chunk not found");
	space_view_release(&v);
	return err;
}

static int status_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct depot_sizes sizes;
	struct depot_space unused;
	const struct id16 zero = { { 0 } };
	bool known;
	int err;

	if (j->in.len == 7) { /* /health */
		err = depot_space_find(store, &zero, &unused);
		j->status = err == OK || err == ERR_NOT_FOUND ? 200 : 503;
		return buf_printf(&j->body, j->status == 200
						    ? "{\"status\":\"healthy\"}"
						    : "{\"status\":\"unhealthy\",\"error\":\"database unavailable\"}");
	}
	known = metrics_sizes(&relay->metrics, &sizes);
	j->status = 200;
	return metrics_put(&j->body, &relay->metrics, known ? &sizes : NULL, relay->quota.available, relay_now(relay));
}

const struct method method_http_keep = { "/keep", LANE_BLOB, NULL, keep_run, NULL };
const struct method method_http_put = { "/put", LANE_WRITE, NULL, put_run, NULL };
const struct method method_http_get = { "/get", LANE_BLOB, NULL, get_run, NULL };
const struct method method_http_status = { "/status", LANE_READ, NULL, status_run, NULL };
