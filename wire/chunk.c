/* SPDX-License-Identifier: Apache-2.0 */
/* The envelope of a chunk: a clear header that names its place and, for an index chunk, what it names; and sealed bytes. */
#include "wire/chunk.h"

#include "wire/cbor.h"

#define BLOB_MAX_ITEMS 16

static int check_named(struct bytes named)
{
	const size_t size = sizeof(struct id16);
	if (named.len % size != 0)
		return ERR_INVALID;
	if (named.len / size > CHUNK_MAX_NAMED)
		return ERR_RANGE;
	for (size_t at = size; at < named.len; at += size) {
		if (memcmp(named.p + at - size, named.p + at, size) >= 0)
			return ERR_NONCANONICAL;
	}
	return OK;
}

int chunk_put_header(struct buf *b, const struct id16 *space, const struct id16 *id, struct bytes named)
{
	int err = check_named(named);
	if (err < 0)
		return err;
	struct cbor_enc e = cbor_enc_init(b);
	cbor_put_map(&e, 4);
	cbor_put_uint(&e, 0);
	cbor_put_uint(&e, CHUNK_FORMAT);
	cbor_put_uint(&e, 1);
	cbor_put_bytes(&e, space->b, sizeof space->b);
	cbor_put_uint(&e, 2);
	cbor_put_bytes(&e, id->b, sizeof id->b);
	cbor_put_uint(&e, 3);
	cbor_put_bytes(&e, named.p, named.len);
	return cbor_enc_end(&e);
}

int chunk_put(struct buf *b, struct bytes header, struct bytes sealed)
{
	size_t before = b->len;
	struct cbor_enc e = cbor_enc_init(b);
	cbor_put_array(&e, 2);
	cbor_put_raw(&e, header);
	cbor_put_bytes(&e, sealed.p, sealed.len);
	int err = cbor_enc_end(&e);
	if (err == OK && b->len - before > CHUNK_MAX_BLOB)
		err = ERR_RANGE;
	return err;
}

static int decode_header(struct bytes in, struct chunk *c)
{
	struct cbor_dec d = cbor_dec_init(in);
	if (cbor_get_map(&d, 4) != 4 || cbor_get_uint(&d) != 0)
		cbor_dec_fail(&d, ERR_INVALID);
	uint64_t format = cbor_get_uint(&d);
	if (cbor_dec_error(&d) == OK && format != CHUNK_FORMAT)
		return ERR_VERSION;
	if (cbor_get_uint(&d) != 1)
		cbor_dec_fail(&d, ERR_INVALID);
	cbor_get_fixed(&d, c->space.b, sizeof c->space.b);
	if (cbor_get_uint(&d) != 2)
		cbor_dec_fail(&d, ERR_INVALID);
	cbor_get_fixed(&d, c->id.b, sizeof c->id.b);
	if (cbor_get_uint(&d) != 3)
		cbor_dec_fail(&d, ERR_INVALID);
	c->named = cbor_get_bytes(&d, CHUNK_MAX_NAMED * sizeof(struct id16));
	int err = cbor_dec_end(&d);
	return err < 0 ? err : check_named(c->named);
}

int chunk_decode(struct bytes blob, struct chunk *ret_c)
{
	if (blob.len > CHUNK_MAX_BLOB)
		return ERR_RANGE;
	int err = cbor_check(blob, CBOR_STRICT, BLOB_MAX_ITEMS);
	if (err < 0)
		return err;
	struct chunk c = { 0 };
	struct cbor_dec d = cbor_dec_init(blob);
	if (cbor_get_array(&d, 2) != 2)
		cbor_dec_fail(&d, ERR_INVALID);
	c.header = cbor_get_raw(&d);
	c.sealed = cbor_get_bytes(&d, CHUNK_MAX_BLOB);
	err = cbor_dec_end(&d);
	if (err == OK)
		err = decode_header(c.header, &c);
	if (err == OK)
		*ret_c = c;
	return err;
}
