/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seen: a set of byte strings, to show that none comes twice. Keeps a hash of each. Aborts without memory.
 *
 *	struct seen s = SEEN_INIT;
 *	if (!seen_add(&s, nonce, 24)) fail();
 *	seen_release(&s);
 */
#ifndef COFFER_TESTS_LIB_SEEN_H
#define COFFER_TESTS_LIB_SEEN_H

#include <stdbool.h>
#include "base/id.h"

struct seen {
	struct id16 *slots; /* zero: free */
	size_t n, size;
};

#define SEEN_INIT { .slots = NULL }

/* False: it is there already. */
bool seen_add(struct seen *s, const void *p, size_t len);
void seen_release(struct seen *s);

#endif
