/* SPDX-License-Identifier: Apache-2.0 */
/*
 * needle: finds any of many secrets in any amount of bytes, in the forms in which a program lets a secret slip: as they
 * are, in hex (both cases), in base64 and base64url (at all three alignments).
 *
 *	struct needles *n = needles_new();
 *	needles_add(n, "epoch key", key, 32); ...
 *	needles_sort(n);                        // after the last one
 *	needles_scan(n, bytes, found, ctx);     // as often as wanted
 *	needles_free(n);
 *
 * Aborts without memory. Not thread-safe.
 */
#ifndef COFFER_TESTS_LIB_NEEDLE_H
#define COFFER_TESTS_LIB_NEEDLE_H

#include <stdbool.h>
#include "base/bytes.h"

#define NEEDLE_MIN 16 /* shorter ones would be found by chance */
#define NEEDLE_MAX 64

struct needles;

struct needles *needles_new(void);
void needles_free(struct needles *n); /* wipes; NULL is fine */

/* `kind` is borrowed. One secret is kept once, under the kind it came with first; bytes that are all the same are none.
 * False if it is one of these. */
bool needles_add(struct needles *n, const char *kind, const void *p, size_t len);
void needles_sort(struct needles *n);

/* How many of a kind (NULL: in all). */
size_t needles_count(const struct needles *n, const char *kind);
/* Calls fn once for each kind. */
void needles_each_kind(const struct needles *n, void (*fn)(void *ctx, const char *kind, size_t count), void *ctx);
/* The first one of a kind; empty if there is none. */
struct bytes needles_first(const struct needles *n, const char *kind);

/* Calls fn for each place where one begins; gives the number of places. `form` says how it is spelled there. */
size_t needles_scan(const struct needles *n, struct bytes in,
	void (*fn)(void *ctx, const char *kind, const char *form, size_t at), void *ctx);

#endif
