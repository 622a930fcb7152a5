/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message that is taken, written again, gives the same bytes; also several in a row.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "wire/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct bytes in = bytes_of(p, n);

	for (;;) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(MSG_MAX + 4);
		struct msg m;
		size_t used;

		if (msg_take(in, &m, &used) < 0)
			return 0;
		/* An undefined value comes back as null: the same length. */
		if (msg_put(&b, &m) < 0 || b.len != used)
			abort();
		in = bytes_of(in.p + used, in.len - used);
	}
}
