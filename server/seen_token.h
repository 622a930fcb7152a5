/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seen_token: tokens of devices that were found good, so that whoever uploads a thousand chunks with one token has it verified once. What
 * is kept is what the signatures proved; rights are looked up each time. Network thread only.
 *
 *	if (seen_tokens_find(s, text, now, &t)) ...
 *	else if ((err = token_verify(text, aud, now, &t)) == OK) seen_tokens_keep(s, text, &t);
 */
#ifndef COFFER_SERVER_SEEN_TOKEN_H
#define COFFER_SERVER_SEEN_TOKEN_H

#include <stdbool.h>
#include "crypto/token.h"

struct seen_tokens;

int seen_tokens_new(struct seen_tokens **ret_s) MUST_CHECK;
void seen_tokens_free(struct seen_tokens *s);
/* False: not known, or over at `now` (unix s). */
bool seen_tokens_find(const struct seen_tokens *s, struct bytes text, int64_t now, struct token *ret_t);
/* May take the place of another. */
void seen_tokens_keep(struct seen_tokens *s, struct bytes text, const struct token *t);

#endif
