/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space.create {id, root_public_key} and the turn of a space's key: epoch.begin {space, ucan, epoch,
 * set_min_key_generation} moves the generation on by one if nobody did so first and no turn is under way; members wrap
 * the keys of records and files anew (rpc_plain_dek.c); epoch.complete {space, ucan, epoch} ends the turn.
 */
#include <stdlib.h>
#include "server/plain.h"
#include "server/rpc.h"

/* Ids of Coffer spaces are of UUID version 8, people's personal spaces of version 5: nobody may take one of those. */
static bool id_is_free_for_all(const struct id16 *id)
{
	return id->b[6] >> 4 != 8 && id->b[6] >> 4 != 5;
}

static int answer_created(struct job *j, const struct id16 *id)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "id");
	put_id(&e, id);
	cbor_put_text(&e, "key_generation");
	cbor_put_uint(&e, 1);
	return job_send(j, &b, &e);
}

static int create_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct depot_plain sp = { .generation = 1, .min_generation = 1, .root_key_len = JWS_P256_SIZE };
	struct bytes id, key;
	struct jws_key point;
	int err;

	if (param_text(j->params, "id", FRAME_MAX, &id) < 0 ||
		param_bytes(j->params, "root_public_key", FRAME_MAX, &key) < 0)
		return job_error(j, "invalid_params", "invalid params");
	if (id16_parse((const char *)id.p, id.len, &sp.id) < 0 || !id_is_free_for_all(&sp.id))
		return job_error(j, "bad_request", "invalid space id");
	if (key.len != JWS_P256_SIZE || jws_key_point(key.p, &point) < 0)
		return job_error(j, "bad_request", "invalid root public key");
	if (relay_config(relay)->strangers != STRANGERS_OPEN && !j->caller->plain.trusted)
		return job_error(j, "forbidden", "only the owners of this relay make spaces on it");
	if (job_take(relay, j, LIMIT_GENESIS, 1) < 0)
		return job_error(j, "rate_limited", "too many new spaces");
	memcpy(sp.root_key, key.p, key.len);
	err = depot_plain_find(store, &sp.id, &(struct depot_plain){ 0 });
	if (err != ERR_NOT_FOUND)
		return err < 0 ? err : job_error(j, "conflict", "space already exists");
	sp.owner = j->caller->plain.mailbox;
	if ((err = depot_plain_create(store, &sp)) < 0)
		return err;
	return answer_created(j, &sp.id);
}

struct turn {
	int err;
	struct id16 space;
	struct plain_right right;
	uint64_t epoch;
};

static int turn_prepare(struct relay *relay, struct job *j)
{
	struct turn *t = calloc(1, sizeof *t);

	if (!t)
		return ERR_NOMEM;
	j->state = t;
	t->err = plain_read_right(relay, j, j->params, UCAN_WRITE, &t->space, &t->right);
	if (t->err == OK && param_uint(j->params, "epoch", &t->epoch) < 0)
		t->err = ERR_INVALID;
	return OK;
}

/* The protocol's client takes any other word than this for success. */
static int answer_taken(struct job *j, const struct depot_plain *sp)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, sp->rewrap ? 3 : 2);
	cbor_put_text(&e, "error");
	cbor_put_text(&e, "epoch_conflict");
	cbor_put_text(&e, "current_epoch");
	cbor_put_uint(&e, sp->generation);
	if (sp->rewrap) {
		cbor_put_text(&e, "rewrap_epoch");
		cbor_put_uint(&e, sp->rewrap);
	}
	return job_send(j, &b, &e);
}

static int open_turn(const struct relay *relay, struct job *j, struct depot *store, struct depot_plain *ret_sp)
{
	const struct turn *t = j->state;

	if (!t)
		return ERR_NOMEM;
	return t->err < 0 ? t->err : plain_open_to_write(relay, store, j->caller, &t->space, &t->right, ret_sp);
}

static int begin_run(struct relay *relay, struct job *j, struct depot *store)
{
	const struct turn *t = j->state;
	struct depot_plain sp;
	struct buf b;
	struct cbor_enc e;
	bool raise;
	int err = open_turn(relay, j, store, &sp);

	if (err == OK)
		err = param_bool_opt(j->params, "set_min_key_generation", &raise);
	if (err < 0)
		return plain_refuse(j, err);
	if (sp.rewrap || t->epoch != sp.generation + 1 || t->epoch > UINT32_MAX)
		return answer_taken(j, &sp);
	sp.generation = sp.rewrap = t->epoch;
	if (raise)
		sp.min_generation = t->epoch;
	if ((err = depot_plain_update(store, &sp)) < 0)
		return err;
	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "epoch");
	cbor_put_uint(&e, t->epoch);
	return job_send(j, &b, &e);
}

static int complete_run(struct relay *relay, struct job *j, struct depot *store)
{
	const struct turn *t = j->state;
	struct depot_plain sp;
	int err = open_turn(relay, j, store, &sp);

	if (err < 0)
		return plain_refuse(j, err);
	if (!sp.rewrap || sp.rewrap != t->epoch)
		return job_error(j, "conflict", "epoch mismatch");
	sp.rewrap = 0;
	if ((err = depot_plain_update(store, &sp)) < 0)
		return err;
	return job_empty(j);
}

const struct method method_space_create = { "space.create", LANE_TURN, NULL, create_run, NULL };
const struct method method_epoch_begin = { "epoch.begin", LANE_TURN, turn_prepare, begin_run, free };
const struct method method_epoch_complete = { "epoch.complete", LANE_TURN, turn_prepare, complete_run, free };
