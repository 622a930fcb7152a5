/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/frame.h"

#define MESSAGE_MAX 4096
#define KEYS_MAX 32
#define KEY_MAX 64

static void put_pair(struct cbor_enc *e, const char *key, struct bytes text)
{
	cbor_put_text(e, key);
	cbor_put_text_n(e, (const char *)text.p, text.len);
}

static void put_type(struct cbor_enc *e, enum frame_type type)
{
	cbor_put_text(e, "type");
	cbor_put_uint(e, (uint64_t)type);
}

void frame_begin_request(struct cbor_enc *e, struct bytes id, struct bytes method)
{
	cbor_put_map(e, 4);
	put_pair(e, "id", id);
	put_type(e, FRAME_REQUEST);
	put_pair(e, "method", method);
	cbor_put_text(e, "params");
}

void frame_begin_notification(struct cbor_enc *e, struct bytes method)
{
	cbor_put_map(e, 3);
	put_type(e, FRAME_NOTIFICATION);
	put_pair(e, "method", method);
	cbor_put_text(e, "params");
}

void frame_begin_response(struct cbor_enc *e, struct bytes id)
{
	cbor_put_map(e, 3);
	put_type(e, FRAME_RESPONSE);
	put_pair(e, "id", id);
	cbor_put_text(e, "result");
}

void frame_begin_chunk(struct cbor_enc *e, struct bytes id, struct bytes name)
{
	cbor_put_map(e, 4);
	put_type(e, FRAME_CHUNK);
	put_pair(e, "id", id);
	put_pair(e, "name", name);
	cbor_put_text(e, "data");
}

void frame_put_error(struct cbor_enc *e, struct bytes id, const char *code, const char *message)
{
	cbor_put_map(e, 3);
	put_type(e, FRAME_RESPONSE);
	put_pair(e, "id", id);
	cbor_put_text(e, "error");
	cbor_put_map(e, 2);
	cbor_put_text(e, "code");
	cbor_put_text(e, code);
	cbor_put_text(e, "message");
	cbor_put_text(e, message);
}

bool frame_is_keepalive(struct bytes message)
{
	return message.len == 1 && message.p[0] == FRAME_KEEPALIVE;
}

/* One value; null and undefined are as good as absent. */
static struct bytes get_value(struct cbor_dec *d)
{
	if (cbor_get_null(d))
		return bytes_of(NULL, 0);
	return cbor_get_raw(d);
}

static struct bytes get_text(struct cbor_dec *d, size_t max)
{
	if (cbor_get_null(d))
		return bytes_of(NULL, 0);
	return cbor_get_text(d, max);
}

static void get_error(struct cbor_dec *d, struct frame *f)
{
	size_t n;

	if (cbor_get_null(d))
		return;
	f->is_error = true;
	n = cbor_get_map(d, KEYS_MAX);
	for (size_t i = 0; i < n && cbor_dec_error(d) == OK; i++) {
		struct bytes key = cbor_get_text(d, KEY_MAX);

		if (cbor_text_is(key, "code"))
			f->code = get_text(d, FRAME_MAX_NAME);
		else if (cbor_text_is(key, "message"))
			f->message = get_text(d, MESSAGE_MAX);
		else
			cbor_skip(d);
	}
}

enum field {
	FIELD_TYPE = 1,
	FIELD_ID = 2,
	FIELD_METHOD = 4,
	FIELD_NAME = 8,
	FIELD_PARAMS = 16,
	FIELD_RESULT = 32,
	FIELD_DATA = 64,
	FIELD_ERROR = 128
};

static unsigned field_of(struct bytes key)
{
	static const struct {
		const char *key;
		unsigned field;
	} fields[] = {
		{ "type", FIELD_TYPE },
		{ "id", FIELD_ID },
		{ "method", FIELD_METHOD },
		{ "name", FIELD_NAME },
		{ "params", FIELD_PARAMS },
		{ "result", FIELD_RESULT },
		{ "data", FIELD_DATA },
		{ "error", FIELD_ERROR },
	};

	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		if (cbor_text_is(key, fields[i].key))
			return fields[i].field;
	return 0;
}

struct fields {
	uint64_t type;
	struct bytes method, name, params, result, data;
	unsigned seen;
};

static void get_field(struct cbor_dec *d, struct frame *f, struct fields *v)
{
	unsigned field = field_of(cbor_get_text(d, KEY_MAX));

	if (field & v->seen)
		cbor_dec_fail(d, ERR_INVALID);
	v->seen |= field;
	switch (field) {
	case FIELD_TYPE:
		v->type = cbor_get_uint(d);
		break;
	case FIELD_ID:
		f->id = get_text(d, FRAME_MAX_ID);
		break;
	case FIELD_METHOD:
		v->method = get_text(d, FRAME_MAX_NAME);
		break;
	case FIELD_NAME:
		v->name = get_text(d, FRAME_MAX_NAME);
		break;
	case FIELD_PARAMS:
		v->params = get_value(d);
		break;
	case FIELD_RESULT:
		v->result = get_value(d);
		break;
	case FIELD_DATA:
		v->data = get_value(d);
		break;
	case FIELD_ERROR:
		get_error(d, f);
		break;
	default:
		cbor_skip(d);
	}
}

static void choose(struct frame *f, const struct fields *v)
{
	bool response = v->type == FRAME_RESPONSE, chunk = v->type == FRAME_CHUNK;

	f->type = v->type <= FRAME_CHUNK ? (enum frame_type)v->type : FRAME_OTHER;
	f->name = chunk ? v->name : response ? bytes_of(NULL, 0) : v->method;
	f->value = chunk ? v->data : response ? v->result : v->params;
	if (!response) {
		f->is_error = false;
		f->code = f->message = bytes_of(NULL, 0);
	}
}

int frame_decode(struct bytes message, struct frame *ret_f)
{
	struct cbor_dec d = cbor_dec_init_rpc(message);
	struct frame f = { .type = FRAME_OTHER };
	struct fields v = { .seen = 0 };
	size_t n;
	int err;

	if (message.len > FRAME_MAX)
		return ERR_RANGE;
	err = cbor_check(message, CBOR_RPC, FRAME_MAX_ITEMS);
	if (err < 0)
		return err;
	n = cbor_get_map(&d, KEYS_MAX);
	for (size_t i = 0; i < n && cbor_dec_error(&d) == OK; i++)
		get_field(&d, &f, &v);
	err = cbor_dec_end(&d);
	if (err < 0)
		return err;
	if (!(v.seen & FIELD_TYPE))
		return ERR_INVALID;
	choose(&f, &v);
	*ret_f = f;
	return OK;
}
