/* SPDX-License-Identifier: Apache-2.0 */
/* A step of the history as a hostile relay may send it: decoded or refused, and what is decoded is consistent. */
#include <stdlib.h>
#include "base/cleanup.h"
#include "fusefs/step.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct history_step s;

	if (step_decode(bytes_of(p, n), &s) < 0)
		return 0;
	if (s.cursor == 0 || s.n_records > s.n_lines || s.n_entries > s.n_lines)
		abort();
	for (size_t i = 1; i < s.n_chunks; i++) {
		if (id16_compare(&s.chunks[i - 1].id, &s.chunks[i].id) >= 0)
			abort();
	}
	step_release(&s);
	return 0;
}
