/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup: a copy of what a relay keeps, while it runs: first the database as one snapshot, then the chunks. What is
 * removed in between has no part in the snapshot's newest state, with one exception: a record that keeps no history
 * (passing), replaced meanwhile, loses its chunks' objects an hour later; if the copying takes longer, the backup's
 * version of it lacks them, which the check of the copy tells. What comes in between is there in vain. Chunk files
 * never change, so on the same file system they are links and cost nothing.
 *
 * The copy is a directory that a relay can be started on; it has a new store id, so that devices compare and give back
 * what it lacks.
 */
#ifndef COFFER_SERVER_BACKUP_H
#define COFFER_SERVER_BACKUP_H

#include <stdint.h>
#include "base/env.h"
#include "server/config.h"

struct backup {
	uint64_t files, bytes; /* chunk files and their size */
};

/* `target` must not exist, or be empty. ERR_NOT_FOUND: no relay's directory; ERR_EXISTS, ERR_NO_SPACE, ERR_IO, ... What
 * is half there after an error is left for a look. Durable when this returns 0. */
int backup_run(struct backup *ret_b, const struct env *env, const struct config *c, const char *target) MUST_CHECK;

#endif
