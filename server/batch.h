/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch: the writer's transaction over the store and over what is kept in memory beside it.
 *
 *	batch_begin(r, jobs, n);
 *	struct space_state *st = batch_state(r, sp);  // change it; sp is held until the end
 *	batch_commit(r);                              // durable, then visible to everybody; a failure undoes all
 *
 * Writer thread only.
 */
#ifndef COFFER_SERVER_BATCH_H
#define COFFER_SERVER_BATCH_H

#include "server/job.h"

/* Where other processes write too, the spaces of the jobs are locked in the order of their ids: whoever waits for
 * another holds none that this one waits for. */
int batch_begin(struct relay *r, struct job *const *jobs, size_t n) MUST_CHECK;
int batch_commit(struct relay *r) MUST_CHECK;
void batch_rollback(struct relay *r);

/* The state of a space inside the transaction. */
struct space_state *batch_state(struct relay *r, struct space *sp);

/* Adds a push's number to those that the job's caller may build on / takes it back after a rollback. */
void batch_accept(struct job *j, uint64_t number);
void batch_unaccept(struct job *j);

#endif
