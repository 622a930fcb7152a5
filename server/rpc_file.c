/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "server/file_job.h"
#include "server/rpc.h"

#define SLICE_BYTES (1u << 20)

struct file_job *file_job_new(void)
{
	struct file_job *f = calloc(1, sizeof *f);

	if (f)
		f->ucan = (struct buf)BUF_INIT(UCAN_MAX);
	return f;
}

static void file_job_free(void *state)
{
	struct file_job *f = state;

	if (!f)
		return;
	blob_spool_free(f->spool);
	buf_release(&f->held);
	buf_release(&f->ucan);
	free(f);
}

/* As the protocol has it: whether a space is there is told to whoever has a token. */
static int refuse_space(struct job *j, struct depot *store, const struct file_job *f, bool upload)
{
	struct depot_plain sp;
	int err = depot_plain_find(store, &j->space, &sp);

	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	if (err == ERR_NOT_FOUND || !sp.root_key_len)
		return job_http_error(j, 404, upload ? "space not found" : "file not found");
	return f->ucan.len ? job_http_error(j, 403, "access denied") : job_http_error(j, 401, "authorization required");
}

/* > 0: refused and answered. */
static int open_space(struct relay *relay, struct job *j, struct depot *store, bool upload)
{
	struct file_job *f = j->state;
	int err;

	if (!f->asked)
		plain_ask(relay, j->caller, &j->space, buf_bytes(&f->ucan), upload ? UCAN_WRITE : UCAN_READ, &f->right);
	f->asked = true;
	err = plain_open(relay, store, &j->space, &f->right, &f->sp);
	if (err == ERR_FORBIDDEN)
		return (err = refuse_space(j, store, f, upload)) < 0 ? err : 1;
	if (err == ERR_RATE_LIMITED)
		return (err = job_http_error(j, 429, "too many UCANs")) < 0 ? err : 1;
	return err;
}

static int is_there(void *ctx, const struct depot_item *it)
{
	(void)ctx;
	(void)it;
	return OK;
}

/* > 0: the upload needs nothing more, and is answered. */
static int check_upload(struct relay *relay, struct job *j, struct depot *store)
{
	struct file_job *f = j->state;
	int err = open_space(relay, j, store, true);

	if (err)
		return err;
	if (f->fault)
		return (err = job_http_error(j, 400, f->fault)) < 0 ? err : 1;
	err = depot_item_get(store, f->sp.no, DEPOT_FILE, &j->chunk, is_there, NULL);
	if (err == OK) {
		j->status = 204;
		return 1;
	}
	if (err != ERR_NOT_FOUND)
		return err;
	err = depot_item_get(store, f->sp.no, DEPOT_RECORD, &f->record, is_there, NULL);
	if (err == ERR_NOT_FOUND)
		return (err = job_http_error(j, 400, "record not found in this space")) < 0 ? err : 1;
	return err;
}

static int check_run(struct relay *relay, struct job *j, struct depot *store)
{
	const struct file_job *f = j->state;
	int err = check_upload(relay, j, store);

	if (err)
		return err < 0 ? err : OK;
	if (job_take_bytes(relay, j, &j->space, f->size) < 0)
		return job_http_error(j, 429, "too many bytes into this space");
	if (quota_check_plain_early(relay, store, &f->sp, f->size) < 0)
		return job_http_error(j, 507, "no room for the file");
	return 1;
}

static int spool_held(struct relay *relay, struct file_job *f)
{
	int err = blob_spool_new(relay->blobs, &f->spool);

	if (err == OK && f->held.len)
		err = blob_spool_write(f->spool, buf_bytes(&f->held));
	buf_release(&f->held);
	return err;
}

static int keep_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct file_job *f = j->state;
	int err = f->spool ? OK : spool_held(relay, f);

	(void)store;
	if (err_is_full(err))
		return job_http_error(j, 507, "no room for the file");
	if (err < 0)
		return err;
	relay->env->random(relay->env->ctx, f->object.b, sizeof f->object.b);
	err = blob_spool_keep(f->spool, &j->space, &f->object);
	return err < 0 ? err : 1;
}

static int notify_file(struct job *j, const struct file_job *f)
{
	struct buf b = message_buf();
	struct cbor_enc e = cbor_enc_init(&b);
	struct notice *n;
	int err;

	frame_begin_notification(&e, bytes_str("file"));
	cbor_put_map(&e, 3);
	cbor_put_text(&e, "space");
	put_id(&e, &j->space);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, f->sp.cursor);
	cbor_put_text(&e, "files");
	cbor_put_array(&e, 1);
	cbor_put_map(&e, f->size ? 4 : 3);
	cbor_put_text(&e, "id");
	put_id(&e, &j->chunk);
	cbor_put_text(&e, "record_id");
	put_id(&e, &f->record);
	if (f->size) {
		cbor_put_text(&e, "size");
		cbor_put_uint(&e, f->size);
	}
	cbor_put_text(&e, "dek");
	cbor_put_bytes(&e, f->dek, sizeof f->dek);
	if (cbor_enc_end(&e) < 0) {
		buf_release(&b);
		return ERR_NOMEM;
	}
	if ((err = job_notify(j, &j->space, message_take(&b), &n)) < 0)
		return err;
	n->to_sender = true;
	return OK;
}

/* The file that is there: 1 if an earlier try of this upload put it there, whose commit stood although its answer was lost. */
static int is_ours(void *ctx, const struct depot_item *it)
{
	struct file_job *f = ctx;

	if (!bytes_equal(it->object, bytes_of(f->object.b, sizeof f->object.b)))
		return 0;
	f->size = it->size;
	f->sp.cursor = it->cursor;
	return 1;
}

/* The upload was answered without a row for it: refused, or such a file is there. */
static int drop_or_confirm(struct relay *relay, struct job *j, struct depot *store)
{
	struct file_job *f = j->state;
	int err = j->status == 204 ? depot_item_get(store, f->sp.no, DEPOT_FILE, &j->chunk, is_ours, f) : 0;

	if (err < 0)
		return err;
	if (!err)
		return depot_garbage_put_vain(store, &j->space, &f->object, relay_now(relay));
	j->status = 201;
	return notify_file(j, f);
}

/* Looks again, because others may have been faster; what is kept in vain becomes garbage. */
static int store_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct file_job *f = j->state;
	struct depot_item it = { .kind = DEPOT_FILE,
		.id = j->chunk,
		.size = blob_spool_size(f->spool),
		.dek = bytes_of(f->dek, sizeof f->dek),
		.link = bytes_of(f->record.b, sizeof f->record.b),
		.object = bytes_of(f->object.b, sizeof f->object.b) };
	const struct id16 sum = blob_spool_sum(f->spool);
	int err = check_upload(relay, j, store);

	it.blob = bytes_of(sum.b, sizeof sum.b);
	if (err > 0)
		return drop_or_confirm(relay, j, store);
	if (err < 0)
		return err;
	f->size = it.size;
	if ((err = quota_check_plain(&relay->quota, relay, &f->sp, it.size)) == ERR_NO_SPACE) {
		if ((err = depot_garbage_put(store, &j->space, &f->object, relay_now(relay))) < 0)
			return err;
		return job_http_error(j, 507, "no room for the file");
	}
	if (err < 0)
		return err;
	metrics_add(&relay->metrics, files_in, 1);
	metrics_add(&relay->metrics, file_bytes_in, it.size);
	f->sp.bytes += it.size;
	it.cursor = ++f->sp.cursor;
	if ((err = depot_item_put(store, f->sp.no, &it)) < 0 || (err = depot_plain_update(store, &f->sp)) < 0 ||
		(err = notify_file(j, f)) < 0)
		return err;
	j->status = 201;
	return OK;
}

/* --- download --- */

static int found_file(void *ctx, const struct depot_item *it)
{
	struct file_job *f = ctx;

	if (it->object.len != sizeof f->object.b || it->dek.len != sizeof f->dek)
		return ERR_CORRUPT;
	memcpy(f->object.b, it->object.p, sizeof f->object.b);
	memcpy(f->dek, it->dek.p, sizeof f->dek);
	f->size = it->size;
	return OK;
}

/* Every slice looks again whether it may; one that comes too late breaks the answer off. */
static int get_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct file_job *f = j->state;
	size_t n;
	int err = open_space(relay, j, store, false);

	if (err)
		return err < 0 ? err : OK;
	if (!f->sent) {
		err = depot_item_get(store, f->sp.no, DEPOT_FILE, &j->chunk, found_file, f);
		if (err == ERR_NOT_FOUND)
			return job_http_error(j, 404, "file not found");
		if (err < 0)
			return err;
	}
	j->status = 200;
	j->size = f->size;
	if (j->head_only)
		return OK;
	n = f->size - f->sent < SLICE_BYTES ? (size_t)(f->size - f->sent) : SLICE_BYTES;
	if (n && (err = blob_get(relay->blobs, &j->space, &f->object, f->sent, n, &j->body)) < 0)
		return err == ERR_NOT_FOUND ? job_http_error(j, 404, "file not found") : err;
	metrics_add(&relay->metrics, files_out, !f->sent);
	metrics_add(&relay->metrics, file_bytes_out, n);
	f->sent += n;
	return f->sent < f->size;
}

const struct method method_file_check = { "/file.check", LANE_READ, NULL, check_run, file_job_free };
const struct method method_file_keep = { "/file.keep", LANE_BLOB, NULL, keep_run, file_job_free };
const struct method method_file_store = { "/file.store", LANE_WRITE, NULL, store_run, file_job_free };
const struct method method_file_get = { "/file.get", LANE_BLOB, NULL, get_run, file_job_free };
