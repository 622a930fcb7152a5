/* SPDX-License-Identifier: Apache-2.0 */
/*
 * array: growing arrays.
 *
 *	struct item *more = array_room(l->items, &l->alloc, l->n + 1, sizeof *more);
 *	if (!more)
 *		return ERR_NOMEM;     // l->items and l->alloc are as they were
 *	l->items = more;
 *	l->items[l->n++] = item;
 */
#ifndef COFFER_BASE_ARRAY_H
#define COFFER_BASE_ARRAY_H

#include <stddef.h>
#include "base/err.h"

/* The array with room for n items of `size` bytes, *alloc of them (it at least doubles); it may have moved. The new
 * ones are not initialised. The caller frees it with free(). items may be NULL if *alloc is 0; n may be 0. NULL: no
 * memory, nothing changed. */
void *array_room(void *items, size_t *alloc, size_t n, size_t size) MUST_CHECK;

#endif
