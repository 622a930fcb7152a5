/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message: one outgoing RPC frame, encoded once and shared by every connection that gets it.
 *
 *	struct buf b = message_buf();            // leaves the headroom that the WebSocket layer writes into
 *	... append one CBOR item ...
 *	struct message *m = message_take(&b);    // NULL if out of memory; b is empty again
 *	message_unref(m);
 *
 * The count of references is atomic; the bytes never change after message_take (the headroom does, on the network
 * thread).
 */
#ifndef COFFER_SERVER_MESSAGE_H
#define COFFER_SERVER_MESSAGE_H

#include <stdatomic.h>
#include "base/buf.h"

#define MESSAGE_HEADROOM 32
#define MESSAGE_MAX (8u << 20)

struct message {
	atomic_uint refs;
	size_t len;    /* of the item */
	uint8_t *data; /* headroom and item */
};

struct message_list {
	struct message_node *first, *last;
	size_t bytes, count;
};

struct message_node {
	struct message_node *next;
	struct message *m;
};

/* An empty buffer with the headroom in place. If that fails `cap` is 0 and every put fails. */
struct buf message_buf(void);
struct message *message_take(struct buf *b);
struct message *message_ref(struct message *m);
void message_unref(struct message *m); /* NULL is allowed */

static inline struct bytes message_bytes(const struct message *m)
{
	return bytes_of(m->data + MESSAGE_HEADROOM, m->len);
}

/* Appends; takes over the caller's reference also on failure (ERR_NOMEM). */
int message_list_add(struct message_list *l, struct message *m) MUST_CHECK;
/* Takes the first off; NULL if empty. The reference is the caller's. */
struct message *message_list_shift(struct message_list *l);
/* Moves all of `from` to the end of `l`. */
void message_list_move(struct message_list *l, struct message_list *from);
void message_list_clear(struct message_list *l);

#endif
