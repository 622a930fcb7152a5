/* SPDX-License-Identifier: Apache-2.0 */
/* RPCs of other threads: posted, sent when the relay is there, awaited. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "fusefs/sync_inner.h"
#include "wire/map.h"

#define RESULT_MAX (6u << 20)

/* What a call needs beyond the poster's stay. Freed by the sync thread when the job ends there. */
struct call_job {
	struct sync *s;
	struct sync_job *job;
	char *relay, *method;
	struct buf params;
	void (*part)(void *ctx, struct bytes name, struct bytes data);
	void *ctx;
	struct buf result;
	char code[64];
	uint64_t num;
	struct sync_peer *peer;
	bool sent, answered;
	int err;
};

static void on_part(void *ctx, struct bytes name, struct bytes data)
{
	struct call_job *c = ctx;

	pthread_mutex_lock(&c->s->lock);
	bool dead = c->job->dead;
	/* The poster cannot go while the lock is held. */
	if (!dead && c->part)
		c->part(c->ctx, name, data);
	pthread_mutex_unlock(&c->s->lock);
}

static void on_result(void *ctx, int err, struct bytes code, struct bytes item)
{
	struct call_job *c = ctx;

	c->answered = true;
	c->err = err;
	snprintf(c->code, sizeof c->code, "%.*s", (int)(code.len < 63 ? code.len : 63), (const char *)code.p);
	if (err == OK && buf_put(&c->result, item.p, item.len) < 0)
		c->err = ERR_NOMEM;
}

static int send_call(struct call_job *c)
{
	if (!c->peer)
		c->peer = sync_peer_of(c->s, c->relay, true);
	if (!c->peer)
		return ERR_INVALID;
	int err = sync_peer_ready(c->peer, c->job);
	if (err < 0)
		return err;
	struct peer_answer a = { .ctx = c, .part = on_part, .result = on_result };
	err = peer_call(c->peer->peer, c->method, buf_bytes(&c->params), &a, &c->num);
	c->sent = err == OK;
	return err == OK ? ERR_AGAIN : err;
}

static int run_call(struct sync *s, struct sync_job *job)
{
	struct call_job *c = job->ctx;

	if (c->answered)
		return c->err;
	if (sync_job_dead(s, job)) {
		if (c->sent)
			peer_cancel(c->peer->peer, c->num);
		c->answered = true;
		return ERR_CANCELLED;
	}
	return c->sent ? ERR_AGAIN : send_call(c);
}

static void release_call(void *ctx)
{
	struct call_job *c = ctx;

	free(c->relay);
	free(c->method);
	buf_release(&c->params);
	buf_release(&c->result);
	free(c);
}

static struct call_job *new_call(struct sync *s, const char *relay, const char *method, struct bytes params)
{
	struct call_job *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->s = s;
	c->relay = strdup(relay);
	c->method = strdup(method);
	c->params = (struct buf)BUF_INIT(RESULT_MAX);
	c->result = (struct buf)BUF_INIT(RESULT_MAX);
	c->job = sync_job_new(run_call, c);
	if (!c->relay || !c->method || !c->job || buf_put(&c->params, params.p, params.len) < 0) {
		free(c->job);
		release_call(c);
		return NULL;
	}
	c->job->release = release_call;
	return c;
}

int sync_call(struct sync *s, const char *relay, const char *method, struct bytes params, int64_t deadline_mono_ns,
	void (*part)(void *ctx, struct bytes name, struct bytes data), void *ctx, struct buf *result, char ret_code[64])
{
	struct call_job *c = new_call(s, relay, method, params);

	if (!c)
		return ERR_NOMEM;
	c->part = part;
	c->ctx = ctx;
	int err = sync_job_post(s, c->job, deadline_mono_ns, NULL, NULL);
	if (err != ERR_TIMEOUT) {
		if (ret_code)
			memcpy(ret_code, c->code, sizeof c->code);
		if (err == OK && result)
			err = buf_put(result, c->result.data, c->result.len);
	} else {
		if (ret_code)
			ret_code[0] = 0;
	}
	sync_job_let_go(s, c->job);
	return err;
}

/* ---- coffer.append ---- */

/* The job's own: the poster may leave while the sync thread is in the middle of it. */
struct append_job {
	struct space *space;
	struct bytes *blobs; /* views of `bytes` */
	size_t n;
	struct buf bytes;
	uint64_t cursor;
	bool asked;
};

static void release_append(void *ctx)
{
	struct append_job *a = ctx;

	free(a->blobs);
	buf_release(&a->bytes);
	free(a);
}

/* On the sync thread, after the relay accepted. */
static int run_appended(struct sync *s, struct sync_job *job)
{
	struct append_job *a = job->ctx;
	struct sync_space *ss = sync_space_of(s, a->space->row.row);

	if (sync_job_dead(s, job))
		return ERR_CANCELLED;
	if (!ss)
		return ERR_NOT_FOUND;
	if (a->cursor > ss->relay_cursor)
		ss->relay_cursor = a->cursor;
	if (ss->space->row.cursor >= a->cursor)
		return OK;
	if (ss->space->row.cursor + 1 == a->cursor && !ss->pulling)
		return sync_apply_appended(ss, a->blobs, a->n, a->cursor);
	/* Others were in between: the pull brings the entries too. */
	return ERR_AGAIN;
}

/* Somebody else was first: until the log here is longer than the entries assumed, or nothing moves. */
static int run_catch_up(struct sync *s, struct sync_job *job)
{
	struct append_job *a = job->ctx;
	struct sync_space *ss = sync_space_of(s, a->space->row.row);

	if (sync_job_dead(s, job))
		return ERR_CANCELLED;
	if (!ss)
		return OK;
	if (ss->alarm == ERR_FORK)
		return ERR_FORK;
	if (!a->asked) {
		a->asked = true;
		ss->caught_up = false;
	}
	return ss->caught_up && !ss->steps ? OK : ERR_AGAIN;
}

/* Entries are history too: where there are two, none is added. */
static int run_may_append(struct sync *s, struct sync_job *job)
{
	const struct append_job *a = job->ctx;
	const struct sync_space *ss = sync_space_of(s, a->space->row.row);

	return ss && ss->alarm == ERR_FORK ? ERR_FORK : OK;
}

static struct append_job *new_append(struct space *space, const struct bytes *blobs, size_t n, uint64_t cursor)
{
	struct append_job *a = calloc(1, sizeof *a);

	if (!a)
		return NULL;
	*a = (struct append_job){ .space = space, .bytes = BUF_INIT(RESULT_MAX), .cursor = cursor };
	int err = n > 0 && !(a->blobs = calloc(n, sizeof *a->blobs)) ? ERR_NOMEM : OK;
	for (size_t i = 0; i < n && err == OK; i++)
		err = buf_put(&a->bytes, blobs[i].p, blobs[i].len);
	if (err < 0) {
		release_append(a);
		return NULL;
	}
	const uint8_t *at = a->bytes.data;
	for (; a->n < n; a->n++) {
		a->blobs[a->n] = bytes_of(at, blobs[a->n].len);
		at += blobs[a->n].len;
	}
	return a;
}

/* Takes the job over; NULL: there was no memory for it. */
static int post(
	struct sync *s, int (*run)(struct sync *s, struct sync_job *job), struct append_job *a, int64_t deadline)
{
	struct sync_job *job = a ? sync_job_new(run, a) : NULL;

	if (!job) {
		if (a)
			release_append(a);
		return ERR_NOMEM;
	}
	job->release = release_append;
	int err = sync_job_post(s, job, deadline, NULL, NULL);
	sync_job_let_go(s, job);
	return err;
}

int sync_append(struct sync *s, struct space *space, const struct bytes *blobs, size_t n, int64_t deadline_mono_ns)
{
	CLEANUP(map_release) struct map m = MAP_INIT;
	CLEANUP(buf_release)
	struct buf params = BUF_INIT(RESULT_MAX), list = BUF_INIT(RESULT_MAX), result = BUF_INIT(RESULT_MAX);
	struct cbor_enc e = cbor_enc_init(&list);

	int err = post(s, run_may_append, new_append(space, NULL, 0, 0), deadline_mono_ns);
	if (err < 0)
		return err;
	cbor_put_array(&e, n);
	for (size_t i = 0; i < n; i++)
		cbor_put_bytes(&e, blobs[i].p, blobs[i].len);
	err = cbor_enc_end(&e);
	map_uuid(&m, "space", &space->row.id);
	map_raw(&m, "entries", buf_bytes(&list));
	if (err == OK)
		err = map_put(&m, &params);
	if (err == OK)
		err = sync_call(s, space->row.relay, "coffer.append", buf_bytes(&params), deadline_mono_ns, NULL, NULL,
			&result, NULL);
	if (err < 0)
		return err;
	if (map_get_bool(buf_bytes(&result), "ok", false)) {
		uint64_t cursor = map_get_uint(buf_bytes(&result), "cursor", 0);

		return post(s, run_appended, new_append(space, blobs, n, cursor), deadline_mono_ns);
	}
	if (!cbor_text_is(map_get_text(buf_bytes(&result), "error"), "conflict"))
		return peer_error(map_get_text(buf_bytes(&result), "error"));
	err = post(s, run_catch_up, new_append(space, NULL, 0, 0), deadline_mono_ns);
	return err < 0 ? err : ERR_CONFLICT;
}

/* ---- heads for cuts ---- */

struct head_job {
	struct space *space;
	bool asked;
	struct buf blob;
};

/* Once all that the relay has is here. */
static int run_head(struct sync *s, struct sync_job *job)
{
	struct head_job *h = job->ctx;
	struct sync_space *ss = sync_space_of(s, h->space->row.row);

	if (sync_job_dead(s, job))
		return ERR_CANCELLED;
	if (!ss)
		return ERR_NOT_FOUND;
	if (ss->alarm == ERR_FORK)
		return ERR_FORK;
	int err = sync_peer_ready(ss->peer, job);
	if (err < 0)
		return err;
	if (!h->asked) {
		h->asked = true;
		ss->caught_up = false;
	}
	return ss->caught_up && !ss->steps ? sync_head_make(ss, &h->blob) : ERR_AGAIN;
}

static void release_head(void *ctx)
{
	struct head_job *h = ctx;

	buf_release(&h->blob);
	free(h);
}

int sync_make_head(struct sync *s, struct space *space, int64_t deadline_mono_ns, struct buf *ret_blob)
{
	struct head_job *h = calloc(1, sizeof *h);
	struct sync_job *job = h ? sync_job_new(run_head, h) : NULL;

	if (!job) {
		free(h);
		return ERR_NOMEM;
	}
	h->space = space;
	h->blob = (struct buf)BUF_INIT(HEAD_MAX_BLOB);
	job->release = release_head;
	int err = sync_job_post(s, job, deadline_mono_ns, NULL, NULL);
	if (err == OK)
		err = buf_put(ret_blob, h->blob.data, h->blob.len);
	sync_job_let_go(s, job);
	return err;
}

/* ---- let in again ---- */

struct take_job {
	struct space *space;
	const struct bytes *blobs;
	size_t n;
	const struct epoch_ring *ring;
};

/* What the poster lent is looked at only while it waits. */
static int run_take(struct sync *s, struct sync_job *job)
{
	const struct take_job *tj = job->ctx;
	struct sync_space *ss = sync_space_of(s, tj->space->row.row);
	const struct sync_config *config = &s->config;
	struct store_txn *t = NULL;

	if (!ss)
		return ERR_NOT_FOUND;
	if (ss->alarm == ERR_FORK)
		return ERR_FORK;
	int err = store_begin(config->store, &t);
	if (err < 0)
		return err;
	err = space_apply_entries(ss->space, t, config->who, tj->blobs, tj->n);
	if (err == OK)
		err = space_add_keys(ss->space, t, config->who, tj->ring);
	if (err < 0) {
		store_abort(&t);
		return err;
	}
	if ((err = store_commit(&t)) < 0)
		return err;
	sync_apply_log_moved(ss);
	sync_space_offline(ss);
	ss->retry_at = 0;
	return OK;
}

int sync_take_log(
	struct sync *s, struct space *space, const struct bytes *blobs, size_t n, const struct epoch_ring *ring)
{
	struct take_job tj = { .space = space, .blobs = blobs, .n = n, .ring = ring };
	struct sync_job *job = sync_job_new(run_take, &tj);

	if (!job)
		return ERR_NOMEM;
	int err = sync_job_post(s, job, INT64_MAX / 2, NULL, NULL);
	sync_job_let_go(s, job);
	return err;
}
