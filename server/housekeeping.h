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

/* At start: chunks whose objects were never synced are forgotten unless those are whole (they are synced then). Where
 * that cannot be told (no files left to open, no memory, no bucket) it is an error, and nothing is forgotten. */
int housekeeping_start(struct relay *r) MUST_CHECK;

#define HOUSEKEEPING_MANY 500

/* One step, on the writer's connection: of replaced versions, of chunks, of letters and of deeds HOUSEKEEPING_MANY at
 * most. What fails with one kind holds up none of the others. A replaced version that is damaged stays, is logged, and
 * is looked at again in a day. Returns 1 if there may be more to do, 0 if not, or the first error. */
int housekeeping_step(struct relay *r) MUST_CHECK;

#endif
