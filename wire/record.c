/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope of a record: header, sealed bytes, signature. Everything is refused that does not encode again to the same
 * bytes, because the hash of the blob is what names a version.
 */
#include "wire/record.h"

#include "wire/cbor.h"

#define HEADER_KEYS 11
#define BLOB_MAX_ITEMS 32

enum header_key {
	KEY_FORMAT,
	KEY_SPACE,
	KEY_ID,
	KEY_VERSION,
	KEY_PREV,
	KEY_EPOCH,
	KEY_LOG_HEAD,
	KEY_AUTHOR,
	KEY_CHUNKS,
	KEY_SEALED_HASH,
	KEY_FLAGS
};

/* Concatenated ids of `size` bytes each: whole, at most max, strictly ascending. */
static int check_list(struct bytes list, size_t size, size_t max)
{
	if (list.len % size != 0)
		return ERR_INVALID;
	if (list.len / size > max)
		return ERR_RANGE;
	for (size_t at = size; at < list.len; at += size) {
		if (memcmp(list.p + at - size, list.p + at, size) >= 0)
			return ERR_NONCANONICAL;
	}
	return OK;
}

static int check_header(const struct record_header *h)
{
	int err = check_list(h->prev, sizeof(struct id32), RECORD_MAX_PREV);
	if (err < 0)
		return err;
	err = check_list(h->chunks, sizeof(struct id16), RECORD_MAX_CHUNKS);
	if (err < 0)
		return err;
	if (h->version == 0 || (h->flags & ~(uint64_t)RECORD_PASSING) != 0)
		return ERR_INVALID;
	return OK;
}

int record_put_header(struct buf *b, const struct record_header *h, int with_hash)
{
	int err = check_header(h);
	if (err < 0)
		return err;
	struct cbor_enc e = cbor_enc_init(b);
	cbor_put_map(&e, with_hash ? HEADER_KEYS : HEADER_KEYS - 1);
	cbor_put_uint(&e, KEY_FORMAT);
	cbor_put_uint(&e, RECORD_FORMAT);
	cbor_put_uint(&e, KEY_SPACE);
	cbor_put_bytes(&e, h->space.b, sizeof h->space.b);
	cbor_put_uint(&e, KEY_ID);
	cbor_put_bytes(&e, h->id.b, sizeof h->id.b);
	cbor_put_uint(&e, KEY_VERSION);
	cbor_put_uint(&e, h->version);
	cbor_put_uint(&e, KEY_PREV);
	cbor_put_bytes(&e, h->prev.p, h->prev.len);
	cbor_put_uint(&e, KEY_EPOCH);
	cbor_put_uint(&e, h->epoch);
	cbor_put_uint(&e, KEY_LOG_HEAD);
	cbor_put_bytes(&e, h->log_head.b, sizeof h->log_head.b);
	cbor_put_uint(&e, KEY_AUTHOR);
	cbor_put_bytes(&e, h->author.b, sizeof h->author.b);
	cbor_put_uint(&e, KEY_CHUNKS);
	cbor_put_bytes(&e, h->chunks.p, h->chunks.len);
	if (with_hash) {
		cbor_put_uint(&e, KEY_SEALED_HASH);
		cbor_put_bytes(&e, h->sealed_hash.b, sizeof h->sealed_hash.b);
	}
	cbor_put_uint(&e, KEY_FLAGS);
	cbor_put_uint(&e, h->flags);
	return cbor_enc_end(&e);
}

int record_put(struct buf *b, struct bytes header, struct bytes sealed, const uint8_t signature[64])
{
	size_t before = b->len;
	struct cbor_enc e = cbor_enc_init(b);
	cbor_put_array(&e, 3);
	cbor_put_raw(&e, header);
	cbor_put_bytes(&e, sealed.p, sealed.len);
	cbor_put_bytes(&e, signature, 64);
	int err = cbor_enc_end(&e);
	if (err == OK && b->len - before > RECORD_MAX_BLOB)
		err = ERR_RANGE;
	return err;
}

static void expect_key(struct cbor_dec *d, enum header_key key)
{
	if (cbor_get_uint(d) != key)
		cbor_dec_fail(d, ERR_INVALID);
}

static int decode_header(struct bytes in, struct record_header *h)
{
	struct cbor_dec d = cbor_dec_init(in);
	if (cbor_get_map(&d, HEADER_KEYS) != HEADER_KEYS)
		cbor_dec_fail(&d, ERR_INVALID);
	expect_key(&d, KEY_FORMAT);
	uint64_t format = cbor_get_uint(&d);
	if (cbor_dec_error(&d) == OK && format != RECORD_FORMAT)
		return ERR_VERSION;
	expect_key(&d, KEY_SPACE);
	cbor_get_fixed(&d, h->space.b, sizeof h->space.b);
	expect_key(&d, KEY_ID);
	cbor_get_fixed(&d, h->id.b, sizeof h->id.b);
	expect_key(&d, KEY_VERSION);
	h->version = cbor_get_uint(&d);
	expect_key(&d, KEY_PREV);
	h->prev = cbor_get_bytes(&d, RECORD_MAX_PREV * sizeof(struct id32));
	expect_key(&d, KEY_EPOCH);
	h->epoch = cbor_get_uint(&d);
	expect_key(&d, KEY_LOG_HEAD);
	cbor_get_fixed(&d, h->log_head.b, sizeof h->log_head.b);
	expect_key(&d, KEY_AUTHOR);
	cbor_get_fixed(&d, h->author.b, sizeof h->author.b);
	expect_key(&d, KEY_CHUNKS);
	h->chunks = cbor_get_bytes(&d, RECORD_MAX_CHUNKS * sizeof(struct id16));
	expect_key(&d, KEY_SEALED_HASH);
	cbor_get_fixed(&d, h->sealed_hash.b, sizeof h->sealed_hash.b);
	expect_key(&d, KEY_FLAGS);
	h->flags = cbor_get_uint(&d);
	int err = cbor_dec_end(&d);
	return err < 0 ? err : check_header(h);
}

int record_decode(struct bytes blob, struct record *ret_r)
{
	if (blob.len > RECORD_MAX_BLOB)
		return ERR_RANGE;
	int err = cbor_check(blob, CBOR_STRICT, BLOB_MAX_ITEMS);
	if (err < 0)
		return err;
	struct record r = { 0 };
	struct cbor_dec d = cbor_dec_init(blob);
	if (cbor_get_array(&d, 3) != 3)
		cbor_dec_fail(&d, ERR_INVALID);
	r.header = cbor_get_raw(&d);
	r.sealed = cbor_get_bytes(&d, RECORD_MAX_BLOB);
	cbor_get_fixed(&d, r.signature, sizeof r.signature);
	err = cbor_dec_end(&d);
	if (err == OK)
		err = decode_header(r.header, &r.h);
	if (err == OK)
		*ret_r = r;
	return err;
}
