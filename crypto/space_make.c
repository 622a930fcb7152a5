/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes whole spaces (genesis, first member, first epoch) and the identities of new devices: the first one, one that a
 * person recovers with the words, one that joins by pairing. Contract in crypto/entry_make.h.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/entry_sign.h"
#include "crypto/hpke.h"
#include "crypto/person.h"
#include "crypto/secret.h"
#include "crypto/sign.h"

#define SPACE_ENTRIES 3

void new_space_release(struct new_space *s)
{
	for (size_t i = 0; i < SPACE_ENTRIES; i++)
		buf_release(&s->blobs[i]);
	log_free(s->log);
	epoch_ring_free(s->ring);
	*s = (struct new_space){ .log = NULL };
}

static int new_space_init(struct new_space *s)
{
	int err;

	*s = (struct new_space){ .log = NULL };
	for (size_t i = 0; i < SPACE_ENTRIES; i++)
		s->blobs[i] = (struct buf)BUF_INIT(ENTRY_MAX_BLOB);
	if ((err = log_new(NULL, &s->log)) < 0)
		return err;
	return epoch_ring_new(&s->ring);
}

struct device_secrets {
	struct secret *ed, *x;
	struct id32 ed_public, x_public;
};

static void device_secrets_release(struct device_secrets *s)
{
	secret_free(s->ed);
	secret_free(s->x);
}

static int device_secrets_new(struct device_secrets *s)
{
	int err;

	if ((err = sign_keypair_new(&s->ed, &s->ed_public)) < 0)
		return err;
	return hpke_keypair_new(&s->x, &s->x_public);
}

/* Signs CERT_LABEL and [person, ed, x] by the issuer, or by the key of a pairing invite. */
static int certify(
	const struct id32 *person, const struct device_secrets *s, const struct secret *key, uint8_t ret_signature[64])
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(256);
	int err;

	if ((err = cert_put_signed(&b, person, &s->ed_public, &s->x_public)) < 0)
		return err;
	return sign_detached(CERT_LABEL, buf_bytes(&b), key, ret_signature);
}

/* A chain of one link, signed by the root. */
static int make_root_chain(const struct person *p, const struct device_secrets *s, struct buf *chain)
{
	struct cert_link link = { .issuer = *person_root(p), .ed = s->ed_public, .x = s->x_public };
	int err;

	if ((err = certify(person_root(p), s, person_root_secret(p), link.issuer_signature)) < 0 ||
		(err = cert_chain_put_head(chain, 1)) < 0)
		return err;
	return cert_link_put(chain, &link);
}

static int apply_last(struct new_space *s, size_t i)
{
	return log_apply(s->log, buf_bytes(&s->blobs[i]), LOG_VERIFY);
}

/* Entry 1 by the genesis key, entry 2 by the device. The ring holds epoch 1's key already. */
static int found(struct new_space *s, const struct identity *id, const struct secret *genesis_key,
	const struct secret *epoch_key, uint64_t now)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf epoch = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf label = BUF_INIT(DEVICE_MAX_LABEL);
	FREE_AFTER struct id32 *recipients = NULL;
	struct entry_member p = { .card = identity_card(id), .role = ROLE_ADMIN, .chain = identity_chain(id) };
	size_t n;
	int err;

	if ((err = entry_device_keys(s->log, id, s->ring, &label, &p.device)) < 0 ||
		(err = entry_put_member(&payload, &p)) < 0 ||
		(err = entry_sign(s->log, ENTRY_MEMBER, buf_bytes(&payload), genesis_key, now, &s->blobs[1])) < 0 ||
		(err = apply_last(s, 1)) < 0)
		return err;
	if ((err = log_recipients(s->log, NULL, NULL, &recipients, &n)) < 0 ||
		(err = epoch_put_payload(
			 &epoch, log_space(s->log), 1, epoch_key, NULL, 1, log_head(s->log), recipients, n)) < 0 ||
		(err = entry_sign(
			 s->log, ENTRY_EPOCH, buf_bytes(&epoch), identity_sign_secret(id), now, &s->blobs[2])) < 0)
		return err;
	return apply_last(s, 2);
}

int space_make_personal(
	const struct person *p, struct bytes label, uint64_t now, struct identity **ret_id, struct new_space *ret_space)
{
	CLEANUP(new_space_release) struct new_space s;
	CLEANUP(device_secrets_release) struct device_secrets keys = { .ed = NULL };
	CLEANUP(identity_freep) struct identity *id = NULL;
	CLEANUP(secret_freep) struct secret *epoch_key = NULL;
	CLEANUP(buf_release) struct buf chain = BUF_INIT(CERT_MAX_BYTES);
	struct identity_parts parts = {
		.card = person_card(p), .personal_genesis = *person_genesis_hash(p), .label = label
	};
	int err;

	if ((err = new_space_init(&s)) < 0 || (err = secret_random(KEY_SIZE, &epoch_key)) < 0 ||
		(err = epoch_ring_add(s.ring, 1, epoch_key)) < 0 || (err = device_secrets_new(&keys)) < 0 ||
		(err = make_root_chain(p, &keys, &chain)) < 0)
		return err;
	parts.ed = keys.ed;
	parts.x = keys.x;
	parts.chain = buf_bytes(&chain);
	parts.personal = s.ring;
	if ((err = identity_new(&parts, &id)) < 0)
		return err;
	if ((err = buf_put(&s.blobs[0], person_genesis(p).p, person_genesis(p).len)) < 0 ||
		(err = apply_last(&s, 0)) < 0 || (err = found(&s, id, person_root_secret(p), epoch_key, now)) < 0)
		return err;
	*ret_id = STEAL(&id);
	*ret_space = s;
	s = (struct new_space){ .log = NULL };
	return 0;
}

int space_make_shared(const struct identity *id, uint64_t now, struct new_space *ret_space)
{
	CLEANUP(new_space_release) struct new_space s;
	CLEANUP(buf_release) struct buf payload = BUF_INIT(256);
	CLEANUP(secret_freep) struct secret *genesis_key = NULL;
	CLEANUP(secret_freep) struct secret *epoch_key = NULL;
	CLEANUP(secret_freep) struct secret *nonce = NULL;
	struct entry_genesis g = { .kind = SPACE_SHARED };
	struct id32 unused;
	int err;

	if ((err = new_space_init(&s)) < 0 || (err = secret_random(KEY_SIZE, &epoch_key)) < 0 ||
		(err = epoch_ring_add(s.ring, 1, epoch_key)) < 0 ||
		(err = sign_keypair_new(&genesis_key, &unused)) < 0 ||
		(err = secret_random(sizeof g.nonce.b, &nonce)) < 0)
		return err;
	memcpy(g.nonce.b, secret_bytes(nonce).p, sizeof g.nonce.b);
	if ((err = entry_put_genesis(&payload, &g)) < 0 ||
		(err = entry_sign(s.log, ENTRY_GENESIS, buf_bytes(&payload), genesis_key, now, &s.blobs[0])) < 0 ||
		(err = apply_last(&s, 0)) < 0 || (err = found(&s, id, genesis_key, epoch_key, now)) < 0)
		return err;
	*ret_space = s;
	s = (struct new_space){ .log = NULL };
	return 0;
}

int identity_recover(const struct person *p, const struct log *log, struct bytes label, uint64_t now,
	struct identity **ret_id, struct epoch_ring **ret_ring, struct buf *ret_blob)
{
	CLEANUP(device_secrets_release) struct device_secrets keys = { .ed = NULL };
	CLEANUP(identity_freep) struct identity *id = NULL;
	CLEANUP(epoch_ring_freep) struct epoch_ring *ring = NULL;
	CLEANUP(buf_release) struct buf chain = BUF_INIT(CERT_MAX_BYTES);
	CLEANUP(buf_release) struct buf payload = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf sealed = BUF_INIT(DEVICE_MAX_LABEL);
	struct identity_parts parts = {
		.card = person_card(p), .personal_genesis = *person_genesis_hash(p), .label = label
	};
	struct entry_device entry = { .person = *person_root(p) };
	int err;

	if (!id32_equal(log_genesis(log), person_genesis_hash(p)))
		return ERR_CONTEXT;
	if ((err = epoch_ring_new(&ring)) < 0 ||
		(err = epoch_ring_open(ring, log, person_recovery_x(p), person_recovery_x_secret(p))) < 0 ||
		(err = device_secrets_new(&keys)) < 0 || (err = make_root_chain(p, &keys, &chain)) < 0)
		return err;
	parts.ed = keys.ed;
	parts.x = keys.x;
	parts.chain = buf_bytes(&chain);
	parts.personal = ring;
	entry.chain = buf_bytes(&chain);
	if ((err = identity_new(&parts, &id)) < 0 ||
		(err = entry_device_keys(log, id, ring, &sealed, &entry.device)) < 0 ||
		(err = entry_put_device(&payload, &entry)) < 0 ||
		(err = entry_sign(log, ENTRY_DEVICE, buf_bytes(&payload), person_root_secret(p), now, ret_blob)) < 0)
		return err;
	*ret_id = STEAL(&id);
	*ret_ring = STEAL(&ring);
	return 0;
}

/* The inviter's chain and one link more: granted by the inviter's device to the invite, signed by the invite's key. */
static int make_via_chain(const struct log *log, const struct log_invite *invite, const struct invite_keys *keys,
	const struct device_secrets *s, struct buf *chain)
{
	FREE_AFTER struct cert_link *links = calloc(CERT_MAX_LINKS, sizeof *links);
	const struct id32 *person = &log_person_at(log, 0)->root;
	struct cert_link last = {
		.issuer = invite->by, .ed = s->ed_public, .x = s->x_public, .has_via = true, .via = keys->ed_public
	};
	size_t n = 0;
	int err;

	if (!links)
		return ERR_NOMEM;
	if (!id32_equal(&invite->by, person) &&
		(err = cert_chain_decode(log_device_chain(log, &invite->by), links, &n)) < 0)
		return err;
	memcpy(last.issuer_signature, invite->grant, sizeof last.issuer_signature);
	if ((err = certify(person, s, keys->ed, last.via_signature)) < 0)
		return err;
	if (n >= CERT_MAX_LINKS)
		return ERR_RANGE;
	if ((err = cert_chain_put_head(chain, n + 1)) < 0)
		return err;
	for (size_t i = 0; i < n; i++)
		if ((err = cert_link_put(chain, &links[i])) < 0)
			return err;
	return cert_link_put(chain, &last);
}

int identity_pair(const struct log *log, const struct invite_keys *keys, const struct epoch_ring *ring,
	struct bytes label, uint64_t now, struct identity **ret_id, struct buf *ret_blob)
{
	CLEANUP(device_secrets_release) struct device_secrets secrets = { .ed = NULL };
	CLEANUP(identity_freep) struct identity *id = NULL;
	CLEANUP(buf_release) struct buf chain = BUF_INIT(CERT_MAX_BYTES);
	CLEANUP(buf_release) struct buf payload = BUF_INIT(ENTRY_MAX_BLOB);
	const struct log_invite *invite = log_find_invite(log, &keys->id);
	struct identity_parts parts = {
		.card = log_card(log), .personal_genesis = *log_genesis(log), .personal = ring, .label = label
	};
	int err;

	if (log_kind(log) != SPACE_PERSONAL || !invite || invite->role != ROLE_DEVICE)
		return ERR_CONTEXT;
	if ((err = device_secrets_new(&secrets)) < 0 || (err = make_via_chain(log, invite, keys, &secrets, &chain)) < 0)
		return err;
	parts.ed = secrets.ed;
	parts.x = secrets.x;
	parts.chain = buf_bytes(&chain);
	if ((err = identity_new(&parts, &id)) < 0 || (err = entry_put_join_by(log, id, keys, ring, &payload)) < 0 ||
		(err = entry_sign(log, ENTRY_JOIN, buf_bytes(&payload), identity_sign_secret(id), now, ret_blob)) < 0)
		return err;
	*ret_id = STEAL(&id);
	return 0;
}
