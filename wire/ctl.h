/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl: the control socket between coffer and the key agent coffer-fs (wire/ctl_socket.h), framed as in
 * wire/msg.h.
 *
 * A connection carries one request.
 *
 * request  = { "verb": text, "args": map }              text keys, strict CBOR
 * answer   = { "result": map }  or
 *            { "error": { "name": err_name text, "exit": sysexits code, "message": text, "next": text } }
 * Keys stand in the order of RFC 8949 (args, verb; exit, name, next, message). Verbs and names have at most 64 bytes,
 * sentences 4 KiB, exit is 0 to 255.
 * `message` names the cause, `next` the step to take; together they are the one line that the person reads.
 * The map in `result` is what --json prints (docs/CLI.md lists the shape of each verb, "v": 1 in each).
 */
#ifndef COFFER_WIRE_CTL_H
#define COFFER_WIRE_CTL_H

#include "base/buf.h"

#define CTL_MAX (4u << 20) /* of the item; the framing itself lets MSG_MAX pass */

struct ctl_request {
	struct bytes verb; /* text */
	struct bytes args; /* encoded map */
};

struct ctl_error {
	struct bytes name, message, next; /* text */
	uint64_t exit;
};

enum ctl_kind { CTL_RESULT, CTL_ERROR };

struct ctl_answer {
	enum ctl_kind kind;
	struct bytes result;    /* CTL_RESULT: map */
	struct ctl_error error; /* CTL_ERROR */
};

/* Each appends one framed message; args/result empty is an empty map. */
int ctl_put_request(struct buf *b, const char *verb, struct bytes args) MUST_CHECK;
int ctl_put_result(struct buf *b, struct bytes result) MUST_CHECK;
int ctl_put_error(struct buf *b, int err, int exit_code, const char *message, const char *next) MUST_CHECK;

/* Decode one item as taken by msg_take_frame. */
int ctl_decode_request(struct bytes item, struct ctl_request *ret_r) MUST_CHECK;
int ctl_decode_answer(struct bytes item, struct ctl_answer *ret_a) MUST_CHECK;

#endif
