/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer.get {space, ids}: chunks in a batch, small or large; absent ones are answered as null.
 * coffer.head {space, head opt}: stores the caller's head, answers the newest of each device.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/verify.h"
#include "server/chunks.h"
#include "server/relay.h"
#include "server/rpc.h"
#include "server/batch.h"
#include "wire/chunk.h"

#define GET_MAX_IDS 4096
#define SLICE_BYTES (1u << 20)

struct get {
	struct id16 space;
	uint64_t no;
	struct id16 *ids;
	size_t n, at;
	uint64_t frames;
};

static void get_free(void *state)
{
	struct get *g = state;

	if (g)
		free(g->ids);
	free(g);
}

static int read_get(struct get *g, struct bytes params)
{
	struct cbor_dec d;
	size_t n;
	int err = param_id(params, "space", &g->space);

	if (err < 0 || (err = param_array(params, "ids", GET_MAX_IDS, &d, &n)) < 0)
		return err;
	if (!(g->ids = calloc(n + 1, sizeof *g->ids)))
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct bytes text = cbor_get_text(&d, 36);

		if ((err = cbor_dec_error(&d)) < 0 ||
			(err = id16_parse((const char *)text.p, text.len, &g->ids[i])) < 0)
			return err;
	}
	g->n = n;
	return OK;
}

static int send_chunk(struct relay *relay, struct job *j, struct depot *store, const struct get *g,
	const struct id16 *id, size_t *ret_bytes)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(CHUNK_MAX_BLOB);
	struct buf b;
	struct cbor_enc e;
	struct depot_chunk c;
	int err = depot_chunk_find(store, g->no, id, &c);
	bool absent = err == ERR_NOT_FOUND;

	if (err == OK)
		err = chunk_read(relay, store, &g->space, &c, 0, c.size, &blob);
	if (err == ERR_NOT_FOUND)
		absent = true;
	else if (err < 0)
		return err;
	job_begin_chunk(j, "coffer.chunk", &b, &e);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "id");
	put_id(&e, id);
	cbor_put_text(&e, "blob");
	if (absent)
		cbor_put_null(&e);
	else
		cbor_put_bytes(&e, blob.data, blob.len);
	*ret_bytes = blob.len + 64;
	return job_send(j, &b, &e);
}

static int get_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct get *g = j->state;
	struct buf b;
	struct cbor_enc e;
	size_t bytes = 0, one;
	struct space_view v;
	int err;

	if (!g) {
		if (!(g = calloc(1, sizeof *g)))
			return ERR_NOMEM;
		j->state = g;
		if (read_get(g, j->params) < 0)
			return job_error(j, "bad_request", "invalid params");
	}
	/* again for each slice: rights may go meanwhile */
	err = spaces_view_for(relay->spaces, store, &g->space, &j->caller->device, &v);
	if (err == ERR_FORBIDDEN)
		return job_error(j, "forbidden", "forbidden");
	if (err < 0)
		return err;
	g->no = v.no;
	space_view_release(&v);
	while (g->at < g->n && bytes < SLICE_BYTES) {
		if ((err = send_chunk(relay, j, store, g, &g->ids[g->at], &one)) < 0)
			return err;
		g->at++;
		g->frames++;
		bytes += one;
	}
	if (g->at < g->n)
		return 1;
	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "_chunks");
	cbor_put_uint(&e, g->frames);
	return job_send(j, &b, &e);
}

const struct method method_get = { "coffer.get", LANE_BLOB, NULL, get_run, get_free };

/* --- coffer.head --- */

struct heads {
	struct buf blobs; /* concatenated array items */
	size_t n;
};

static int collect(void *ctx, const struct id32 *device, uint64_t cursor, struct bytes blob)
{
	struct heads *h = ctx;
	struct cbor_enc e = cbor_enc_init(&h->blobs);

	(void)device;
	(void)cursor;
	cbor_put_bytes(&e, blob.p, blob.len);
	h->n++;
	return cbor_enc_end(&e);
}

static int answer_heads(struct job *j, struct depot *store, const struct space_state *st)
{
	struct heads h = { .blobs = BUF_INIT(4u << 20) };
	struct buf b;
	struct cbor_enc e;
	int err = depot_heads(store, st->row.no, collect, &h);

	if (err == OK) {
		job_begin_result(j, &b, &e);
		cbor_put_map(&e, 3);
		cbor_put_text(&e, "heads");
		cbor_put_array(&e, h.n);
		if (h.n)
			cbor_put_raw(&e, buf_bytes(&h.blobs));
		cbor_put_text(&e, "cursor");
		cbor_put_uint(&e, st->row.cursor);
		cbor_put_text(&e, "store");
		cbor_put_bytes(&e, depot_id(store)->b, 16);
		err = job_send(j, &b, &e);
	}
	buf_release(&h.blobs);
	return err;
}

struct asked_heads {
	int err;
	struct id16 space;
	struct bytes blob; /* empty: the caller brings none */
	struct head head;
};

static int read_head(struct asked_heads *a, const struct job *j)
{
	int err;

	if (param_id(j->params, "space", &a->space) < 0)
		return ERR_INVALID;
	err = param_bytes(j->params, "head", HEAD_MAX_BLOB, &a->blob);
	if (err == ERR_NOT_FOUND)
		return OK;
	if (err < 0 || (err = verify_head(a->blob, &a->space, &a->head)) < 0)
		return err;
	return id32_equal(&a->head.device, &j->caller->device) ? OK : ERR_CONTEXT;
}

/* The signature is verified before the writer's turn; whether the caller may bring it is for the writer to say. */
static int head_prepare(struct relay *relay, struct job *j)
{
	struct asked_heads *a = calloc(1, sizeof *a);

	(void)relay;
	if (!a)
		return ERR_NOMEM;
	j->state = a;
	a->err = read_head(a, j);
	return OK;
}

static int head_in(
	struct relay *relay, struct job *j, struct depot *store, struct space *sp, const struct asked_heads *a)
{
	const struct space_state *st = batch_state(relay, sp);
	int err;

	if (!st->log || !log_may_read(st->log->log, &j->caller->device))
		return job_error(j, "forbidden", "forbidden");
	if (a->blob.len && (err = depot_head_put(store, st->row.no, &a->head.device, 0, a->blob)) < 0)
		return err;
	return answer_heads(j, store, st);
}

static int head_run(struct relay *relay, struct job *j, struct depot *store)
{
	const struct asked_heads *a = j->state;
	struct space *sp;
	int err;

	if (!a || a->err == ERR_NOMEM)
		return ERR_NOMEM;
	if (a->err < 0)
		return job_error(j, "bad_request", "invalid params");
	err = spaces_get(relay->spaces, store, &a->space, &sp);
	if (err == ERR_NOT_FOUND)
		return job_error(j, "forbidden", "forbidden");
	if (err < 0)
		return err;
	err = head_in(relay, j, store, sp, a);
	spaces_put(relay->spaces, sp);
	return err;
}

const struct method method_head = { "coffer.head", LANE_WRITE, head_prepare, head_run, free };
