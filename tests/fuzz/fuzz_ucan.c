/* SPDX-License-Identifier: Apache-2.0 */
/* A UCAN out of a request: never more than an error, and what is accepted ends later and stands on at least one token. */
#include <stdlib.h>
#include "server/ucan.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char audience[] = "did:key:zDnaeXxvmFHMHjqgQTbadpWG7gPHwnga1i7SMwxrV2BSdUjAD";
	struct id16 space;
	struct ucan u;

	if (id16_parse("11111111-1111-1111-1111-111111111111", 36, &space) < 0)
		abort();
	if (ucan_verify(bytes_of(p, n), audience, &space, UCAN_READ, 1900000000, &u) == OK &&
		(u.exp < 1900000000 || u.n == 0 || u.n > UCAN_CIDS || u.depth > UCAN_DEPTH))
		abort();
	return 0;
}
