/* SPDX-License-Identifier: Apache-2.0 */
/*
 * move: living pieces written again at the journal's end, as an entry like any other. Pieces that share bytes go on
 * sharing them.
 *
 *	batch_new(size, &b); batch_clear(b);
 *	while (batch_add(b, &owned)) ...         // pieces that share bytes one after the other, by where they begin
 *	keep_add(...);                           // while the lock that the pieces were read under is held
 *	batch_read(s, b); batch_write(s, b);     // no lock held
 *
 * A piece that changed meanwhile is left alone.
 */
#ifndef COFFER_CACHE_MOVE_H
#define COFFER_CACHE_MOVE_H

#include "cache/txn.h"

#define MOVE_PIECES 1024u

struct batch;

/* For segments of this size: an entry is a small part of one, so that little stays empty at their ends. */
int batch_new(uint64_t segment_size, struct batch **ret_b) MUST_CHECK;
/* At most so many bytes of a piece: the caller cuts. */
uint64_t batch_longest(const struct batch *b);
void batch_free(struct batch *b); /* NULL is fine */
void batch_clear(struct batch *b);
/* False: full, the piece was not taken. */
bool batch_add(struct batch *b, const struct owned *o);
size_t batch_pieces(const struct batch *b);
/* Lock held. Drops pieces that are not what they were. */
void batch_check(struct store *s, struct batch *b);
/* Bytes that do not open stay where they are: their pieces leave the batch. *ret_damaged counts them. */
int batch_read(struct store *s, struct batch *b, size_t *ret_damaged) MUST_CHECK;
/* ERR_NO_SPACE: there is no room but what is kept for letting go. */
int batch_write(struct store *s, struct batch *b) MUST_CHECK;

#endif
