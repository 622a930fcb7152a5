/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program: what programs that are no cmocka tests, but assert as those do, call before anything else.
 */
#ifndef COFFER_TESTS_LIB_PROGRAM_H
#define COFFER_TESTS_LIB_PROGRAM_H

/* A failed assertion prints what it has to say, and the program aborts. Without it cmocka keeps the message and ends
 * with 255. */
void program_init(void);

#endif
