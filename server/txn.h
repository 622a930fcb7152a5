/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn: the writer's transaction over the store and over what is kept in memory beside it.
 *
 *	txn_begin(r);
 *	struct space_state *st = txn_state(r, sp);  // change it; sp is held until the end
 *	txn_commit(r);                              // durable, then visible to everybody; a failure undoes all
 *
 * Writer thread only.
 */
#ifndef COFFER_SERVER_TXN_H
#define COFFER_SERVER_TXN_H

#include "server/job.h"

int txn_begin(struct relay *r) MUST_CHECK;
int txn_commit(struct relay *r) MUST_CHECK;
void txn_rollback(struct relay *r);

/* The state of a space inside the transaction. */
struct space_state *txn_state(struct relay *r, struct space *sp);

/* Adds a push's number to those that the job's session may build on / takes it back after a rollback. */
void txn_accept(struct job *j, uint64_t number);
void txn_unaccept(struct job *j);

#endif
