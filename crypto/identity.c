/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload of the key file: { 0: format 1, 1: Ed25519 key 64, 2: X25519 key 32, 3: store key 32, 4: card, 5: chain,
 * 6: personal genesis hash 32, 7: epoch ring of the personal space, 8: label text }.
 */
#include "crypto/identity.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/cert.h"
#include "crypto/epoch.h"
#include "crypto/hpke.h"
#include "crypto/secret.h"
#include "crypto/sign.h"
#include "wire/field.h"

struct identity {
	struct secret *ed, *x, *store_key;
	struct id32 person, device, device_x;
	struct id32 genesis;
	struct buf card, chain;
	struct epoch_ring *ring;
	uint8_t label[IDENTITY_MAX_LABEL];
	size_t label_len;
};

void identity_free(struct identity *id)
{
	if (!id)
		return;
	secret_free(id->ed);
	secret_free(id->x);
	secret_free(id->store_key);
	buf_release(&id->card);
	buf_release(&id->chain);
	epoch_ring_free(id->ring);
	free(id);
}

void identity_freep(struct identity **id)
{
	identity_free(*id);
}

/* Card, chain and keys must belong together: a key file put together from two is refused here. */
static int check_parts(struct identity *id)
{
	FREE_AFTER struct cert_chain *chain = malloc(sizeof *chain);
	const struct cert_link *last;
	struct person_card card;
	int err;

	if (!chain)
		return ERR_NOMEM;
	if ((err = sign_public(id->ed, &id->device)) < 0 || (err = hpke_public(id->x, &id->device_x)) < 0)
		return err;
	if ((err = card_verify(buf_bytes(&id->card), true, &card)) < 0)
		return err;
	id->person = card.root;
	if ((err = cert_verify(buf_bytes(&id->chain), &id->person, true, chain)) < 0)
		return err;
	last = &chain->links[chain->n - 1];
	return id32_equal(&last->ed, &id->device) && id32_equal(&last->x, &id->device_x) ? 0 : ERR_INVALID;
}

int identity_new(const struct identity_parts *parts, struct identity **ret_id)
{
	CLEANUP(identity_freep) struct identity *id = calloc(1, sizeof *id);
	int err;

	if (!id)
		return ERR_NOMEM;
	id->card = (struct buf)BUF_INIT(CARD_MAX_BLOB);
	id->chain = (struct buf)BUF_INIT(CERT_MAX_BYTES);
	if (parts->label.len > IDENTITY_MAX_LABEL)
		return ERR_RANGE;
	if ((err = secret_from(secret_bytes(parts->ed), &id->ed)) < 0 ||
		(err = secret_from(secret_bytes(parts->x), &id->x)) < 0)
		return err;
	err = parts->store_key ? secret_from(secret_bytes(parts->store_key), &id->store_key)
			       : secret_random(KEY_SIZE, &id->store_key);
	if (err < 0)
		return err;
	if ((err = buf_put(&id->card, parts->card.p, parts->card.len)) < 0 ||
		(err = buf_put(&id->chain, parts->chain.p, parts->chain.len)) < 0 ||
		(err = epoch_ring_clone(parts->personal, &id->ring)) < 0)
		return err;
	id->genesis = parts->personal_genesis;
	if (parts->label.len)
		memcpy(id->label, parts->label.p, parts->label.len);
	id->label_len = parts->label.len;
	if (secret_len(id->store_key) != KEY_SIZE)
		return ERR_INVALID;
	if ((err = check_parts(id)) < 0)
		return err;
	*ret_id = STEAL(&id);
	return 0;
}

int identity_encode(const struct identity *id, struct buf *b)
{
	CLEANUP(buf_release) struct buf ring = BUF_INIT_SECRET(256);
	struct cbor_enc e = cbor_enc_init(b);
	int err;

	if ((err = epoch_ring_encode(id->ring, &ring)) < 0)
		return err;
	cbor_put_map(&e, 9);
	field_put_uint(&e, 0, IDENTITY_FORMAT);
	field_put_bytes(&e, 1, secret_bytes(id->ed));
	field_put_bytes(&e, 2, secret_bytes(id->x));
	field_put_bytes(&e, 3, secret_bytes(id->store_key));
	field_put_raw(&e, 4, buf_bytes(&id->card));
	field_put_raw(&e, 5, buf_bytes(&id->chain));
	field_put_id32(&e, 6, &id->genesis);
	field_put_raw(&e, 7, buf_bytes(&ring));
	cbor_put_uint(&e, 8);
	cbor_put_text_n(&e, (const char *)id->label, id->label_len);
	return cbor_enc_end(&e);
}

static int get_secret(struct fields *f, uint64_t key, size_t len, struct secret **ret_s)
{
	struct bytes v;

	field_need(f, key);
	v = cbor_get_bytes(f->d, len);
	if (cbor_dec_error(f->d) == 0 && v.len != len)
		cbor_dec_fail(f->d, ERR_INVALID);
	return cbor_dec_error(f->d) < 0 ? cbor_dec_error(f->d) : secret_from(v, ret_s);
}

int identity_decode(struct bytes payload, struct identity **ret_id)
{
	CLEANUP(secret_freep) struct secret *ed = NULL;
	CLEANUP(secret_freep) struct secret *x = NULL;
	CLEANUP(secret_freep) struct secret *store_key = NULL;
	CLEANUP(epoch_ring_freep) struct epoch_ring *ring = NULL;
	struct identity_parts parts = { .ed = NULL };
	struct cbor_dec d = cbor_dec_init(payload);
	struct bytes ring_item;
	struct fields f;
	int err;

	if ((err = cbor_check(payload, CBOR_STRICT, 1024)) < 0)
		return err;
	f = fields_begin(&d, 9);
	field_need(&f, 0);
	if (cbor_get_uint(&d) != IDENTITY_FORMAT)
		return ERR_VERSION;
	if ((err = get_secret(&f, 1, SIGN_KEY_SIZE, &ed)) < 0 || (err = get_secret(&f, 2, KEY_SIZE, &x)) < 0 ||
		(err = get_secret(&f, 3, KEY_SIZE, &store_key)) < 0)
		return err;
	field_need(&f, 4);
	parts.card = cbor_get_raw(&d);
	field_need(&f, 5);
	parts.chain = cbor_get_raw(&d);
	field_need(&f, 6);
	cbor_get_fixed(&d, parts.personal_genesis.b, sizeof parts.personal_genesis.b);
	field_need(&f, 7);
	ring_item = cbor_get_raw(&d);
	field_need(&f, 8);
	parts.label = cbor_get_text(&d, IDENTITY_MAX_LABEL);
	fields_end(&f);
	if ((err = cbor_dec_end(&d)) < 0 || (err = epoch_ring_decode(ring_item, &ring)) < 0)
		return err;
	parts.ed = ed;
	parts.x = x;
	parts.store_key = store_key;
	parts.personal = ring;
	return identity_new(&parts, ret_id);
}

const struct id32 *identity_person(const struct identity *id)
{
	return &id->person;
}

const struct id32 *identity_device(const struct identity *id)
{
	return &id->device;
}

const struct id32 *identity_device_x(const struct identity *id)
{
	return &id->device_x;
}

const struct secret *identity_sign_secret(const struct identity *id)
{
	return id->ed;
}

const struct secret *identity_x_secret(const struct identity *id)
{
	return id->x;
}

const struct secret *identity_store_key(const struct identity *id)
{
	return id->store_key;
}

struct bytes identity_card(const struct identity *id)
{
	return buf_bytes(&id->card);
}

struct bytes identity_chain(const struct identity *id)
{
	return buf_bytes(&id->chain);
}

struct bytes identity_label(const struct identity *id)
{
	return bytes_of(id->label, id->label_len);
}

const struct id32 *identity_personal_genesis(const struct identity *id)
{
	return &id->genesis;
}

const struct epoch_ring *identity_personal_ring(const struct identity *id)
{
	return id->ring;
}
