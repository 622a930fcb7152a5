/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request that decodes, written again, gives the same bytes; an answer decodes without reading beyond its end.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "wire/ctl.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CTL_MAX + 4);
	struct ctl_request r;
	struct ctl_answer a;
	char verb[65];

	if (ctl_decode_request(bytes_of(p, n), &r) == OK) {
		memcpy(verb, r.verb.p, r.verb.len);
		verb[r.verb.len] = '\0';
		if (strlen(verb) == r.verb.len &&
			(ctl_put_request(&b, verb, r.args) < 0 || b.len != n + 4 || memcmp(b.data + 4, p, n) != 0))
			abort();
	}
	if (ctl_decode_answer(bytes_of(p, n), &a) == OK && a.kind == CTL_ERROR && a.error.exit > 255)
		abort();
	return 0;
}
