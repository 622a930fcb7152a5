/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer.append {space, entries: [bstr]}: all entries or none; each authorises itself by the log's own rules,
 * whoever's token carries it. Entries that the log already has are confirmed again. A genesis creates the space.
 * coffer.log {space, since} | {space, since, chain} | {invite, since}: the log, for those who may read it; for a
 * device that the chain certifies as a member person's; or for whoever knows an open invite's id.
 *
 * Who may not know that a space exists learns nothing from the answers: unknown and forbidden are one.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/cert.h"
#include "crypto/hash.h"
#include "server/cut.h"
#include "server/admission.h"
#include "server/relay.h"
#include "server/rpc.h"
#include "server/sync_notice.h"
#include "server/batch.h"
#include "wire/entry.h"
#include "wire/head.h"
#include "base/log.h"

#define APPEND_MAX 256
#define APPEND_MAX_BYTES (4u << 20)
#define LOG_PAGE_BYTES (1u << 20)

struct append {
	const char *refusal;
	struct id16 space;
	struct bytes *blobs;
	struct entry *entries;
	struct id32 *hashes;
	size_t n;
};

static void append_free(void *state)
{
	struct append *a = state;

	if (!a)
		return;
	free(a->blobs);
	free(a->entries);
	free(a->hashes);
	free(a);
}

static int read_append(struct append *a, struct job *j)
{
	struct cbor_dec d;
	size_t n, total = 0;
	int err = param_id(j->params, "space", &a->space);

	if (err < 0 || (err = param_array(j->params, "entries", APPEND_MAX, &d, &n)) < 0)
		return err;
	if (!n)
		return ERR_INVALID;
	a->blobs = calloc(n, sizeof *a->blobs);
	a->entries = calloc(n, sizeof *a->entries);
	a->hashes = calloc(n, sizeof *a->hashes);
	if (!a->blobs || !a->entries || !a->hashes)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		a->blobs[i] = cbor_get_bytes(&d, ENTRY_MAX_BLOB);
		if ((err = cbor_dec_error(&d)) < 0 || (err = entry_decode(a->blobs[i], &a->entries[i])) < 0)
			return err;
		if ((total += a->blobs[i].len) > APPEND_MAX_BYTES)
			return ERR_RANGE;
		if (i && a->entries[i].seq != a->entries[i - 1].seq + 1)
			return ERR_INVALID;
		hash_sha256(a->blobs[i], &a->hashes[i]);
		a->n++;
	}
	return OK;
}

static int append_prepare(struct relay *relay, struct job *j)
{
	struct append *a = calloc(1, sizeof *a);
	struct id16 id;
	int err;

	(void)relay;
	if (!a)
		return ERR_NOMEM;
	j->state = a;
	err = read_append(a, j);
	if (err == ERR_RANGE)
		a->refusal = "payload_too_large";
	else if (err < 0)
		a->refusal = "bad_request";
	if (err == OK && a->entries[0].seq == 0) {
		id16_from_hash(&a->hashes[0], &id);
		if (!id16_equal(&id, &a->space))
			a->refusal = "bad_request";
	}
	return OK;
}

static bool is_member(const struct log *log, const struct id32 *root)
{
	const struct log_person *person = log_find_person(log, root);

	return person && person->role != ROLE_NONE;
}

/* Whether the caller may learn that the log has moved on: readers, and those whose entry shows that they know the log. */
static bool may_learn(const struct log *log, const struct caller *s, const struct append *a)
{
	const struct entry *e = &a->entries[0];
	struct entry_join join;
	struct entry_device device;

	if (log_may_read(log, &s->device) || log_may_read(log, &e->signer) || is_member(log, &e->signer))
		return true;
	if (e->type == ENTRY_JOIN && entry_get_join(e->payload, &join) == OK)
		return log_find_invite(log, &join.invite) != NULL;
	if (e->type == ENTRY_DEVICE && entry_get_device(e->payload, &device) == OK)
		return is_member(log, &device.person);
	return false;
}

static int answer_conflict(struct job *j, const struct log *log)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 3);
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, false);
	cbor_put_text(&e, "error");
	cbor_put_text(&e, "conflict");
	cbor_put_text(&e, "seq");
	cbor_put_uint(&e, log_count(log) - 1);
	return job_send(j, &b, &e);
}

static int answer_appended(struct job *j, uint64_t seq, uint64_t cursor)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 3);
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, true);
	cbor_put_text(&e, "seq");
	cbor_put_uint(&e, seq);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, cursor);
	return job_send(j, &b, &e);
}

static int refuse_entry(struct job *j, const struct log *log, const struct append *a, int err)
{
	if (err == ERR_NOMEM)
		return err;
	if (!log_count(log) || !may_learn(log, j->caller, a))
		return log_count(log) ? job_error(j, "forbidden", "forbidden")
				      : job_error(j, "bad_request", "not a valid entry");
	if (err == ERR_CONFLICT)
		return answer_conflict(j, log);
	if (err == ERR_FORBIDDEN || err == ERR_SIGNATURE || err == ERR_NOT_FOUND || err == ERR_EXISTS ||
		err == ERR_CONTEXT)
		return job_error(j, "forbidden", log_refusal(log));
	return job_error(j, "bad_request", log_refusal(log));
}

/* A join counts only before its invite's expiry by the relay's clock. */
static bool expired(struct relay *relay, const struct log *log, const struct entry *e)
{
	struct entry_join join;
	const struct log_invite *invite;

	if (e->type != ENTRY_JOIN || entry_get_join(e->payload, &join) < 0)
		return false;
	invite = log_find_invite(log, &join.invite);
	return invite && (int64_t)invite->expires < relay_now(relay);
}

/* > 0: answered. *ret_log is the log with the entries from `first` on. */
static int apply_entries(struct relay *relay, struct job *j, const struct append *a, const struct log *now,
	size_t first, struct log **ret_log)
{
	CLEANUP(log_freep) struct log *log = NULL;
	int err = now ? log_clone(now, &log) : log_new(NULL, &log);

	for (size_t i = first; i < a->n && err == OK; i++) {
		if (expired(relay, log, &a->entries[i]))
			return (err = job_error(j, "forbidden", "invite expired")) < 0 ? err : 1;
		err = log_apply(log, a->blobs[i], LOG_VERIFY);
	}
	if (err < 0)
		return log ? ((err = refuse_entry(j, log, a, err)) < 0 ? err : 1) : err;
	*ret_log = STEAL(&log);
	return 0;
}

static int put_entry_lines(const struct append *a, size_t first, struct buf *lines)
{
	FREE_AFTER struct line *l = calloc(a->n, sizeof *l);

	if (!l)
		return ERR_NOMEM;
	for (size_t i = first; i < a->n; i++) {
		l[i - first] = (struct line){ .kind = LINE_ENTRY, .hash = a->hashes[i] };
		for (unsigned k = 0; k < 8; k++)
			l[i - first].id.b[15 - k] = (uint8_t)(a->entries[i].seq >> (8 * k));
	}
	return lines_put(lines, l, a->n - first);
}

static int notify(struct job *j, const struct append *a, size_t first, uint64_t cursor, struct bytes lines)
{
	struct buf b;
	struct cbor_enc e;
	int err;

	sync_begin(&b, &e, &a->space, cursor, lines, bytes_of(NULL, 0), false);
	cbor_put_text(&e, "records");
	cbor_put_array(&e, 0);
	cbor_put_text(&e, "chunks");
	cbor_put_array(&e, 0);
	cbor_put_text(&e, "entries");
	cbor_put_array(&e, a->n - first);
	for (size_t i = first; i < a->n; i++)
		cbor_put_bytes(&e, a->blobs[i].p, a->blobs[i].len);
	if ((err = cbor_enc_end(&e)) < 0) {
		buf_release(&b);
		return err;
	}
	return job_notify(j, &a->space, message_take(&b), NULL);
}

static int store_entries_of(struct relay *relay, struct space_state *st, const struct append *a, size_t first)
{
	struct entry_invite invite;
	int err = OK;

	for (size_t i = first; i < a->n && err == OK; i++) {
		err = depot_entry_put(relay->store, st->row.no, a->entries[i].seq, a->blobs[i]);
		if (err == OK && a->entries[i].type == ENTRY_INVITE &&
			entry_get_invite(a->entries[i].payload, &invite) == OK)
			err = depot_invite_put(relay->store, &invite.id, &a->space);
	}
	return err;
}

static int write_append(
	struct relay *relay, struct job *j, struct space *sp, const struct append *a, size_t first, struct log *log)
{
	CLEANUP(buf_release) struct buf lines = BUF_INIT(APPEND_MAX * 64);
	struct space_state *st = batch_state(relay, sp);
	struct shared_log *shared = shared_log_new(log);
	struct depot_step step = { .cursor = st->row.cursor + 1,
		.first_version = st->row.versions,
		.first_entry = a->entries[first].seq,
		.entries = a->n - first };
	const struct log_person *owner;
	bool owned;
	int err;

	if (!shared)
		return ERR_NOMEM;
	owned = st->log && log_person_at(st->log->log, 0);
	shared_log_unref(st->log);
	st->log = shared;
	if (!st->row.no && (err = depot_space_create(relay->store, &st->row)) < 0)
		return err;
	if (!owned && (owner = log_person_at(log, 0)) &&
		(err = depot_space_own(relay->store, st->row.no, &owner->root)) < 0)
		return err;
	if ((err = put_entry_lines(a, first, &lines)) < 0 || (err = store_entries_of(relay, st, a, first)) < 0)
		return err;
	step.lines = buf_bytes(&lines);
	step.time = relay_now(relay);
	st->row.cursor = step.cursor;
	st->row.entries = log_count(log);
	st->row.retention = log_retention(log);
	if ((err = depot_step_put(relay->store, st->row.no, &step)) < 0 ||
		(err = depot_space_update(relay->store, &st->row)) < 0 ||
		(err = notify(j, a, first, step.cursor, step.lines)) < 0)
		return err;
	metrics_add(&relay->metrics, entries, a->n - first);
	return answer_appended(j, log_count(log) - 1, step.cursor);
}

/* The person that a device of the log speaks for; a root speaks for itself. */
static const struct id32 *person_of(const struct log *log, const struct id32 *signer)
{
	const struct log_device *device = log_find_device(log, signer);

	if (device)
		return device->live ? &device->person : NULL;
	return is_member(log, signer) ? signer : NULL;
}

/* 1: who made the space may make spaces here, and so may the person whose device brings it. One of both is not enough: whoever
 * was a member of a space has its log, and may bring it to any relay; and a member who may make spaces makes no space theirs. */
static int may_make(struct relay *relay, const struct log *log, const struct caller *caller)
{
	const struct log_person *maker = log_person_at(log, 0);
	const struct id32 *bringer = person_of(log, &caller->device);
	int may;

	if (relay_config(relay)->strangers == STRANGERS_OPEN)
		return 1;
	if (!maker || !bringer)
		return 0;
	may = admission_has(relay, relay->store, &maker->root);
	return may > 0 ? admission_has(relay, relay->store, bringer) : may;
}

/* 1: answered with a conflict, since who is to lose rights pushed after the cut; they are held back until it is made anew. */
static int hold_overtaken(struct relay *relay, struct job *j, struct space *sp, const struct append *a, size_t first,
	const struct log *next)
{
	const struct space_state *st = batch_state(relay, sp);
	const struct log *log = st->log->log;
	int err = cut_overtaken(relay->store, sp, &st->row, log, next, a->entries + first, a->n - first,
		relay->env->mono_ns(relay->env->ctx));

	if (err <= 0)
		return err;
	return (err = answer_conflict(j, log)) < 0 ? err : 1;
}

static int append_to(struct relay *relay, struct job *j, struct space *sp, const struct append *a)
{
	const struct space_state *st = batch_state(relay, sp);
	const struct log *log = st->log ? st->log->log : NULL;
	struct log *next = NULL;
	size_t first = 0;
	int err;

	if (!log && a->entries[0].seq != 0)
		return job_error(j, "forbidden", "forbidden");
	if (!log && job_take(relay, j, LIMIT_GENESIS, 1) < 0)
		return job_error(j, "rate_limited", "too many new spaces");
	while (log && first < a->n && log_hash_at(log, a->entries[first].seq) &&
		id32_equal(log_hash_at(log, a->entries[first].seq), &a->hashes[first]))
		first++;
	if (first == a->n && log_may_read(log, &j->caller->device))
		return answer_appended(j, log_count(log) - 1, st->row.cursor);
	if (first == a->n) /* who is no member, or not any more, learns of no more than what they hold */
		return answer_appended(j, a->entries[a->n - 1].seq, 0);
	if (job_take(relay, j, LIMIT_ENTRY, a->n - first) < 0)
		return job_error(j, "rate_limited", "too many entries");
	err = apply_entries(relay, j, a, log, first, &next);
	if (err)
		return err < 0 ? err : OK;
	if (!log && (err = may_make(relay, next, j->caller)) <= 0) {
		log_free(next);
		return err < 0 ? err
			       : job_error(j, "forbidden", "only whom its owners let in makes spaces on this relay");
	}
	err = log ? hold_overtaken(relay, j, sp, a, first, next) : OK;
	if (err) {
		log_free(next);
		return err < 0 ? err : OK;
	}
	return write_append(relay, j, sp, a, first, next);
}

static int append_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct append *a = j->state;
	struct space *sp;
	int err;

	if (!a)
		return ERR_NOMEM;
	if (a->refusal)
		return job_error(j, a->refusal, "not a list of entries of this space");
	if ((err = spaces_get_new(relay->spaces, store, &a->space, &sp)) < 0)
		return err;
	err = append_to(relay, j, sp, a);
	spaces_put(relay->spaces, sp);
	return err;
}

const struct method method_append = { "coffer.append", LANE_WRITE, append_prepare, append_run, append_free };

/* --- coffer.log --- */

struct log_stream {
	struct id16 space;
	uint64_t no, next, end, cursor, chunks;
	size_t bytes;
	struct job *job;
};

static int send_entry(void *ctx, uint64_t seq, struct bytes blob)
{
	struct log_stream *s = ctx;
	struct buf b;
	struct cbor_enc e;
	int err;

	job_begin_chunk(s->job, "coffer.entry", &b, &e);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "seq");
	cbor_put_uint(&e, seq);
	cbor_put_text(&e, "entry");
	cbor_put_bytes(&e, blob.p, blob.len);
	if ((err = job_send(s->job, &b, &e)) < 0)
		return err;
	s->chunks++;
	s->next = seq + 1;
	s->bytes += blob.len;
	return s->bytes >= LOG_PAGE_BYTES ? 1 : 0;
}

static int finish_log(struct job *j, const struct log_stream *s)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 3);
	cbor_put_text(&e, "space");
	put_id(&e, &s->space);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, s->cursor);
	cbor_put_text(&e, "_chunks");
	cbor_put_uint(&e, s->chunks);
	return job_send(j, &b, &e);
}

static int continue_log(struct job *j, struct depot *store)
{
	struct log_stream *s = j->state;
	int err;

	s->job = j;
	s->bytes = 0;
	err = depot_entries(store, s->no, s->next, s->end > s->next ? s->end - s->next : 0, send_entry, s);
	if (err < 0)
		return err;
	if (err > 0 && s->next < s->end)
		return 1;
	return finish_log(j, s);
}

/* A device that no log of this space knows yet, shown by its certificate chain to be one of a member person's: it must
 * read the log to add itself. */
static bool chain_may_read(const struct log *log, const struct caller *s, struct bytes item)
{
	FREE_AFTER struct cert_chain *chain = malloc(sizeof *chain);

	if (!chain || item.len == 0 || cbor_check(item, CBOR_STRICT, 1024) < 0)
		return false;
	if (cert_verify(item, &s->person, true, chain) < 0 || !id32_equal(&chain->links[chain->n - 1].ed, &s->device))
		return false;
	for (size_t i = 0; i < chain->n; i++)
		if (log_revoked(log, &s->person, &chain->links[i].ed))
			return false;
	return true;
}

static bool may_read_log(const struct log *log, const struct caller *s, struct bytes chain)
{
	if (log_may_read(log, &s->device))
		return true;
	if (!is_member(log, &s->person))
		return false;
	return id32_equal(&s->device, &s->person) || chain_may_read(log, s, chain);
}

/* The optional certificate chain of coffer.log; empty if absent. */
static struct bytes param_chain(struct bytes params)
{
	struct bytes item;

	if (cbor_map_find(params, CBOR_RPC, "chain", &item) < 0)
		return bytes_of(NULL, 0);
	struct cbor_dec d = cbor_dec_init_rpc(item);
	return cbor_get_bytes(&d, CERT_MAX_BYTES);
}

static int start_log(struct relay *relay, struct job *j, struct depot *store, const struct id16 *id,
	const struct id16 *invite, uint64_t since)
{
	struct log_stream *s;
	struct space *sp;
	struct space_view v;
	const struct log_invite *in = NULL;
	bool may;
	int err = spaces_get(relay->spaces, store, id, &sp);

	if (err < 0)
		return err == ERR_NOT_FOUND ? ERR_FORBIDDEN : err;
	v = space_view(sp);
	spaces_put(relay->spaces, sp);
	if (invite && v.log)
		in = log_find_invite(v.log->log, invite);
	may = v.log && (invite ? in && in->open && (int64_t)in->expires >= relay_now(relay)
			       : may_read_log(v.log->log, j->caller, param_chain(j->params)));
	if (may && (s = calloc(1, sizeof *s))) {
		*s = (struct log_stream){
			.space = *id, .no = v.no, .next = since, .end = log_count(v.log->log), .cursor = v.cursor
		};
		j->state = s;
	} else {
		err = may ? ERR_NOMEM : ERR_FORBIDDEN;
	}
	space_view_release(&v);
	return err;
}

/* Look-ups by invite are counted by address; a miss is logged without the id. */
static int start_by_invite(
	struct relay *relay, struct job *j, struct depot *store, const struct id16 *invite, uint64_t since)
{
	struct id16 space;
	int err;

	if ((err = job_take(relay, j, LIMIT_INVITE, 1)) < 0)
		return err;
	err = depot_invite_find(store, invite, &space);
	if (err == OK)
		err = start_log(relay, j, store, &space, invite, since);
	if (err == ERR_NOT_FOUND || err == ERR_FORBIDDEN) {
		job_miss(relay, j, LIMIT_INVITE);
		metrics_add(&relay->metrics, invite_misses, 1);
		log_info("invite look-up missed, from %s", j->caller->addr);
		return ERR_NOT_FOUND;
	}
	if (err == OK)
		job_hit(relay, j, LIMIT_INVITE);
	return err;
}

static int log_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct id16 id, invite;
	uint64_t since = 0;
	int err;

	if (j->state)
		return continue_log(j, store);
	err = param_uint(j->params, "since", &since);
	if (err < 0 && err != ERR_NOT_FOUND)
		return job_error(j, "invalid_params", "since is not a number");
	if (param_id(j->params, "invite", &invite) == OK)
		err = start_by_invite(relay, j, store, &invite, since);
	else if (param_id(j->params, "space", &id) == OK)
		err = start_log(relay, j, store, &id, NULL, since);
	else
		return job_error(j, "bad_request", "invalid space id");
	if (err == ERR_RATE_LIMITED)
		return job_error(j, "rate_limited", "too many look-ups");
	if (err == ERR_NOT_FOUND)
		return job_error(j, "not_found", "no such open invite");
	if (err == ERR_FORBIDDEN)
		return job_error(j, "forbidden", "forbidden");
	return err < 0 ? err : continue_log(j, store);
}

const struct method method_log = { "coffer.log", LANE_READ, NULL, log_run, free };
