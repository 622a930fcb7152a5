/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refs: which chunks are named, by counting. A version counts for each chunk in its header; an index chunk counts for
 * each chunk that it names from the moment it is *adopted*: when the first version (or adopted index chunk) names it.
 * So chunks may be uploaded in any order, and one that is named is never removed.
 *
 * All functions run in the writer's transaction.
 */
#ifndef COFFER_SERVER_REFS_H
#define COFFER_SERVER_REFS_H

#include "server/depot.h"
#include "server/blob.h"

struct relay;

/* Checks that all chunks of `named` (concatenated ids), and through index chunks what they name, are here. Appends the
 * missing ids to `missing` (bounded by its cap; then the rest is not named). Files not yet durable are appended to
 * `unsynced`. Changes nothing. */
int refs_check(
	struct relay *r, uint64_t space, struct bytes named, struct buf *missing, struct buf *unsynced) MUST_CHECK;

/* Counts one name more for each of `named`, adopting index chunks. Only after refs_check found nothing missing. */
int refs_take(struct relay *r, uint64_t space, struct bytes named) MUST_CHECK;

/* Counts one name less. Chunks that nobody names any more stay until housekeeping. */
int refs_drop(struct relay *r, uint64_t space, struct bytes named) MUST_CHECK;

#endif
