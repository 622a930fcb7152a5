/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An accepted address, written in its one form, is accepted and means the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include "wire/relay_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char text[2 * RELAY_URL_MAX];
	struct relay_url a, b;

	if (relay_url_parse(bytes_of(p, n), &a) < 0)
		return 0;
	snprintf(text, sizeof text, "%s%s", a.origin, a.prefix);
	if (strlen(text) >= RELAY_URL_MAX)
		return 0;
	if (relay_url_parse(bytes_str(text), &b) < 0 || a.tls != b.tls || a.port != b.port ||
		strcmp(a.host, b.host) != 0 || strcmp(a.prefix, b.prefix) != 0 || strcmp(a.origin, b.origin) != 0)
		abort();
	return 0;
}
