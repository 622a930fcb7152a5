/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invitations: sealed letters in mailboxes. Anybody whom the relay lets make spaces may write to any mailbox; only its owner reads it. They stay for storage.letter_days.
 *
 *	invitation.create {mailbox_id, payload} -> {id, payload, created_at, expires_at}
 *	invitation.list {limit, after} -> {invitations}
 *	invitation.get {id} -> the same as create;  invitation.delete {id} -> {}
 *
 * The owner's connections are told of a new one some seconds late, so that nobody sees who wrote to whom by watching when.
 */
#include <stdlib.h>
#include <time.h>
#include "base/cleanup.h"
#include "server/plain.h"
#include "server/rpc.h"

#define HOUR 3600
#define DEED "invite"
#define LIST_DEFAULT 50
#define LIST_MAX 200
#define EXPIRED_MANY 100      /* others that go with one that is deleted */
#define LIST_BYTES (3u << 20) /* of one answer, which clients drop above 4 MiB */
#define TIME_SIZE 32

/* RFC 3339, UTC, milliseconds. */
static void format_time(int64_t ms, char out[TIME_SIZE])
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;
	char day[24];

	gmtime_r(&t, &tm);
	strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, TIME_SIZE, "%s.%03dZ", day, (int)(ms % 1000));
}

static void put_mail(struct cbor_enc *e, const struct depot_mail *m)
{
	char text[TIME_SIZE];

	cbor_put_map(e, 4);
	cbor_put_text(e, "id");
	put_id(e, &m->id);
	cbor_put_text(e, "payload");
	cbor_put_text_n(e, (const char *)m->payload.p, m->payload.len);
	cbor_put_text(e, "created_at");
	format_time(m->created, text);
	cbor_put_text(e, text);
	cbor_put_text(e, "expires_at");
	format_time(m->expires * 1000, text);
	cbor_put_text(e, text);
}

static int answer_mail(void *ctx, const struct depot_mail *m)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(ctx, &b, &e);
	put_mail(&e, m);
	return job_send(ctx, &b, &e);
}

/* A mailbox is named in 64 lower-case digits. */
static bool parse_mailbox(struct bytes text, struct id32 *ret_id)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.p[i] >= 'A' && text.p[i] <= 'F')
			return false;
	return id32_parse((const char *)text.p, text.len, ret_id) == OK;
}

/* A random UUID of version 4. */
static void random_id(const struct env *env, struct id16 *ret_id)
{
	env->random(env->ctx, ret_id->b, sizeof ret_id->b);
	ret_id->b[6] = (uint8_t)((ret_id->b[6] & 0x0f) | 0x40);
	ret_id->b[8] = (uint8_t)((ret_id->b[8] & 0x3f) | 0x80);
}

static int store_mail(struct relay *relay, struct job *j, struct depot_mail *m)
{
	struct notice *n;
	int err;

	random_id(relay->env, &m->id);
	m->created = relay->env->wall_ns(relay->env->ctx) / 1000000;
	m->expires = m->created / 1000 + (int64_t)relay_config(relay)->storage.letter_days * 86400;
	if ((err = depot_mail_put(relay->store, m)) < 0)
		return err;
	if (j->caller->plain.counted &&
		(err = depot_deed_put(relay->store, DEED, &j->caller->plain.actor, relay_now(relay))) < 0)
		return err;
	if ((err = job_notify(j, &m->id, NULL, &n)) < 0)
		return err;
	n->to_mailbox = true;
	n->mailbox = m->mailbox;
	return answer_mail(j, m);
}

static int create_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct depot_mail m = { 0 };
	const uint64_t most = relay_config(relay)->limits.invitations_per_hour;
	struct bytes box, server;
	int err;

	(void)store;
	if (param_text_opt(j->params, "mailbox_id", FRAME_MAX, &box) < 0 ||
		param_text_opt(j->params, "payload", FRAME_MAX, &m.payload) < 0 ||
		param_text_opt(j->params, "server", FRAME_MAX, &server) < 0)
		return job_error(j, "invalid_params", "invalid params");
	if ((err = plain_count(relay, j->caller, DEED, HOUR, (int64_t)most)) < 0)
		return err == ERR_RATE_LIMITED ? plain_refuse_hour(j, most, "invitations") : err;
	if (!box.len)
		return job_error(j, "bad_request", "missing mailbox_id");
	if (!parse_mailbox(box, &m.mailbox))
		return job_error(j, "bad_request", "mailbox_id must be 64-char hex string");
	if (!m.payload.len)
		return job_error(j, "bad_request", "missing payload");
	if (m.payload.len > relay_config(relay)->limits.letter_bytes)
		return job_error(j, "payload_too_large", "payload too large");
	if (server.len)
		return job_error(j, "bad_request", "federation is not enabled on this server");
	if (relay_config(relay)->strangers != STRANGERS_OPEN && !j->caller->plain.trusted)
		return job_error(j, "forbidden", "strangers write no letters on this relay");
	if (job_take(relay, j, LIMIT_MAIL, 1) < 0)
		return job_error(j, "rate_limited", "too many letters");
	if ((err = plain_check_room(relay, NULL, m.payload.len)) < 0)
		return plain_refuse(j, err);
	return store_mail(relay, j, &m);
}

/* --- reading --- */

struct found {
	const struct caller *who;
	int64_t now;
	struct depot_mail mail; /* without its payload */
	struct job *job;        /* answer it, or NULL */
};

static int look_at(void *ctx, const struct depot_mail *m)
{
	struct found *f = ctx;

	if (!id32_equal(&m->mailbox, &f->who->plain.mailbox) || m->expires <= f->now)
		return ERR_NOT_FOUND;
	f->mail = *m;
	f->mail.payload = bytes_of(NULL, 0);
	return f->job ? answer_mail(f->job, m) : OK;
}

/* > 0: refused and answered. */
static int find_mail(struct relay *relay, struct job *j, struct depot *store, bool answer, struct found *f)
{
	struct bytes text;
	struct id16 id;
	int err;

	*f = (struct found){ .who = j->caller, .now = relay_now(relay), .job = answer ? j : NULL };
	if (param_text(j->params, "id", FRAME_MAX, &text) < 0)
		err = job_error(j, "invalid_params", "invalid params");
	else if (id16_parse((const char *)text.p, text.len, &id) < 0)
		err = job_error(j, "bad_request", "invalid invitation id");
	else if ((err = depot_mail_get(store, &id, look_at, f)) == ERR_NOT_FOUND)
		err = job_error(j, "not_found", "not found");
	else
		return err;
	return err < 0 ? err : 1;
}

static int get_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct found f;
	int err = find_mail(relay, j, store, true, &f);

	return err < 0 ? err : OK;
}

static int delete_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct found f;
	int err = find_mail(relay, j, store, false, &f);

	if (err)
		return err < 0 ? err : OK;
	if ((err = depot_mail_remove(store, &f.mail.id)) < 0 ||
		(err = depot_mail_expire(store, f.now, EXPIRED_MANY)) < 0)
		return err;
	return job_empty(j);
}

/* --- list --- */

struct list {
	struct cbor_enc e;
	size_t n;
};

static int list_mail(void *ctx, const struct depot_mail *m)
{
	struct list *l = ctx;

	if (l->n && l->e.b->len + m->payload.len > LIST_BYTES)
		return 1;
	put_mail(&l->e, m);
	l->n++;
	return cbor_enc_end(&l->e);
}

static int answer_list(struct job *j, const struct list *l)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "invitations");
	cbor_put_array(&e, l->n);
	if (l->n && e.err == OK)
		e.err = buf_put(e.b, l->e.b->data, l->e.b->len);
	return job_send(j, &b, &e);
}

static int list_run(struct relay *relay, struct job *j, struct depot *store)
{
	CLEANUP(buf_release) struct buf rows = BUF_INIT(LIST_BYTES + 4096);
	struct list l = { .e = cbor_enc_init(&rows) };
	struct depot_mail from = { .created = -1 };
	struct bytes after;
	int64_t limit;
	int err;

	if (param_int_opt(j->params, "limit", LIST_DEFAULT, &limit) < 0 ||
		param_text_opt(j->params, "after", FRAME_MAX, &after) < 0)
		return job_error(j, "invalid_params", "invalid params");
	limit = limit <= 0 ? LIST_DEFAULT : limit > LIST_MAX ? LIST_MAX : limit;
	if (after.len) {
		struct found f = { .who = j->caller };

		if (id16_parse((const char *)after.p, after.len, &from.id) < 0)
			return job_error(j, "bad_request", "invalid invitation cursor");
		err = depot_mail_get(store, &from.id, look_at, &f);
		if (err < 0)
			return err == ERR_NOT_FOUND ? answer_list(j, &l) : err;
		from = f.mail;
	}
	err = depot_mails(store, &j->caller->plain.mailbox, from.created, &from.id, relay_now(relay), (uint64_t)limit,
		list_mail, &l);
	return err < 0 ? err : answer_list(j, &l);
}

const struct method method_invitation_create = { "invitation.create", LANE_TURN, NULL, create_run, NULL };
const struct method method_invitation_list = { "invitation.list", LANE_READ, NULL, list_run, NULL };
const struct method method_invitation_get = { "invitation.get", LANE_READ, NULL, get_run, NULL };
const struct method method_invitation_delete = { "invitation.delete", LANE_TURN, NULL, delete_run, NULL };
