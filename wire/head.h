/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head: a device's signed statement of what it has seen of a space; line: what the relay recorded at a cursor.
 *
 * head blob = [ { 0: format 1, 1: space 16, 2: device 32, 3: cursor, 4: chain hash 32, 5: log head 32, 6: live hash 32
 * (optional), 7: wall time in s }, signature 64 ]; the signature covers HEAD_LABEL and the encoded map. `live` is meant
 * to be the hash of the list of live (id, hash): the format has it, nothing makes or reads it yet.
 * line      = [ kind, id 16, hash 32 ]; the lines of one cursor stand in an array, in the relay's order.
 * Chain: H_0 = 32 zero bytes; H_c = BLAKE2b-256(H_{c-1} ‖ c as u64 BE ‖ encoded array of lines)  (crypto/chain.h).
 */
#ifndef COFFER_WIRE_HEAD_H
#define COFFER_WIRE_HEAD_H

#include "base/buf.h"
#include "base/id.h"

#define HEAD_LABEL "coffer/head/1"
#define HEAD_MAX_BLOB 512

struct head {
	struct id16 space;
	struct id32 device;
	uint64_t cursor;
	struct id32 chain;
	struct id32 log_head;
	bool has_live;
	struct id32 live;
	uint64_t time;
};

int head_put_body(struct buf *b, const struct head *h) MUST_CHECK; /* the signed map */
int head_put(struct buf *b, struct bytes body, const uint8_t signature[64]) MUST_CHECK;
/* *ret_body is the signed map, a view into blob. Verifies nothing (crypto/verify.h does). */
int head_decode(struct bytes blob, struct head *ret_h, struct bytes *ret_body, uint8_t ret_signature[64]) MUST_CHECK;

enum line_kind { LINE_RECORD = 0, LINE_ENTRY = 1 };

struct line {
	enum line_kind kind;
	struct id16 id;   /* of the record; of an entry: its sequence number as u128 big-endian */
	struct id32 hash; /* SHA-256 of the blob or entry */
};

#define LINES_MAX 4096 /* of one cursor */

int lines_put(struct buf *b, const struct line *lines, size_t n) MUST_CHECK;
/* *ret_lines is allocated (free()). */
int lines_decode(struct bytes in, struct line **ret_lines, size_t *ret_n) MUST_CHECK;

#endif
