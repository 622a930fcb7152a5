/* SPDX-License-Identifier: Apache-2.0 */
/* Slices: in a record's body, and as the whole plaintext of an index chunk. */
#include <stdlib.h>
#include "wire/cbor.h"
#include "wire/record.h"

#define SLICE_ITEMS 8 /* the array and its seven items */

void slice_put(struct cbor_enc *e, const struct slice *s)
{
	cbor_put_array(e, 7);
	cbor_put_uint(e, s->at);
	cbor_put_uint(e, s->len);
	cbor_put_uint(e, s->from);
	cbor_put_uint(e, s->chunk_len);
	cbor_put_bytes(e, s->chunk.b, sizeof s->chunk.b);
	cbor_put_bytes(e, s->key, sizeof s->key);
	cbor_put_bytes(e, s->hash.b, sizeof s->hash.b);
}

void slice_get(struct cbor_dec *d, struct slice *ret_s)
{
	if (cbor_get_array(d, 7) != 7)
		cbor_dec_fail(d, ERR_INVALID);
	ret_s->at = cbor_get_uint(d);
	ret_s->len = cbor_get_uint(d);
	uint64_t from = cbor_get_uint(d);
	uint64_t chunk_len = cbor_get_uint(d);
	cbor_get_fixed(d, ret_s->chunk.b, sizeof ret_s->chunk.b);
	cbor_get_fixed(d, ret_s->key, sizeof ret_s->key);
	cbor_get_fixed(d, ret_s->hash.b, sizeof ret_s->hash.b);
	if (from >= CHUNK_MAX_PLAIN || chunk_len == 0 || chunk_len > CHUNK_MAX_PLAIN)
		cbor_dec_fail(d, ERR_INVALID);
	ret_s->from = (uint32_t)(from & (CHUNK_MAX_PLAIN - 1));
	ret_s->chunk_len = (uint32_t)(chunk_len <= CHUNK_MAX_PLAIN ? chunk_len : 0);
}

int slices_check(const struct slice *s, size_t n, unsigned depth, uint64_t begin, uint64_t end)
{
	if (depth > INDEX_MAX_DEPTH || begin > end || end > INT64_MAX)
		return ERR_INVALID;
	for (size_t i = 0; i < n; i++) {
		if (s[i].len == 0 || s[i].at < begin || s[i].at > end || s[i].len > end - s[i].at)
			return ERR_INVALID;
		if (depth == 0 && (s[i].len > s[i].chunk_len || s[i].from > s[i].chunk_len - s[i].len))
			return ERR_INVALID;
		if (depth > 0 && s[i].from != 0)
			return ERR_INVALID;
		begin = s[i].at + s[i].len;
	}
	return OK;
}

int index_put(struct buf *b, const struct slice *slices, size_t n)
{
	if (n == 0 || n > INDEX_MAX_SLICES)
		return ERR_RANGE;
	struct cbor_enc e = cbor_enc_init(b);
	cbor_put_array(&e, n);
	for (size_t i = 0; i < n; i++)
		slice_put(&e, &slices[i]);
	return cbor_enc_end(&e);
}

int index_decode(struct bytes in, struct slice **ret_slices, size_t *ret_n)
{
	int err = cbor_check(in, CBOR_STRICT, INDEX_MAX_SLICES * SLICE_ITEMS + 1);
	if (err < 0)
		return err;
	struct cbor_dec d = cbor_dec_init(in);
	size_t n = cbor_get_array(&d, INDEX_MAX_SLICES);
	if (cbor_dec_error(&d) < 0)
		return cbor_dec_error(&d);
	if (n == 0)
		return ERR_INVALID;
	struct slice *slices = calloc(n, sizeof *slices);
	if (!slices)
		return ERR_NOMEM;
	for (size_t i = 0; i < n && cbor_dec_error(&d) == OK; i++)
		slice_get(&d, &slices[i]);
	err = cbor_dec_end(&d);
	for (size_t i = 1; err == OK && i < n; i++) {
		if (slices[i].at < slices[i - 1].at + slices[i - 1].len || slices[i].at < slices[i - 1].at)
			err = ERR_INVALID;
	}
	if (err < 0) {
		explicit_bzero(slices, n * sizeof *slices);
		free(slices);
		return err;
	}
	*ret_slices = slices;
	*ret_n = n;
	return OK;
}
