/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/relay.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "crypto/verify.h"
#include "wire/cbor.h"
#include "wire/entry.h"
#include "wire/map.h"

#define RESULT_MAX (1u << 20)
#define HEADS_MAX (4u << 20) /* as many as a log has devices */

void entry_list_release(struct entry_list *l)
{
	buf_release(&l->bytes);
	free(l->blobs);
	l->blobs = NULL;
	l->n = 0;
}

int relay_claim(struct sync *s, const char *relay, struct bytes code, int64_t deadline)
{
	CLEANUP(buf_release) struct buf params = BUF_INIT(1024);
	CLEANUP(buf_release) struct buf result = BUF_INIT(1024);
	CLEANUP(map_release) struct map m = MAP_INIT;

	map_text_n(&m, "code", (const char *)code.p, code.len);
	int err = map_put(&m, &params);
	return err < 0 ? err
		       : sync_call(s, relay, "coffer.claim", buf_bytes(&params), deadline, NULL, NULL, &result, NULL);
}

int relay_append(struct sync *s, const char *relay, const struct id16 *space, const struct bytes *blobs, size_t n,
	int64_t deadline)
{
	CLEANUP(buf_release) struct buf list = BUF_INIT(RELAY_MAX_LOG_BYTES);
	CLEANUP(buf_release) struct buf params = BUF_INIT(RELAY_MAX_LOG_BYTES);
	CLEANUP(buf_release) struct buf result = BUF_INIT(RESULT_MAX);
	CLEANUP(map_release) struct map m = MAP_INIT;
	struct cbor_enc e = cbor_enc_init(&list);
	char code[64];

	cbor_put_array(&e, n);
	for (size_t i = 0; i < n; i++)
		cbor_put_bytes(&e, blobs[i].p, blobs[i].len);
	int err = cbor_enc_end(&e);
	if (err < 0)
		return err;
	map_uuid(&m, "space", space);
	map_raw(&m, "entries", buf_bytes(&list));
	if ((err = map_put(&m, &params)) < 0)
		return err;
	err = sync_call(s, relay, "coffer.append", buf_bytes(&params), deadline, NULL, NULL, &result, code);
	if (err < 0)
		return err;
	if (map_get_bool(buf_bytes(&result), "ok", false))
		return OK;
	struct bytes reason = map_get_text(buf_bytes(&result), "error");
	return bytes_equal(reason, bytes_str("conflict")) ? ERR_CONFLICT : ERR_FORBIDDEN;
}

/* Frames "coffer.entry" {seq, entry} as they come: offsets first, since the buffer moves while it grows. */
struct collector {
	struct entry_list *list;
	size_t alloc;
	int err;
};

static int collect(struct collector *c, struct bytes data)
{
	struct entry_list *l = c->list;
	struct bytes blob = map_get_bytes(data, "entry");

	if (map_get_uint(data, "seq", UINT64_MAX) != l->n || blob.len == 0 || blob.len > ENTRY_MAX_BLOB)
		return ERR_INVALID;
	if (l->n == RELAY_MAX_ENTRIES)
		return ERR_RANGE;
	struct bytes *more = array_room(l->blobs, &c->alloc, l->n + 1, sizeof *more);
	if (!more)
		return ERR_NOMEM;
	l->blobs = more;
	int err = buf_put(&l->bytes, blob.p, blob.len);
	if (err < 0)
		return err;
	l->blobs[l->n++] = bytes_of(NULL, blob.len);
	return OK;
}

static void on_part(void *ctx, struct bytes name, struct bytes data)
{
	struct collector *c = ctx;

	if (c->err == OK && bytes_equal(name, bytes_str("coffer.entry")))
		c->err = collect(c, data);
}

static int fetch(struct sync *s, const char *relay, struct map *m, int64_t deadline, struct entry_list *l)
{
	CLEANUP(buf_release) struct buf params = BUF_INIT(RESULT_MAX);
	CLEANUP(buf_release) struct buf result = BUF_INIT(RESULT_MAX);
	struct collector c = { .list = l };
	char code[64];

	map_uint(m, "since", 0);
	int err = map_put(m, &params);
	if (err < 0)
		return err;
	err = sync_call(s, relay, "coffer.log", buf_bytes(&params), deadline, on_part, &c, &result, code);
	if (err < 0 || (err = c.err) < 0)
		return err;
	if (l->n == 0)
		return ERR_NOT_FOUND;
	const uint8_t *p = l->bytes.data;
	for (size_t i = 0; i < l->n; i++) {
		l->blobs[i].p = p;
		p += l->blobs[i].len;
	}
	return OK;
}

int relay_fetch_log(struct sync *s, const char *relay, const struct id16 *space, struct bytes chain, int64_t deadline,
	struct entry_list *ret_l)
{
	CLEANUP(map_release) struct map m = MAP_INIT;

	map_uuid(&m, "space", space);
	if (chain.len)
		map_bytes(&m, "chain", chain.p, chain.len);
	return fetch(s, relay, &m, deadline, ret_l);
}

int relay_fetch_invited(
	struct sync *s, const char *relay, const struct id16 *invite, int64_t deadline, struct entry_list *ret_l)
{
	CLEANUP(map_release) struct map m = MAP_INIT;

	map_uuid(&m, "invite", invite);
	return fetch(s, relay, &m, deadline, ret_l);
}

int relay_fetch_heads(struct sync *s, const char *relay, const struct id16 *space, int64_t deadline,
	void (*fn)(void *ctx, const struct head *h), void *ctx)
{
	CLEANUP(buf_release) struct buf params = BUF_INIT(256);
	CLEANUP(buf_release) struct buf result = BUF_INIT(HEADS_MAX);
	CLEANUP(map_release) struct map m = MAP_INIT;
	struct head h;

	map_uuid(&m, "space", space);
	int err = map_put(&m, &params);
	if (err < 0)
		return err;
	err = sync_call(s, relay, "coffer.head", buf_bytes(&params), deadline, NULL, NULL, &result, NULL);
	if (err < 0)
		return err;
	struct cbor_dec d = cbor_dec_init_rpc(map_get_item(buf_bytes(&result), "heads"));
	size_t n = cbor_get_array(&d, HEADS_MAX);
	for (size_t i = 0; i < n && cbor_dec_error(&d) == OK; i++) {
		struct bytes blob = cbor_get_bytes(&d, HEAD_MAX_BLOB);
		if (blob.len && verify_head(blob, space, &h) == OK)
			fn(ctx, &h);
	}
	return cbor_dec_error(&d);
}
