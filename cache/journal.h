/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal: the one order. Entries (a body of row changes, and data) are appended to the newest segment, sealed; the
 * chain of segments that name each other is the journal. docs/FORMAT.md "Journal".
 *
 *	journal_open(env, set, &j);
 *	journal_replay(j, &state, fn, ctx);   // at the start: entries after the index's position
 *	journal_start(j, &state);             // a new segment; nothing is appended to what a former run wrote
 *	journal_append(j, &state, body, data, room, &place);   // handed to the kernel when it returns
 *	journal_sync(j, &seq);                // on disk when it returns; concurrent calls share
 *	journal_close(j);
 *
 * append, start and replay: under the store's lock. sync: any thread. After a failed write nothing is written behind
 * it: the next append begins a new segment, which follows the last entry that was acknowledged. After a failed
 * fdatasync the journal is broken for good (ERR_READ_ONLY), as the kernel may have dropped what it could not write; so
 * it is once the disk says that it is read-only.
 *
 * Each sync leaves a mark of what is on disk for sure. Where a start cannot read on before a mark, the journal is
 * damaged, not torn: what cannot be read is put aside (cache/kept.h) and the journal goes on from what is whole.
 */
#ifndef COFFER_CACHE_JOURNAL_H
#define COFFER_CACHE_JOURNAL_H

#include "cache/segment.h"

#define JOURNAL_MAX_BODY (16u << 20)
#define JOURNAL_MAX_DATA (64u << 20)

struct journal;

struct journal_entry {
	uint64_t seq;
	struct bytes body;
	struct place data; /* of its first data byte; run is its length */
};

int journal_open(const struct env *env, struct segments *set, struct journal **ret_j) MUST_CHECK;
void journal_close(struct journal *j);

/* Calls fn for each entry after the position in *state, in order, and moves *state's position on past each that fn
 * returned 0 for. Registers the segments it finds. Ends before an entry that is damaged; journal_start() then says
 * so. */
int journal_replay(struct journal *j, struct index_state *state, int (*fn)(void *ctx, const struct journal_entry *e),
	void *ctx) MUST_CHECK;

/* Removes segments that nothing follows (puts them aside, if the journal is damaged), makes what was replayed durable
 * (a failed sync before this start included), opens a new segment. */
int journal_start(struct journal *j, struct index_state *state) MUST_CHECK;

/* Before the replay, on a disk that is read-only; there is no journal_start() then. Nothing is ever written
 * (ERR_READ_ONLY), and the replay ends before an entry that the disk cannot read. */
void journal_freeze(struct journal *j);
/* Whether the replay ended before something that was synced, or that the disk could not read. */
bool journal_damaged(const struct journal *j);

/* What an entry may use on a disk that is full. */
enum journal_room {
	ROOM_AMPLE,  /* only what is left when the reserve is there */
	ROOM_LAST,   /* all but the reserve: a little that helps to let go of space later */
	ROOM_RESERVE /* the reserve too: the entry lets go of space */
};

/* ERR_NO_SPACE, ERR_RANGE: nothing happened. Moves *state's position and sequence on. *ret_data is where data is. */
int journal_append(struct journal *j, struct index_state *state, struct bytes body, struct bytes data,
	enum journal_room room, struct place *ret_data) MUST_CHECK;

/* Whether the disk has little room: segments are small then, so that none holds what others need. From any thread. */
void journal_spare(struct journal *j, bool spare);
/* Gives the disk what the segment written now will not need soon. Under the store's lock. */
void journal_shrink(struct journal *j, const struct index_state *state);

/* Writers faster than the disk wait for it here, before they leave more behind than is kept track of. No lock held. */
int journal_catch_up(struct journal *j) MUST_CHECK;
bool journal_far_ahead(const struct journal *j); /* that may come soon; costs nothing */
/* What is on disk for sure: everything up to sequence number *ret_seq. Those that wait for a sync that fails get its
 * error (ERR_IO), later calls ERR_READ_ONLY. */
int journal_sync(struct journal *j, uint64_t *ret_seq) MUST_CHECK;
/* Makes the next segment's file ahead of time. */
int journal_prepare(struct journal *j) MUST_CHECK;
bool journal_broken(const struct journal *j);
uint64_t journal_segment(const struct journal *j); /* the one written now */

#endif
