/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ucan: the chains of delegations by which a plain space's root key lets others in (docs/PROTOCOL.md §6.3). A token is
 * a compact JWS, ES256 or EdDSA by the did:key that it names as issuer; its one proof is the token that gave the issuer
 * what it passes on, up to the space's root key, which needs none.
 *
 *	struct ucan u;
 *	if ((err = ucan_verify(text, did, &space, UCAN_WRITE, now, &u)) < 0) ...
 *	... u.root is the space's root key? none of u.cids revoked? u.exp still to come? ...
 *
 * Whether the chain's root is the space's, and what was revoked, is for the store to say; the rest is decided here,
 * from the text alone. Pure; verifies one signature per token, so it is for verify and reader threads.
 */
#ifndef COFFER_SERVER_UCAN_H
#define COFFER_SERVER_UCAN_H

#include "crypto/jws.h"

#define UCAN_MAX 65536 /* characters */
#define UCAN_DEPTH 8   /* tokens of a chain */
#define UCAN_CIDS (2 * UCAN_DEPTH) /* of each token, and of its text with the other signature */

enum ucan_command { UCAN_READ = 1, UCAN_WRITE = 2, UCAN_ADMIN = 3 };

struct ucan {
	struct jws_key root; /* issuer of the innermost token */
	int64_t exp;         /* unix s: the earliest of the chain */
	size_t depth;        /* tokens */
	struct id32 cids[UCAN_CIDS];
	size_t n;
};

/* What a token is revoked by: SHA-256 of its text. */
void ucan_cid(struct bytes text, struct id32 *ret_cid);

/* Checks that `text` lets `audience` (a DID) do `need` in `space` at `now`. ERR_INVALID: no such token, ill-formed, too
 * deep, a token twice; ERR_SIGNATURE; ERR_CONTEXT: another space or audience, or a link that does not fit;
 * ERR_FORBIDDEN: less than `need`, or more than its parent; ERR_STALE: expired, not yet valid, or longer than its
 * parent; ERR_NOMEM. */
int ucan_verify(struct bytes text, const char *audience, const struct id16 *space, enum ucan_command need, int64_t now,
	struct ucan *ret_u) MUST_CHECK;

#endif
