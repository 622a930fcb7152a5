/* SPDX-License-Identifier: Apache-2.0 */
/* rows: a list of maps in an agent's result, as a table. */
#ifndef COFFER_CLI_ROWS_H
#define COFFER_CLI_ROWS_H

#include "base/bytes.h"

#define ROWS_MAX 100000
#define ROWS_MAX_COLUMNS 8

enum row_kind {
	ROW_PLAIN, /* a text, number or truth as it is */
	ROW_DATE,  /* unix seconds as local date and time */
	ROW_UNTIL  /* unix seconds as the time left until then */
};

struct row_column {
	const char *title, *key;
	enum row_kind kind;
};

/* Prints the array of maps under `list`, one per row. Returns a sysexits code. */
int rows_print(struct bytes result, const char *list, const struct row_column *columns, size_t n_columns);

#endif
