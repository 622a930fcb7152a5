/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http_file.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "server/file_job.h"
#include "server/request.h"

#define UCAN_HEADER_MAX 61440 /* of the 64 KiB that all headers may have */
#define MIB (1u << 20)
#define DRAIN_MAX (1u << 20)
#define HELD_MAX (1088u << 10) /* a file of 1 MiB with what seals it */

struct upload {
	struct job *job; /* when it is here and not at work */
	struct buf
		held; /* the body while it is small: a thread that may wait for the disk writes it, and nothing in vain */
	struct blob_spool *spool; /* else, until it is the job's; NULL: not yet */
	bool arrived;             /* the whole body */
	int status;               /* the answer, once it is known; what comes then is thrown away */
	struct buf answer;
};

bool method_is_file(const struct method *m)
{
	return m == &method_file_check || m == &method_file_keep || m == &method_file_store || m == &method_file_get;
}

void upload_free(struct relay *relay, struct upload *u)
{
	if (!u)
		return;
	job_free(relay, u->job);
	blob_spool_free(u->spool);
	buf_release(&u->held);
	buf_release(&u->answer);
	free(u);
}

/* A header that libwebsockets has no number for; its length, 0 if absent, negative if it does not fit. */
static int header(const struct request *r, const char *name, char *out, size_t size)
{
	int len = lws_hdr_custom_length(r->wsi, name, (int)strlen(name));

	out[0] = '\0';
	if (len <= 0)
		return 0;
	return lws_hdr_custom_copy(r->wsi, out, (int)size, name, (int)strlen(name));
}

static bool uploads_are_full(const struct request *r)
{
	return request_address_is_full(r, true) ||
	       r->net->n_uploads >= relay_config(r->net->relay)->limits.http_uploads;
}

/* Answers once the body has been read if it is small and of somebody known; a connection closed in the middle of it may lose the
 * answer. */
static int refuse(struct request *r, int status, const char *message)
{
	if (r->verb == VERB_PUT && r->length && r->length <= DRAIN_MAX && !r->upload && r->caller &&
		!uploads_are_full(r) && (r->upload = calloc(1, sizeof *r->upload))) {
		r->upload->status = status;
		r->upload->answer = (struct buf)BUF_INIT(4096);
		request_begin_draining(r);
		return buf_printf(&r->upload->answer, "{\"error\":\"%s\"}", message) < 0 ? ERR_NOMEM : 1;
	}
	r->close |= r->verb == VERB_PUT;
	request_respond_error(r, status, message);
	return 1;
}

/* > 0: refused and answered. */
static int read_ucan(struct request *r, struct buf *ret)
{
	const int len = lws_hdr_custom_length(r->wsi, "x-ucan:", 7);
	FREE_AFTER char *text = NULL;

	if (len <= 0)
		return OK;
	if (len > UCAN_HEADER_MAX)
		return refuse(r, 401, "X-UCAN header too large");
	if (!(text = malloc((size_t)len + 1)))
		return ERR_NOMEM;
	if (header(r, "x-ucan:", text, (size_t)len + 1) != len)
		return refuse(r, 400, "X-UCAN cannot be read");
	return buf_put(ret, text, (size_t)len);
}

/* X-Record-ID and X-Wrapped-DEK of an upload. NULL, or what is wrong with them, which is told to those who may write there. */
static const char *read_upload_headers(struct request *r, struct file_job *f)
{
	CLEANUP(buf_release) struct buf dek = BUF_INIT(128);
	char text[128];
	int n = header(r, "x-record-id:", text, sizeof text);

	if (!n)
		return "X-Record-ID header required";
	if (n < 0 || id16_parse(text, (size_t)n, &f->record) < 0)
		return "X-Record-ID must be a valid UUID";
	n = header(r, "x-wrapped-dek:", text, sizeof text);
	if (!n)
		return "X-Wrapped-DEK header required";
	if (n < 0 || jws_decode_padded(bytes_of(text, (size_t)n), &dek) < 0)
		return "X-Wrapped-DEK must be valid base64";
	if (dek.len != sizeof f->dek)
		return "X-Wrapped-DEK must decode to exactly 44 bytes";
	memcpy(f->dek, dek.data, sizeof f->dek);
	return NULL;
}

static int refuse_long(struct request *r, uint64_t most)
{
	const bool whole = most % MIB == 0;
	char text[64];

	snprintf(text, sizeof text, "file exceeds %llu %s limit", (unsigned long long)(whole ? most / MIB : most),
		whole ? "MB" : "byte");
	return refuse(r, 413, text);
}

/* SPACE/files/ID */
static int read_path(struct request *r, const char *path)
{
	const char *id = strstr(path, FILE_PART);

	if (!id || id16_parse(path, (size_t)(id - path), &r->space) < 0)
		return refuse(r, 400, "invalid space ID");
	id += sizeof FILE_PART - 1;
	if (id16_parse(id, strlen(id), &r->chunk) < 0)
		return refuse(r, 400, "invalid file ID");
	return OK;
}

/* Token, scope, path and headers. > 0: refused and answered. */
static int read_request(struct request *r, const char *path, struct file_job *f)
{
	const uint64_t most = relay_config(r->net->relay)->limits.file_bytes;
	int status, err;
	const char *no = request_authenticate(r, &status);

	if (no)
		return refuse(r, status, no);
	if (!r->caller->plain.files)
		return refuse(r, 403, "files scope required");
	if ((err = read_path(r, path)) || (err = read_ucan(r, &f->ucan)))
		return err;
	if (r->verb == VERB_PUT && r->length > most)
		return refuse_long(r, most);
	if (r->verb == VERB_PUT)
		f->fault = read_upload_headers(r, f);
	return OK;
}

static int start_upload(struct request *r, struct job *j)
{
	struct file_job *f = j->state;
	struct upload *u;

	if (uploads_are_full(r)) {
		job_free(r->net->relay, j);
		return refuse(r, 503, "too many uploads");
	}
	u = r->upload = calloc(1, sizeof *u);
	if (!u) {
		job_free(r->net->relay, j);
		return ERR_NOMEM;
	}
	f->size = r->length;
	u->held = (struct buf)BUF_INIT(HELD_MAX);
	u->answer = (struct buf)BUF_INIT(4096);
	request_begin_upload(r);
	net_dispatch(r->net, j);
	return r->length ? 0 : file_body_ends(r);
}

int file_route(struct request *r, const char *path)
{
	struct job *j;
	struct file_job *f = file_job_new();
	int err;

	if (!f)
		return -1;
	if ((err = read_request(r, path, f)) ||
		!(j = job_new(r->verb == VERB_PUT ? &method_file_check : &method_file_get, r->id, r->caller))) {
		method_file_get.state_free(f);
		return err > 0 ? 0 : -1;
	}
	j->state = f;
	j->space = r->space;
	j->chunk = r->chunk;
	j->head_only = r->verb == VERB_HEAD;
	if (r->verb == VERB_PUT)
		return start_upload(r, j) < 0 ? -1 : 0;
	if (request_address_is_full(r, false)) {
		job_free(r->net->relay, j);
		refuse(r, 503, "too many requests");
		return 0;
	}
	request_begin_work(r, 60);
	net_dispatch(r->net, j);
	return 0;
}

/* --- upload --- */

static void spool_write(struct request *r, struct bytes piece)
{
	struct upload *u = r->upload;
	int err = OK;

	if (!u->spool && (err = blob_spool_new(r->net->relay->blobs, &u->spool)) == OK)
		err = blob_spool_write(u->spool, buf_bytes(&u->held));
	buf_release(&u->held);
	if (err == OK)
		err = blob_spool_write(u->spool, piece);
	if (err == OK)
		return;
	u->status = err_is_full(err) ? 507 : 500;
	blob_spool_free(STEAL(&u->spool));
}

int file_body(struct request *r, struct bytes piece)
{
	struct upload *u = r->upload;

	if (u->status)
		return OK;
	if (u->spool || u->held.len + piece.len > HELD_MAX)
		spool_write(r, piece);
	else
		return buf_put(&u->held, piece.p, piece.len);
	return OK;
}

static void answer(struct request *r)
{
	struct upload *u = r->upload;

	r->out = u->answer;
	u->answer = (struct buf)BUF_INIT(0);
	request_respond(r, u->status);
}

/* All is here, and the look-up is back. */
static void keep(struct request *r)
{
	struct upload *u = r->upload;
	struct job *j = STEAL(&u->job);
	struct file_job *f = j->state;

	f->spool = STEAL(&u->spool);
	f->held = u->held;
	u->held = (struct buf)BUF_INIT(0);
	j->method = &method_file_keep;
	j->more = false;
	request_begin_work(r, 600);
	net_dispatch(r->net, j);
}

static void go_on(struct request *r)
{
	struct upload *u = r->upload;

	if (!u->arrived)
		return;
	if (u->status)
		answer(r);
	else if (u->job)
		keep(r);
}

int file_body_ends(struct request *r)
{
	struct upload *u = r->upload;

	if (!u->status && (u->spool ? blob_spool_size(u->spool) : u->held.len) != r->length)
		return -1;
	u->arrived = true;
	request_begin_work(r, 60);
	go_on(r);
	return 0;
}

static void upload_step_done(struct request *r, struct job *j)
{
	struct upload *u = r->upload;

	if (j->more && j->method == &method_file_keep) {
		j->method = &method_file_store;
		j->more = false;
		net_dispatch(r->net, j);
		return;
	}
	if (j->more) {
		u->job = j;
	} else {
		u->status = j->status ? j->status : 500;
		u->answer = j->body;
		j->body = (struct buf)BUF_INIT(0);
		job_free(r->net->relay, j);
		blob_spool_free(STEAL(&u->spool));
		buf_release(&u->held);
	}
	go_on(r);
}

/* --- download --- */

static void download_step_done(struct request *r, struct job *j)
{
	const struct file_job *f = j->state;
	CLEANUP(buf_release) struct buf dek = BUF_INIT(PLAIN_DEK_TEXT);
	const bool first = r->status == 0;
	const int status = j->status;

	buf_release(&r->out);
	r->out = j->body;
	j->body = (struct buf)BUF_INIT(FRAME_MAX);
	r->size = f->size;
	r->left = status == 200 && !j->head_only ? f->size - f->sent : 0;
	r->is_file = status == 200;
	if (r->is_file) {
		r->type = "application/octet-stream";
		if (jws_encode_padded(bytes_of(f->dek, sizeof f->dek), &dek) == OK)
			snprintf(r->dek, sizeof r->dek, "%.*s", (int)dek.len, (const char *)dek.data);
	}
	if (!first && !r->is_file) { /* too late to say so: the answer breaks off */
		r->left = 1;
		buf_clear(&r->out);
	}
	if (j->more) {
		j->more = false;
		r->parked = j;
	} else {
		job_free(r->net->relay, j);
	}
	if (first) {
		request_respond(r, status);
		return;
	}
	request_go_on(r);
}

void file_done(struct request *r, struct job *j)
{
	if (r->upload)
		upload_step_done(r, j);
	else
		download_step_done(r, j);
}
