/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wrapped keys of records and files, which members wrap anew when the space's key changes:
 *
 *	deks.get, file.deks.get {space, ucan, since} -> chunks of one row each, and {deks, _chunks}
 *	deks.rewrap, file.deks.rewrap {space, ucan, deks: [{id, dek}]} -> {ok, count}: all or none; cursors stay
 *
 * The protocol's reference answers with the result's rows, its public client reads the chunks alone: both are sent, the
 * rows only while they are few.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "server/plain.h"
#include "server/rpc.h"

#define SLICE_BYTES (512u << 10)
#define ROW_BYTES 256 /* of a slice, for a row that is only looked at */
#define INLINE_BYTES (1u << 20)

struct deks {
	enum depot_kind kind;
	struct id16 space;
	struct plain_right right;
	struct depot_place place;
	uint64_t rows;
	struct buf encoded; /* rows for the result, up to INLINE_BYTES */
	bool many;          /* they did not fit */

	/* one slice */
	struct job *job;
	size_t slice;
};

/* The public client and the reference call them by two names each. */
static enum depot_kind kind_of(const struct job *j)
{
	const struct method *m = j->method;

	return m == &method_deks_get || m == &method_deks_rewrap ? DEPOT_RECORD : DEPOT_FILE;
}

static void deks_free(void *state)
{
	struct deks *d = state;

	if (d)
		buf_release(&d->encoded);
	free(d);
}

static void put_row(struct cbor_enc *e, const struct depot_item *it)
{
	cbor_put_map(e, 3);
	cbor_put_text(e, "id");
	put_id(e, &it->id);
	cbor_put_text(e, "dek");
	cbor_put_bytes(e, it->dek.p, it->dek.len);
	cbor_put_text(e, it->kind == DEPOT_FILE ? "cursor" : "seq");
	cbor_put_uint(e, it->cursor);
}

static void keep_row(struct deks *d, const struct depot_item *it)
{
	struct cbor_enc e = cbor_enc_init(&d->encoded);

	if (d->many)
		return;
	put_row(&e, it);
	d->many = cbor_enc_end(&e) < 0;
}

static int send_row(void *ctx, const struct depot_item *it)
{
	struct deks *d = ctx;
	struct buf b;
	struct cbor_enc e;
	int err;

	d->place = (struct depot_place){ it->cursor, it->kind, it->id };
	if (!it->dek.len) {
		d->slice += ROW_BYTES;
		return d->slice >= SLICE_BYTES;
	}
	job_begin_chunk(d->job, it->kind == DEPOT_FILE ? "deks.files.record" : "deks.record", &b, &e);
	put_row(&e, it);
	d->slice += b.len;
	if ((err = job_send(d->job, &b, &e)) < 0)
		return err;
	keep_row(d, it);
	d->rows++;
	return d->slice >= SLICE_BYTES;
}

static int answer_rows(struct job *j, const struct deks *d)
{
	struct buf b;
	struct cbor_enc e;
	size_t inlined = d->many ? 0 : d->rows;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "deks");
	cbor_put_array(&e, inlined);
	if (inlined && e.err == OK)
		e.err = buf_put(e.b, d->encoded.data, d->encoded.len);
	cbor_put_text(&e, "_chunks");
	cbor_put_uint(&e, d->rows);
	return job_send(j, &b, &e);
}

static int start(struct relay *relay, struct job *j, struct deks **ret_d)
{
	struct deks *d = calloc(1, sizeof *d);
	int err;

	if (!d)
		return ERR_NOMEM;
	d->encoded = (struct buf)BUF_INIT(INLINE_BYTES);
	d->kind = kind_of(j);
	j->state = d;
	if ((err = plain_read_right(relay, j, j->params, UCAN_READ, &d->space, &d->right)) < 0)
		return err;
	err = param_uint(j->params, "since", &d->place.cursor);
	d->place.kind = UINT8_MAX;
	if (err < 0 && err != ERR_NOT_FOUND)
		return ERR_INVALID;
	*ret_d = d;
	return OK;
}

static int get_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct deks *d = j->state;
	struct depot_plain sp;
	int err = OK;

	if (kind_of(j) == DEPOT_FILE && !j->caller->plain.files)
		return job_error(j, "forbidden", "files scope required");
	if (!d && (err = start(relay, j, &d)) < 0)
		return plain_refuse(j, err);
	if ((err = plain_open(relay, store, &d->space, &d->right, &sp)) < 0)
		return plain_refuse(j, err);
	d->job = j;
	d->slice = 0;
	err = depot_items(store, sp.no, d->kind, &d->place, INT64_MAX, send_row, d);
	return err ? err : answer_rows(j, d);
}

/* --- rewrap --- */

struct rewrap {
	int err;
	const char *refusal; /* bad_request */
	struct id16 space;
	struct plain_right right;
	struct {
		struct id16 id;
		struct bytes dek;
	} * list;
	size_t n;
};

static void rewrap_free(void *state)
{
	struct rewrap *r = state;

	if (r)
		free(r->list);
	free(r);
}

static void read_one(struct rewrap *r, struct bytes item, enum depot_kind kind)
{
	struct bytes id, dek;

	if (param_text(item, "id", FRAME_MAX, &id) < 0 || !id.len)
		r->refusal = "invalid record: id must be non-empty string";
	else if (param_bytes(item, "dek", FRAME_MAX, &dek) < 0 || dek.len != PLAIN_DEK)
		r->refusal = "invalid record: wrapped DEK must be exactly 44 bytes";
	else if (id16_parse((const char *)id.p, id.len, &r->list[r->n].id) < 0)
		r->refusal = kind == DEPOT_FILE ? "invalid record: id must be a valid UUID"
						: "one or more DEK records were not found";
	else
		r->list[r->n].dek = dek;
}

static int rewrap_prepare(struct relay *relay, struct job *j)
{
	struct rewrap *r = calloc(1, sizeof *r);
	struct cbor_dec d;
	size_t n;

	if (!r)
		return ERR_NOMEM;
	j->state = r;
	if ((r->err = plain_read_right(relay, j, j->params, UCAN_WRITE, &r->space, &r->right)) < 0)
		return OK;
	if (param_array(j->params, "deks", relay_config(relay)->limits.changes, &d, &n) < 0) {
		r->err = ERR_INVALID;
		return OK;
	}
	if (!(r->list = calloc(n + 1, sizeof *r->list)))
		r->err = ERR_NOMEM;
	for (; r->err == OK && !r->refusal && r->n < n; r->n++) {
		struct bytes item = cbor_get_raw(&d);

		if (cbor_dec_error(&d) < 0)
			r->err = ERR_INVALID;
		else
			read_one(r, item, kind_of(j));
	}
	return OK;
}

static int exists(void *ctx, const struct depot_item *it)
{
	(void)ctx;
	(void)it;
	return OK;
}

/* 1: every item is there; 0: one is not. */
static int all_there(struct depot *store, uint64_t space, enum depot_kind kind, const struct rewrap *r)
{
	for (size_t i = 0; i < r->n; i++) {
		int err = depot_item_get(store, space, kind, &r->list[i].id, exists, NULL);

		if (err < 0)
			return err == ERR_NOT_FOUND ? 0 : err;
	}
	return 1;
}

static int answer_count(struct job *j, size_t n)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, true);
	cbor_put_text(&e, "count");
	cbor_put_uint(&e, n);
	return job_send(j, &b, &e);
}

static int rewrap_run(struct relay *relay, struct job *j, struct depot *store)
{
	const enum depot_kind kind = kind_of(j);
	const struct rewrap *r = j->state;
	struct depot_plain sp;
	int err;

	if (kind == DEPOT_FILE && !j->caller->plain.files)
		return job_error(j, "forbidden", "files scope required");
	if (!r || r->err < 0)
		return r ? plain_refuse(j, r->err) : ERR_NOMEM;
	if ((err = plain_open(relay, store, &r->space, &r->right, &sp)) < 0)
		return plain_refuse(j, err);
	if (r->refusal)
		return job_error(j, "bad_request", r->refusal);
	for (size_t i = 0; i < r->n; i++)
		if (!plain_epoch(r->list[i].dek) || plain_epoch(r->list[i].dek) != sp.generation)
			return job_error(j, "conflict", "DEK epoch does not match current key generation");
	if ((err = all_there(store, sp.no, kind, r)) <= 0)
		return err < 0 ? err
			       : job_error(j, "bad_request",
					 kind == DEPOT_FILE ? "one or more file DEK records were not found"
							    : "one or more DEK records were not found");
	for (size_t i = 0; i < r->n && err >= 0; i++)
		err = depot_item_dek(store, sp.no, kind, &r->list[i].id, r->list[i].dek);
	return err < 0 ? err : answer_count(j, r->n);
}

const struct method method_deks_get = { "deks.get", LANE_READ, NULL, get_run, deks_free };
const struct method method_file_deks_get = { "file.deks.get", LANE_READ, NULL, get_run, deks_free };
const struct method method_deks_get_files = { "deks.getFiles", LANE_READ, NULL, get_run, deks_free };
const struct method method_deks_rewrap = { "deks.rewrap", LANE_TURN, rewrap_prepare, rewrap_run, rewrap_free };
const struct method method_file_deks_rewrap = { "file.deks.rewrap", LANE_TURN, rewrap_prepare, rewrap_run,
	rewrap_free };
const struct method method_deks_rewrap_files = { "deks.rewrapFiles", LANE_TURN, rewrap_prepare, rewrap_run,
	rewrap_free };
