/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/person.h"

#include "wire/field.h"

int person_card_put_body(struct buf *b, const struct person_card *c)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 4);
	field_put_uint(&e, 0, PERSON_FORMAT);
	field_put_id32(&e, 1, &c->root);
	field_put_id32(&e, 2, &c->recovery_ed);
	field_put_id32(&e, 3, &c->recovery_x);
	return cbor_enc_end(&e);
}

int person_card_put(struct buf *b, struct bytes body, const uint8_t signature[64])
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_array(&e, 2);
	cbor_put_raw(&e, body);
	cbor_put_bytes(&e, signature, 64);
	return cbor_enc_end(&e);
}

int person_card_decode(struct bytes item, struct person_card *ret_c)
{
	struct person_card c = { 0 };
	struct cbor_dec d = cbor_dec_init(item);
	struct fields f;
	int err;

	if (item.len > CARD_MAX_BLOB)
		return ERR_RANGE;
	if (cbor_get_array(&d, 2) != 2)
		cbor_dec_fail(&d, ERR_INVALID);
	c.body = cbor_get_raw(&d);
	cbor_get_fixed(&d, c.signature, sizeof c.signature);
	if ((err = cbor_dec_end(&d)) < 0)
		return err;

	d = cbor_dec_init(c.body);
	f = fields_begin(&d, 4);
	field_need(&f, 0);
	if (cbor_get_uint(&d) != PERSON_FORMAT)
		cbor_dec_fail(&d, ERR_VERSION);
	field_need(&f, 1);
	cbor_get_fixed(&d, c.root.b, sizeof c.root.b);
	field_need(&f, 2);
	cbor_get_fixed(&d, c.recovery_ed.b, sizeof c.recovery_ed.b);
	field_need(&f, 3);
	cbor_get_fixed(&d, c.recovery_x.b, sizeof c.recovery_x.b);
	fields_end(&f);
	if ((err = cbor_dec_end(&d)) < 0)
		return err;
	*ret_c = c;
	return 0;
}

void device_keys_put(struct cbor_enc *e, const struct device_keys *k)
{
	cbor_put_map(e, k->label.len ? 3 : 2);
	field_put_id32(e, 0, &k->ed);
	field_put_id32(e, 1, &k->x);
	if (k->label.len) {
		field_put_bytes(e, 2, k->label);
	}
}

void device_keys_get(struct cbor_dec *d, struct device_keys *ret_k)
{
	struct fields f = fields_begin(d, 3);

	*ret_k = (struct device_keys){ .label = { NULL, 0 } };
	field_need(&f, 0);
	cbor_get_fixed(d, ret_k->ed.b, sizeof ret_k->ed.b);
	field_need(&f, 1);
	cbor_get_fixed(d, ret_k->x.b, sizeof ret_k->x.b);
	if (field_take(&f, 2)) {
		ret_k->label = cbor_get_bytes(d, DEVICE_MAX_LABEL);
		if (ret_k->label.len == 0)
			cbor_dec_fail(d, ERR_NONCANONICAL);
	}
	fields_end(&f);
}

int cert_link_put(struct buf *b, const struct cert_link *l)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, l->has_via ? 6 : 4);
	field_put_id32(&e, 0, &l->issuer);
	field_put_id32(&e, 1, &l->ed);
	field_put_id32(&e, 2, &l->x);
	if (l->has_via) {
		field_put_id32(&e, 3, &l->via);
	}
	field_put_bytes(&e, 4, bytes_of(l->issuer_signature, sizeof l->issuer_signature));
	if (l->has_via) {
		field_put_bytes(&e, 5, bytes_of(l->via_signature, sizeof l->via_signature));
	}
	return cbor_enc_end(&e);
}

int cert_chain_put_head(struct buf *b, size_t n)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_array(&e, n);
	return cbor_enc_end(&e);
}

static void cert_link_get(struct cbor_dec *d, struct cert_link *l)
{
	struct fields f = fields_begin(d, 6);

	field_need(&f, 0);
	cbor_get_fixed(d, l->issuer.b, sizeof l->issuer.b);
	field_need(&f, 1);
	cbor_get_fixed(d, l->ed.b, sizeof l->ed.b);
	field_need(&f, 2);
	cbor_get_fixed(d, l->x.b, sizeof l->x.b);
	l->has_via = field_take(&f, 3);
	if (l->has_via)
		cbor_get_fixed(d, l->via.b, sizeof l->via.b);
	field_need(&f, 4);
	cbor_get_fixed(d, l->issuer_signature, sizeof l->issuer_signature);
	if (l->has_via) {
		field_need(&f, 5);
		cbor_get_fixed(d, l->via_signature, sizeof l->via_signature);
	}
	fields_end(&f);
}

int cert_chain_decode(struct bytes item, struct cert_link ret_links[CERT_MAX_LINKS], size_t *ret_n)
{
	struct cbor_dec d = cbor_dec_init(item);
	size_t n;
	int err;

	if (item.len > CERT_MAX_BYTES)
		return ERR_RANGE;
	n = cbor_get_array(&d, CERT_MAX_LINKS);
	if (n == 0)
		cbor_dec_fail(&d, ERR_INVALID);
	memset(ret_links, 0, n * sizeof *ret_links);
	for (size_t i = 0; i < n && cbor_dec_error(&d) == 0; i++)
		cert_link_get(&d, &ret_links[i]);
	if ((err = cbor_dec_end(&d)) < 0)
		return err;
	*ret_n = n;
	return 0;
}

int cert_put_signed(struct buf *b, const struct id32 *person, const struct id32 *ed, const struct id32 *x)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_array(&e, 3);
	cbor_put_bytes(&e, person->b, sizeof person->b);
	cbor_put_bytes(&e, ed->b, sizeof ed->b);
	cbor_put_bytes(&e, x->b, sizeof x->b);
	return cbor_enc_end(&e);
}

int grant_put_signed(struct buf *b, const struct id32 *person, const struct id32 *via)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_array(&e, 2);
	cbor_put_bytes(&e, person->b, sizeof person->b);
	cbor_put_bytes(&e, via->b, sizeof via->b);
	return cbor_enc_end(&e);
}
