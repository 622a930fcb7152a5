/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token: what a relay checks to know a device: a self-issued compact JWS (RFC 7515, EdDSA of RFC 8037) signed by a
 * throw-away session key, and inside it the delegation by which the device gave that key at most one hour. Needs no
 * secret.
 *
 * header  {"alg":"EdDSA","typ":"JWT"}
 * claims  iss = sub = did:key of the person, client_id = did:key of the device, aud = the relay's origin, iat, exp
 *         (at most TOKEN_MAX_LIFE after iat), scope = TOKEN_SCOPE, cnf = did:key of the session key, dlg = base64url
 *         of the delegation
 * JSON here is one flat object of at most 16 strings without escapes and whole numbers, without blanks (token_text.h);
 * a key may not occur twice; unknown keys are ignored. The header is compared byte for byte.
 *
 * delegation = [ { 0: format 1, 1: person 32, 2: device 32, 3: session key 32, 4: aud text, 5: not after (unix s) },
 *                signature 64 ]   strict CBOR; the device signs DELEGATION_LABEL and the encoded map
 */
#ifndef COFFER_CRYPTO_TOKEN_H
#define COFFER_CRYPTO_TOKEN_H

#include "base/id.h"

#define TOKEN_MAX 2048 /* characters of a token */
#define TOKEN_MAX_LIFE 3600
#define TOKEN_SKEW 60 /* seconds that the clocks of device and relay may differ */
#define TOKEN_SCOPE "sync files"
#define TOKEN_AUD_MAX 255
#define DELEGATION_FORMAT 1
#define DELEGATION_LABEL "coffer/delegation/1"
#define DELEGATION_MAX 512

struct delegation {
	struct id32 person, device, session;
	struct bytes
		aud; /* text: the relay's origin, 1..TOKEN_AUD_MAX printable ASCII characters without '"' and '\' */
	int64_t not_after;
};

/* Decodes and checks the device's signature; `aud` points into the blob. The decoder's errors, ERR_VERSION,
 * ERR_SIGNATURE. */
int delegation_verify(struct bytes blob, struct delegation *ret_d) MUST_CHECK;

struct token {
	struct id32 person, device, session;
	int64_t exp; /* unix seconds: the earlier of the token's and the delegation's end */
};

/* Checks a token for the relay `aud` at `now` (unix seconds). ERR_INVALID: not of the shape above, or it claims more
 * than TOKEN_MAX_LIFE; ERR_SIGNATURE: the session's or the device's; ERR_CONTEXT: for another relay, or token and
 * delegation differ; ERR_STALE: expired, or from a clock more than TOKEN_SKEW ahead. Whether the device is the person's
 * is for the logs to say. */
int token_verify(struct bytes text, const char *aud, int64_t now, struct token *ret_t) MUST_CHECK;

#endif
