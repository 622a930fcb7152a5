/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync_head: the kept chain values, what a relay shows compared with them, and when devices were seen (sync_inner.h has
 * the rest of sync_head.c).
 *
 *	struct step_lines s = { .cursor = 0 };
 *	step_lines_ask(&s, &space, cursor, &params);   // coffer.pull with them, whose parts go to step_lines_take
 *	if (s.here && step_lines_check(&s, t, row) == OK) ...
 *	step_lines_release(&s);
 */
#ifndef COFFER_FUSEFS_SYNC_HEAD_H
#define COFFER_FUSEFS_SYNC_HEAD_H

#include "cache/store.h"
#include "wire/head.h"

#define SYNC_HEAD_KEEP 10000 /* cursors whose chain value is kept */
#define STEP_LINES_MAX (LINES_MAX * 64)

int sync_head_keep(struct store_txn *t, uint32_t row, uint64_t cursor, const struct id32 *chain) MUST_CHECK;
/* Forgets it, if it is that cursor's. */
int sync_head_drop(struct store_txn *t, uint32_t row, uint64_t cursor) MUST_CHECK;
/* Of cursor 0: zeros. ERR_NOT_FOUND: too old, or not reached yet. */
int sync_head_kept(struct store_txn *t, uint32_t row, uint64_t cursor, struct id32 *ret_chain) MUST_CHECK;

/* Unix seconds of the newest head of a device that came with a step, a minute more or less; by that device's clock.
 * ERR_NOT_FOUND. */
int sync_head_seen(struct store_txn *t, uint32_t row, const struct id32 *device, uint64_t *ret_time) MUST_CHECK;

/* Whether a record was made on top of the one with that hash. */
bool sync_head_follows(const struct record *r, const struct id32 *hash);

/* The lines of one step, as the relay has them; all zero: of none. */
struct step_lines {
	uint64_t cursor;
	bool here;
	struct buf lines;
};
/* Empties *s, and appends the parameters of the coffer.pull that shows step `cursor`, from 1 on. */
int step_lines_ask(struct step_lines *s, const struct id16 *space, uint64_t cursor, struct buf *params) MUST_CHECK;
void step_lines_take(struct step_lines *s, struct bytes name, struct bytes data);
/* ERR_FORK: this device knows another step there. ERR_NOT_FOUND: it is too old to tell. Those that are here only. */
int step_lines_check(const struct step_lines *s, struct store_txn *t, uint32_t row) MUST_CHECK;
void step_lines_release(struct step_lines *s);

#endif
