/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame: the frames of betterbase-rpc-v1, both sides. One WebSocket binary message is one CBOR map (RPC dialect):
 *
 * request       { id, type: 0, method, params }      client to relay, answered by a response
 * response      { type: 1, id, result } or { type: 1, id, error: { code, message } }
 * notification  { type: 2, method, params }          never answered
 * chunk         { type: 3, id, name, data }          before the response of that id
 * keepalive     the single byte 0xf6, both ways
 *
 * The begin functions write everything but the last value, which the caller puts next (exactly one item), so that no
 * value is copied:
 *
 *	struct cbor_enc e = cbor_enc_init(&b);
 *	frame_begin_response(&e, request.id);
 *	cbor_put_map(&e, 1); cbor_put_text(&e, "cursor"); cbor_put_uint(&e, 7);
 *	if ((err = cbor_enc_end(&e)) < 0) return err;
 */
#ifndef COFFER_WIRE_FRAME_H
#define COFFER_WIRE_FRAME_H

#include "wire/cbor.h"

#define FRAME_SUBPROTOCOL "betterbase-rpc-v1"
#define FRAME_WS_PATH "/api/v1/ws"
#define FRAME_MAX (6u << 20)       /* of one message, both ways; the plain protocol's own limit inbound is 4 MiB */
#define FRAME_MAX_ITEMS (1u << 20) /* CBOR items in one message */
#define FRAME_MAX_ID 64
#define FRAME_MAX_NAME 128 /* method and chunk name */
#define FRAME_KEEPALIVE 0xf6

enum frame_type { FRAME_REQUEST = 0, FRAME_RESPONSE = 1, FRAME_NOTIFICATION = 2, FRAME_CHUNK = 3, FRAME_OTHER = 4 };

/* One decoded frame; views point into the input. What a type does not have is empty. */
struct frame {
	enum frame_type type;
	struct bytes id;            /* text; empty if absent */
	struct bytes name;          /* text: method, or a chunk's name */
	struct bytes value;         /* one encoded item: params, result or data; empty if absent, null or undefined */
	bool is_error;              /* response with `error` */
	struct bytes code, message; /* text, of the error */
};

void frame_begin_request(struct cbor_enc *e, struct bytes id, struct bytes method);
void frame_begin_notification(struct cbor_enc *e, struct bytes method);
void frame_begin_response(struct cbor_enc *e, struct bytes id);
void frame_begin_chunk(struct cbor_enc *e, struct bytes id, struct bytes name);
/* Whole: no value follows. */
void frame_put_error(struct cbor_enc *e, struct bytes id, const char *code, const char *message);

bool frame_is_keepalive(struct bytes message);

/* Decodes a message that is no keepalive. Unknown keys are ignored, an unknown type gives FRAME_OTHER. ERR_RANGE over
 * FRAME_MAX or a text over its cap; ERR_INVALID or what cbor_check gives if it is no map, has no `type`, a key twice,
 * or a text field of another kind. */
int frame_decode(struct bytes message, struct frame *ret_f) MUST_CHECK;

#endif
