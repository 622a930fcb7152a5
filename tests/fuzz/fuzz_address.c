/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What proxies write into headers: what stands for an address stands for the network's own address too; a refused text leaves
 * nothing behind.
 */
#include <stdio.h>
#include <stdlib.h>
#include "server/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *text = malloc(n + 1), once[64] = "untouched", again[64], net[64];

	if (!text)
		return 0;
	memcpy(text, p, n);
	text[n] = '\0';
	if (limits_address(text, once, sizeof once) < 0) {
		if (strcmp(once, "untouched") != 0)
			abort();
	} else {
		snprintf(net, sizeof net, "%.*s", (int)strcspn(once, "/"), once);
		if (limits_address(net, again, sizeof again) < 0 || strcmp(once, again) != 0)
			abort();
	}
	free(text);
	return 0;
}
