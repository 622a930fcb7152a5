/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tape: reads what tests/tools/syncd_tap.c recorded: every message of one direction between coffer-fs and coffer-syncd,
 * and in every message every byte string, told apart by what it is.
 *
 * What is none of the objects that may pass is TAPE_OTHER: a test refuses it, so that nothing passes unread.
 */
#ifndef COFFER_TESTS_LIB_TAPE_H
#define COFFER_TESTS_LIB_TAPE_H

#include "wire/msg.h"

enum tape_kind {
	TAPE_RECORD, TAPE_CHUNK, TAPE_ENTRY, TAPE_HEAD, TAPE_LINES, TAPE_DELEGATION, TAPE_CHAIN /* of certificates */,
	TAPE_KEY /* 32 bytes: a hash or public key */, TAPE_ID /* 16 bytes */, TAPE_OTHER, TAPE_KINDS
};

struct tape_count {
	size_t messages[MSG_RATE + 1];  /* by type */
	size_t objects[TAPE_KINDS];
	size_t tail;                    /* bytes of a message that was cut off by the end */
};

/* Static storage. */
const char *tape_kind_name(enum tape_kind kind);

/* m->text is the method of a CALL or NOTIFY, the name of a PART. */
typedef void (*tape_fn)(void *ctx, enum tape_kind kind, struct bytes object, const struct msg *m);

/* Calls fn for each byte string, adds to *count. to_syncd says which types may occur. The error of msg_take, or
 * ERR_INVALID: a type of the other direction, or an item that does not decode; *ret_at is where that message begins. */
int tape_read(
	struct bytes tape, bool to_syncd, tape_fn fn, void *ctx, struct tape_count *count, size_t *ret_at) MUST_CHECK;

#endif
