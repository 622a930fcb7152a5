/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content_index: the index chunks over a long list of slices: content.h's inner part.
 */
#ifndef COFFER_FUSEFS_CONTENT_INDEX_H
#define COFFER_FUSEFS_CONTENT_INDEX_H

#include "fusefs/content.h"

/* An upper bound of the index chunks that n slices need. */
size_t content_index_room(size_t n);

/* Replaces *slices (freed and wiped) by at most NODE_MAX_SLICES index entries of *ret_depth levels, adding the new
 * index chunks to c. ERR_FILE_TOO_BIG if INDEX_MAX_DEPTH does not do. */
int content_index_make(const struct content_maker *m, uint32_t space, const struct node_body *before, struct content *c,
		       struct slice **slices, size_t *n, unsigned *ret_depth) MUST_CHECK;

#endif
