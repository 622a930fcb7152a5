/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toml: reads a configuration file. The part of TOML 1.0 that settings need: tables, bare keys, strings ("..." and
 * '...'), whole numbers, true and false, arrays of strings over any number of lines, comments. Everything else of TOML
 * (dates, floats, inline tables, dotted and quoted keys, multi-line strings) is refused with its line, never misread.
 * Debian 12 has no TOML library for C.
 *
 *	struct toml_fault fault;
 *	if ((err = toml_read(bytes, each, ctx, &fault)) < 0) fprintf(stderr, "line %u: %s", fault.line, fault.what);
 *
 * Whether a key may be given twice is the caller's to say: each() gets every one.
 */
#ifndef COFFER_SERVER_TOML_H
#define COFFER_SERVER_TOML_H

#include <stdbool.h>
#include <stdint.h>
#include "base/bytes.h"
#include "base/err.h"

#define TOML_MAX_SIZE (256u << 10) /* of a file */
#define TOML_MAX_NAME 64           /* of a table or key */
#define TOML_MAX_ITEMS 256         /* of an array */

enum toml_kind { TOML_TEXT, TOML_NUMBER, TOML_FLAG, TOML_LIST };

struct toml_value {
	enum toml_kind kind;
	const char *text; /* TOML_TEXT: NUL-terminated, without NUL inside */
	int64_t number;
	bool flag;
	const char *const *items; /* TOML_LIST: n of them */
	size_t n;
};

struct toml_fault {
	unsigned line;    /* from 1 */
	const char *what; /* static storage; NULL if each() stopped */
};

/* `table` is "" before the first header. All pointers last until each() returns; another value than 0 stops the reading
 * and is returned. */
typedef int toml_each(void *ctx, const char *table, const char *key, const struct toml_value *v);

/* ERR_INVALID (the fault says why), ERR_RANGE (too large), ERR_NOMEM, or what each() returned. */
int toml_read(struct bytes text, toml_each *each, void *ctx, struct toml_fault *ret_fault) MUST_CHECK;

#endif
