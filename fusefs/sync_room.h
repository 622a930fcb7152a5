/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync_room: a relay that has no room for what is queued (storage_full). What it refused is put *aside*: it stays
 * queued, but what follows goes without it, in its lane too, until there is room for it, or it is changed again.
 *
 *	sync_room_refused / sync_room_chunk_refused   // an answer said so
 *	if (sync_room_waits(&look, item)) continue;   // for each item, in their order, before a push is made
 *	sync_room_taken / sync_room_chunk_taken       // an answer said ok
 *	sync_room_step(ss, now)                       // each turn: takes back what was changed or deleted meanwhile,
 *	                                              // tries again
 *
 * What follows may go, but for what takes something away: a deletion, or a version with less content than the one it
 * follows. A deletion of a name that something aside is to have waits for that. And what was queued before the refusal
 * was known, in the same lane or behind a barrier (out_item.barrier), waits too, because it may be the other half of a
 * move that people have not been told of; at most ROOM_HOLD, because in memory nothing tells it from what they meant.
 * One of the items aside, in turn, is tried again (*doubtful*) after ROOM_DELAY_MIN, doubling to ROOM_DELAY_MAX; all of
 * them when one was taken, on a new connection, and when somebody waits. All of this is in memory: after a restart it
 * is refused again, all that was queued counts as queued before that, and ROOM_HOLD begins anew. Sync thread only.
 */
#ifndef COFFER_FUSEFS_SYNC_ROOM_H
#define COFFER_FUSEFS_SYNC_ROOM_H

#include "fusefs/sync_inner.h"

#define ROOM_DELAY_MIN 1000000000ll  /* 1 s */
#define ROOM_DELAY_MAX 60000000000ll /* 60 s */
#define ROOM_HOLD 600000000000ll     /* 10 min; looked at when one is tried again, so up to ROOM_DELAY_MAX more */

/* What was seen of the queue so far. Starts as { .ss = ss }; its table is the caller's to release. */
struct sync_room_look {
	struct sync_space *ss;
	struct table lanes; /* lane + 1 -> the last refusal of what is aside in it */
	uint64_t seen;      /* the last of all lanes */
	uint64_t behind;    /* the same, of what stands before the last barrier */
};

/* A push of these was refused: several go one by one, a single one aside. Raises the alarm. */
void sync_room_refused(struct sync_space *ss, struct out_item **items, size_t n);
void sync_room_chunk_refused(struct sync_space *ss, uint64_t row);
/* Whether an item is not to be sent now. */
bool sync_room_waits(struct sync_room_look *look, struct out_item *item);
/* Before the item leaves the queue. */
void sync_room_taken(struct sync_space *ss, const struct out_item *item);
void sync_room_chunk_taken(struct sync_space *ss, uint64_t row);
/* Everything is to be tried again now. */
void sync_room_try_all(struct sync_space *ss);
/* Ends the alarm too, when nothing is left of what raised it. Errors of the store. */
int sync_room_step(struct sync_space *ss, int64_t now) MUST_CHECK;

/* An item came into the queue, left it, or all did. */
void sync_room_queued(struct sync_space *ss, struct out_item *item);
void sync_room_left(struct sync_space *ss, const struct out_item *item);
void sync_room_clear(struct sync_space *ss);

#endif
