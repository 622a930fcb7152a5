/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_write: builds an entry on a space's log as it stands and has the relay take it; anew if somebody was first.
 *
 *	err = log_write(agent, space, build_epoch, NULL, LOG_WRITE_PLAIN, deadline);
 *
 * Blocks; holds no lock over calls to the relay.
 */
#ifndef COFFER_FUSEFS_LOG_WRITE_H
#define COFFER_FUSEFS_LOG_WRITE_H

#include "crypto/entry_make.h"
#include "fusefs/agent.h"

/* Appends the entry to b, and returns 0; 1: nothing needs to be written (any more). Called with the space's lock held.
 * `cut` is this device's head over all that the relay has, empty with LOG_WRITE_PLAIN. */
typedef int log_build(const struct entry_maker *m, struct space *s, struct bytes cut, void *arg, struct buf *b);

enum log_write { LOG_WRITE_PLAIN, LOG_WRITE_CUT };

/* deadline: monotonic ns. ERR_CONFLICT: others were first again and again; errors of build, sync_make_head and
 * sync_append. */
int log_write(
	struct agent *a, struct space *s, log_build *build, void *arg, enum log_write how, int64_t deadline) MUST_CHECK;

#endif
