/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seen: what signatures proved, so that whoever uploads a thousand chunks with one token, or listens to a thousand
 * spaces by their chains, has each verified once. Only what was found good is kept, and only what the text alone says:
 * rights are looked up each time. A table of fixed size, in which a new one may take the place of another. Thread-safe.
 *
 *	if (seen_find(s, &key, now, &what)) ...
 *	else if (verify(...) == OK) seen_keep(s, &key, now, until, &what);
 */
#ifndef COFFER_SERVER_SEEN_H
#define COFFER_SERVER_SEEN_H

#include <stdbool.h>
#include "base/env.h"
#include "base/id.h"

struct seen;

/* `size`: bytes of what is kept of each. */
int seen_new(const struct env *env, size_t places, size_t size, struct seen **ret_s) MUST_CHECK;
void seen_free(struct seen *s);
/* `key`: the hash of all that was verified. False: not known, or `now` (unix s) is not from its `since` to before its
 * `until`. */
bool seen_find(struct seen *s, const struct id32 *key, int64_t now, void *ret_what);
/* All of it. */
void seen_forget(struct seen *s);
void seen_keep(struct seen *s, const struct id32 *key, int64_t since, int64_t until, const void *what);

#endif
