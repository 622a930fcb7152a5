/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer.pull {space, since, with, limit opt}: the steps after `since`, streamed. The stream is cut into slices of
 * about SLICE_BYTES, each from one snapshot, and goes on only when the connection has sent most of what it has. It
 * ends at the space's cursor of the last slice. A record that was replaced between two slices is missing in its step
 * and stands in a later one, because the stream runs on until it has seen the newest: what is current at the end has
 * been sent. Each slice asks anew whether the caller may read.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "server/chunks.h"
#include "server/relay.h"
#include "server/rpc.h"
#include "wire/chunk.h"
#include "wire/record.h"

#define SLICE_BYTES (1u << 20)
#define STEP_MAX_CHUNK_BYTES (2u << 20) /* and no more than the frame still holds */
#define STEP_ROOM 1024                  /* of a step's frame, for what follows the chunks */
#define CHUNK_ITEM 5                    /* a byte string's head */
#define CHUNK_LIST_BYTES (4u << 20)
#define LIMIT_DEFAULT (64ull << 20)

enum with { WITH_LINES, WITH_RECORDS, WITH_CHUNKS };

struct pull {
	struct id16 id;
	enum with with;
	uint64_t no, since, limit;
	uint64_t cursor; /* of the last step sent */
	uint64_t frames, steps, bytes;

	/* one slice */
	struct relay *relay;
	struct depot *store;
	struct job *job;
	struct buf heads; /* struct head_row */
	size_t slice;
};

struct head_row {
	uint64_t cursor;
	size_t at, len; /* in the blobs after the rows */
};

/* What a step's records give, in one look at them: they are read once, since each may be large. */
struct step_records {
	struct pull *p;
	struct cbor_enc records; /* those still current */
	struct buf chunks;       /* struct depot_chunk: the small ones that these name */
	uint64_t chunk_bytes;
	size_t n;
};

static int list_chunks(struct step_records *l, struct bytes blob)
{
	struct record rec;
	int err;

	if (record_decode(blob, &rec) < 0)
		return ERR_CORRUPT;
	for (size_t i = 0; i < rec.h.chunks.len / 16; i++) {
		struct depot_chunk c;
		struct id16 id;

		memcpy(id.b, rec.h.chunks.p + i * 16, 16);
		if ((err = depot_chunk_find(l->p->store, l->p->no, &id, &c)) < 0)
			return err;
		if (!c.row || l->chunk_bytes + c.size + CHUNK_ITEM > STEP_MAX_CHUNK_BYTES)
			continue;
		l->chunk_bytes += c.size + CHUNK_ITEM;
		if ((err = buf_put(&l->chunks, &c, sizeof c)) < 0)
			return err;
	}
	return 0;
}

static int take_record(void *ctx, uint64_t space, const struct depot_version *v)
{
	struct step_records *l = ctx;

	(void)space;
	if (!v->current)
		return 0;
	l->n++;
	cbor_put_bytes(&l->records, v->blob.p, v->blob.len);
	return l->p->with == WITH_CHUNKS ? list_chunks(l, v->blob) : 0;
}

/* How many of the chunks fit into the frame; what stands first stays first. */
static size_t fit_chunks(struct step_records *l, size_t frame)
{
	uint64_t room = frame + STEP_ROOM < FRAME_MAX ? FRAME_MAX - STEP_ROOM - frame : 0;
	const size_t n = l->chunks.len / sizeof(struct depot_chunk);
	struct depot_chunk c;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		memcpy(&c, l->chunks.data + i * sizeof c, sizeof c);
		if (c.size + CHUNK_ITEM > room)
			continue;
		room -= c.size + CHUNK_ITEM;
		memcpy(l->chunks.data + kept++ * sizeof c, &c, sizeof c);
	}
	return kept;
}

static int put_step_chunks(struct step_records *l, struct cbor_enc *e)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(CHUNK_MAX_BLOB);
	const size_t n = fit_chunks(l, e->b->len);
	struct pull *p = l->p;
	int err = OK;

	cbor_put_text(e, "chunks");
	cbor_put_array(e, n);
	for (size_t i = 0; i < n && err == OK; i++) {
		struct depot_chunk c;

		memcpy(&c, l->chunks.data + i * sizeof c, sizeof c);
		buf_clear(&blob);
		err = chunk_read(p->relay, p->store, &p->id, &c, 0, c.size, &blob);
		cbor_put_bytes(e, blob.data, blob.len);
	}
	return err;
}

static int put_entry(void *ctx, uint64_t seq, struct bytes blob)
{
	(void)seq;
	cbor_put_bytes(ctx, blob.p, blob.len);
	return 0;
}

static int put_step_records(struct pull *p, const struct depot_step *step, struct cbor_enc *e)
{
	CLEANUP(buf_release) struct buf records = BUF_INIT(FRAME_MAX);
	struct step_records l = { .p = p, .records = cbor_enc_init(&records), .chunks = BUF_INIT(CHUNK_LIST_BYTES) };
	int err = OK;

	if (p->with != WITH_LINES)
		err = depot_versions(p->store, p->no, step->first_version, step->versions, take_record, &l);
	if (err == OK)
		err = cbor_enc_end(&l.records);
	if (err == OK) {
		cbor_put_text(e, "records");
		cbor_put_array(e, l.n);
		if (l.n && e->err == OK)
			e->err = buf_put(e->b, records.data, records.len);
		err = put_step_chunks(&l, e);
	}
	buf_release(&l.chunks);
	return err;
}

/* The head that a step brought, if it is still that device's newest. */
static struct bytes find_head(const struct pull *p, uint64_t cursor)
{
	size_t at = 0;

	while (at + sizeof(struct head_row) <= p->heads.len) {
		struct head_row row;

		memcpy(&row, p->heads.data + at, sizeof row);
		at += sizeof row;
		if (row.cursor == cursor)
			return bytes_of(p->heads.data + at, row.len);
		at += row.len;
	}
	return bytes_of(NULL, 0);
}

static int collect_head(void *ctx, const struct id32 *device, uint64_t cursor, struct bytes blob)
{
	struct pull *p = ctx;
	struct head_row row = { .cursor = cursor, .len = blob.len };
	int err;

	(void)device;
	if (cursor <= p->cursor)
		return 0;
	if ((err = buf_put(&p->heads, &row, sizeof row)) < 0)
		return err;
	return buf_put(&p->heads, blob.p, blob.len);
}

static int send_step(void *ctx, const struct depot_step *step)
{
	struct pull *p = ctx;
	struct bytes head = find_head(p, step->cursor);
	struct buf b;
	struct cbor_enc e;
	size_t bytes;
	int err;

	job_begin_chunk(p->job, "coffer.step", &b, &e);
	cbor_put_map(&e, 5u + (head.len > 0) + step->healed);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, step->cursor);
	if (step->healed) {
		cbor_put_text(&e, "healed");
		cbor_put_bool(&e, true);
	}
	cbor_put_text(&e, "lines");
	cbor_put_bytes(&e, step->lines.p, step->lines.len);
	if (head.len) {
		cbor_put_text(&e, "head");
		cbor_put_bytes(&e, head.p, head.len);
	}
	err = put_step_records(p, step, &e);
	cbor_put_text(&e, "entries");
	cbor_put_array(&e, step->entries);
	if (err == OK && step->entries)
		err = depot_entries(p->store, p->no, step->first_entry, step->entries, put_entry, &e);
	if (err < 0) {
		buf_release(&b);
		return err;
	}
	bytes = b.len;
	if ((err = job_send(p->job, &b, &e)) < 0)
		return err;
	p->frames++;
	p->steps++;
	p->cursor = step->cursor;
	p->slice += bytes;
	p->bytes += bytes;
	return p->slice >= SLICE_BYTES || p->bytes >= p->limit ? 1 : 0;
}

static int send_begin(struct pull *p, struct job *j, const struct space_view *v)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_chunk(j, "coffer.begin", &b, &e);
	cbor_put_map(&e, 6);
	cbor_put_text(&e, "space");
	put_id(&e, &p->id);
	cbor_put_text(&e, "prev");
	cbor_put_uint(&e, p->since);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, v->cursor);
	cbor_put_text(&e, "epoch");
	cbor_put_uint(&e, log_epoch_number(v->log->log));
	cbor_put_text(&e, "entries");
	cbor_put_uint(&e, log_count(v->log->log));
	cbor_put_text(&e, "store");
	cbor_put_bytes(&e, depot_id(p->store)->b, 16);
	p->frames++;
	return job_send(j, &b, &e);
}

static int send_end(struct pull *p, struct job *j, bool more)
{
	struct buf b;
	struct cbor_enc e;
	int err;

	job_begin_chunk(j, "coffer.commit", &b, &e);
	cbor_put_map(&e, 3);
	cbor_put_text(&e, "space");
	put_id(&e, &p->id);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, p->cursor);
	cbor_put_text(&e, "count");
	cbor_put_uint(&e, p->steps);
	p->frames++;
	if ((err = job_send(j, &b, &e)) < 0)
		return err;
	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "_chunks");
	cbor_put_uint(&e, p->frames);
	cbor_put_text(&e, "more");
	cbor_put_bool(&e, more);
	return job_send(j, &b, &e);
}

/* One slice, from one snapshot. > 0: there is more, in a further slice. */
static int send_slice(struct pull *p, struct job *j)
{
	int err = depot_begin_read(p->store);

	if (err < 0)
		return err;
	p->slice = 0;
	buf_clear(&p->heads);
	err = depot_heads(p->store, p->no, collect_head, p);
	if (err == OK)
		err = depot_steps(p->store, p->no, p->cursor, send_step, p);
	depot_end_read(p->store);
	if (err <= 0)
		return err < 0 ? err : send_end(p, j, false);
	return p->bytes >= p->limit ? send_end(p, j, true) : 1;
}

static int read_params(struct pull *p, struct bytes params)
{
	struct bytes with;
	int err = param_id(params, "space", &p->id);

	if (err < 0)
		return err;
	if ((err = param_uint(params, "since", &p->since)) < 0 && err != ERR_NOT_FOUND)
		return err;
	p->limit = LIMIT_DEFAULT;
	if ((err = param_uint(params, "limit", &p->limit)) < 0 && err != ERR_NOT_FOUND)
		return err;
	p->cursor = p->since;
	p->with = WITH_CHUNKS;
	err = param_text(params, "with", 16, &with);
	if (err == ERR_NOT_FOUND)
		return OK;
	if (err < 0)
		return err;
	if (cbor_text_is(with, "lines"))
		p->with = WITH_LINES;
	else if (cbor_text_is(with, "records"))
		p->with = WITH_RECORDS;
	else if (!cbor_text_is(with, "chunks"))
		return ERR_INVALID;
	return OK;
}

static void pull_free(void *state)
{
	struct pull *p = state;

	if (p)
		buf_release(&p->heads);
	free(p);
}

static int start(struct relay *relay, struct job *j, struct depot *store)
{
	struct pull *p = calloc(1, sizeof *p);
	struct space_view v;
	int err;

	if (!p)
		return ERR_NOMEM;
	p->heads = (struct buf)BUF_INIT(4u << 20);
	j->state = p;
	if (read_params(p, j->params) < 0)
		return (err = job_error(j, "bad_request", "invalid params")) < 0 ? err : 1;
	if ((err = spaces_view_for(relay->spaces, store, &p->id, &j->caller->device, &v)) == ERR_FORBIDDEN)
		return (err = job_error(j, "forbidden", "forbidden")) < 0 ? err : 1;
	if (err < 0)
		return err;
	p->no = v.no;
	p->store = store;
	err = send_begin(p, j, &v);
	space_view_release(&v);
	return err;
}

static int pull_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct pull *p = j->state;
	struct space_view v;
	int err;

	if (!p && (err = start(relay, j, store)))
		return err < 0 ? err : OK;
	if (p) {
		err = spaces_view_for(relay->spaces, store, &p->id, &j->caller->device, &v);
		if (err < 0)
			return err == ERR_FORBIDDEN ? job_error(j, "forbidden", "forbidden") : err;
		space_view_release(&v);
	}
	p = j->state;
	p->relay = relay;
	p->store = store;
	p->job = j;
	return send_slice(p, j);
}

const struct method method_pull = { "coffer.pull", LANE_READ, NULL, pull_run, pull_free };
