/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/padme.h"

static unsigned log2_floor(size_t v)
{
	return (unsigned)(8 * sizeof(unsigned long)) - 1 - (unsigned)__builtin_clzl(v);
}

size_t padme_size(size_t len)
{
	unsigned e, s;
	size_t mask;

	if (len < 2)
		return len;
	e = log2_floor(len);       /* bits of the exponent's value */
	s = log2_floor(e | 1) + 1; /* mantissa bits to keep; e is 1 at least */
	if (s >= e)
		return len;
	mask = ((size_t)1 << (e - s)) - 1;
	return (len + mask) & ~mask;
}
