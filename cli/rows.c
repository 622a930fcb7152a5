/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "base/cleanup.h"
#include "cli/print.h"
#include "wire/cbor.h"
#include "wire/map.h"

#define CELL_MAX 32 /* of a number */

/* A number as its column shows it, in `memory`. */
static struct bytes number_cell(uint64_t v, enum row_kind kind, struct buf *memory)
{
	uint64_t now = (uint64_t)time(NULL);
	time_t t = (time_t)v;
	size_t at = memory->len;
	char date[CELL_MAX] = "-";
	struct tm tm;
	int err;

	if (kind == ROW_DATE) {
		if (v > 0 && localtime_r(&t, &tm))
			(void)!strftime(date, sizeof date, "%Y-%m-%d %H:%M", &tm);
		err = buf_printf(memory, "%s", date);
	} else if (kind == ROW_UNTIL) {
		err = v > now ? buf_printf(memory, "in %.20s", print_span(v - now).s) : buf_printf(memory, "now");
	} else {
		err = buf_printf(memory, "%" PRIu64, v);
	}
	return err < 0 ? bytes_str("?") : bytes_of(memory->data + at, memory->len - at);
}

/* The cell as text: views for texts, static texts for truths, printed numbers in `memory`. */
static struct bytes cell_of(struct bytes row, const struct row_column *column, struct buf *memory)
{
	struct bytes item = map_get_item(row, column->key);
	struct cbor_dec d = cbor_dec_init_rpc(item);

	if (item.len == 0)
		return bytes_str("");
	switch (cbor_peek(&d)) {
	case CBOR_TEXT:
		return cbor_get_text(&d, 4096);
	case CBOR_TRUE:
		return bytes_str("yes");
	case CBOR_FALSE:
		return bytes_str("");
	case CBOR_UINT:
		return number_cell(cbor_get_uint(&d), column->kind, memory);
	default:
		return bytes_str("");
	}
}

int rows_print(struct bytes result, const char *list, const struct row_column *columns, size_t n_columns)
{
	struct cbor_dec d = cbor_dec_init_rpc(map_get_item(result, list));
	size_t n = cbor_get_array(&d, ROWS_MAX);
	CLEANUP(buf_release) struct buf memory = BUF_INIT((n * n_columns + 1) * CELL_MAX);

	if (cbor_dec_error(&d) < 0) {
		fputs("coffer: the agent's list cannot be read\n", stderr);
		return EX_PROTOCOL;
	}
	FREE_AFTER struct bytes *cells = calloc(n * n_columns + 1, sizeof *cells);
	if (!cells || buf_reserve(&memory, n * n_columns * CELL_MAX) < 0) {
		fputs("coffer: out of memory\n", stderr);
		return EX_OSERR;
	}
	for (size_t r = 0; r < n; r++) {
		struct bytes row = cbor_get_raw(&d);
		for (size_t c = 0; c < n_columns; c++)
			cells[r * n_columns + c] = cell_of(row, &columns[c], &memory);
	}
	const char *titles[ROWS_MAX_COLUMNS];
	for (size_t c = 0; c < n_columns; c++)
		titles[c] = columns[c].title;
	return print_table(titles, n_columns, cells, n);
}
