/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth: from a token to who is speaking. Two kinds: a device's own (crypto/token.h), which proves the device and claims
 * a person; and a trusted issuer's (jwt.h), which proves what it says.
 */
#ifndef COFFER_SERVER_AUTH_H
#define COFFER_SERVER_AUTH_H

#include "crypto/token.h"
#include "server/relay.h"

#define AUTH_TOKEN_MAX JWT_MAX /* characters of a token, of either kind */

struct auth {
	struct id32 person, device; /* zero for an issuer's token */
	struct plain_self plain;
};

/* Tokens that were found good are known (seen.h): a device's until it ends, an issuer's for AUTH_KEPT_SECONDS, since
 * its keys may be withdrawn. ERR_STALE: expired; ERR_NOT_FOUND: of no trusted issuer; ERR_CONTEXT: for another relay;
 * ERR_AGAIN: ask again when the issuers' keys have changed; ERR_OFFLINE: its issuer does not answer; ERR_RATE_LIMITED:
 * one that is not known is one too many for `addr` (NULL: the caller counts, or nobody does); anything else: not a good
 * token. Network thread. */
#define AUTH_KEPT_SECONDS 60
int auth_check(const struct relay *r, struct bytes text, const char *addr, struct auth *ret_a) MUST_CHECK;
/* The same for an HTTP Authorization header's value: NULL, or the reason and *ret_status. */
const char *auth_check_bearer(
	const struct relay *r, struct bytes header, const char *addr, struct auth *ret_a, int *ret_status);

/* What the WebSocket's close and token.refresh say of such an error. */
const char *auth_reason(int err);

#endif
