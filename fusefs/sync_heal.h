/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync_heal: a relay whose store went back in time (restored from a copy, or a new one) gets back what this device has:
 * entries of the log, then the newest record of each node, byte for byte, with the chunks that it lacks. Sync thread
 * only; a part of sync_inner.h.
 *
 *	coffer.begin names another store or an older cursor -> sync_heal_begin, and the pull under way is for nothing
 *	its result -> sync_heal_run: steps are compared, by halves, to find the last that both know: `common`
 *	           -> entries that the relay lacks are appended -> cursor and chain go back to `common` -> records from
 *	           later steps are queued -> the space is pulled from there, and what is queued pushed, both as always
 *	           but for the rules below
 *
 * While it heals (meta "heal/ROW", so also after a restart) pushes are coffer.heal. A record that came after `common`
 * is lost at the relay until it is there again, so what is pulled meets it in one of three ways: it follows ours; it is
 * an earlier version that another device gave back, and is passed over; or it was written since, and both are merged as
 * edits with nothing in common.
 */
#ifndef COFFER_FUSEFS_SYNC_HEAL_H
#define COFFER_FUSEFS_SYNC_HEAL_H

#include "fusefs/step.h"
#include "fusefs/sync_inner.h"

/* After a start: goes on where a run before was. */
int sync_heal_load(struct sync_space *ss) MUST_CHECK;
/* Whether the store is not the one that is known, or went back; then sync_heal_run is due. */
bool sync_heal_begin(struct sync_space *ss, uint64_t cursor, uint64_t entries, struct bytes store);
void sync_heal_run(struct sync_space *ss);
/* The relay does not know the space, or this device: gives it the log, once for each connection. false: there is
 * nothing to try. */
bool sync_heal_forbidden(struct sync_space *ss);
void sync_heal_reset(struct sync_space *ss); /* the connection is gone */
/* All is sent and what there was is here: it is over. */
void sync_heal_step(struct sync_space *ss);

/* While it heals, steps are applied one by one. Before the transaction of a step, with its records: those written since
 * that meet another of ours make an edit of ours, in a transaction of its own (what is copied as a conflict must not
 * change from try to try). */
int sync_heal_note_edits(struct sync_space *ss, const struct history_step *st, const struct remote *r) MUST_CHECK;
/* In it: 1 if a record is to be passed over. */
int sync_heal_is_older(
	struct sync_space *ss, struct store_txn *t, const struct history_step *st, const struct remote *r) MUST_CHECK;
/* `common` as coffer.heal takes it. */
uint64_t sync_heal_common(const struct sync_space *ss);
/* Whether a chunk that the relay lacks is not here either; and what becomes of the items of a push that named such a
 * one: they go one by one, and one that is alone is left out. */
bool sync_heal_lacks(struct sync_space *ss, const struct id16 *chunk);
int sync_heal_give_up(struct sync_space *ss, struct out_item **items, size_t n) MUST_CHECK;
/* Whether an item is the very record that the store has: what is given back. */
int sync_heal_is_back(struct sync_space *ss, struct store_txn *t, const struct out_item *item) MUST_CHECK;

#endif
