/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap: makes an allocation fail. Tests are linked with --wrap=malloc,calloc,realloc, so this sees every allocation of
 * the project's own objects (not those inside shared libraries).
 *
 *	for (unsigned long n = 1;; n++) {
 *		heap_fail_at(n);
 *		int err = call();
 *		if (!heap_failed())
 *			break;            // call() makes fewer than n allocations: every one was tried
 *		assert_int_equal(err, ERR_NOMEM);
 *	}
 *	heap_fail_at(0);
 */
#ifndef COFFER_TESTS_LIB_HEAP_H
#define COFFER_TESTS_LIB_HEAP_H

#include <stdbool.h>

/* From now the n-th allocation (1 is the next) returns NULL, once. 0 ends it. Resets the count. */
void heap_fail_at(unsigned long n);

/* Like heap_fail_at, and every later one fails too. */
void heap_fail_from(unsigned long n);

/* True if an allocation failed on purpose since the last heap_fail_at or heap_fail_from. */
bool heap_failed(void);

/* Allocations since then. */
unsigned long heap_count(void);

/* Helpers of tests: allocations of this thread between the two neither count nor fail. Nest. */
void heap_suspend(void);
void heap_resume(void);

#endif
