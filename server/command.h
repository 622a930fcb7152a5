/* SPDX-License-Identifier: Apache-2.0 */
/* command: what coffer-relay does besides serving, for its owner at a terminal. Returns an exit status (sysexits.h). */
#ifndef COFFER_SERVER_COMMAND_H
#define COFFER_SERVER_COMMAND_H

#include "server/config.h"

/* backup DIR, check, invite [HOURS]; usage errors are said. */
int command_run(const struct config *c, const char *const *words, size_t n);

#endif
