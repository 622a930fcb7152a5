/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chores: what the agent still owes the relay or the store beyond records, done by one thread, tried again with back-off while the
 * relay is away, and derived from the store at every start, so that a crash loses none:
 *   - a space made here whose first entries the relay has not taken (meta "unsent/ROW");
 *   - a space that the person's list (NODE_PROFILE nodes) names and this device does not hold: fetch its log, append the own device
 *     entry, add it;
 *   - a space this device holds that the person's list does not name, or names with an older key: write the list's node.
 *
 *	chores_start(agent, &c);  chores_poke(c);  chores_wait(c, deadline);  chores_stop(&c);
 *
 * All functions are thread-safe; chores_wait blocks.
 */
#ifndef COFFER_FUSEFS_CHORES_H
#define COFFER_FUSEFS_CHORES_H

#include "base/buf.h"
#include "fusefs/space.h"

struct agent;
struct chores;

int chores_start(struct agent *a, struct chores **ret_c) MUST_CHECK;
void chores_stop(struct chores **c); /* NULL is fine; open calls to the relay must have ended (sync_stop) or end soon */
void chores_poke(struct chores *c);
/* Until nothing is owed: OK. ERR_TIMEOUT; `what` then says what is left. */
int chores_wait(struct chores *c, int64_t deadline_mono_ns, struct buf *what) MUST_CHECK;

/* Marks a space, within the transaction that adds it, as not yet known to the relay. */
int chores_mark_unsent(struct store_txn *t, uint32_t row) MUST_CHECK;

#endif
