/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bucket answers: whatever the bytes are, names are texts, a text is one that a caller can hold, and a caller that stops is
 * asked no more.
 */
#include <stdlib.h>
#include "server/s3.h"

#define TEXT_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct seen {
	size_t n, stop_at;
};

static int look(void *ctx, const char *name, const char *text)
{
	struct seen *seen = ctx;

	if (!name[0] || (text && strlen(text) > TEXT_MAX) || seen->n > seen->stop_at)
		abort();
	if (text)
		(void)s3_time(text);
	return seen->n++ == seen->stop_at ? ERR_BUSY : OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct seen all = { .stop_at = SIZE_MAX - 1 };
	int err = s3_xml_read(bytes_of(p, n), look, &all);

	if (err < 0 && err != ERR_INVALID && err != ERR_NOMEM)
		abort();
	for (size_t i = 0; i < all.n && i < 4; i++) {
		struct seen some = { .stop_at = i };

		if (s3_xml_read(bytes_of(p, n), look, &some) != ERR_BUSY)
			abort();
	}
	return 0;
}
