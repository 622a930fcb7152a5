/* SPDX-License-Identifier: Apache-2.0 */
/* Heads and lines as bytes. A head is a map of seven or eight keys and a signature; lines are a plain array. */
#include "wire/head.h"

#include <stdlib.h>
#include "wire/cbor.h"

#define HEAD_FORMAT 1
#define HEAD_MAX_ITEMS 32
#define LINE_ITEMS 4 /* the array and its three items */

int head_put_body(struct buf *b, const struct head *h)
{
	struct cbor_enc e = cbor_enc_init(b);
	cbor_put_map(&e, h->has_live ? 8 : 7);
	cbor_put_uint(&e, 0);
	cbor_put_uint(&e, HEAD_FORMAT);
	cbor_put_uint(&e, 1);
	cbor_put_bytes(&e, h->space.b, sizeof h->space.b);
	cbor_put_uint(&e, 2);
	cbor_put_bytes(&e, h->device.b, sizeof h->device.b);
	cbor_put_uint(&e, 3);
	cbor_put_uint(&e, h->cursor);
	cbor_put_uint(&e, 4);
	cbor_put_bytes(&e, h->chain.b, sizeof h->chain.b);
	cbor_put_uint(&e, 5);
	cbor_put_bytes(&e, h->log_head.b, sizeof h->log_head.b);
	if (h->has_live) {
		cbor_put_uint(&e, 6);
		cbor_put_bytes(&e, h->live.b, sizeof h->live.b);
	}
	cbor_put_uint(&e, 7);
	cbor_put_uint(&e, h->time);
	return cbor_enc_end(&e);
}

int head_put(struct buf *b, struct bytes body, const uint8_t signature[64])
{
	struct cbor_enc e = cbor_enc_init(b);
	cbor_put_array(&e, 2);
	cbor_put_raw(&e, body);
	cbor_put_bytes(&e, signature, 64);
	return cbor_enc_end(&e);
}

static void expect_key(struct cbor_dec *d, uint64_t key)
{
	if (cbor_get_uint(d) != key)
		cbor_dec_fail(d, ERR_INVALID);
}

static int decode_body(struct bytes body, struct head *h)
{
	struct cbor_dec d = cbor_dec_init(body);
	size_t n = cbor_get_map(&d, 8);
	if (n < 7)
		cbor_dec_fail(&d, ERR_INVALID);
	expect_key(&d, 0);
	uint64_t format = cbor_get_uint(&d);
	if (cbor_dec_error(&d) == OK && format != HEAD_FORMAT)
		return ERR_VERSION;
	expect_key(&d, 1);
	cbor_get_fixed(&d, h->space.b, sizeof h->space.b);
	expect_key(&d, 2);
	cbor_get_fixed(&d, h->device.b, sizeof h->device.b);
	expect_key(&d, 3);
	h->cursor = cbor_get_uint(&d);
	expect_key(&d, 4);
	cbor_get_fixed(&d, h->chain.b, sizeof h->chain.b);
	expect_key(&d, 5);
	cbor_get_fixed(&d, h->log_head.b, sizeof h->log_head.b);
	h->has_live = n == 8;
	if (h->has_live) {
		expect_key(&d, 6);
		cbor_get_fixed(&d, h->live.b, sizeof h->live.b);
	}
	expect_key(&d, 7);
	h->time = cbor_get_uint(&d);
	return cbor_dec_end(&d);
}

int head_decode(struct bytes blob, struct head *ret_h, struct bytes *ret_body, uint8_t ret_signature[64])
{
	if (blob.len > HEAD_MAX_BLOB)
		return ERR_RANGE;
	int err = cbor_check(blob, CBOR_STRICT, HEAD_MAX_ITEMS);
	if (err < 0)
		return err;
	uint8_t signature[64] = { 0 };
	struct head h = { 0 };
	struct cbor_dec d = cbor_dec_init(blob);
	if (cbor_get_array(&d, 2) != 2)
		cbor_dec_fail(&d, ERR_INVALID);
	struct bytes body = cbor_get_raw(&d);
	cbor_get_fixed(&d, signature, sizeof signature);
	err = cbor_dec_end(&d);
	if (err == OK)
		err = decode_body(body, &h);
	if (err < 0)
		return err;
	*ret_h = h;
	*ret_body = body;
	memcpy(ret_signature, signature, sizeof signature);
	return OK;
}

int lines_put(struct buf *b, const struct line *lines, size_t n)
{
	if (n > LINES_MAX)
		return ERR_RANGE;
	struct cbor_enc e = cbor_enc_init(b);
	cbor_put_array(&e, n);
	for (size_t i = 0; i < n; i++) {
		cbor_put_array(&e, 3);
		cbor_put_uint(&e, (uint64_t)lines[i].kind);
		cbor_put_bytes(&e, lines[i].id.b, sizeof lines[i].id.b);
		cbor_put_bytes(&e, lines[i].hash.b, sizeof lines[i].hash.b);
	}
	return cbor_enc_end(&e);
}

int lines_decode(struct bytes in, struct line **ret_lines, size_t *ret_n)
{
	int err = cbor_check(in, CBOR_STRICT, LINES_MAX * LINE_ITEMS + 1);
	if (err < 0)
		return err;
	struct cbor_dec d = cbor_dec_init(in);
	size_t n = cbor_get_array(&d, LINES_MAX);
	if (cbor_dec_error(&d) < 0)
		return cbor_dec_error(&d);
	struct line *lines = calloc(n ? n : 1, sizeof *lines);
	if (!lines)
		return ERR_NOMEM;
	for (size_t i = 0; i < n && cbor_dec_error(&d) == OK; i++) {
		if (cbor_get_array(&d, 3) != 3)
			cbor_dec_fail(&d, ERR_INVALID);
		uint64_t kind = cbor_get_uint(&d);
		if (kind > LINE_ENTRY)
			cbor_dec_fail(&d, ERR_INVALID);
		lines[i].kind = kind == LINE_ENTRY ? LINE_ENTRY : LINE_RECORD;
		cbor_get_fixed(&d, lines[i].id.b, sizeof lines[i].id.b);
		cbor_get_fixed(&d, lines[i].hash.b, sizeof lines[i].hash.b);
	}
	err = cbor_dec_end(&d);
	if (err < 0) {
		free(lines);
		return err;
	}
	*ret_lines = lines;
	*ret_n = n;
	return OK;
}
