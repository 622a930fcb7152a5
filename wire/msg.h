/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msg: the messages between coffer-fs and coffer-syncd over their socket pair, and the framing that the control socket
 * shares: u32 big-endian length, then one strict CBOR item of at most MSG_MAX bytes.
 *
 * Each message is a CBOR array whose first item is the type. Nothing in them opens content: blobs are sealed, the
 * delegation is public-key material, `params` and `result` are RPC values that the relay sees too.
 * One coffer-syncd serves one relay. coffer-fs starts it with the socket as descriptor 3 and restarts it when it ends.
 *
 * to coffer-syncd:
 *   [1 CONFIG, relay url text]                         first message
 *   [2 DELEGATE, delegation bytes]                     after HELLO, and again before it expires
 *   [3 CALL, num, method text, params item]            answered by PART* then RESULT
 *   [4 PUT, num, space 16, chunk 16, blob]             HTTP upload; answered by RESULT
 *   [5 GET, num, space 16, chunk 16]                   HTTP download; answered by DATA, RESULT, or RESULT with an error
 *   [6 CANCEL, num]                                    no answer is needed any more
 * to coffer-fs:
 *   [16 HELLO, version 1, session public key 32]       first message
 *   [17 STATE, state, connection, reason text, retry ms]  state: 0 offline, 1 connecting, 2 online, 3 refused
 *   [18 RESULT, num, code text ("" = success), message text, result item or null]
 *   [19 PART, num, name text, data item]
 *   [20 DATA, num, bytes]
 *   [21 NOTIFY, method text, params item]
 *   [22 RATE, bytes sent, bytes received]              totals since start, at most once a second
 *
 * Caps: url 2 KiB; method, code and name 128 bytes; message and reason 4 KiB; delegation 4 KiB here, DELEGATION_MAX of
 * crypto/token.h where it is read; the rest MSG_MAX. There is one version; coffer-fs gives up a process that says
 * another in HELLO. After any error of msg_take but ERR_AGAIN the socket is of no more use.
 *
 * Flow control is the socket's: coffer-syncd stops reading it while it holds 16 MiB unsent, and stops reading the relay
 * while it holds 16 MiB not yet taken by coffer-fs. When the connection drops, every open CALL, PUT and GET is answered
 * with code "offline"; nothing is retried by coffer-syncd, which keeps no state across connections.
 * `connection` counts connections; subscriptions must be made again when it changes.
 */
#ifndef COFFER_WIRE_MSG_H
#define COFFER_WIRE_MSG_H

#include "base/buf.h"
#include "base/id.h"

#define MSG_MAX (6u << 20)
#define MSG_VERSION 1

enum msg_type {
	MSG_CONFIG = 1, MSG_DELEGATE = 2, MSG_CALL = 3, MSG_PUT = 4, MSG_GET = 5, MSG_CANCEL = 6,
	MSG_HELLO = 16, MSG_STATE = 17, MSG_RESULT = 18, MSG_PART = 19, MSG_DATA = 20, MSG_NOTIFY = 21, MSG_RATE = 22
};

enum msg_state { MSG_OFFLINE = 0, MSG_CONNECTING = 1, MSG_ONLINE = 2, MSG_REFUSED = 3 };

/* One decoded message; views point into the input. Fields that a type does not have are zero. */
struct msg {
	enum msg_type type;
	uint64_t num;
	struct bytes text;    /* url, method, code, name, reason */
	struct bytes message; /* RESULT's second text */
	struct bytes item;    /* params, result, data: one encoded CBOR item (RPC dialect) */
	struct bytes blob;    /* delegation, chunk, bytes */
	struct id16 space, chunk;
	struct id32 key;      /* HELLO */
	uint64_t version;     /* HELLO */
	enum msg_state state;
	uint64_t connection, retry_ms; /* STATE */
	uint64_t sent, received;       /* RATE */
};

/* Appends one framed message (length and CBOR). `item` empty is written as null. */
int msg_put(struct buf *b, const struct msg *m) MUST_CHECK;

/* Takes the first framed message off `in`: *ret_used is its size with the length. ERR_AGAIN if incomplete,
 * ERR_RANGE if over MSG_MAX, ERR_INVALID and others if malformed. */
int msg_take(struct bytes in, struct msg *ret_m, size_t *ret_used) MUST_CHECK;

/* The framing alone, for the control socket: appends length and item / finds the next item. */
int msg_put_frame(struct buf *b, struct bytes item) MUST_CHECK;
int msg_take_frame(struct bytes in, struct bytes *ret_item, size_t *ret_used) MUST_CHECK;

#endif
