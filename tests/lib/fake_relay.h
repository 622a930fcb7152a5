/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_relay: the other end of a relay's port, played by a test step by step: it can be slow, wrong and hostile as no
 * real relay is. Blocking, with a deadline after which the test fails; one connection is one struct peer.
 */
#ifndef COFFER_TESTS_LIB_FAKE_RELAY_H
#define COFFER_TESTS_LIB_FAKE_RELAY_H

#include "base/buf.h"
#include "wire/frame.h"

struct fake_relay {
	int fd;
	uint16_t port;
	char url[64]; /* http://127.0.0.1:PORT */
};

struct peer {
	int fd;
	struct buf in;      /* bytes received and not yet taken */
	struct buf message; /* the last one */
};

void fake_relay_listen(struct fake_relay *r); /* a free port */
void fake_relay_close(struct fake_relay *r);

/* Waits for a connection and reads one HTTP request head into p->message. */
void peer_accept(struct fake_relay *r, struct peer *p);
bool peer_head_has(const struct peer *p, const char *text);
void peer_write(struct peer *p, const char *text);
/* n bytes that follow the head, into p->message. */
void peer_read_body(struct peer *p, size_t n);

/* Answers the upgrade; subprotocol NULL leaves it out. */
void peer_upgrade(struct peer *p, const char *subprotocol);
/* Accepts, upgrades, takes the auth and the first (empty) subscribe, answers it. */
void peer_accept_online(struct fake_relay *r, struct peer *p);

/* The next binary message, in p->message. */
struct bytes peer_receive(struct peer *p);
/* The next message, decoded; views into p->message. */
struct frame peer_receive_frame(struct peer *p);
void peer_send(struct peer *p, struct bytes message);           /* one whole binary message */
void peer_send_raw(struct peer *p, const void *bytes, size_t n); /* anything, below the WebSocket */
void peer_respond(struct peer *p, struct bytes id, struct bytes result); /* result item; empty: {} */
void peer_send_close(struct peer *p, unsigned code, const char *reason);
/* True if the other end closes within the deadline (reads and drops what comes). */
bool peer_closed(struct peer *p);
void peer_drop(struct peer *p); /* closes the TCP connection */

#endif
