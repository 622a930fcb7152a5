/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push {space, ucan, changes: [{id, blob, expected_cursor, dek}]}: all changes or none, under one cursor. Each names the
 * cursor at which its record stands (0: the id is new): that is the compare-and-swap. A change without a blob leaves a
 * tombstone and takes the record's files along.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "server/plain.h"
#include "server/rpc.h"

#define DEK_MAX 1024 /* what pushes may carry: only rewraps are held to PLAIN_DEK */

struct change {
	struct id16 id;
	struct bytes blob, dek;
	bool deleted;
	uint64_t expected;
};

struct push {
	const char *refusal; /* a result */
	int err;             /* an error: ERR_INVALID */
	struct id16 space;
	struct plain_right right;
	struct change *changes;
	size_t n;
};

static void push_free(void *state)
{
	struct push *p = state;

	if (p)
		free(p->changes);
	free(p);
}

static int by_id(const void *a, const void *b)
{
	const struct change *const *x = a, *const *y = b;

	return id16_compare(&(*x)->id, &(*y)->id);
}

static int find_twins(const struct push *p, bool *ret_found)
{
	FREE_AFTER const struct change **sorted = calloc(p->n + 1, sizeof *sorted);

	*ret_found = false;
	if (!sorted)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->n; i++)
		sorted[i] = &p->changes[i];
	qsort(sorted, p->n, sizeof *sorted, by_id);
	for (size_t i = 1; i < p->n; i++)
		*ret_found |= id16_equal(&sorted[i - 1]->id, &sorted[i]->id);
	return OK;
}

/* ERR_INVALID: ill-typed; *ret_refusal: well-typed, but no good. */
static int read_change(const struct config *f, struct bytes item, struct change *c, const char **ret_refusal)
{
	struct bytes id;
	int err;

	if (param_text(item, "id", FRAME_MAX, &id) < 0 || param_uint(item, "expected_cursor", &c->expected) < 0)
		return ERR_INVALID;
	err = param_bytes(item, "blob", FRAME_MAX, &c->blob);
	c->deleted = err == ERR_NOT_FOUND;
	if (err < 0 && !c->deleted)
		return ERR_INVALID;
	err = param_bytes(item, "dek", FRAME_MAX, &c->dek);
	if (err < 0 && err != ERR_NOT_FOUND)
		return ERR_INVALID;
	if (id16_parse((const char *)id.p, id.len, &c->id) < 0)
		*ret_refusal = "bad_request";
	else if (c->blob.len > f->limits.record_bytes || c->dek.len > DEK_MAX ||
		 c->blob.len + c->dek.len > PLAIN_MAX_ITEM)
		*ret_refusal = "payload_too_large";
	return OK;
}

static int read_changes(const struct config *f, struct push *p, struct bytes params)
{
	struct cbor_dec d;
	size_t n;
	bool twins;
	int err = param_array(params, "changes", FRAME_MAX_ITEMS, &d, &n);

	if (err < 0)
		return ERR_INVALID;
	if (n > f->limits.changes) {
		p->refusal = "payload_too_large";
		return OK;
	}
	if (!(p->changes = calloc(n + 1, sizeof *p->changes)))
		return ERR_NOMEM;
	for (p->n = 0; p->n < n; p->n++) {
		struct bytes item = cbor_get_raw(&d);

		if (cbor_dec_error(&d) < 0 || read_change(f, item, &p->changes[p->n], &p->refusal) < 0)
			return ERR_INVALID;
	}
	if ((err = find_twins(p, &twins)) < 0)
		return err;
	if (twins && !p->refusal)
		p->refusal = "bad_request";
	return OK;
}

static int push_prepare(struct relay *relay, struct job *j)
{
	struct push *p = calloc(1, sizeof *p);
	int err;

	if (!p)
		return ERR_NOMEM;
	j->state = p;
	err = plain_read_right(relay, j, j->params, UCAN_WRITE, &p->space, &p->right);
	if (err == ERR_RANGE)
		p->refusal = "bad_request";
	else
		p->err = err;
	if (p->err == OK)
		p->err = read_changes(relay_config(relay), p, j->params);
	return OK;
}

struct old {
	uint64_t cursor, bytes;
};

static int keep_old(void *ctx, const struct depot_item *it)
{
	*(struct old *)ctx = (struct old){ it->cursor, it->blob.len + it->dek.len };
	return OK;
}

/* 1: every change stands on what is there; 0: one does not. *ret_bytes: of what is replaced. */
static int compare(struct depot *store, const struct depot_plain *sp, const struct push *p, uint64_t *ret_bytes)
{
	*ret_bytes = 0;
	for (size_t i = 0; i < p->n; i++) {
		struct old old = { 0 };
		int err = depot_item_get(store, sp->no, DEPOT_RECORD, &p->changes[i].id, keep_old, &old);

		if (err < 0 && err != ERR_NOT_FOUND)
			return err;
		if (old.cursor != p->changes[i].expected)
			return 0;
		*ret_bytes += old.bytes;
	}
	return 1;
}

/* Once rights were taken away, nothing more is taken under the keys of before. Personal spaces begin at epoch 0. */
static bool is_stale(const struct depot_plain *sp, const struct push *p)
{
	for (size_t i = 0; i < p->n && sp->root_key_len; i++)
		if (p->changes[i].dek.len == PLAIN_DEK && plain_epoch(p->changes[i].dek) < sp->min_generation)
			return true;
	return false;
}

static int store_changes(struct relay *relay, struct depot_plain *sp, const struct push *p)
{
	int err = OK;

	for (size_t i = 0; i < p->n && err == OK; i++) {
		const struct change *c = &p->changes[i];
		struct depot_item it = { .kind = DEPOT_RECORD,
			.id = c->id,
			.cursor = sp->cursor,
			.deleted = c->deleted,
			.dek = c->dek,
			.blob = c->blob };

		sp->bytes += c->blob.len + c->dek.len;
		err = depot_item_put(relay->store, sp->no, &it);
		if (err == OK && c->deleted)
			err = depot_files_drop(relay->store, sp, &c->id, relay_now(relay));
	}
	return err;
}

static void put_change(struct cbor_enc *e, const struct change *c, uint64_t cursor)
{
	cbor_put_map(e, c->dek.len ? 4 : 3); /* a blob or `deleted` */
	cbor_put_text(e, "id");
	put_id(e, &c->id);
	if (!c->deleted) {
		cbor_put_text(e, "blob");
		cbor_put_bytes(e, c->blob.p, c->blob.len);
	}
	cbor_put_text(e, "cursor");
	cbor_put_uint(e, cursor);
	if (c->dek.len) {
		cbor_put_text(e, "dek");
		cbor_put_bytes(e, c->dek.p, c->dek.len);
	}
	if (c->deleted) {
		cbor_put_text(e, "deleted");
		cbor_put_bool(e, true);
	}
}

/* `prev` is what a client must stand at to apply the records; one that is told prev = cursor never does, and pulls. */
static void put_sync(struct cbor_enc *e, const struct depot_plain *sp, const struct push *p, uint64_t prev, size_t n)
{
	frame_begin_notification(e, bytes_str("sync"));
	cbor_put_map(e, 5 + (sp->rewrap ? 1 : 0));
	cbor_put_text(e, "space");
	put_id(e, &sp->id);
	cbor_put_text(e, "prev");
	cbor_put_uint(e, prev);
	cbor_put_text(e, "cursor");
	cbor_put_uint(e, sp->cursor);
	cbor_put_text(e, "key_generation");
	cbor_put_uint(e, sp->generation);
	if (sp->rewrap) {
		cbor_put_text(e, "rewrap_epoch");
		cbor_put_uint(e, sp->rewrap);
	}
	cbor_put_text(e, "records");
	cbor_put_array(e, n);
	for (size_t i = 0; i < n; i++)
		put_change(e, &p->changes[i], sp->cursor);
}

static int notify(struct job *j, const struct depot_plain *sp, const struct push *p)
{
	struct buf b = message_buf();
	struct cbor_enc e = cbor_enc_init(&b);

	put_sync(&e, sp, p, sp->cursor - 1, p->n);
	if (b.len > PLAIN_MAX_FRAME) {
		buf_release(&b);
		b = message_buf();
		e = cbor_enc_init(&b);
		put_sync(&e, sp, p, sp->cursor, 0);
	}
	if (cbor_enc_end(&e) < 0) {
		buf_release(&b);
		return ERR_NOMEM;
	}
	return job_notify(j, &sp->id, message_take(&b), NULL);
}

static int answer_pushed(struct job *j, uint64_t cursor)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, cursor ? 2 : 1);
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, true);
	if (cursor) {
		cbor_put_text(&e, "cursor");
		cbor_put_uint(&e, cursor);
	}
	return job_send(j, &b, &e);
}

static int push_run(struct relay *relay, struct job *j, struct depot *store)
{
	const struct push *p = j->state;
	struct depot_plain sp;
	uint64_t replaced;
	int err;

	if (!p || p->err < 0)
		return p ? plain_refuse(j, p->err) : ERR_NOMEM;
	if (p->refusal)
		return job_refuse(j, p->refusal);
	err = p->n ? plain_open_to_write(relay, store, j->caller, &p->space, &p->right, &sp)
		   : plain_open(relay, store, &p->space, &p->right, &sp);
	if (err < 0)
		return err == ERR_FORBIDDEN      ? job_refuse(j, "forbidden")
		       : err == ERR_RATE_LIMITED ? job_refuse(j, "rate_limited")
						 : err;
	if (!p->n)
		return answer_pushed(j, sp.cursor);
	if (job_take_space(relay, j, &sp.id) < 0)
		return job_refuse(j, "rate_limited");
	if (is_stale(&sp, p))
		return job_refuse(j, "key_generation_stale");
	if ((err = compare(store, &sp, p, &replaced)) < 0)
		return err;
	if (!err) {
		metrics_add(&relay->metrics, conflicts, 1);
		return job_refuse(j, "conflict");
	}
	if ((err = plain_check_room(relay, &sp, j->in.len)) < 0)
		return err == ERR_NO_SPACE ? job_refuse(j, "storage_full") : err;
	sp.cursor++;
	depot_plain_less(&sp, replaced);
	if ((err = store_changes(relay, &sp, p)) < 0 || (err = depot_plain_update(store, &sp)) < 0 ||
		(err = notify(j, &sp, p)) < 0)
		return err;
	metrics_add(&relay->metrics, records, p->n);
	metrics_add(&relay->metrics, pushes, 1);
	return answer_pushed(j, sp.cursor);
}

const struct method method_plain_push = { "push", LANE_TURN, push_prepare, push_run, push_free };
