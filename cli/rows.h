/* SPDX-License-Identifier: Apache-2.0 */
/* rows: a list of maps in an agent's result, as a table. */
#ifndef COFFER_CLI_ROWS_H
#define COFFER_CLI_ROWS_H

#include "base/bytes.h"

#define ROWS_MAX 100000
#define ROWS_MAX_COLUMNS 8

/* Prints the array of maps under `list`: per row the text, unsigned or boolean value of each key. Returns a sysexits code. */
int rows_print(struct bytes result, const char *list, const char *const *titles, const char *const *keys, size_t n_columns);

#endif
