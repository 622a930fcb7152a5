/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pull {spaces: [{id, since, ucan}]}: for each space in order pull.begin, its items after `since` by cursor, pull.commit;
 * then {_chunks}. Spaces that the caller may not read are left out in silence; one that breaks on the way makes the whole
 * pull an error, because the client would take what is missing for done.
 *
 * It runs in slices, each in a snapshot of its own, up to the cursor that pull.begin named. What is replaced between two
 * slices stands behind that cursor then, and comes with the next pull.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "server/plain.h"
#include "server/rpc.h"

#define SLICE_BYTES (1u << 20)
#define ROW_BYTES 256 /* of a slice, for a row that is only looked at */

struct wanted {
	struct id16 id;
	uint64_t since;
	struct plain_right right;
};

struct pull {
	struct wanted *spaces;
	size_t n, at;
	bool begun; /* spaces[at] */
	struct depot_place place;
	uint64_t until, count, frames;

	/* one slice */
	struct job *job;
	size_t slice;
};

static void pull_free(void *state)
{
	struct pull *p = state;

	if (p)
		free(p->spaces);
	free(p);
}

static int read_space(
	const struct relay *relay, const struct job *j, struct bytes item, struct wanted *w, bool *ret_good)
{
	struct bytes id, ucan;

	*ret_good = false;
	if (param_text(item, "id", FRAME_MAX, &id) < 0 || param_uint(item, "since", &w->since) < 0 ||
		param_text_opt(item, "ucan", UCAN_MAX, &ucan) < 0)
		return ERR_INVALID;
	if (id16_parse((const char *)id.p, id.len, &w->id) < 0)
		return OK;
	plain_ask(relay, j->caller, &w->id, ucan, UCAN_READ, &w->right);
	*ret_good = w->right.err == OK;
	return w->right.err == ERR_RATE_LIMITED ? ERR_RATE_LIMITED : OK;
}

static int read_spaces(const struct relay *relay, const struct job *j, struct pull *p)
{
	struct cbor_dec d;
	size_t n;
	int err = param_array(j->params, "spaces", relay_config(relay)->limits.spaces_per_request, &d, &n);

	if (err < 0)
		return err;
	if (!(p->spaces = calloc(n + 1, sizeof *p->spaces)))
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct bytes item = cbor_get_raw(&d);
		bool good;

		if (cbor_dec_error(&d) < 0)
			return ERR_INVALID;
		if ((err = read_space(relay, j, item, &p->spaces[p->n], &good)) < 0)
			return err;
		p->n += good;
	}
	return OK;
}

static int send_frame(struct pull *p, struct buf *b, struct cbor_enc *e)
{
	p->slice += b->len;
	p->frames++;
	return job_send(p->job, b, e);
}

static void put_uint(struct cbor_enc *e, const char *key, uint64_t v)
{
	cbor_put_text(e, key);
	cbor_put_uint(e, v);
}

static void put_bytes(struct cbor_enc *e, const char *key, struct bytes v)
{
	cbor_put_text(e, key);
	cbor_put_bytes(e, v.p, v.len);
}

static int send_begin(struct pull *p, const struct depot_plain *sp)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_chunk(p->job, "pull.begin", &b, &e);
	cbor_put_map(&e, sp->rewrap ? 5 : 4);
	cbor_put_text(&e, "space");
	put_id(&e, &sp->id);
	put_uint(&e, "prev", p->spaces[p->at].since);
	put_uint(&e, "cursor", sp->cursor);
	put_uint(&e, "key_generation", sp->generation);
	if (sp->rewrap)
		put_uint(&e, "rewrap_epoch", sp->rewrap);
	return send_frame(p, &b, &e);
}

static int send_commit(struct pull *p)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_chunk(p->job, "pull.commit", &b, &e);
	cbor_put_map(&e, 4);
	cbor_put_text(&e, "space");
	put_id(&e, &p->spaces[p->at].id);
	put_uint(&e, "prev", p->spaces[p->at].since);
	put_uint(&e, "cursor", p->until);
	put_uint(&e, "count", p->count);
	return send_frame(p, &b, &e);
}

static void put_record(struct cbor_enc *e, const struct id16 *space, const struct depot_item *it)
{
	cbor_put_map(e, 4 + (it->dek.len ? 1 : 0));
	cbor_put_text(e, "space");
	put_id(e, space);
	cbor_put_text(e, "id");
	put_id(e, &it->id);
	if (!it->deleted)
		put_bytes(e, "blob", it->blob);
	put_uint(e, "cursor", it->cursor);
	if (it->dek.len)
		put_bytes(e, "dek", it->dek);
	if (it->deleted) {
		cbor_put_text(e, "deleted");
		cbor_put_bool(e, true);
	}
}

static void put_file(struct cbor_enc *e, const struct id16 *space, const struct depot_item *it)
{
	struct id16 record;

	memcpy(record.b, it->link.p, sizeof record.b);
	cbor_put_map(e, 5 + (it->size ? 1 : 0));
	cbor_put_text(e, "space");
	put_id(e, space);
	cbor_put_text(e, "id");
	put_id(e, &it->id);
	cbor_put_text(e, "record_id");
	put_id(e, &record);
	if (it->size)
		put_uint(e, "size", it->size);
	put_bytes(e, "dek", it->dek);
	put_uint(e, "cursor", it->cursor);
}

static int send_item(void *ctx, const struct depot_item *it)
{
	static const char *const names[] = {
		[DEPOT_RECORD] = "pull.record", [DEPOT_FILE] = "pull.file", [DEPOT_MEMBER] = "pull.membership"
	};
	struct pull *p = ctx;
	const struct wanted *w = &p->spaces[p->at];
	struct buf b;
	struct cbor_enc e;
	int err;

	p->place = (struct depot_place){ it->cursor, it->kind, it->id };
	if (it->deleted && !w->since) {
		p->slice += ROW_BYTES;
		return p->slice >= SLICE_BYTES;
	}
	if (it->kind == DEPOT_FILE && it->link.len != sizeof it->id.b)
		return ERR_CORRUPT;
	job_begin_chunk(p->job, names[it->kind], &b, &e);
	if (it->kind == DEPOT_RECORD) {
		put_record(&e, &w->id, it);
	} else if (it->kind == DEPOT_FILE) {
		put_file(&e, &w->id, it);
	} else {
		cbor_put_map(&e, 3);
		cbor_put_text(&e, "space");
		put_id(&e, &w->id);
		put_uint(&e, "cursor", it->cursor);
		cbor_put_text(&e, "entries");
		cbor_put_array(&e, 1);
		plain_put_member(&e, it);
	}
	if ((err = send_frame(p, &b, &e)) < 0)
		return err;
	p->count++;
	return p->slice >= SLICE_BYTES;
}

static int begin(struct pull *p, const struct depot_plain *sp)
{
	p->begun = true;
	p->place = (struct depot_place){ .cursor = p->spaces[p->at].since, .kind = UINT8_MAX };
	p->until = sp->cursor;
	p->count = 0;
	return send_begin(p, sp);
}

/* Goes on with one space: > 0 if the slice is full. */
static int send_space(const struct relay *relay, struct pull *p, struct depot *store)
{
	const struct wanted *w = &p->spaces[p->at];
	struct depot_plain sp;
	int err = plain_open(relay, store, &w->id, &w->right, &sp);

	if (err < 0 && !p->begun) {
		p->at++;
		return err == ERR_NOMEM ? err : OK;
	}
	if (err < 0 || (!p->begun && (err = begin(p, &sp)) < 0))
		return err;
	err = depot_items(store, sp.no, DEPOT_RECORD | DEPOT_FILE | DEPOT_MEMBER, &p->place, p->until, send_item, p);
	if (err)
		return err;
	p->begun = false;
	if ((err = send_commit(p)) < 0)
		return err;
	p->at++;
	return p->slice >= SLICE_BYTES;
}

static int answer(struct job *j, uint64_t frames)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 1);
	put_uint(&e, "_chunks", frames);
	return job_send(j, &b, &e);
}

static int pull_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct pull *p = j->state;
	int err = OK;

	if (!p) {
		if (!(p = j->state = calloc(1, sizeof *p)))
			return ERR_NOMEM;
		err = read_spaces(relay, j, p);
		if (err == ERR_RANGE)
			return job_error(j, "bad_request", "too many spaces in pull request");
		if (err == ERR_RATE_LIMITED)
			return plain_refuse(j, err);
		if (err < 0)
			return err == ERR_NOMEM ? err : job_error(j, "invalid_params", "invalid params");
	}
	p->job = j;
	p->slice = 0;
	if ((err = depot_begin_read(store)) < 0)
		return err;
	while (p->at < p->n && err == OK)
		err = send_space(relay, p, store);
	depot_end_read(store);
	if (err < 0)
		return err == ERR_FORBIDDEN ? job_error(j, "forbidden", "forbidden") : err;
	return p->at < p->n ? 1 : answer(j, p->frames);
}

const struct method method_plain_pull = { "pull", LANE_READ, NULL, pull_run, pull_free };
