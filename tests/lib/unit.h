/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit: cmocka with the headers that it wants before it, and what most tests need.
 */
#ifndef COFFER_TESTS_LIB_UNIT_H
#define COFFER_TESTS_LIB_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/buf.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Appends the bytes of a hex text (blanks allowed) to b; fails the test if it is none. */
void unit_put_hex(struct buf *b, const char *hex);

/* Fails the test with both in hex unless they are equal. */
void unit_assert_bytes(struct bytes got, struct bytes want);
void unit_assert_hex(struct bytes got, const char *want);

/* A repeatable pseudo-random number; *state is the seed. */
uint64_t unit_random(uint64_t *state);

#endif
