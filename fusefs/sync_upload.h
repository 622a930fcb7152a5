/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync_upload: chunks too large to travel in a push, by PUT before the push that names them. Sync thread only.
 */
#ifndef COFFER_FUSEFS_SYNC_UPLOAD_H
#define COFFER_FUSEFS_SYNC_UPLOAD_H

#include "fusefs/sync_inner.h"

/* Starts PUTs for the items at the head of the queue, as many as may be in flight. */
void sync_upload_pump(struct sync_space *ss);
/* The connection is gone: what was under way is not. */
void sync_upload_reset(struct sync_space *ss);
/* The relay lacks a chunk that was thought to be there: it is sent again. */
void sync_upload_missing(struct out_item **items, size_t n, const struct id16 *chunk);
/* Appends the sealed blob of a chunk, from the store. */
int sync_upload_seal(
	struct sync_space *ss, const struct out_chunk *c, struct id16 *ret_id, struct buf *ret_blob) MUST_CHECK;

#endif
