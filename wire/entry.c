/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/entry.h"

#include "wire/field.h"

/* A wrap is four items (with its array); the rest of an entry needs a few hundred at most (32 links of 13). */
#define ENTRY_MAX_ITEMS (WRAPS_MAX * 4 + 1024)

int entry_put_body(struct buf *b, const struct entry *entry)
{
	struct cbor_enc e = cbor_enc_init(b);
	bool genesis = entry->type == ENTRY_GENESIS;

	cbor_put_map(&e, genesis ? 6 : 8);
	field_put_uint(&e, 0, ENTRY_FORMAT);
	if (!genesis)
		field_put_id16(&e, 1, &entry->space);
	field_put_uint(&e, 2, entry->seq);
	if (!genesis)
		field_put_id32(&e, 3, &entry->prev);
	field_put_uint(&e, 4, (uint64_t)entry->type);
	field_put_id32(&e, 5, &entry->signer);
	field_put_uint(&e, 6, entry->time);
	field_put_raw(&e, 7, entry->payload);
	return cbor_enc_end(&e);
}

int entry_put(struct buf *b, struct bytes body, const uint8_t signature[64])
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_array(&e, 2);
	cbor_put_raw(&e, body);
	cbor_put_bytes(&e, signature, 64);
	return cbor_enc_end(&e);
}

static int decode_body(struct bytes body, struct entry *entry)
{
	struct cbor_dec d = cbor_dec_init(body);
	struct fields f = fields_begin(&d, 8);
	bool has_space, has_prev;
	uint64_t format, type;
	int err;

	field_need(&f, 0);
	format = cbor_get_uint(&d);
	if (cbor_dec_error(&d) == 0 && format != ENTRY_FORMAT)
		return ERR_VERSION;
	has_space = field_take(&f, 1);
	if (has_space)
		cbor_get_fixed(&d, entry->space.b, sizeof entry->space.b);
	field_need(&f, 2);
	entry->seq = cbor_get_uint(&d);
	has_prev = field_take(&f, 3);
	if (has_prev)
		cbor_get_fixed(&d, entry->prev.b, sizeof entry->prev.b);
	field_need(&f, 4);
	type = cbor_get_uint(&d);
	field_need(&f, 5);
	cbor_get_fixed(&d, entry->signer.b, sizeof entry->signer.b);
	field_need(&f, 6);
	entry->time = cbor_get_uint(&d);
	field_need(&f, 7);
	if (cbor_peek(&d) != CBOR_MAP)
		cbor_dec_fail(&d, ERR_INVALID);
	entry->payload = cbor_get_raw(&d);
	fields_end(&f);
	if ((err = cbor_dec_end(&d)) < 0)
		return err;
	if (type > ENTRY_RETENTION)
		return ERR_VERSION;
	entry->type = (enum entry_type)type;
	if ((type != ENTRY_GENESIS) != has_space || has_space != has_prev ||
		(type == ENTRY_GENESIS) != (entry->seq == 0))
		return ERR_INVALID;
	return 0;
}

int entry_decode(struct bytes blob, struct entry *ret_e)
{
	struct entry entry = { .type = ENTRY_GENESIS };
	struct cbor_dec d;
	int err;

	if (blob.len > ENTRY_MAX_BLOB)
		return ERR_RANGE;
	if ((err = cbor_check(blob, CBOR_STRICT, ENTRY_MAX_ITEMS)) < 0)
		return err;
	d = cbor_dec_init(blob);
	if (cbor_get_array(&d, 2) != 2)
		cbor_dec_fail(&d, ERR_INVALID);
	entry.body = cbor_get_raw(&d);
	cbor_get_fixed(&d, entry.signature, sizeof entry.signature);
	if ((err = cbor_dec_end(&d)) < 0)
		return err;
	if ((err = decode_body(entry.body, &entry)) < 0)
		return err;
	*ret_e = entry;
	return 0;
}

int join_put_signed(struct buf *b, const struct id16 *space, const struct id16 *invite, const struct id32 *person,
	const struct id32 *ed, const struct id32 *x)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_array(&e, 5);
	cbor_put_bytes(&e, space->b, sizeof space->b);
	cbor_put_bytes(&e, invite->b, sizeof invite->b);
	cbor_put_bytes(&e, person->b, sizeof person->b);
	cbor_put_bytes(&e, ed->b, sizeof ed->b);
	cbor_put_bytes(&e, x->b, sizeof x->b);
	return cbor_enc_end(&e);
}

const char *role_name(enum role role)
{
	static const char *const names[] = { "none", "reader", "writer", "admin", "device" };

	return (size_t)role < sizeof names / sizeof *names ? names[role] : "none";
}
