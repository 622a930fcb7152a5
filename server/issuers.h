/* SPDX-License-Identifier: Apache-2.0 */
/*
 * issuers: the account servers whose tokens this relay believes, and their public keys (JWKS, RFC 7517): fetched at
 * start and now and then, and when a token names a key that is not among them. Each issuer has a thread of its own, so
 * that one that hangs keeps nobody else waiting; nobody waits in issuers_key.
 *
 *	issuers_new(&is); issuers_set(is, specs, n); issuers_start(is, changed, ctx);
 *	switch (issuers_key(is, iss, kid, &key)) { case ERR_AGAIN: hold the token and ask again after changed(ctx) ... }
 *	issuers_free(is);
 *
 * A key once fetched is used until a fetch that succeeded no longer has it. A key id that was not there is not asked
 * for again for some seconds, and neither is an issuer that did not answer. Thread-safe after issuers_start.
 */
#ifndef COFFER_SERVER_ISSUERS_H
#define COFFER_SERVER_ISSUERS_H

#include "base/env.h"
#include "crypto/jws.h"

#define ISSUERS_MAX 16
#define ISSUERS_KEYS_MAX 64
#define ISSUERS_KID_MAX 128
#define ISSUERS_FETCH_SECONDS 10
#define JWKS_MAX (1u << 20)

struct issuers;

struct issuer_key {
	char kid[ISSUERS_KID_MAX];
	struct jws_key key;
};

/* Reads a key set: its usable keys, at most ISSUERS_KEYS_MAX; others are left out. Returns how many; ERR_INVALID,
 * ERR_NOMEM. */
int jwks_read(struct bytes json, struct issuer_key *ret_keys) MUST_CHECK;

int issuers_new(const struct env *env, struct issuers **ret_is) MUST_CHECK;
/* These from now on, each "ISSUER" or "ISSUER=URL of its key set" (otherwise ISSUER/.well-known/jwks.json). Those that
 * were there keep their keys; whose thread has nothing to do any more ends by itself. `changed` is called, too.
 * ERR_INVALID, ERR_RANGE over ISSUERS_MAX, ERR_NOMEM: all stays as it was. One thread at a time. */
int issuers_set(struct issuers *is, const char *const *specs, size_t n) MUST_CHECK;
bool issuers_spec_is_good(const char *spec);
/* How long keys are good without being asked for again (3600 s), and when a failed or vain question is asked again
 * (10 s). */
void issuers_set_times(struct issuers *is, int64_t refresh_seconds, int64_t retry_seconds);
/* changed is called from any issuer's thread after each fetch, good or bad. */
int issuers_start(struct issuers *is, void (*changed)(void *ctx), void *ctx) MUST_CHECK;
/* Ends the threads: fetches under way are given up, within a second or two. Again is harmless. */
void issuers_stop(struct issuers *is);
void issuers_free(struct issuers *is); /* stops first */

/* The key of an issuer (trailing slashes do not count). ERR_NOT_FOUND: not a trusted issuer; ERR_AGAIN: it is being
 * fetched; ERR_WRONG_KEY: the issuer has no such key; ERR_OFFLINE: the issuer does not answer. */
int issuers_key(struct issuers *is, struct bytes iss, struct bytes kid, struct jws_key *ret_key) MUST_CHECK;

#endif
