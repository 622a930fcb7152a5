/* SPDX-License-Identifier: Apache-2.0 */
/*
 * banned: included before every source by the compiler's -include. Functions that write without knowing the size of
 * their target, or that keep hidden state, do not compile:
 *
 *	strcpy strcat sprintf vsprintf  ->  buf_put, buf_printf, snprintf
 *	strtok                          ->  strtok_r, strchr
 *	gets alloca                     ->  fgets, malloc
 */
#ifndef COFFER_BANNED_H
#define COFFER_BANNED_H

#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Some of them are macros in the headers above, depending on the compiler. */
#undef strcpy
#undef strcat
#undef sprintf
#undef vsprintf
#undef strtok
#undef gets
#undef alloca
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets alloca

#endif
