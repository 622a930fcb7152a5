/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a file holds, reading it ends, and what it gives are whole strings within the file's size. */
#include <stdlib.h>
#include <string.h>
#include "server/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int look(void *ctx, const char *table, const char *key, const struct toml_value *v)
{
	size_t max = *(const size_t *)ctx, n = strlen(table) + strlen(key);

	if (v->kind == TOML_TEXT)
		n += strlen(v->text);
	for (size_t i = 0; v->kind == TOML_LIST && i < v->n; i++)
		if (strlen(v->items[i]) > max)
			abort();
	if (n > max)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct toml_fault fault;

	if (toml_read(bytes_of(p, n), look, &n, &fault) == ERR_INVALID && (!fault.what || !fault.line))
		abort();
	return 0;
}
