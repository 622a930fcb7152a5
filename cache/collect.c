/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lets go of chunks that nothing names any more.
 */
#include "cache/txn.h"
#include "crypto/secret.h"

enum { COLLECT = 512 };

static int look_at(struct store_txn *t, uint64_t row)
{
	struct index *ix = t->s->index;
	struct chunk_row c;
	uint64_t owner = 0;
	bool queued;
	int err = index_chunk_get(ix, row, &c);
	secret_wipe(c.key, sizeof c.key);
	if (err == ERR_NOT_FOUND)
		return index_loose_del(ix, row);
	if (err == 0)
		err = index_chunk_queued(ix, row, &queued);
	if (err < 0)
		return err;
	err = index_chunk_used(ix, row, &owner);
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	/* Index chunks are named by no extent; sync keeps them to send one path of the tree. */
	bool dead = err == ERR_NOT_FOUND && !queued && !c.index;
	return dead ? txn_stage(t, &(struct op){ .type = OP_CHUNK_DEL, .chunk = row }) : index_loose_del(ix, row);
}

int store_collect(struct store *s)
{
	struct store_txn *t;
	uint64_t row = 0;
	int damaged = 0;
	if (journal_broken(s->journal))
		return 0;
	int err = txn_call_inside(s, &t);
	if (err < 0)
		return err_is_full(err) ? 0 : err;
	for (int i = 0; err == 0 && i < COLLECT && !keep_snapshots(s); i++) {
		err = index_loose_next(s->index, &row);
		int looked = err == 0 ? look_at(t, row) : 0;
		if (looked == ERR_CORRUPT)
			damaged = looked; /* it stays; the others need not */
		else if (looked < 0)
			err = looked;
	}
	err = txn_end(t, err == ERR_NOT_FOUND ? 0 : err);
	return err < 0 && !err_is_full(err) ? err : damaged;
}
