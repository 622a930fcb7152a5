/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chores: what the agent still owes the relay or the store beyond records, done by one thread, tried again with
 * back-off while the relay is away, and derived from the store at every start, so that a crash loses none:
 *   - a space made here whose first entries the relay has not taken (meta "unsent/ROW");
 *   - a space that the person's list (NODE_PROFILE nodes) names and this device does not hold: fetch its log, append
 *     the own device entry, add it;
 *   - a space this device holds that the person's list does not name, or names with an older key: write the list's
 *     node.
 *
 *	chores_start(agent, &c);  chores_poke(c);  chores_wait(c, deadline, &what);
 *	chores_quit(c);  chores_join(c);  chores_free(c);
 *
 * poke, wait and quit are thread-safe; chores_wait blocks.
 */
#ifndef COFFER_FUSEFS_CHORES_H
#define COFFER_FUSEFS_CHORES_H

#include "base/buf.h"
#include "fusefs/space.h"

struct agent;
struct chores;

int chores_start(struct agent *a, struct chores **ret_c) MUST_CHECK;
void chores_quit(struct chores *c); /* the thread ends soon, waits return ERR_CANCELLED; does not block */
void chores_join(struct chores *c); /* quits; calls to the relay must have been cancelled (sync_quit). NULL is fine */
void chores_free(struct chores *c); /* after chores_join, when nobody pokes any more. NULL is fine */
void chores_poke(struct chores *c);
/* Until nothing is owed: OK. ERR_TIMEOUT; `what` then says what is left. ERR_CANCELLED. */
int chores_wait(struct chores *c, int64_t deadline_mono_ns, struct buf *what) MUST_CHECK;

/* Whether the relay has not taken a space's first entries. */
int chores_unsent(struct store *s, uint32_t row, bool *ret_unsent) MUST_CHECK;
/* Marks a space, within the transaction that adds it, as not yet known to the relay. */
int chores_mark_unsent(struct store_txn *t, uint32_t row) MUST_CHECK;

#endif
