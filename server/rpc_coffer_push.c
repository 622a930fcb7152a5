/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer.push {space, number, after opt, head opt, records: [{id, blob}], chunks: [{id, blob}]}
 * coffer.heal {the same, common}: for a store that went back in time: records need not follow what is current if that
 * is as old as `common` or was itself given back, and is an earlier version.
 *
 * Prepared off the writer: every record decoded, its sealed hash and signature checked, every chunk decoded. Run in the
 * writer's transaction: rights, order, epochs, compare-and-swap, chunks. The chunks of a push by a writer stay even if
 * its records are refused (a re-send finds them); the records are taken all or none. All decisions fall before the
 * first row of a record is written, so that a refusal leaves nothing behind.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/verify.h"
#include "server/chunks.h"
#include "server/refs.h"
#include "server/relay.h"
#include "server/rpc.h"
#include "server/sync_notice.h"
#include "server/usage.h"
#include "server/batch.h"
#include "wire/chunk.h"
#include "wire/head.h"

#define PUSH_MAX_RECORDS 1000
#define PUSH_MAX_CHUNKS 1000
#define MISSING_MAX 4096
#define PASSING_S 600 /* a passing version that stood so long is kept like any other */
#define PUSH_MAX_BYTES \
	(FRAME_MAX - (512u << 10)) /* blobs of a push: the notification that carries them is a frame too */

struct push_record {
	struct bytes blob;
	struct record rec;
	struct id32 hash;
	bool old;        /* this very version is current already */
	uint64_t cursor; /* of it then */
	bool replaces;
	struct depot_record was;
};

struct push_chunk {
	struct bytes blob;
	struct chunk chunk;
};

struct push {
	const char *refusal; /* found while preparing */
	struct id16 space;
	uint64_t number, after;
	bool has_after;
	bool heal;       /* coffer.heal */
	uint64_t common; /* its cursor up to which the caller knows this store's history */
	struct bytes head;
	struct head head_value;
	struct push_record *records;
	size_t n_records;
	struct push_chunk *chunks;
	size_t n_chunks;
};

static void push_free(void *state)
{
	struct push *p = state;

	if (!p)
		return;
	free(p->records);
	free(p->chunks);
	free(p);
}

static int compare_records(const void *a, const void *b)
{
	const struct push_record *const *x = a, *const *y = b;

	return id16_compare(&(*x)->rec.h.id, &(*y)->rec.h.id);
}

static int check_unique(const struct push *p)
{
	FREE_AFTER const struct push_record **sorted = calloc(p->n_records + 1, sizeof *sorted);

	if (!sorted)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->n_records; i++)
		sorted[i] = &p->records[i];
	qsort(sorted, p->n_records, sizeof *sorted, compare_records);
	for (size_t i = 1; i < p->n_records; i++)
		if (id16_equal(&sorted[i - 1]->rec.h.id, &sorted[i]->rec.h.id))
			return ERR_INVALID;
	return OK;
}

static int read_records(struct push *p, struct bytes params)
{
	struct cbor_dec d;
	size_t n;
	int err = param_array_opt(params, "records", PUSH_MAX_RECORDS, &d, &n);

	if (err < 0)
		return err;
	if (!(p->records = calloc(n + 1, sizeof *p->records)))
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct push_record *r = &p->records[i];
		struct bytes item = cbor_get_raw(&d);
		struct id16 id;

		if ((err = cbor_dec_error(&d)) < 0 || (err = param_id(item, "id", &id)) < 0 ||
			(err = param_bytes(item, "blob", RECORD_MAX_BLOB, &r->blob)) < 0 ||
			(err = verify_record(r->blob, &p->space, &id, &r->rec)) < 0)
			return err;
		hash_sha256(r->blob, &r->hash);
		p->n_records++;
	}
	return check_unique(p);
}

static int read_chunks(struct push *p, struct bytes params)
{
	struct cbor_dec d;
	size_t n;
	int err = param_array_opt(params, "chunks", PUSH_MAX_CHUNKS, &d, &n);

	if (err < 0)
		return err;
	if (!(p->chunks = calloc(n + 1, sizeof *p->chunks)))
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct push_chunk *c = &p->chunks[i];
		struct bytes item = cbor_get_raw(&d);
		struct id16 id;

		if ((err = cbor_dec_error(&d)) < 0 || (err = param_id(item, "id", &id)) < 0 ||
			(err = param_bytes(item, "blob", CHUNK_SMALL_BLOB, &c->blob)) < 0 ||
			(err = chunk_decode(c->blob, &c->chunk)) < 0)
			return err;
		if (!id16_equal(&c->chunk.id, &id) || !id16_equal(&c->chunk.space, &p->space))
			return ERR_CONTEXT;
		p->n_chunks++;
	}
	return OK;
}

static size_t blob_bytes(const struct push *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_records; i++)
		n += p->records[i].blob.len;
	for (size_t i = 0; i < p->n_chunks; i++)
		n += p->chunks[i].blob.len;
	return n;
}

static int read_push(struct push *p, struct job *j)
{
	int err = param_id(j->params, "space", &p->space);

	if (err < 0 || (err = param_uint(j->params, "number", &p->number)) < 0)
		return err;
	err = param_uint(j->params, "after", &p->after);
	p->has_after = err == OK;
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	err = param_bytes(j->params, "head", HEAD_MAX_BLOB, &p->head);
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	if (err == OK && ((err = verify_head(p->head, &p->space, &p->head_value)) < 0))
		return err;
	if (p->head.len && !id32_equal(&p->head_value.device, &j->caller->device))
		return ERR_CONTEXT;
	if (p->heal && (err = param_uint(j->params, "common", &p->common)) < 0)
		return err;
	if ((err = read_records(p, j->params)) < 0 || (err = read_chunks(p, j->params)) < 0)
		return err;
	return blob_bytes(p) > PUSH_MAX_BYTES ? ERR_RANGE : OK;
}

static int push_prepare(struct relay *relay, struct job *j)
{
	struct push *p = calloc(1, sizeof *p);
	int err;

	(void)relay;
	if (!p)
		return ERR_NOMEM;
	j->state = p;
	p->heal = j->method == &method_heal;
	err = read_push(p, j);
	if (err == ERR_RANGE)
		p->refusal = "payload_too_large";
	else if (err < 0)
		p->refusal = "bad_request";
	return OK;
}

static int answer_ok(struct job *j, struct push *p, uint64_t cursor)
{
	struct buf b;
	struct cbor_enc e;

	batch_accept(j, p->number);
	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, true);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, cursor);
	return job_send(j, &b, &e);
}

/* {ok: false, error, and the encoder stands before the value of `list`} */
static void begin_list(struct job *j, const char *error, const char *list, struct buf *b, struct cbor_enc *e)
{
	job_begin_result(j, b, e);
	cbor_put_map(e, 3);
	cbor_put_text(e, "ok");
	cbor_put_bool(e, false);
	cbor_put_text(e, "error");
	cbor_put_text(e, error);
	cbor_put_text(e, list);
}

static int answer_missing(struct job *j, const struct buf *missing)
{
	struct buf b;
	struct cbor_enc e;

	begin_list(j, "missing", "missing", &b, &e);
	cbor_put_array(&e, missing->len / 16);
	for (size_t i = 0; i < missing->len / 16; i++) {
		struct id16 id;

		memcpy(id.b, missing->data + i * 16, 16);
		put_id(&e, &id);
	}
	return job_send(j, &b, &e);
}

/* Rights and epoch of one record. NULL, or the refusal. */
static const char *check_record(const struct log *log, const struct caller *s, const struct record *rec)
{
	uint64_t seq;

	if (!id32_equal(&rec->h.author, &s->device) && !log_may_write(log, &rec->h.author))
		return "forbidden";
	if (rec->h.epoch < log_epoch_minimum(log))
		return "key_generation_stale";
	if (rec->h.epoch > log_epoch_number(log) || log_seq_of(log, &rec->h.log_head, &seq) < 0)
		return "bad_request";
	/* No reader believes a record whose author had no right at the head that it names. */
	return log_could_write(log, &rec->h.author, &rec->h.log_head) ? NULL : "forbidden";
}

static int read_version(void *ctx, uint64_t space, const struct depot_version *v)
{
	struct record rec;

	(void)space;
	if (record_decode(v->blob, &rec) < 0)
		return ERR_CORRUPT;
	*(uint64_t *)ctx = rec.h.version;
	return OK;
}

/* What was lost between is not known here. But versions of one record followed one another before the store went back, so of
 * two that come from then the later one holds what the earlier did. 1: it may take its place. */
static int check_heal(struct relay *relay, uint64_t space, const struct push *p, const struct push_record *r)
{
	struct depot_step step;
	uint64_t version = UINT64_MAX;
	int err = depot_versions(relay->store, space, r->was.number, 1, read_version, &version);

	if (err < 0 || version >= r->rec.h.version)
		return err;
	if (r->was.cursor <= p->common)
		return 1;
	err = depot_step_get(relay->store, space, r->was.cursor, &step);
	return err < 0 ? err : step.healed;
}

static int keep_was(void *ctx, size_t i, const struct depot_record *was)
{
	struct push_record *r = (struct push_record *)ctx + i;

	r->was = *was;
	r->replaces = true;
	return OK;
}

/* What the records stand on. */
static int find_was(struct relay *relay, uint64_t space, struct push *p)
{
	FREE_AFTER struct id16 *ids = calloc(p->n_records + 1, sizeof *ids);

	if (!ids)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->n_records; i++) {
		p->records[i].old = p->records[i].replaces = false; /* this may be a second run, after a rollback */
		ids[i] = p->records[i].rec.h.id;
	}
	return depot_records_find(relay->store, space, ids, p->n_records, keep_was, p->records);
}

/* Compare-and-swap: 1 if the record may follow (or is already there), 0 for a conflict. */
static int check_prev(struct relay *relay, uint64_t space, const struct push *p, struct push_record *r)
{
	if (!r->replaces)
		return p->heal || r->rec.h.prev.len == 0;
	if (id32_equal(&r->was.hash, &r->hash)) {
		r->old = true;
		r->cursor = r->was.cursor;
		return 1;
	}
	for (size_t i = 0; i < r->rec.h.prev.len / 32; i++)
		if (memcmp(r->rec.h.prev.p + i * 32, r->was.hash.b, 32) == 0)
			return 1;
	return p->heal ? check_heal(relay, space, p, r) : 0;
}

static int answer_conflicts(struct job *j, const struct push *p, const bool *conflict, size_t n)
{
	struct buf b;
	struct cbor_enc e;

	begin_list(j, "conflict", "conflicts", &b, &e);
	cbor_put_array(&e, n);
	for (size_t i = 0; i < p->n_records; i++) {
		if (!conflict[i])
			continue;
		cbor_put_map(&e, 2);
		cbor_put_text(&e, "id");
		put_id(&e, &p->records[i].rec.h.id);
		cbor_put_text(&e, "hash");
		if (p->records[i].replaces)
			cbor_put_bytes(&e, p->records[i].was.hash.b, 32);
		else
			cbor_put_null(&e);
	}
	return job_send(j, &b, &e);
}

/* 1: answered. */
static int check_conflicts(struct relay *relay, struct job *j, struct push *p, uint64_t space)
{
	FREE_AFTER bool *conflict = calloc(p->n_records + 1, sizeof *conflict);
	size_t n = 0;
	int err;

	if (!conflict)
		return ERR_NOMEM;
	if ((err = find_was(relay, space, p)) < 0)
		return err;
	for (size_t i = 0; i < p->n_records; i++) {
		if ((err = check_prev(relay, space, p, &p->records[i])) < 0)
			return err;
		conflict[i] = !err;
		n += conflict[i];
	}
	if (!n)
		return 0;
	metrics_add(&relay->metrics, conflicts, 1);
	return (err = answer_conflicts(j, p, conflict, n)) < 0 ? err : 1;
}

static int answer_full(struct relay *relay, struct job *j, uint64_t space)
{
	struct usage u;
	struct buf b;
	struct cbor_enc e;
	int err = usage_read(relay, relay->store, space, &u);

	if (err < 0)
		return err;
	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 2 + usage_pairs(&u));
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, false);
	cbor_put_text(&e, "error");
	cbor_put_text(&e, "storage_full");
	usage_put(&e, &u);
	return job_send(j, &b, &e);
}

/* 1: answered. */
static int check_room(struct relay *relay, struct job *j, uint64_t space, size_t bytes)
{
	int err = bytes ? quota_check(&relay->quota, relay, space, bytes) : OK;

	if (err != ERR_NO_SPACE)
		return err;
	return (err = answer_full(relay, j, space)) < 0 ? err : 1;
}

/* Of those that are not stored yet, once check_conflicts has told. */
static size_t fresh_bytes(const struct push *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_records; i++)
		n += p->records[i].old ? 0 : p->records[i].blob.len;
	return n;
}

static size_t chunk_bytes(const struct push *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_chunks; i++)
		n += p->chunks[i].blob.len;
	return n;
}

/* 1: answered. */
static int put_chunks(struct relay *relay, struct job *j, struct push *p, uint64_t space)
{
	FREE_AFTER struct chunk_new *n = calloc(p->n_chunks + 1, sizeof *n);
	int err;

	if (!n)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->n_chunks; i++) {
		const struct chunk *c = &p->chunks[i].chunk;

		n[i] = (struct chunk_new){
			.space = p->space, .id = c->id, .blob = p->chunks[i].blob, .named = c->named
		};
	}
	err = chunks_store(relay, space, n, p->n_chunks);
	if (err == ERR_CONFLICT)
		return (err = job_refuse(j, "bad_request")) < 0 ? err : 1;
	return err;
}

/* Makes the chunks with these ids durable, and notes that they are. */
static int sync_chunks(struct relay *relay, const struct id16 *space, uint64_t no, struct bytes ids)
{
	CLEANUP(buf_release) struct buf objects = BUF_INIT(ids.len);
	struct depot_chunk c;
	struct id16 id;
	int err = OK;

	for (size_t i = 0; i < ids.len / sizeof id.b; i++) {
		memcpy(id.b, ids.p + i * sizeof id.b, sizeof id.b);
		if ((err = depot_chunk_find(relay->store, no, &id, &c)) < 0 ||
			(err = depot_chunk_set(relay->store, no, &id, c.adopted, true)) < 0 ||
			(err = buf_put(&objects, c.object.b, sizeof c.object.b)) < 0)
			return err;
	}
	return blob_sync(relay->blobs, space, (const struct id16 *)objects.data, objects.len / sizeof id.b);
}

/* The chunks that its new versions name. */
static int put_named(const struct push *p, struct buf *named)
{
	int err = OK;

	for (size_t i = 0; i < p->n_records && err == OK; i++)
		if (!p->records[i].old)
			err = buf_put(named, p->records[i].rec.h.chunks.p, p->records[i].rec.h.chunks.len);
	return err;
}

/* 1: answered. Otherwise every chunk named is here, and durable. */
static int check_chunks(struct relay *relay, struct job *j, struct push *p, uint64_t space)
{
	CLEANUP(buf_release) struct buf named = BUF_INIT(PUSH_MAX_RECORDS * RECORD_MAX_CHUNKS * 16);
	CLEANUP(buf_release) struct buf missing = BUF_INIT(MISSING_MAX * 16);
	CLEANUP(buf_release) struct buf unsynced = BUF_INIT(16u << 20);
	int err = put_named(p, &named);

	if (err < 0)
		return err;
	err = refs_check(relay, space, buf_bytes(&named), &missing, &unsynced);
	if (err ==
		ERR_RANGE) /* deeper or more than any file: the caller's fault, not a failure that undoes the batch */
		return (err = job_refuse(j, "bad_request")) < 0 ? err : 1;
	if (err < 0)
		return err;
	if (missing.len)
		return (err = answer_missing(j, &missing)) < 0 ? err : 1;
	return unsynced.len ? sync_chunks(relay, &p->space, space, buf_bytes(&unsynced)) : 0;
}

static int drop_chunks_of(void *ctx, uint64_t space, const struct depot_version *v)
{
	struct record rec;
	int err = record_decode(v->blob, &rec);

	return err < 0 ? ERR_CORRUPT : refs_drop(ctx, space, rec.h.chunks);
}

/* 1: a version that its author goes on rewriting, and that did not last. One that stood for longer is what people look for. */
static int is_passing(struct relay *relay, uint64_t space, const struct depot_record *was)
{
	struct depot_step step;
	int err;

	if (!was->passing)
		return 0;
	err = depot_step_get(relay->store, space, was->cursor, &step);
	return err < 0 ? err : relay_now(relay) - step.time < PASSING_S;
}

/* A passing version goes when it is replaced; any other becomes history. */
static int retire(struct relay *relay, const struct space_state *st, const struct depot_record *was)
{
	int err = is_passing(relay, st->row.no, was);

	if (err <= 0)
		return err < 0 ? err
			       : depot_version_expire(relay->store, st->row.no, was->number,
					 relay_now(relay) + (int64_t)st->row.retention);
	err = depot_versions(relay->store, st->row.no, was->number, 1, drop_chunks_of, relay);
	return err < 0 ? err : depot_version_remove(relay->store, st->row.no, was->number);
}

/* What is not there yet becomes current. *ret_n: how many. */
static int write_records(
	struct relay *relay, struct space_state *st, const struct push *p, uint64_t cursor, size_t *ret_n)
{
	CLEANUP(buf_release) struct buf named = BUF_INIT(PUSH_MAX_RECORDS * RECORD_MAX_CHUNKS * 16);
	FREE_AFTER struct depot_version *v = calloc(p->n_records + 1, sizeof *v);
	FREE_AFTER struct id32 *hashes = calloc(p->n_records + 1, sizeof *hashes);
	size_t n = 0;
	int err;

	if (!v || !hashes)
		return ERR_NOMEM;
	if ((err = put_named(p, &named)) < 0 || (err = refs_take(relay, st->row.no, buf_bytes(&named))) < 0)
		return err;
	for (size_t i = 0; i < p->n_records; i++) {
		const struct push_record *r = &p->records[i];

		if (r->old)
			continue;
		if (r->replaces && (err = retire(relay, st, &r->was)) < 0)
			return err;
		hashes[n] = r->hash;
		v[n++] = (struct depot_version){
			.number = st->row.versions++,
			.cursor = cursor,
			.id = r->rec.h.id,
			.passing = r->rec.h.flags & RECORD_PASSING,
			.blob = r->blob,
		};
	}
	*ret_n = n;
	return depot_versions_put(relay->store, st->row.no, v, hashes, n);
}

static int put_lines(const struct push *p, struct buf *lines)
{
	FREE_AFTER struct line *l = calloc(p->n_records, sizeof *l);
	size_t n = 0;

	if (!l)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->n_records; i++)
		if (!p->records[i].old)
			l[n++] = (struct line){ LINE_RECORD, p->records[i].rec.h.id, p->records[i].hash };
	return lines_put(lines, l, n);
}

static int notify(
	struct job *j, const struct space *sp, const struct push *p, uint64_t cursor, struct bytes lines, size_t n)
{
	struct buf b;
	struct cbor_enc e;
	int err;

	sync_begin(&b, &e, &p->space, cursor, lines, p->head, p->heal);
	cbor_put_text(&e, "records");
	cbor_put_array(&e, n);
	for (size_t i = 0; i < p->n_records; i++)
		if (!p->records[i].old)
			cbor_put_bytes(&e, p->records[i].blob.p, p->records[i].blob.len);
	cbor_put_text(&e, "chunks");
	cbor_put_array(&e, p->n_chunks);
	for (size_t i = 0; i < p->n_chunks; i++)
		cbor_put_bytes(&e, p->chunks[i].blob.p, p->chunks[i].blob.len);
	cbor_put_text(&e, "entries");
	cbor_put_array(&e, 0);
	if ((err = cbor_enc_end(&e)) < 0) {
		buf_release(&b);
		return err;
	}
	return job_notify(j, &sp->id, message_take(&b), NULL);
}

static int write_push(struct relay *relay, struct job *j, struct space *sp, struct push *p)
{
	CLEANUP(buf_release) struct buf lines = BUF_INIT(PUSH_MAX_RECORDS * 64);
	struct space_state *st = batch_state(relay, sp);
	struct depot_step step = {
		.cursor = st->row.cursor + 1, .first_version = st->row.versions, .first_entry = st->row.entries
	};
	size_t n;
	int err;

	if ((err = write_records(relay, st, p, step.cursor, &n)) < 0 || (err = put_lines(p, &lines)) < 0)
		return err;
	step.versions = n;
	step.lines = buf_bytes(&lines);
	step.time = relay_now(relay);
	step.healed = p->heal;
	st->row.cursor = step.cursor;
	if ((err = depot_step_put(relay->store, st->row.no, &step)) < 0 ||
		(err = depot_space_update(relay->store, &st->row)) < 0)
		return err;
	if (p->head.len &&
		(err = depot_head_put(relay->store, st->row.no, &p->head_value.device, step.cursor, p->head)) < 0)
		return err;
	metrics_add(&relay->metrics, pushes, 1);
	metrics_add(&relay->metrics, records, n);
	if ((err = notify(j, sp, p, step.cursor, step.lines, n)) < 0)
		return err;
	return answer_ok(j, p, step.cursor);
}

/* Whether the caller, or who wrote one of the records, is being removed. */
static bool held_back(const struct space *sp, const struct id32 *caller, const struct push *p, int64_t now)
{
	bool held = space_held(sp, caller, now);

	for (size_t i = 0; i < p->n_records && !held; i++)
		held = space_held(sp, &p->records[i].rec.h.author, now);
	return held;
}

/* The rules in their order. > 0: answered. */
static int decide(struct relay *relay, struct job *j, struct space *sp, struct push *p)
{
	const struct space_state *st = batch_state(relay, sp);
	const struct log *log = st->log ? st->log->log : NULL;
	uint64_t space = st->row.no;
	const char *no = NULL;
	int err;

	if (!log || !log_may_write(log, &j->caller->device))
		no = "forbidden";
	else if (held_back(sp, &j->caller->device, p, relay->env->mono_ns(relay->env->ctx)))
		no = "rate_limited";
	else if (job_take_space(relay, j, &sp->id) < 0)
		no = "rate_limited";
	else if (p->has_after && !number_set_has(&j->caller->accepted, p->after))
		no = "order";
	for (size_t i = 0; i < p->n_records && !no; i++)
		no = check_record(log, j->caller, &p->records[i].rec);
	if (no)
		return (err = job_refuse(j, no)) < 0 ? err : 1;
	if ((err = check_room(relay, j, space, chunk_bytes(p))) || (err = put_chunks(relay, j, p, space)) ||
		(err = check_conflicts(relay, j, p, space)) || (err = check_room(relay, j, space, fresh_bytes(p))) ||
		(err = check_chunks(relay, j, p, space)))
		return err;
	return 0;
}

static int push_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct push *p = j->state;
	struct space *sp;
	uint64_t cursor = 0;
	size_t fresh = 0;
	int err;

	if (!p)
		return ERR_NOMEM;
	if (p->refusal)
		return job_refuse(j, p->refusal);
	err = spaces_get(relay->spaces, store, &p->space, &sp);
	if (err == ERR_NOT_FOUND)
		return job_refuse(j, "forbidden");
	if (err < 0)
		return err;
	err = decide(relay, j, sp, p);
	if (!err) {
		for (size_t i = 0; i < p->n_records; i++) {
			fresh += !p->records[i].old;
			if (p->records[i].old && p->records[i].cursor > cursor)
				cursor = p->records[i].cursor;
		}
		if (fresh)
			err = write_push(relay, j, sp, p);
		else
			err = answer_ok(j, p, p->n_records ? cursor : batch_state(relay, sp)->row.cursor);
	}
	spaces_put(relay->spaces, sp);
	return err < 0 ? err : OK;
}

const struct method method_push = { "coffer.push", LANE_WRITE, push_prepare, push_run, push_free };
const struct method method_heal = { "coffer.heal", LANE_WRITE, push_prepare, push_run, push_free };
