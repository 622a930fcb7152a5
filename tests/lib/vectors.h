/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vectors: reads tests/data/NAME: lines of name=value pairs with blanks between; "#" begins a comment line. Values are
 * hex or words. Found from the root of the repository or next to the test's build directory.
 *
 *	n = vectors_each("ed25519.txt", check, NULL);        // check(v, NULL) runs once per line
 *	unit_assert_bytes(got, vector_get(v, "sig"));
 */
#ifndef COFFER_TESTS_LIB_VECTORS_H
#define COFFER_TESTS_LIB_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include "base/bytes.h"

struct vector;

/* Fails the test if the file cannot be read. Returns the number of lines. */
size_t vectors_each(const char *file, void (*check)(const struct vector *v, void *arg), void *arg);

/* The bytes of a hex value; fails the test if the line has no such name. Valid until `check` returns. */
struct bytes vector_get(const struct vector *v, const char *name);

/* The same, copied; fails unless it has exactly n bytes. */
void vector_copy(const struct vector *v, const char *name, void *out, size_t n);

/* True if the value is this word. */
bool vector_is(const struct vector *v, const char *name, const char *word);

#endif
