/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session: coffer-syncd's throw-away key and the tokens that it signs. The key dies with the process; what it may do,
 * and for how long, stands in the delegation that coffer-fs sends (wire/msg.h DELEGATE).
 *
 *	crypto_init via session_new -> session_public -> HELLO; DELEGATE arrives -> session_token -> connect, and again
 *	before *ret_exp
 */
#ifndef COFFER_CRYPTO_SESSION_H
#define COFFER_CRYPTO_SESSION_H

#include "base/buf.h"
#include "base/id.h"

struct session;

/* Also starts the crypto library (crypto_init). Free with session_free(). */
int session_new(struct session **ret_s) MUST_CHECK;
void session_free(struct session *s); /* NULL is fine */
void session_freep(struct session **ps);

/* The public key. Valid as long as s. */
const struct id32 *session_public(const struct session *s);

/* Appends the text of a token that ends at the earlier of now + TOKEN_MAX_LIFE and the delegation's end (*ret_exp, unix
 * seconds). Person, device and relay come out of the delegation. The decoder's errors; ERR_SIGNATURE; ERR_CONTEXT: it
 * is for another session key; ERR_STALE: it ended before `now`. */
int session_token(
	const struct session *s, struct bytes delegation, int64_t now, struct buf *b, int64_t *ret_exp) MUST_CHECK;

#endif
