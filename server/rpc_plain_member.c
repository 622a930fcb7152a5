/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain of sealed membership entries of a plain space, and UCANs taken back:
 *
 *	membership.append {space, ucan, expected_version, prev_hash, entry_hash, payload} -> {chain_seq, metadata_version}
 *	membership.list {space, ucan, since_seq} -> {entries, metadata_version}: as many as fit; who has fewer than the
 *	                version says asks again from the last one
 *	membership.revoke {space, ucan, ucan_cid} -> {}
 *
 * Numbers run 1, 2, 3 without a gap: clients put the number that they expect into what they seal.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "server/plain.h"
#include "server/rpc.h"

#define LIST_BYTES (3u << 20) /* of one answer, which clients drop above 4 MiB */
#define HOUR 3600
#define DEED "append"

static struct id16 id_of_seq(uint64_t seq)
{
	struct id16 id = { { 0 } };

	for (unsigned i = 0; i < 8; i++)
		id.b[15 - i] = (uint8_t)(seq >> (8 * i));
	return id;
}

static uint64_t seq_of_id(const struct id16 *id)
{
	uint64_t seq = 0;

	for (unsigned i = 8; i < 16; i++)
		seq = seq << 8 | id->b[i];
	return seq;
}

void plain_put_member(struct cbor_enc *e, const struct depot_item *it)
{
	cbor_put_map(e, it->link.len ? 4 : 3);
	cbor_put_text(e, "chain_seq");
	cbor_put_uint(e, seq_of_id(&it->id));
	if (it->link.len) {
		cbor_put_text(e, "prev_hash");
		cbor_put_bytes(e, it->link.p, it->link.len);
	}
	cbor_put_text(e, "entry_hash");
	cbor_put_bytes(e, it->object.p, it->object.len);
	cbor_put_text(e, "payload");
	cbor_put_bytes(e, it->blob.p, it->blob.len);
}

/* --- append --- */

struct append {
	int err;
	struct id16 space;
	struct plain_right right;
	uint64_t expected;
	struct bytes prev, hash, payload;
	struct id32 real_hash; /* of the payload */
};

static int append_prepare(struct relay *relay, struct job *j)
{
	struct append *a = calloc(1, sizeof *a);
	int err;

	if (!a)
		return ERR_NOMEM;
	j->state = a;
	a->err = plain_read_right(relay, j, j->params, UCAN_WRITE, &a->space, &a->right);
	if (a->err == ERR_INVALID)
		return OK;
	err = param_bytes(j->params, "prev_hash", FRAME_MAX, &a->prev);
	if ((err < 0 && err != ERR_NOT_FOUND) || param_uint(j->params, "expected_version", &a->expected) < 0 ||
		param_bytes(j->params, "entry_hash", FRAME_MAX, &a->hash) < 0 ||
		param_bytes(j->params, "payload", FRAME_MAX, &a->payload) < 0)
		a->err = ERR_INVALID;
	hash_sha256(a->payload, &a->real_hash);
	return OK;
}

static const char *append_fault(const struct append *a)
{
	if (a->hash.len != sizeof a->real_hash.b)
		return "entry_hash must be 32 bytes";
	if (!a->payload.len)
		return "payload must not be empty";
	if (memcmp(a->hash.p, a->real_hash.b, a->hash.len) != 0)
		return "entry_hash does not match SHA-256 of payload";
	return NULL;
}

static int same_hash(void *ctx, const struct depot_item *it)
{
	const struct bytes *prev = ctx;

	return bytes_equal(*prev, it->object) ? OK : 1;
}

/* 1: the entry follows the last one; 0: it does not. */
static int follows(struct depot *store, const struct depot_plain *sp, struct append *a)
{
	const struct id16 last = id_of_seq(sp->members);
	int err;

	if (a->expected != sp->members)
		return 0;
	if (!sp->members)
		return a->prev.len == 0;
	err = depot_item_get(store, sp->no, DEPOT_MEMBER, &last, same_hash, &a->prev);
	return err < 0 ? err : err == 0;
}

static int notify_member(struct job *j, const struct depot_plain *sp, const struct depot_item *it)
{
	struct buf b = message_buf();
	struct cbor_enc e = cbor_enc_init(&b);

	frame_begin_notification(&e, bytes_str("membership"));
	cbor_put_map(&e, 3);
	cbor_put_text(&e, "space");
	put_id(&e, &sp->id);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, it->cursor);
	cbor_put_text(&e, "entries");
	cbor_put_array(&e, 1);
	plain_put_member(&e, it);
	if (cbor_enc_end(&e) < 0) {
		buf_release(&b);
		return ERR_NOMEM;
	}
	return job_notify(j, &sp->id, message_take(&b), NULL);
}

static int write_member(struct relay *relay, struct job *j, struct depot_plain *sp, const struct append *a)
{
	struct depot_item it = { .kind = DEPOT_MEMBER, .link = a->prev, .object = a->hash, .blob = a->payload };
	struct buf b;
	struct cbor_enc e;
	int err;

	it.id = id_of_seq(++sp->members);
	it.cursor = ++sp->cursor;
	sp->bytes += a->payload.len;
	if ((err = depot_item_put(relay->store, sp->no, &it)) < 0 || (err = depot_plain_update(relay->store, sp)) < 0 ||
		(err = notify_member(j, sp, &it)) < 0)
		return err;
	if (j->caller->plain.counted &&
		(err = depot_deed_put(relay->store, DEED, &j->caller->plain.actor, relay_now(relay))) < 0)
		return err;
	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "chain_seq");
	cbor_put_uint(&e, sp->members);
	cbor_put_text(&e, "metadata_version");
	cbor_put_uint(&e, sp->members);
	return job_send(j, &b, &e);
}

static int append_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct append *a = j->state;
	struct depot_plain sp;
	const uint64_t most = relay_config(relay)->limits.members_per_hour;
	const char *fault;
	int err;

	if (!a || a->err < 0)
		return a ? plain_refuse(j, a->err) : ERR_NOMEM;
	if ((err = plain_count(relay, j->caller, DEED, HOUR, (int64_t)most)) < 0)
		return err == ERR_RATE_LIMITED ? plain_refuse_hour(j, most, "membership appends") : err;
	if ((fault = append_fault(a)))
		return job_error(j, "bad_request", fault);
	if (a->payload.len > PLAIN_MAX_ITEM)
		return job_error(j, "payload_too_large", "no client could read an entry so large");
	if ((err = plain_open_to_write(relay, store, j->caller, &a->space, &a->right, &sp)) < 0)
		return plain_refuse(j, err);
	if ((err = follows(store, &sp, a)) <= 0)
		return err < 0 ? err : job_error(j, "conflict", "conflict");
	if (sp.members >= relay_config(relay)->limits.members)
		return job_error(j, "payload_too_large", "the space has as many membership entries as it can have");
	if ((err = plain_check_room(relay, &sp, a->payload.len)) < 0)
		return plain_refuse(j, err);
	return write_member(relay, j, &sp, a);
}

/* --- list --- */

struct list {
	struct cbor_enc e;
	uint64_t n;
};

/* > 0: this one does not fit any more. */
static int list_member(void *ctx, const struct depot_item *it)
{
	struct list *l = ctx;

	if (l->n && l->e.b->len + it->blob.len > LIST_BYTES)
		return 1;
	plain_put_member(&l->e, it);
	l->n++;
	return cbor_enc_end(&l->e);
}

static int answer_list(struct job *j, struct depot *store, const struct depot_plain *sp, uint64_t since)
{
	CLEANUP(buf_release) struct buf rows = BUF_INIT(LIST_BYTES + FRAME_MAX);
	struct list l = { .e = cbor_enc_init(&rows) };
	struct buf b;
	struct cbor_enc e;
	int err = OK;

	for (uint64_t seq = since; seq < sp->members && err == OK; seq++) {
		const struct id16 id = id_of_seq(seq + 1);

		err = depot_item_get(store, sp->no, DEPOT_MEMBER, &id, list_member, &l);
	}
	if (err < 0)
		return err;
	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "entries");
	cbor_put_array(&e, l.n);
	if (l.n && e.err == OK)
		e.err = buf_put(e.b, rows.data, rows.len);
	cbor_put_text(&e, "metadata_version");
	cbor_put_uint(&e, sp->members);
	return job_send(j, &b, &e);
}

static int list_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct plain_right right;
	struct depot_plain sp;
	struct id16 space;
	uint64_t since = 0;
	int err = plain_read_right(relay, j, j->params, UCAN_READ, &space, &right);

	if (err < 0)
		return plain_refuse(j, err);
	err = param_uint(j->params, "since_seq", &since);
	if (err < 0 && err != ERR_NOT_FOUND)
		return plain_refuse(j, ERR_INVALID);
	if ((err = depot_begin_read(store)) < 0)
		return err;
	err = plain_open(relay, store, &space, &right, &sp);
	err = err < 0 ? plain_refuse(j, err) : answer_list(j, store, &sp, since);
	depot_end_read(store);
	return err;
}

/* --- revoke --- */

struct revoke {
	int err;
	struct id16 space;
	struct plain_right right;
	struct bytes cid;
};

static int revoke_prepare(struct relay *relay, struct job *j)
{
	struct revoke *r = calloc(1, sizeof *r);

	if (!r)
		return ERR_NOMEM;
	j->state = r;
	r->err = plain_read_right(relay, j, j->params, UCAN_WRITE, &r->space, &r->right);
	if (r->err != ERR_INVALID && param_text(j->params, "ucan_cid", FRAME_MAX, &r->cid) < 0)
		r->err = ERR_INVALID;
	return OK;
}

static int notify_revoked(struct job *j, const struct id16 *space, const struct id32 *cid)
{
	struct buf b = message_buf();
	struct cbor_enc e = cbor_enc_init(&b);
	struct notice *n;
	int err;

	frame_begin_notification(&e, bytes_str("revoked"));
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "space");
	put_id(&e, space);
	cbor_put_text(&e, "reason");
	cbor_put_text(&e, "ucan_revoked");
	if (cbor_enc_end(&e) < 0) {
		buf_release(&b);
		return ERR_NOMEM;
	}
	if ((err = job_notify(j, space, message_take(&b), &n)) < 0)
		return err;
	n->revokes = true;
	n->cid = *cid;
	return OK;
}

/* One that was there already takes no room, and is told again. > 0: answered. */
static int write_revocation(struct relay *relay, struct job *j, struct depot_plain *sp, const struct id32 *cid)
{
	int err = depot_is_revoked(relay->store, sp->no, cid);

	if (err)
		return err < 0 ? err : OK;
	if ((err = quota_check_revocation(&relay->quota, relay, sp)) < 0)
		return (err = plain_refuse(j, err)) < 0 ? err : 1;
	if ((err = depot_revoke(relay->store, sp->no, cid)) < 0)
		return err;
	sp->bytes += DEPOT_REVOCATION_BYTES;
	return depot_plain_update(relay->store, sp);
}

static int revoke_run(struct relay *relay, struct job *j, struct depot *store)
{
	const struct revoke *r = j->state;
	struct depot_plain sp;
	struct id32 cid;
	int err;

	if (!r || r->err < 0)
		return r ? plain_refuse(j, r->err) : ERR_NOMEM;
	if ((err = plain_open_to_write(relay, store, j->caller, &r->space, &r->right, &sp)) < 0)
		return plain_refuse(j, err);
	if (id32_parse((const char *)r->cid.p, r->cid.len, &cid) < 0)
		return job_error(j, "bad_request", "ucan_cid must be 64 hex digits");
	if ((err = write_revocation(relay, j, &sp, &cid)))
		return err < 0 ? err : OK;
	if ((err = notify_revoked(j, &sp.id, &cid)) < 0)
		return err;
	return job_empty(j);
}

const struct method method_membership_append = { "membership.append", LANE_TURN, append_prepare, append_run, free };
const struct method method_membership_list = { "membership.list", LANE_READ, NULL, list_run, NULL };
const struct method method_membership_revoke = { "membership.revoke", LANE_TURN, revoke_prepare, revoke_run, free };
