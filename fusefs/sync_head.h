/* SPDX-License-Identifier: Apache-2.0 */
/* sync_head: the kept chain values, and when devices were seen (sync_inner.h has the rest of sync_head.c). */
#ifndef COFFER_FUSEFS_SYNC_HEAD_H
#define COFFER_FUSEFS_SYNC_HEAD_H

#include "cache/store.h"

int sync_head_keep(struct store_txn *t, uint32_t row, uint64_t cursor, const struct id32 *chain) MUST_CHECK;
/* Forgets it, if it is that cursor's. */
int sync_head_drop(struct store_txn *t, uint32_t row, uint64_t cursor) MUST_CHECK;
/* ERR_NOT_FOUND: too old, or not reached yet. */
int sync_head_kept(struct store_txn *t, uint32_t row, uint64_t cursor, struct id32 *ret_chain) MUST_CHECK;

/* Unix seconds of the newest head of a device that came with a step, a minute more or less; by that device's clock. ERR_NOT_FOUND. */
int sync_head_seen(struct store_txn *t, uint32_t row, const struct id32 *device, uint64_t *ret_time) MUST_CHECK;

#endif
