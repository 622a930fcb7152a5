/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwt: access tokens that a trusted issuer signed (ES256, RS256), and who they say is speaking. Claims give rights only
 * here: in a token that a device made for itself they are words (auth.h).
 */
#ifndef COFFER_SERVER_JWT_H
#define COFFER_SERVER_JWT_H

#include "server/caller.h"
#include "server/issuers.h"

#define JWT_MAX 16384 /* characters */
#define AUDIENCES_MAX 16

/* What a relay asks of such tokens. The issuers are set at start, the rest may change on the network thread. */
struct jwt_rules {
	struct issuers *issuers;
	const char *audiences[AUDIENCES_MAX]; /* a token must name one of them; none: any will do */
	size_t n_audiences;
	bool has_identity_key; /* without it nothing is counted by the hour */
	uint8_t identity_key[32];
};

/* Whether the text may be such a token at all: its header names a key id and an algorithm of an issuer. */
bool jwt_is(struct bytes text);

/* Checks a token at `now` (unix s). Those of issuers_key; ERR_INVALID: ill-formed, or a claim that is missing or says
 * what the issuer cannot know; ERR_SIGNATURE; ERR_CONTEXT: for another audience; ERR_STALE: expired. *ret_exp: until
 * when it is good (unix s), INT64_MAX if it does not say. */
int jwt_verify(struct bytes text, const struct jwt_rules *rules, int64_t now, struct plain_self *ret_self,
	int64_t *ret_exp) MUST_CHECK;

/* What somebody is for a token's issuer, subject and client, apart from what else the token says. */
int jwt_self(const struct jwt_rules *rules, struct bytes iss, struct bytes sub, struct bytes client,
	struct plain_self *ret_self) MUST_CHECK;

/* The personal space of somebody (docs/PROTOCOL.md §6.2). */
int jwt_personal_space(struct bytes iss, struct bytes sub, struct bytes client, struct id16 *ret_id) MUST_CHECK;

#endif
