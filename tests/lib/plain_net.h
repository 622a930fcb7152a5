/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain_net: a real relay on a port, an issuer that the test plays, Alice who is admin of two spaces and Bob who writes
 * to them, both by UCANs of the plain protocol; their tokens, and the commonest requests. Everything asserts.
 *
 *	cmocka_unit_test_setup_teardown(test, net_setup, net_teardown)     // *state is a struct plain_net
 *	net_come(x, &c, &x->alice, "alice");                               // a connection, authenticated
 *	net_make_space(x, &c);
 *	net_begin(&b, &e, x->ua, 1); ... net_call_ok(&c, "method", &b, &e);
 */
#ifndef COFFER_TESTS_LIB_PLAIN_NET_H
#define COFFER_TESTS_LIB_PLAIN_NET_H

#include "tests/lib/plain_party.h"
#include "tests/lib/relay_process.h"
#include "tests/lib/rpc_client.h"

#define NET_SPACE "5cf1d1e5-6e0a-4b3c-9a52-1f6f2a3b4c5d"
#define NET_OTHER_SPACE "6cf1d1e5-6e0a-4b3c-9a52-1f6f2a3b4c5d"
#define NET_R1 "019400e8-7b5d-7000-8000-000000000001" /* id of a record */

struct plain_net {
	struct key_server keys;
	struct relay_process relay;
	struct plain_party issuer, root, alice, bob;
	char iss[64];
	char *ua, *ub, *ua_other, *ub_other; /* UCANs of Alice and Bob for the two spaces */
};

int net_setup(void **state);
int net_teardown(void **state);
/* Starts the relay again with this variable too, which stays set. */
void net_start_with(struct plain_net *x, const char *name, const char *value);

/* A token of the issuer under its key `kid`; the mailbox is that of `name`, or another. free() it. */
char *net_token(const struct plain_net *x, const struct plain_party *p, const char *name, const char *kid);
char *net_token_of_mailbox(const struct plain_net *x, const struct plain_party *p, const char *name, const char *kid,
	const char *mailbox_name);
void net_authenticate(struct rpc_client *c, const char *text);
void net_come(struct plain_net *x, struct rpc_client *c, const struct plain_party *p, const char *name);
/* The answer of token.refresh; reply_release(). */
struct reply net_refresh(struct rpc_client *c, const char *text);

/* Params: {space, ucan} and, after them, n more. */
void net_begin(struct buf *b, struct cbor_enc *e, const char *ucan, size_t n);
/* Of a push of one record; blob NULL: a tombstone. */
void net_begin_push(struct buf *b, struct cbor_enc *ret_e, const char *ucan, const char *blob, uint64_t expected);
/* The space from its beginning, as subscribe and pull want it. */
void net_put_spaces(struct cbor_enc *e, const char *ucan);
/* Ends and sends the params, which it releases, and expects a result. */
void net_call_ok(struct rpc_client *c, const char *method, struct buf *params, struct cbor_enc *e);

void net_make_space(struct plain_net *x, struct rpc_client *c);
void net_make_named_space(struct plain_net *x, struct rpc_client *c, const char *id);
void net_push(struct rpc_client *c, const char *ucan, const char *blob, uint64_t expected);
void net_subscribe(struct rpc_client *c, const char *ucan);
void net_subscribe_to(struct rpc_client *c, const char *ucan, const char *id);

/* The next notification, which has this name; valid until the next that is read. */
struct frame net_expect_notice(struct rpc_client *c, const char *name);
/* Presence and events; data NULL: none. */
void net_send_live(struct rpc_client *c, const char *name, const char *data);
void net_send_live_to(struct rpc_client *c, const char *space, const char *name, const char *data);

/* A request for a file; p or ucan NULL: without. `more`: header lines. The HTTP status, the whole answer in *answer. */
int net_file(struct plain_net *x, const char *verb, const char *id, const struct plain_party *p, const char *ucan,
	const char *more, struct bytes body, struct buf *answer);
/* The same with a short body, if any, whose answer has this status and holds this text (NULL: any). */
void net_expect_file(struct plain_net *x, int status, const char *text, const char *verb, const char *id,
	const struct plain_party *p, const char *ucan, const char *more);

#endif
