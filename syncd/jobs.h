/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jobs: the table of open PUTs and GETs of chunks: at most ENGINE_MAX_HTTP run at once, ENGINE_MAX_PUTS of them
 * uploads; the others wait in the order in which they came.
 */
#ifndef COFFER_SYNCD_JOBS_H
#define COFFER_SYNCD_JOBS_H

#include "syncd/engine.h"

struct jobs;

int jobs_new(struct jobs **ret_j) MUST_CHECK;
void jobs_free(struct jobs *j);

/* Takes a PUT (its blob is copied) or GET: starts it, keeps it waiting, or answers "busy". ERR_INVALID if its number is
 * open already. `token` stands in the actions. */
int jobs_add(struct jobs *j, const struct msg *m, struct bytes token, struct engine_actions *out) MUST_CHECK;

bool jobs_has(const struct jobs *j, uint64_t num);

/* Aborts a running one, starts the next. */
int jobs_cancel(struct jobs *j, uint64_t num, struct bytes token, struct engine_actions *out) MUST_CHECK;

/* A running one is done: DATA and RESULT to coffer-fs, and the next one starts. Unknown numbers are ignored. */
int jobs_done(struct jobs *j, uint64_t num, const char *code, struct bytes data, struct bytes token,
	      struct engine_actions *out) MUST_CHECK;

/* Aborts what runs and answers every open one with `code`. */
int jobs_drop(struct jobs *j, const char *code, struct engine_actions *out) MUST_CHECK;

size_t jobs_held(const struct jobs *j); /* bytes of blobs that wait */

#endif
