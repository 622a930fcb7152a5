/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "cli/print.h"
#include "wire/cbor.h"
#include "wire/map.h"

/* The cell as text: views for texts, static texts for booleans, printed numbers in `memory`. */
static struct bytes cell_of(struct bytes row, const char *key, struct buf *memory)
{
	struct bytes item = map_get_item(row, key);
	struct cbor_dec d = cbor_dec_init_rpc(item);

	if (item.len == 0)
		return bytes_str("");
	switch (cbor_peek(&d)) {
	case CBOR_TEXT: return cbor_get_text(&d, 4096);
	case CBOR_TRUE: return bytes_str("yes");
	case CBOR_FALSE: return bytes_str("");
	case CBOR_UINT: {
		size_t at = memory->len;
		if (buf_printf(memory, "%" PRIu64, cbor_get_uint(&d)) < 0)
			return bytes_str("?");
		return bytes_of(memory->data + at, memory->len - at);
	}
	default: return bytes_str("");
	}
}

int rows_print(struct bytes result, const char *list, const char *const *titles, const char *const *keys, size_t n_columns)
{
	struct cbor_dec d = cbor_dec_init_rpc(map_get_item(result, list));
	size_t n = cbor_get_array(&d, ROWS_MAX);
	CLEANUP(buf_release) struct buf memory = BUF_INIT(n * n_columns * 24 + 24);

	if (cbor_dec_error(&d) < 0) {
		fputs("coffer: the agent's list cannot be read\n", stderr);
		return EX_PROTOCOL;
	}
	FREE_AFTER struct bytes *cells = calloc(n * n_columns + 1, sizeof *cells);
	if (!cells || buf_reserve(&memory, n * n_columns * 24) < 0) {
		fputs("coffer: out of memory\n", stderr);
		return EX_OSERR;
	}
	for (size_t r = 0; r < n; r++) {
		struct bytes row = cbor_get_raw(&d);
		for (size_t c = 0; c < n_columns; c++)
			cells[r * n_columns + c] = cell_of(row, keys[c], &memory);
	}
	return print_table(titles, n_columns, cells, n);
}
