/* SPDX-License-Identifier: Apache-2.0 */
#include "server/job.h"

#include <stdlib.h>
#include "server/relay.h"

struct job *job_new(const struct method *method, uint64_t conn, struct caller *caller)
{
	struct job *j = calloc(1, sizeof *j);

	if (!j)
		return NULL;
	j->method = method;
	j->conn = conn;
	j->caller = caller ? caller_ref(caller) : NULL;
	j->in = (struct buf)BUF_INIT(FRAME_MAX);
	j->body = (struct buf)BUF_INIT(FRAME_MAX);
	return j;
}

void job_drop_results(struct relay *relay, struct job *j)
{
	struct notice *n;
	struct watch *w;

	message_list_clear(&j->out);
	while ((n = j->notices)) {
		j->notices = n->next;
		message_unref(n->message);
		free(n);
	}
	while ((w = j->watches)) {
		j->watches = w->next;
		spaces_put(relay->spaces, w->space);
		free(w);
	}
	buf_clear(&j->body);
	j->status = 0;
	j->more = false;
}

void job_free(struct relay *relay, struct job *j)
{
	if (!j)
		return;
	if (j->started)
		metrics_add(&relay->metrics, queued, -1);
	job_drop_results(relay, j);
	if (j->state && j->method->state_free)
		j->method->state_free(j->state);
	caller_unref(j->caller);
	buf_release(&j->in);
	buf_release(&j->body);
	free(j);
}

void job_begin_result(struct job *j, struct buf *b, struct cbor_enc *e)
{
	*b = message_buf();
	*e = cbor_enc_init(b);
	frame_begin_response(e, j->id);
}

void job_begin_chunk(struct job *j, const char *name, struct buf *b, struct cbor_enc *e)
{
	*b = message_buf();
	*e = cbor_enc_init(b);
	frame_begin_chunk(e, j->id, bytes_str(name));
}

int job_send(struct job *j, struct buf *b, struct cbor_enc *e)
{
	int err = cbor_enc_end(e);

	if (err < 0) {
		buf_release(b);
		return err;
	}
	return message_list_add(&j->out, message_take(b));
}

int job_error(struct job *j, const char *code, const char *message)
{
	struct buf b = message_buf();
	struct cbor_enc e = cbor_enc_init(&b);

	frame_put_error(&e, j->id, code, message);
	return job_send(j, &b, &e);
}

int job_empty(struct job *j)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 0);
	return job_send(j, &b, &e);
}

int job_refuse(struct job *j, const char *code)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, false);
	cbor_put_text(&e, "error");
	cbor_put_text(&e, code);
	return job_send(j, &b, &e);
}

int job_http_error(struct job *j, int status, const char *message)
{
	j->status = status;
	buf_clear(&j->body);
	return buf_printf(&j->body, "{\"error\":\"%s\"}", message);
}

int job_notify(struct job *j, const struct id16 *space, struct message *m, struct notice **ret_n)
{
	struct notice *n = calloc(1, sizeof *n), **p = &j->notices;

	if (!n) {
		message_unref(m);
		return ERR_NOMEM;
	}
	n->space = *space;
	n->message = m;
	while (*p)
		p = &(*p)->next;
	*p = n;
	if (ret_n)
		*ret_n = n;
	return OK;
}

int job_watch(struct relay *relay, struct job *j, const struct id16 *id, struct space *sp, const struct grant *grant)
{
	struct watch *w = calloc(1, sizeof *w);

	if (!w)
		return ERR_NOMEM;
	w->id = *id;
	w->space = sp ? spaces_ref(relay->spaces, sp) : NULL;
	w->granted = grant != NULL;
	if (grant)
		w->grant = *grant;
	w->next = j->watches;
	j->watches = w;
	return OK;
}

static int64_t mono(const struct relay *relay)
{
	return relay->env->mono_ns(relay->env->ctx);
}

static bool is_first(unsigned *set, enum limit what)
{
	const unsigned had = *set;

	*set |= 1u << what;
	return *set != had;
}

static int answer_taken(struct job *j, enum limit what, int err)
{
	if (err < 0)
		j->limits.refused |= 1u << what;
	return j->limits.refused & 1u << what ? ERR_RATE_LIMITED : OK;
}

int job_take(struct relay *relay, struct job *j, enum limit what, size_t n)
{
	int err = OK;

	if (is_first(&j->limits.taken, what))
		for (size_t i = 0; i < n && err == OK; i++)
			err = caller_take(j->caller, relay->limits, what, mono(relay));
	return answer_taken(j, what, err);
}

int job_take_bytes(struct relay *relay, struct job *j, const struct id16 *space, uint64_t bytes)
{
	char text[ID16_TEXT_SIZE];
	int err = OK;

	if (is_first(&j->limits.taken, LIMIT_SPACE_BYTES)) {
		id16_format(space, text);
		err = limits_charge(relay->rates, LIMIT_SPACE_BYTES, text, bytes, mono(relay));
	}
	return answer_taken(j, LIMIT_SPACE_BYTES, err);
}

int job_take_space(struct relay *relay, struct job *j, const struct id16 *space)
{
	char text[ID16_TEXT_SIZE];
	int err = OK;

	if (is_first(&j->limits.taken, LIMIT_SPACE)) {
		id16_format(space, text);
		err = limits_take(relay->rates, LIMIT_SPACE, text, mono(relay));
	}
	err = answer_taken(j, LIMIT_SPACE, err);
	return err < 0 ? err : job_take_bytes(relay, j, space, j->in.len);
}

bool job_miss(struct relay *relay, struct job *j, enum limit what)
{
	if (!is_first(&j->limits.missed, what))
		return false;
	caller_miss(j->caller, relay->limits, what, mono(relay));
	return true;
}

bool job_hit(struct relay *relay, struct job *j, enum limit what)
{
	if (!is_first(&j->limits.hit, what))
		return false;
	caller_hit(j->caller, relay->limits, what);
	return true;
}

void job_queue_init(struct job_queue *q)
{
	*q = (struct job_queue){ 0 };
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->filled, NULL);
}

void job_queue_release(struct job_queue *q)
{
	pthread_cond_destroy(&q->filled);
	pthread_mutex_destroy(&q->lock);
}

bool job_queue_put(struct job_queue *q, struct job *j)
{
	bool first;

	pthread_mutex_lock(&q->lock);
	first = !q->first;
	j->next = NULL;
	if (q->last)
		q->last->next = j;
	else
		q->first = j;
	q->last = j;
	q->count++;
	pthread_cond_signal(&q->filled);
	pthread_mutex_unlock(&q->lock);
	return first;
}

struct job *job_queue_take(struct job_queue *q)
{
	struct job *j;

	pthread_mutex_lock(&q->lock);
	while (!q->first && !q->closed)
		pthread_cond_wait(&q->filled, &q->lock);
	j = q->first;
	if (j) {
		q->first = j->next;
		if (!q->first)
			q->last = NULL;
		q->count--;
		j->next = NULL;
	}
	pthread_mutex_unlock(&q->lock);
	return j;
}

struct job *job_queue_take_all(struct job_queue *q)
{
	struct job *all;

	pthread_mutex_lock(&q->lock);
	all = q->first;
	q->first = q->last = NULL;
	q->count = 0;
	pthread_mutex_unlock(&q->lock);
	return all;
}

void job_queue_close(struct job_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = true;
	pthread_cond_broadcast(&q->filled);
	pthread_mutex_unlock(&q->lock);
}
