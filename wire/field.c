/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/field.h"

void field_put_uint(struct cbor_enc *e, uint64_t key, uint64_t v)
{
	cbor_put_uint(e, key);
	cbor_put_uint(e, v);
}

void field_put_bytes(struct cbor_enc *e, uint64_t key, struct bytes v)
{
	cbor_put_uint(e, key);
	cbor_put_bytes(e, v.p, v.len);
}

void field_put_id16(struct cbor_enc *e, uint64_t key, const struct id16 *v)
{
	field_put_bytes(e, key, bytes_of(v->b, sizeof v->b));
}

void field_put_id32(struct cbor_enc *e, uint64_t key, const struct id32 *v)
{
	field_put_bytes(e, key, bytes_of(v->b, sizeof v->b));
}

void field_put_raw(struct cbor_enc *e, uint64_t key, struct bytes item)
{
	cbor_put_uint(e, key);
	cbor_put_raw(e, item);
}

struct fields fields_begin(struct cbor_dec *d, size_t max)
{
	return (struct fields){ .d = d, .left = cbor_get_map(d, max) };
}

bool field_take(struct fields *f, uint64_t key)
{
	struct cbor_dec ahead = *f->d;

	if (f->left == 0 || cbor_get_uint(&ahead) != key || cbor_dec_error(&ahead) < 0)
		return false;
	*f->d = ahead;
	f->left--;
	return true;
}

void field_need(struct fields *f, uint64_t key)
{
	if (!field_take(f, key))
		cbor_dec_fail(f->d, ERR_INVALID);
}

void fields_end(struct fields *f)
{
	if (f->left)
		cbor_dec_fail(f->d, ERR_INVALID);
}
