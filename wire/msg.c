/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/msg.h"

#include "wire/cbor.h"

#define FRAME_HEAD 4u
#define URL_MAX 2048
#define NAME_MAX_BYTES 128
#define MESSAGE_MAX 4096
#define DELEGATION_MAX 4096
#define ITEMS_MAX (1u << 20)

/* Reserves the length, remembered as the position to come back to. */
static int frame_begin(struct buf *b, size_t *ret_at)
{
	*ret_at = b->len;
	return buf_put_u32be(b, 0);
}

/* Writes the length, or takes back everything since frame_begin. */
static int frame_end(struct buf *b, size_t at, int err)
{
	size_t n = b->len - at;

	if (n < FRAME_HEAD)
		return err < 0 ? err : ERR_NOMEM;
	if (err >= 0 && n - FRAME_HEAD > MSG_MAX)
		err = ERR_RANGE;
	if (err < 0) {
		b->len = at;
		return err;
	}
	n -= FRAME_HEAD;
	bytes_put_be(b->data + at, n, FRAME_HEAD);
	return OK;
}

int msg_put_frame(struct buf *b, struct bytes item)
{
	size_t at;
	int err;

	if (item.len > MSG_MAX)
		return ERR_RANGE;
	err = frame_begin(b, &at);
	if (err < 0)
		return err;
	return frame_end(b, at, buf_put(b, item.p, item.len));
}

int msg_take_frame(struct bytes in, struct bytes *ret_item, size_t *ret_used)
{
	size_t n;

	if (in.len < FRAME_HEAD)
		return ERR_AGAIN;
	n = (size_t)bytes_get_be(in.p, FRAME_HEAD);
	if (n > MSG_MAX)
		return ERR_RANGE;
	if (n == 0)
		return ERR_INVALID;
	if (in.len - FRAME_HEAD < n)
		return ERR_AGAIN;
	*ret_item = bytes_of(in.p + FRAME_HEAD, n);
	*ret_used = FRAME_HEAD + n;
	return OK;
}

/* Items of each type's array, the type included; 0 for a type that does not exist. */
static size_t type_items(uint64_t type)
{
	switch (type) {
	case MSG_CONFIG:
	case MSG_DELEGATE:
	case MSG_CANCEL:
		return 2;
	case MSG_HELLO:
	case MSG_DATA:
	case MSG_NOTIFY:
	case MSG_RATE:
		return 3;
	case MSG_CALL:
	case MSG_GET:
	case MSG_PART:
		return 4;
	case MSG_PUT:
	case MSG_STATE:
	case MSG_RESULT:
		return 5;
	default:
		return 0;
	}
}

static void put_text(struct cbor_enc *e, struct bytes text)
{
	cbor_put_text_n(e, (const char *)text.p, text.len);
}

static void put_item(struct cbor_enc *e, struct bytes item)
{
	if (item.len == 0)
		cbor_put_null(e);
	else
		cbor_put_raw(e, item);
}

static void put_chunk_address(struct cbor_enc *e, const struct msg *m)
{
	cbor_put_uint(e, m->num);
	cbor_put_bytes(e, m->space.b, sizeof m->space.b);
	cbor_put_bytes(e, m->chunk.b, sizeof m->chunk.b);
}

static void put_to_syncd(struct cbor_enc *e, const struct msg *m)
{
	switch (m->type) {
	case MSG_CONFIG:
		put_text(e, m->text);
		break;
	case MSG_DELEGATE:
		cbor_put_bytes(e, m->blob.p, m->blob.len);
		break;
	case MSG_CALL:
		cbor_put_uint(e, m->num);
		put_text(e, m->text);
		put_item(e, m->item);
		break;
	case MSG_PUT:
		put_chunk_address(e, m);
		cbor_put_bytes(e, m->blob.p, m->blob.len);
		break;
	case MSG_GET:
		put_chunk_address(e, m);
		break;
	default: /* MSG_CANCEL */
		cbor_put_uint(e, m->num);
		break;
	}
}

static void put_to_fs(struct cbor_enc *e, const struct msg *m)
{
	switch (m->type) {
	case MSG_HELLO:
		cbor_put_uint(e, m->version);
		cbor_put_bytes(e, m->key.b, sizeof m->key.b);
		break;
	case MSG_STATE:
		cbor_put_uint(e, (uint64_t)m->state);
		cbor_put_uint(e, m->connection);
		put_text(e, m->text);
		cbor_put_uint(e, m->retry_ms);
		break;
	case MSG_RESULT:
		cbor_put_uint(e, m->num);
		put_text(e, m->text);
		put_text(e, m->message);
		put_item(e, m->item);
		break;
	case MSG_PART:
		cbor_put_uint(e, m->num);
		put_text(e, m->text);
		put_item(e, m->item);
		break;
	case MSG_DATA:
		cbor_put_uint(e, m->num);
		cbor_put_bytes(e, m->blob.p, m->blob.len);
		break;
	case MSG_NOTIFY:
		put_text(e, m->text);
		put_item(e, m->item);
		break;
	default: /* MSG_RATE */
		cbor_put_uint(e, m->sent);
		cbor_put_uint(e, m->received);
		break;
	}
}

int msg_put(struct buf *b, const struct msg *m)
{
	struct cbor_enc e = cbor_enc_init(b);
	size_t at, items = type_items((uint64_t)m->type);
	int err;

	if (items == 0)
		return ERR_INVALID;
	err = frame_begin(b, &at);
	if (err < 0)
		return err;
	cbor_put_array(&e, items);
	cbor_put_uint(&e, (uint64_t)m->type);
	if (m->type < MSG_HELLO)
		put_to_syncd(&e, m);
	else
		put_to_fs(&e, m);
	return frame_end(b, at, cbor_enc_end(&e));
}

/* The one place of another dialect: an RPC value passes as the relay's other clients may write it. Null is empty. */
static struct bytes get_item(struct cbor_dec *d)
{
	struct bytes item;
	int err;

	if (cbor_get_null(d))
		return bytes_of(NULL, 0);
	d->dialect = CBOR_RPC;
	item = cbor_get_raw(d);
	d->dialect = CBOR_STRICT;
	if (cbor_dec_error(d) < 0)
		return bytes_of(NULL, 0);
	err = cbor_check(item, CBOR_RPC, ITEMS_MAX);
	if (err < 0)
		cbor_dec_fail(d, err);
	return item;
}

static void get_chunk_address(struct cbor_dec *d, struct msg *m)
{
	m->num = cbor_get_uint(d);
	cbor_get_fixed(d, m->space.b, sizeof m->space.b);
	cbor_get_fixed(d, m->chunk.b, sizeof m->chunk.b);
}

static void get_to_syncd(struct cbor_dec *d, struct msg *m)
{
	switch (m->type) {
	case MSG_CONFIG:
		m->text = cbor_get_text(d, URL_MAX);
		break;
	case MSG_DELEGATE:
		m->blob = cbor_get_bytes(d, DELEGATION_MAX);
		break;
	case MSG_CALL:
		m->num = cbor_get_uint(d);
		m->text = cbor_get_text(d, NAME_MAX_BYTES);
		m->item = get_item(d);
		break;
	case MSG_PUT:
		get_chunk_address(d, m);
		m->blob = cbor_get_bytes(d, MSG_MAX);
		break;
	case MSG_GET:
		get_chunk_address(d, m);
		break;
	default: /* MSG_CANCEL */
		m->num = cbor_get_uint(d);
		break;
	}
}

static void get_state(struct cbor_dec *d, struct msg *m)
{
	uint64_t state = cbor_get_uint(d);

	if (state > MSG_REFUSED)
		cbor_dec_fail(d, ERR_INVALID);
	m->state = (enum msg_state)state;
	m->connection = cbor_get_uint(d);
	m->text = cbor_get_text(d, MESSAGE_MAX);
	m->retry_ms = cbor_get_uint(d);
}

static void get_to_fs(struct cbor_dec *d, struct msg *m)
{
	switch (m->type) {
	case MSG_HELLO:
		m->version = cbor_get_uint(d);
		cbor_get_fixed(d, m->key.b, sizeof m->key.b);
		break;
	case MSG_STATE:
		get_state(d, m);
		break;
	case MSG_RESULT:
		m->num = cbor_get_uint(d);
		m->text = cbor_get_text(d, NAME_MAX_BYTES);
		m->message = cbor_get_text(d, MESSAGE_MAX);
		m->item = get_item(d);
		break;
	case MSG_PART:
		m->num = cbor_get_uint(d);
		m->text = cbor_get_text(d, NAME_MAX_BYTES);
		m->item = get_item(d);
		break;
	case MSG_DATA:
		m->num = cbor_get_uint(d);
		m->blob = cbor_get_bytes(d, MSG_MAX);
		break;
	case MSG_NOTIFY:
		m->text = cbor_get_text(d, NAME_MAX_BYTES);
		m->item = get_item(d);
		break;
	default: /* MSG_RATE */
		m->sent = cbor_get_uint(d);
		m->received = cbor_get_uint(d);
		break;
	}
}

static int msg_decode(struct bytes item, struct msg *ret_m)
{
	struct cbor_dec d = cbor_dec_init(item);
	struct msg m = { .type = MSG_CONFIG };
	size_t n = cbor_get_array(&d, 5);
	uint64_t type = cbor_get_uint(&d);
	int err = cbor_dec_error(&d);

	if (err < 0)
		return err;
	if (type_items(type) == 0 || type_items(type) != n)
		return ERR_INVALID;
	m.type = (enum msg_type)type;
	if (m.type < MSG_HELLO)
		get_to_syncd(&d, &m);
	else
		get_to_fs(&d, &m);
	err = cbor_dec_end(&d);
	if (err < 0)
		return err == ERR_TRUNCATED ? ERR_INVALID : err;
	*ret_m = m;
	return OK;
}

int msg_take(struct bytes in, struct msg *ret_m, size_t *ret_used)
{
	struct bytes item;
	size_t used;
	int err = msg_take_frame(in, &item, &used);

	if (err < 0)
		return err;
	err = msg_decode(item, ret_m);
	if (err < 0)
		return err;
	*ret_used = used;
	return OK;
}
