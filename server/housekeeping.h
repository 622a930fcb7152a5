/* SPDX-License-Identifier: Apache-2.0 */
/*
 * housekeeping: removes what nobody can ask for any more: replaced versions whose retention has passed; chunks that no
 * version and no adopted index chunk names, 7 days after their upload; what housekeeping_plain.h says. And it gives the
 * store's free pages back to the file system. Small steps, so that requests never wait long.
 */
#ifndef COFFER_SERVER_HOUSEKEEPING_H
#define COFFER_SERVER_HOUSEKEEPING_H

#include "base/err.h"

struct relay;

/* At start: chunks whose objects were never synced are forgotten unless those are whole (they are synced then). */
int housekeeping_start(struct relay *r) MUST_CHECK;

/* One step, in a transaction of its own, on the writer's connection: at most 1,000 objects. Returns 1 if there may be
 * more to do, 0 if not, or an error (nothing was changed). */
int housekeeping_step(struct relay *r) MUST_CHECK;

#endif
