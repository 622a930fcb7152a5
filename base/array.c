/* SPDX-License-Identifier: Apache-2.0 */
#include "base/array.h"

#include <stdint.h>
#include <stdlib.h>

enum { FIRST = 16 };

void *array_room(void *items, size_t *alloc, size_t n, size_t size)
{
	if (n <= *alloc && items)
		return items;
	size_t more = *alloc > SIZE_MAX / 2 ? n : *alloc * 2;

	if (more < FIRST)
		more = FIRST;
	if (more < n)
		more = n;
	if (more > SIZE_MAX / size)
		return NULL;
	void *moved = realloc(items, more * size);
	if (moved)
		*alloc = more;
	return moved;
}
