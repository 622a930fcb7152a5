/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The joiner's side of an invite. The relay chose the log that it answered with; the bundle, sealed under a key that only the
 * secret gives, says which space and which history the inviter meant.
 */
#include "base/cleanup.h"
#include "crypto/epoch.h"
#include "crypto/invite.h"
#include "crypto/open_small.h"
#include "crypto/secret.h"
#include "wire/field.h"

static void get_string(struct fields *f, uint64_t key, char *out, size_t max)
{
	struct bytes v;

	field_need(f, key);
	v = cbor_get_text(f->d, max);
	if (cbor_dec_error(f->d) < 0)
		return;
	if (v.len && memchr(v.p, 0, v.len))
		cbor_dec_fail(f->d, ERR_INVALID);
	else if (v.len)
		memcpy(out, v.p, v.len);
	out[v.len] = 0;
}

static int decode_bundle(struct bytes plain, struct invite_bundle *bundle)
{
	struct cbor_dec d = cbor_dec_init(plain);
	struct fields f;
	int err;

	if ((err = cbor_check(plain, CBOR_STRICT, 32)) < 0)
		return err;
	f = fields_begin(&d, 5);
	field_need(&f, 0);
	cbor_get_fixed(&d, bundle->genesis.b, sizeof bundle->genesis.b);
	get_string(&f, 1, bundle->relay, sizeof bundle->relay - 1);
	get_string(&f, 2, bundle->name, sizeof bundle->name - 1);
	field_need(&f, 3);
	cbor_get_fixed(&d, bundle->log_head.b, sizeof bundle->log_head.b);
	field_need(&f, 4);
	cbor_get_fixed(&d, bundle->inviter.b, sizeof bundle->inviter.b);
	fields_end(&f);
	return cbor_dec_end(&d);
}

static int open_bundle(const struct log_invite *invite, const struct invite_keys *k, struct invite_bundle *ret_bundle)
{
	CLEANUP(secret_freep) struct secret *plain = NULL;
	int err;

	if ((err = open_small(INVITE_BUNDLE_LABEL, secret_key(k->bundle), bytes_of(k->id.b, sizeof k->id.b),
		     invite->bundle, &plain)) < 0)
		return err == ERR_COMMITMENT ? ERR_WRONG_KEY : err;
	return decode_bundle(secret_bytes(plain), ret_bundle);
}

/* The space's newest epoch wrapped to the invite: in the invite itself, or in an epoch entry made while it was open. */
static int open_keys(
	const struct log *log, const struct log_invite *invite, const struct invite_keys *k, struct epoch_ring *ring)
{
	CLEANUP(secret_freep) struct secret *key = NULL;
	struct wrap w = { .recipient = k->x_public, .enc = invite->wrap_enc };
	int err;

	if (invite->wrap_epoch != log_epoch_number(log))
		return epoch_ring_open(ring, log, &k->x_public, k->x);
	memcpy(w.ct, invite->wrap_ct, sizeof w.ct);
	if ((err = epoch_unwrap(INVITE_WRAP_LABEL, log_space(log), invite->wrap_epoch, &invite->prev, &w, k->x, &key)) <
		0)
		return err;
	return epoch_ring_accept(ring, log, invite->wrap_epoch, key);
}

int invite_open(const struct log *log, const struct invite_keys *k, struct invite_bundle *ret_bundle,
	struct epoch_ring **ret_ring)
{
	CLEANUP(epoch_ring_freep) struct epoch_ring *ring = NULL;
	const struct log_invite *invite = log_find_invite(log, &k->id);
	const struct log_device *by;
	struct invite_bundle bundle = { .relay = "" };
	int err;

	if (!invite)
		return ERR_NOT_FOUND;
	if (!invite->open)
		return ERR_STALE;
	if (!id32_equal(&invite->ed, &k->ed_public) || !id32_equal(&invite->x, &k->x_public))
		return ERR_CONTEXT;
	if ((err = open_bundle(invite, k, &bundle)) < 0)
		return err;
	by = log_find_device(log, &invite->by);
	if (!id32_equal(&bundle.genesis, log_genesis(log)) || !id32_equal(&bundle.log_head, &invite->prev) || !by ||
		!id32_equal(&bundle.inviter, &by->person))
		return ERR_CONTEXT;
	if ((err = epoch_ring_new(&ring)) < 0)
		return err;
	if (!invite->ask && (err = open_keys(log, invite, k, ring)) < 0)
		return err;
	*ret_bundle = bundle;
	*ret_ring = STEAL(&ring);
	return 0;
}
