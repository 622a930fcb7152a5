/* SPDX-License-Identifier: Apache-2.0 */
/* keep: what `pin` and `evict` share: a verb over a list of paths. */
#ifndef COFFER_CLI_KEEP_H
#define COFFER_CLI_KEEP_H

#include "cli/verb.h"

/* Asks the agent for `verb` on the paths argv[1..argc). Returns a sysexits code. */
int keep_paths(const struct context *ctx, const char *verb, int argc, char **argv);

#endif
