/* SPDX-License-Identifier: Apache-2.0 */
/* keep: what `pin` and `evict` share: a verb over a list of paths. */
#ifndef COFFER_CLI_KEEP_H
#define COFFER_CLI_KEEP_H

#include <stdint.h>
#include "cli/verb.h"

/* Asks the agent for `verb` on n paths, and with a new limit unless that is NULL. Returns a sysexits code. */
int keep_paths(const struct context *ctx, const char *verb, const uint64_t *limit, int n, char **paths);

#endif
