/* SPDX-License-Identifier: Apache-2.0 */
/*
 * action: appending to the engine's list of actions (engine.h), for the engine and its tables alone.
 */
#ifndef COFFER_SYNCD_ACTION_H
#define COFFER_SYNCD_ACTION_H

#include "syncd/engine.h"

/* A fresh action at the end of the list, valid until the next one. ERR_NOMEM. */
int action_add(struct engine_actions *out, enum engine_action_kind kind, struct engine_action **ret_a) MUST_CHECK;

/* CLOSE, CONNECT, HEALTH. */
int action_plain(struct engine_actions *out, enum engine_action_kind kind) MUST_CHECK;

/* TELL with a copy of *m (views stay borrowed). */
int action_tell(struct engine_actions *out, const struct msg *m) MUST_CHECK;

/* TELL of RESULT `num` with code and no value. `code` is static. */
int action_tell_code(struct engine_actions *out, uint64_t num, const char *code) MUST_CHECK;

/* SEND; the frame's memory moves into the action, *frame is empty then. */
int action_send(struct engine_actions *out, struct buf *frame) MUST_CHECK;

#endif
