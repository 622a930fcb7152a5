/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox: takes from the process what it does not need, for good: core dumps and being traced, new privileges, all
 * inherited descriptors but 0-3, and (Landlock, where the kernel has it) every file but those that TLS and name look-up
 * read. With it a taken-over coffer-syncd cannot open the cache, the key file or anything of the person's home.
 */
#ifndef COFFER_SYNCD_SANDBOX_H
#define COFFER_SYNCD_SANDBOX_H

#include "base/err.h"

/* Before any thread starts. Parts that the kernel does not offer are logged and left out. ERR_IO if a part that every
 * kernel has was refused. */
int sandbox_enter(void) MUST_CHECK;

#endif
