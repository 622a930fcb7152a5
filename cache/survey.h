/* SPDX-License-Identifier: Apache-2.0 */
/*
 * survey: which bytes of the segments that are closed still live: one walk over all extents, some at a time, so that
 * the store goes on meanwhile. For compact.c and punch.c.
 *
 *	survey_new(s, &v);
 *	do { lock; err = survey_step(v, fn, ctx); unlock; } while (err == 0);     // ERR_NOT_FOUND: the walk is done
 *	survey_row(v, i) ... ; survey_free(v);
 *
 * Bytes that live when the walk is done and were not seen alive can only be in a segment whose `gained` moved since
 * survey_new(): new bytes go to newer segments, and what is shared, cut or moved from a living piece to a place that
 * the walk has passed counts as a gain. Memory: a bit for each grain of 512 bytes; of more, up to 4 KiB, where that
 * would take over 16 MiB.
 */
#ifndef COFFER_CACHE_SURVEY_H
#define COFFER_CACHE_SURVEY_H

#include "cache/txn.h"

#define SURVEY_BLOCK 4096u

struct survey;

struct survey_row {
	uint64_t number, size;
	uint64_t need;        /* what its living pieces would take if they were written again, at most */
	uint64_t grain;
	const uint8_t *lives; /* a bit for each grain */
};

int survey_new(struct store *s, struct survey **ret_v) MUST_CHECK;
void survey_free(struct survey *v); /* NULL is fine */
/* Lock held. Looks at the next extents; fn (may be NULL) is called for each piece in a segment and returns 0 or an
 * error. */
int survey_step(struct survey *v, int (*fn)(void *ctx, const struct owned *o), void *ctx) MUST_CHECK;
size_t survey_rows(const struct survey *v);
struct survey_row survey_row(const struct survey *v, size_t i); /* ascending by number */
/* Whether anything in the block (of 4 KiB) of this number lives. */
bool survey_lives(const struct survey_row *row, uint64_t block);
/* Whether no piece came to live in a segment of this number since survey_new(). */
bool survey_holds(struct survey *v, uint64_t number);

#endif
