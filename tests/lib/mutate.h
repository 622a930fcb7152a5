/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mutate: changes an encoded object in every place, one at a time, and hands each result to a function that must refuse
 * it. The copies stand at the end of their allocation, so that a sanitizer sees a read past them.
 */
#ifndef COFFER_TESTS_LIB_MUTATE_H
#define COFFER_TESTS_LIB_MUTATE_H

#include "base/bytes.h"

/* Returns what opening `changed` gave; `at` is the first byte that differs (or the new length, when cut). */
typedef int mutate_open_fn(struct bytes changed, size_t at, void *arg);

/* Every byte, with one bit flipped and with all flipped. Fails the test if one opens. */
void mutate_flips(struct bytes object, mutate_open_fn *open, void *arg);

/* Every shorter length from 0 on, and one byte longer. */
void mutate_lengths(struct bytes object, mutate_open_fn *open, void *arg);

#endif
