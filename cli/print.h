/* SPDX-License-Identifier: Apache-2.0 */
/* print: data from the agent as JSON, and sizes, rates and times as people read them. */
#ifndef COFFER_CLI_PRINT_H
#define COFFER_CLI_PRINT_H

#include <stdint.h>
#include "base/bytes.h"

/* The CBOR item as JSON on one line with a newline; byte strings as hex. Returns a sysexits code. */
int print_json(struct bytes item);

struct print_text {
	char s[48];
};

struct print_text print_size(uint64_t bytes);     /* "1.4 GiB" */
struct print_text print_rate(double per_second);  /* "3.2 MiB/s" */
struct print_text print_ago(int64_t wall_ns);     /* "3 s ago"; "never" for 0 */
struct print_text print_span(uint64_t seconds);   /* "10 min" */

/* A text view from the agent for printf("%.*s"): control characters never reach the terminal. */
void print_clean(struct bytes text);

/* Writes a table: n_columns titles, then rows of views in row order. No command of coffer uses colours. */
int print_table(const char *const *titles, size_t n_columns, const struct bytes *cells, size_t n_rows);

#endif
