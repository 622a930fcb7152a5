/* SPDX-License-Identifier: Apache-2.0 */
/* Builders of single log entries. Whole spaces and new devices are made in space_make.c. */
#include "crypto/entry_make.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/entry_sign.h"
#include "crypto/secret.h"
#include "crypto/sign.h"

int entry_sign(const struct log *log, enum entry_type type, struct bytes payload, const struct secret *key,
	uint64_t now, struct buf *ret_blob)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(ENTRY_MAX_BLOB);
	struct entry e = { .type = type, .seq = log_count(log), .time = now, .payload = payload };
	uint8_t signature[64];
	int err;

	if (type != ENTRY_GENESIS) {
		e.space = *log_space(log);
		e.prev = *log_head(log);
	}
	if ((err = sign_public(key, &e.signer)) < 0 || (err = entry_put_body(&body, &e)) < 0 ||
		(err = sign_detached(ENTRY_LABEL, buf_bytes(&body), key, signature)) < 0)
		return err;
	return entry_put(ret_blob, buf_bytes(&body), signature);
}

static int sign_as_device(
	const struct entry_maker *m, enum entry_type type, const struct buf *payload, struct buf *ret_blob)
{
	return entry_sign(m->log, type, buf_bytes(payload), identity_sign_secret(m->id), m->now, ret_blob);
}

int entry_device_keys(const struct log *log, const struct identity *id, const struct epoch_ring *ring,
	struct buf *label, struct device_keys *ret_keys)
{
	const struct secret *key =
		ring ? epoch_ring_get(ring, log_epoch_number(log) ? log_epoch_number(log) : 1) : NULL;
	int err;

	*ret_keys = (struct device_keys){ .ed = *identity_device(id), .x = *identity_device_x(id) };
	if (!key || identity_label(id).len == 0)
		return 0;
	if ((err = epoch_seal_label(key, log_space(log), identity_device(id), identity_label(id), label)) < 0)
		return err;
	ret_keys->label = buf_bytes(label);
	return 0;
}

int entry_make_device(const struct entry_maker *m, const struct epoch_ring *ring, struct buf *ret_blob)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf label = BUF_INIT(DEVICE_MAX_LABEL);
	struct entry_device p = { .person = *identity_person(m->id), .chain = identity_chain(m->id) };
	int err;

	if ((err = entry_device_keys(m->log, m->id, ring, &label, &p.device)) < 0 ||
		(err = entry_put_device(&payload, &p)) < 0)
		return err;
	return sign_as_device(m, ENTRY_DEVICE, &payload, ret_blob);
}

int entry_put_join_by(const struct log *log, const struct identity *id, const struct invite_keys *keys,
	const struct epoch_ring *ring, struct buf *payload)
{
	CLEANUP(buf_release) struct buf label = BUF_INIT(DEVICE_MAX_LABEL);
	CLEANUP(buf_release) struct buf message = BUF_INIT(512);
	struct entry_join p = { .invite = keys->id, .chain = identity_chain(id) };
	int err;

	if (log_kind(log) == SPACE_SHARED)
		p.card = identity_card(id);
	if ((err = entry_device_keys(log, id, ring, &label, &p.device)) < 0 ||
		(err = join_put_signed(
			 &message, log_space(log), &keys->id, identity_person(id), &p.device.ed, &p.device.x)) < 0 ||
		(err = sign_detached(JOIN_LABEL, buf_bytes(&message), keys->ed, p.invite_signature)) < 0)
		return err;
	return entry_put_join(payload, &p);
}

int entry_make_join(const struct entry_maker *m, const struct invite_keys *keys, const struct epoch_ring *ring,
	struct buf *ret_blob)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(ENTRY_MAX_BLOB);
	int err;

	if ((err = entry_put_join_by(m->log, m->id, keys, ring, &payload)) < 0)
		return err;
	return sign_as_device(m, ENTRY_JOIN, &payload, ret_blob);
}

/* The payload of the next epoch, wrapped to those who are left after a removal (or to all: without NULL). */
static int put_next_epoch(const struct entry_maker *m, const struct epoch_ring *ring, uint64_t minimum,
	const struct id32 *without, const struct id32 *device, struct secret **ret_key, struct buf *b)
{
	CLEANUP(secret_freep) struct secret *key = NULL;
	FREE_AFTER struct id32 *recipients = NULL;
	uint64_t current = log_epoch_number(m->log);
	const struct secret *prev = epoch_ring_get(ring, current);
	size_t n;
	int err;

	if (current && !prev)
		return ERR_STALE;
	if ((err = log_recipients(m->log, without, device, &recipients, &n)) < 0 ||
		(err = secret_random(KEY_SIZE, &key)) < 0 ||
		(err = epoch_put_payload(
			 b, log_space(m->log), current + 1, key, prev, minimum, log_head(m->log), recipients, n)) < 0)
		return err;
	*ret_key = STEAL(&key);
	return 0;
}

int entry_make_epoch(const struct entry_maker *m, const struct epoch_ring *ring, uint64_t minimum,
	struct secret **ret_key, struct buf *ret_blob)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(secret_freep) struct secret *key = NULL;
	int err;

	if ((err = put_next_epoch(m, ring, minimum, NULL, NULL, &key, &payload)) < 0 ||
		(err = sign_as_device(m, ENTRY_EPOCH, &payload, ret_blob)) < 0)
		return err;
	*ret_key = STEAL(&key);
	return 0;
}

static int copy_text(char *out, size_t size, const char *text)
{
	size_t n = strlen(text);

	if (n >= size)
		return ERR_RANGE;
	memcpy(out, text, n + 1);
	return 0;
}

static int put_bundle(
	const struct entry_maker *m, const struct invite_params *params, const struct invite_keys *keys, struct buf *b)
{
	struct invite_bundle bundle = {
		.genesis = *log_genesis(m->log), .log_head = *log_head(m->log), .inviter = *identity_person(m->id)
	};
	int err;

	if ((err = copy_text(bundle.relay, sizeof bundle.relay, params->relay)) < 0 ||
		(err = copy_text(bundle.name, sizeof bundle.name, params->name)) < 0)
		return err;
	return invite_seal_bundle(keys, &bundle, b);
}

static int sign_grant(const struct entry_maker *m, const struct invite_keys *keys, uint8_t ret_signature[64])
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(256);
	int err;

	if ((err = grant_put_signed(&b, identity_person(m->id), &keys->ed_public)) < 0)
		return err;
	return sign_detached(GRANT_LABEL, buf_bytes(&b), identity_sign_secret(m->id), ret_signature);
}

int entry_make_invite(const struct entry_maker *m, const struct epoch_ring *ring, const struct invite_params *params,
	const struct invite_keys *keys, struct buf *ret_blob)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf bundle = BUF_INIT(INVITE_MAX_BUNDLE);
	struct entry_invite p = { .id = keys->id,
		.ed = keys->ed_public,
		.x = keys->x_public,
		.role = params->role,
		.uses = params->uses,
		.expires = params->expires,
		.ask = params->ask };
	const struct secret *key = epoch_ring_get(ring, log_epoch_number(m->log));
	struct wrap w;
	int err;

	if ((err = put_bundle(m, params, keys, &bundle)) < 0)
		return err;
	p.bundle = buf_bytes(&bundle);
	if (!params->ask) {
		if (!key)
			return ERR_STALE;
		if ((err = epoch_wrap(INVITE_WRAP_LABEL, log_space(m->log), log_epoch_number(m->log), key,
			     log_head(m->log), &keys->x_public, &w)) < 0)
			return err;
		p.has_wrap = true;
		p.wrap_epoch = log_epoch_number(m->log);
		p.wrap_enc = w.enc;
		memcpy(p.wrap_ct, w.ct, sizeof p.wrap_ct);
	}
	if (params->role == ROLE_DEVICE) {
		p.has_grant = true;
		if ((err = sign_grant(m, keys, p.grant)) < 0)
			return err;
	}
	if ((err = entry_put_invite(&payload, &p)) < 0)
		return err;
	return sign_as_device(m, ENTRY_INVITE, &payload, ret_blob);
}

int entry_make_invite_close(const struct entry_maker *m, const struct id16 *invite, struct buf *ret_blob)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(256);
	struct entry_invite_close p = { .id = *invite };
	int err;

	if ((err = entry_put_invite_close(&payload, &p)) < 0)
		return err;
	return sign_as_device(m, ENTRY_INVITE_CLOSE, &payload, ret_blob);
}

int entry_make_role(
	const struct entry_maker *m, const struct id32 *person, enum role role, struct bytes cut, struct buf *ret_blob)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(2048);
	struct entry_role p = { .person = *person, .role = role, .cut = cut };
	int err;

	if ((err = entry_put_role(&payload, &p)) < 0)
		return err;
	return sign_as_device(m, ENTRY_ROLE, &payload, ret_blob);
}

int entry_make_remove(const struct entry_maker *m, const struct epoch_ring *ring, const struct id32 *person,
	const struct id32 *device, struct bytes cut, struct secret **ret_key, struct buf *ret_blob)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf epoch = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(secret_freep) struct secret *key = NULL;
	struct entry_remove one = { .person = *person, .cut = cut };
	struct entry_device_remove two = { .person = *person, .cut = cut };
	int err;

	if ((err = put_next_epoch(m, ring, log_epoch_number(m->log) + 1, person, device, &key, &epoch)) < 0)
		return err;
	one.epoch = two.epoch = buf_bytes(&epoch);
	if (device)
		two.device = *device;
	err = device ? entry_put_device_remove(&payload, &two) : entry_put_remove(&payload, &one);
	if (err < 0)
		return err;
	if ((err = sign_as_device(m, device ? ENTRY_DEVICE_REMOVE : ENTRY_REMOVE, &payload, ret_blob)) < 0)
		return err;
	*ret_key = STEAL(&key);
	return 0;
}

int entry_make_leave(const struct entry_maker *m, const struct id32 *device, struct bytes cut, struct buf *ret_blob)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(1024);
	struct entry_remove one = { .person = *identity_person(m->id) };
	struct entry_device_remove two = { .person = one.person, .cut = cut };
	int err;

	if (device)
		two.device = *device;
	err = device ? entry_put_device_remove(&payload, &two) : entry_put_remove(&payload, &one);
	if (err < 0)
		return err;
	return sign_as_device(m, device ? ENTRY_DEVICE_REMOVE : ENTRY_REMOVE, &payload, ret_blob);
}

int entry_make_retention(const struct entry_maker *m, uint64_t seconds, struct buf *ret_blob)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(64);
	struct entry_retention p = { .seconds = seconds };
	int err;

	if ((err = entry_put_retention(&payload, &p)) < 0)
		return err;
	return sign_as_device(m, ENTRY_RETENTION, &payload, ret_blob);
}
