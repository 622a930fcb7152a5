/* SPDX-License-Identifier: Apache-2.0 */
#include "base/allocator.h"

#include <malloc.h>

#define MAP_FROM (16 << 20) /* larger blocks are rare, and are given back whole */

void allocator_keep_blocks(void)
{
	/* A hint: where it is refused, all works the same, slower. */
	(void)mallopt(M_MMAP_THRESHOLD, MAP_FROM);
	(void)mallopt(M_TRIM_THRESHOLD, ALLOCATOR_KEEP);
}
