/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload of each type of entry, one put and one get per type (contract in wire/entry.h). Every get reads the keys in
 * their one order and refuses what it does not know, so that for each meaning there is one encoding.
 */
#include "wire/entry.h"
#include "wire/field.h"

static void get_role(struct fields *f, uint64_t key, enum role max, enum role *ret_role)
{
	uint64_t v;

	field_need(f, key);
	v = cbor_get_uint(f->d);
	if (v < ROLE_READER || v > (uint64_t)max)
		cbor_dec_fail(f->d, ERR_INVALID);
	else
		*ret_role = (enum role)v;
}

static void get_id32(struct fields *f, uint64_t key, struct id32 *ret_id)
{
	field_need(f, key);
	cbor_get_fixed(f->d, ret_id->b, sizeof ret_id->b);
}

static void get_item(struct fields *f, uint64_t key, enum cbor_type type, struct bytes *ret_item)
{
	field_need(f, key);
	if (cbor_peek(f->d) != type)
		cbor_dec_fail(f->d, ERR_INVALID);
	*ret_item = cbor_get_raw(f->d);
}

static int finish(struct fields *f)
{
	fields_end(f);
	return cbor_dec_end(f->d);
}

int entry_put_genesis(struct buf *b, const struct entry_genesis *p)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 2);
	field_put_uint(&e, 0, (uint64_t)p->kind);
	if (p->kind == SPACE_PERSONAL)
		field_put_raw(&e, 1, p->card);
	else
		field_put_id16(&e, 1, &p->nonce);
	return cbor_enc_end(&e);
}

int entry_get_genesis(struct bytes payload, struct entry_genesis *ret_p)
{
	struct cbor_dec d = cbor_dec_init(payload);
	struct fields f = fields_begin(&d, 2);
	struct entry_genesis p = { .kind = SPACE_PERSONAL };
	uint64_t kind;
	int err;

	field_need(&f, 0);
	kind = cbor_get_uint(&d);
	if (kind > SPACE_SHARED)
		cbor_dec_fail(&d, ERR_INVALID);
	p.kind = (enum space_kind)kind;
	if (kind == SPACE_PERSONAL) {
		get_item(&f, 1, CBOR_ARRAY, &p.card);
	} else {
		field_need(&f, 1);
		cbor_get_fixed(&d, p.nonce.b, sizeof p.nonce.b);
	}
	if ((err = finish(&f)) < 0)
		return err;
	*ret_p = p;
	return 0;
}

int entry_put_member(struct buf *b, const struct entry_member *p)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 4);
	field_put_raw(&e, 0, p->card);
	field_put_uint(&e, 1, (uint64_t)p->role);
	cbor_put_uint(&e, 2);
	device_keys_put(&e, &p->device);
	field_put_raw(&e, 3, p->chain);
	return cbor_enc_end(&e);
}

int entry_get_member(struct bytes payload, struct entry_member *ret_p)
{
	struct cbor_dec d = cbor_dec_init(payload);
	struct fields f = fields_begin(&d, 4);
	struct entry_member p = { .role = ROLE_NONE };
	int err;

	get_item(&f, 0, CBOR_ARRAY, &p.card);
	get_role(&f, 1, ROLE_ADMIN, &p.role);
	field_need(&f, 2);
	device_keys_get(&d, &p.device);
	get_item(&f, 3, CBOR_ARRAY, &p.chain);
	if ((err = finish(&f)) < 0)
		return err;
	*ret_p = p;
	return 0;
}

int entry_put_device(struct buf *b, const struct entry_device *p)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 3);
	field_put_id32(&e, 0, &p->person);
	cbor_put_uint(&e, 1);
	device_keys_put(&e, &p->device);
	field_put_raw(&e, 2, p->chain);
	return cbor_enc_end(&e);
}

int entry_get_device(struct bytes payload, struct entry_device *ret_p)
{
	struct cbor_dec d = cbor_dec_init(payload);
	struct fields f = fields_begin(&d, 3);
	struct entry_device p = { .chain = { NULL, 0 } };
	int err;

	get_id32(&f, 0, &p.person);
	field_need(&f, 1);
	device_keys_get(&d, &p.device);
	get_item(&f, 2, CBOR_ARRAY, &p.chain);
	if ((err = finish(&f)) < 0)
		return err;
	*ret_p = p;
	return 0;
}

int entry_put_join(struct buf *b, const struct entry_join *p)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, p->card.len ? 5 : 4);
	field_put_id16(&e, 0, &p->invite);
	if (p->card.len)
		field_put_raw(&e, 1, p->card);
	cbor_put_uint(&e, 2);
	device_keys_put(&e, &p->device);
	field_put_raw(&e, 3, p->chain);
	field_put_bytes(&e, 4, bytes_of(p->invite_signature, sizeof p->invite_signature));
	return cbor_enc_end(&e);
}

int entry_get_join(struct bytes payload, struct entry_join *ret_p)
{
	struct cbor_dec d = cbor_dec_init(payload);
	struct fields f = fields_begin(&d, 5);
	struct entry_join p = { .card = { NULL, 0 } };
	int err;

	field_need(&f, 0);
	cbor_get_fixed(&d, p.invite.b, sizeof p.invite.b);
	if (f.left == 4)
		get_item(&f, 1, CBOR_ARRAY, &p.card);
	field_need(&f, 2);
	device_keys_get(&d, &p.device);
	get_item(&f, 3, CBOR_ARRAY, &p.chain);
	field_need(&f, 4);
	cbor_get_fixed(&d, p.invite_signature, sizeof p.invite_signature);
	if ((err = finish(&f)) < 0)
		return err;
	*ret_p = p;
	return 0;
}

void wrap_put(struct cbor_enc *e, const struct wrap *w)
{
	cbor_put_array(e, 3);
	cbor_put_bytes(e, w->recipient.b, sizeof w->recipient.b);
	cbor_put_bytes(e, w->enc.b, sizeof w->enc.b);
	cbor_put_bytes(e, w->ct, sizeof w->ct);
}

void wrap_get(struct cbor_dec *d, struct wrap *ret_w)
{
	if (cbor_get_array(d, 3) != 3)
		cbor_dec_fail(d, ERR_INVALID);
	cbor_get_fixed(d, ret_w->recipient.b, sizeof ret_w->recipient.b);
	cbor_get_fixed(d, ret_w->enc.b, sizeof ret_w->enc.b);
	cbor_get_fixed(d, ret_w->ct, sizeof ret_w->ct);
}

int wraps_find(struct bytes wraps, const struct id32 *recipient, struct wrap *ret_w)
{
	struct cbor_dec d = cbor_dec_init(wraps);
	size_t n = cbor_get_array(&d, WRAPS_MAX);

	for (size_t i = 0; i < n && cbor_dec_error(&d) == 0; i++) {
		struct wrap w;

		wrap_get(&d, &w);
		if (cbor_dec_error(&d) == 0 && id32_equal(&w.recipient, recipient)) {
			*ret_w = w;
			return 0;
		}
	}
	return cbor_dec_error(&d) < 0 ? cbor_dec_error(&d) : ERR_NOT_FOUND;
}

/* Every wrap well formed, no encapsulated key zero, strictly ascending recipients. */
static int check_wraps(struct bytes wraps, size_t *ret_n)
{
	struct cbor_dec d = cbor_dec_init(wraps);
	size_t n = cbor_get_array(&d, WRAPS_MAX);
	struct id32 last = { { 0 } };

	for (size_t i = 0; i < n && cbor_dec_error(&d) == 0; i++) {
		struct wrap w;

		wrap_get(&d, &w);
		if (cbor_dec_error(&d) < 0)
			break;
		if (id32_is_zero(&w.enc) || (i > 0 && id32_compare(&last, &w.recipient) >= 0))
			cbor_dec_fail(&d, ERR_INVALID);
		last = w.recipient;
	}
	*ret_n = n;
	return cbor_dec_end(&d);
}

int entry_put_epoch(struct buf *b, const struct entry_epoch *p)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, p->back.len ? 5 : 4);
	field_put_uint(&e, 0, p->number);
	field_put_id32(&e, 1, &p->commitment);
	field_put_raw(&e, 2, p->wraps);
	if (p->back.len)
		field_put_bytes(&e, 3, p->back);
	field_put_uint(&e, 4, p->minimum);
	return cbor_enc_end(&e);
}

int entry_get_epoch(struct bytes payload, struct entry_epoch *ret_p)
{
	struct cbor_dec d = cbor_dec_init(payload);
	struct fields f = fields_begin(&d, 5);
	struct entry_epoch p = { .number = 0 };
	bool has_back;
	int err;

	field_need(&f, 0);
	p.number = cbor_get_uint(&d);
	get_id32(&f, 1, &p.commitment);
	get_item(&f, 2, CBOR_ARRAY, &p.wraps);
	has_back = field_take(&f, 3);
	if (has_back)
		p.back = cbor_get_bytes(&d, 512);
	field_need(&f, 4);
	p.minimum = cbor_get_uint(&d);
	if ((err = finish(&f)) < 0)
		return err;
	if ((err = check_wraps(p.wraps, &p.n_wraps)) < 0)
		return err;
	if (p.number == 0 || (p.number > 1) != has_back || (has_back && p.back.len == 0) || p.minimum == 0 ||
		p.minimum > p.number || id32_is_zero(&p.commitment))
		return ERR_INVALID;
	*ret_p = p;
	return 0;
}

int entry_put_invite(struct buf *b, const struct entry_invite *p)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 8u + (p->has_wrap ? 1u : 0) + (p->has_grant ? 1u : 0));
	field_put_id16(&e, 0, &p->id);
	field_put_id32(&e, 1, &p->ed);
	field_put_id32(&e, 2, &p->x);
	field_put_uint(&e, 3, (uint64_t)p->role);
	field_put_uint(&e, 4, p->uses);
	field_put_uint(&e, 5, p->expires);
	if (p->has_wrap) {
		cbor_put_uint(&e, 6);
		cbor_put_array(&e, 3);
		cbor_put_uint(&e, p->wrap_epoch);
		cbor_put_bytes(&e, p->wrap_enc.b, sizeof p->wrap_enc.b);
		cbor_put_bytes(&e, p->wrap_ct, sizeof p->wrap_ct);
	}
	field_put_bytes(&e, 7, p->bundle);
	cbor_put_uint(&e, 8);
	cbor_put_bool(&e, p->ask);
	if (p->has_grant)
		field_put_bytes(&e, 9, bytes_of(p->grant, sizeof p->grant));
	return cbor_enc_end(&e);
}

static void get_invite_wrap(struct cbor_dec *d, struct entry_invite *p)
{
	if (cbor_get_array(d, 3) != 3)
		cbor_dec_fail(d, ERR_INVALID);
	p->wrap_epoch = cbor_get_uint(d);
	cbor_get_fixed(d, p->wrap_enc.b, sizeof p->wrap_enc.b);
	cbor_get_fixed(d, p->wrap_ct, sizeof p->wrap_ct);
	if (id32_is_zero(&p->wrap_enc))
		cbor_dec_fail(d, ERR_INVALID);
}

int entry_get_invite(struct bytes payload, struct entry_invite *ret_p)
{
	struct cbor_dec d = cbor_dec_init(payload);
	struct fields f = fields_begin(&d, 10);
	struct entry_invite p = { .role = ROLE_NONE };
	int err;

	field_need(&f, 0);
	cbor_get_fixed(&d, p.id.b, sizeof p.id.b);
	get_id32(&f, 1, &p.ed);
	get_id32(&f, 2, &p.x);
	get_role(&f, 3, ROLE_DEVICE, &p.role);
	field_need(&f, 4);
	p.uses = cbor_get_uint(&d);
	field_need(&f, 5);
	p.expires = cbor_get_uint(&d);
	p.has_wrap = field_take(&f, 6);
	if (p.has_wrap)
		get_invite_wrap(&d, &p);
	field_need(&f, 7);
	p.bundle = cbor_get_bytes(&d, INVITE_MAX_BUNDLE);
	field_need(&f, 8);
	p.ask = cbor_get_bool(&d);
	p.has_grant = field_take(&f, 9);
	if (p.has_grant)
		cbor_get_fixed(&d, p.grant, sizeof p.grant);
	if ((err = finish(&f)) < 0)
		return err;
	if (p.uses < 1 || p.uses > INVITE_MAX_USES || p.bundle.len == 0)
		return ERR_INVALID;
	*ret_p = p;
	return 0;
}

int entry_put_invite_close(struct buf *b, const struct entry_invite_close *p)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 1);
	field_put_id16(&e, 0, &p->id);
	return cbor_enc_end(&e);
}

int entry_get_invite_close(struct bytes payload, struct entry_invite_close *ret_p)
{
	struct cbor_dec d = cbor_dec_init(payload);
	struct fields f = fields_begin(&d, 1);
	struct entry_invite_close p = { { { 0 } } };
	int err;

	field_need(&f, 0);
	cbor_get_fixed(&d, p.id.b, sizeof p.id.b);
	if ((err = finish(&f)) < 0)
		return err;
	*ret_p = p;
	return 0;
}

/* The pair that taking rights away ends with: the next epoch under `key`, the cut under the key after. */
static void put_cut(struct cbor_enc *e, uint64_t key, struct bytes epoch, struct bytes cut)
{
	if (epoch.len)
		field_put_raw(e, key, epoch);
	if (cut.len)
		field_put_bytes(e, key + 1, cut);
}

static void get_cut(struct fields *f, uint64_t key, struct bytes *ret_epoch, struct bytes *ret_cut)
{
	if (field_take(f, key)) {
		if (cbor_peek(f->d) != CBOR_MAP)
			cbor_dec_fail(f->d, ERR_INVALID);
		*ret_epoch = cbor_get_raw(f->d);
	}
	if (field_take(f, key + 1)) {
		*ret_cut = cbor_get_bytes(f->d, CUT_MAX);
		if (ret_cut->len == 0)
			cbor_dec_fail(f->d, ERR_NONCANONICAL);
	}
}

static size_t present(struct bytes item)
{
	return item.len ? 1 : 0;
}

int entry_put_role(struct buf *b, const struct entry_role *p)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 2 + present(p->epoch) + present(p->cut));
	field_put_id32(&e, 0, &p->person);
	field_put_uint(&e, 1, (uint64_t)p->role);
	put_cut(&e, 2, p->epoch, p->cut);
	return cbor_enc_end(&e);
}

int entry_get_role(struct bytes payload, struct entry_role *ret_p)
{
	struct cbor_dec d = cbor_dec_init(payload);
	struct fields f = fields_begin(&d, 4);
	struct entry_role p = { .role = ROLE_NONE };
	int err;

	get_id32(&f, 0, &p.person);
	get_role(&f, 1, ROLE_ADMIN, &p.role);
	get_cut(&f, 2, &p.epoch, &p.cut);
	if ((err = finish(&f)) < 0)
		return err;
	*ret_p = p;
	return 0;
}

int entry_put_remove(struct buf *b, const struct entry_remove *p)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 1 + present(p->epoch) + present(p->cut));
	field_put_id32(&e, 0, &p->person);
	put_cut(&e, 1, p->epoch, p->cut);
	return cbor_enc_end(&e);
}

int entry_get_remove(struct bytes payload, struct entry_remove *ret_p)
{
	struct cbor_dec d = cbor_dec_init(payload);
	struct fields f = fields_begin(&d, 3);
	struct entry_remove p = { .epoch = { NULL, 0 } };
	int err;

	get_id32(&f, 0, &p.person);
	get_cut(&f, 1, &p.epoch, &p.cut);
	if ((err = finish(&f)) < 0)
		return err;
	*ret_p = p;
	return 0;
}

int entry_put_device_remove(struct buf *b, const struct entry_device_remove *p)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 2 + present(p->epoch) + present(p->cut));
	field_put_id32(&e, 0, &p->person);
	field_put_id32(&e, 1, &p->device);
	put_cut(&e, 2, p->epoch, p->cut);
	return cbor_enc_end(&e);
}

int entry_get_device_remove(struct bytes payload, struct entry_device_remove *ret_p)
{
	struct cbor_dec d = cbor_dec_init(payload);
	struct fields f = fields_begin(&d, 4);
	struct entry_device_remove p = { .epoch = { NULL, 0 } };
	int err;

	get_id32(&f, 0, &p.person);
	get_id32(&f, 1, &p.device);
	get_cut(&f, 2, &p.epoch, &p.cut);
	if ((err = finish(&f)) < 0)
		return err;
	*ret_p = p;
	return 0;
}

int entry_put_retention(struct buf *b, const struct entry_retention *p)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 1);
	field_put_uint(&e, 0, p->seconds);
	return cbor_enc_end(&e);
}

int entry_get_retention(struct bytes payload, struct entry_retention *ret_p)
{
	struct cbor_dec d = cbor_dec_init(payload);
	struct fields f = fields_begin(&d, 1);
	struct entry_retention p = { 0 };
	int err;

	field_need(&f, 0);
	p.seconds = cbor_get_uint(&d);
	if ((err = finish(&f)) < 0)
		return err;
	*ret_p = p;
	return 0;
}
