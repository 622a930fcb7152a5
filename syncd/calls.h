/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls: the table of open CALLs: in the order in which they came, the first ENGINE_MAX_IN_FLIGHT of them at the relay.
 * The relay knows a call by an id made here, "c" and a number that is never used twice in a process.
 */
#ifndef COFFER_SYNCD_CALLS_H
#define COFFER_SYNCD_CALLS_H

#include "syncd/engine.h"
#include "wire/frame.h"

struct calls;

int calls_new(struct calls **ret_c) MUST_CHECK;
void calls_free(struct calls *c);

/* Takes a CALL: sends it, keeps it waiting, or answers "busy". ERR_INVALID if its number is open already. */
int calls_add(struct calls *c, const struct msg *m, uint64_t now, struct engine_actions *out) MUST_CHECK;

bool calls_has(const struct calls *c, uint64_t num);

/* coffer-fs needs no answer: a waiting call goes, one at the relay stays as a placeholder for what comes. */
void calls_cancel(struct calls *c, uint64_t num);

/* A response or chunk: tells coffer-fs, and sends the next waiting call after a response. Unknown ids are ignored. */
int calls_frame(struct calls *c, const struct frame *f, uint64_t now, struct engine_actions *out) MUST_CHECK;

/* Answers every open call with `code`. */
int calls_drop(struct calls *c, const char *code, struct engine_actions *out) MUST_CHECK;

/* Bytes still move, one way or the other: the calls at the relay are not stuck. */
void calls_progress(struct calls *c, uint64_t now);

/* When the relay last moved the oldest call at it forward; ENGINE_NEVER if it has none. */
uint64_t calls_since(const struct calls *c);

size_t calls_held(const struct calls *c); /* bytes of waiting frames */

#endif
