/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing: one entry of the person's list of spaces: the content of a NODE_PROFILE node in the personal space.
 * docs/FORMAT.md "List of spaces".
 *
 * content = { 0: format 1, 1: genesis hash 32, 2: relay text, 3: name text, 4: epoch keys (crypto/epoch.h, first and
 * newest) }
 */
#ifndef COFFER_FUSEFS_LISTING_H
#define COFFER_FUSEFS_LISTING_H

#include "cache/store.h"
#include "crypto/epoch.h"

struct listing {
	struct id32 genesis;
	char relay[256];
	char name[NODE_MAX_NAME + 1];
	struct epoch_ring *ring; /* listing_release */
};

void listing_release(struct listing *l);

/* b must be a secret buffer. */
int listing_put(struct buf *b, const struct id32 *genesis, const char *relay, const char *name,
	const struct epoch_ring *ring) MUST_CHECK;
int listing_decode(struct bytes in, struct listing *ret_l) MUST_CHECK;

/* The list's nodes in the store: calls fn with each decoded listing until it returns 0. Nodes that cannot be read are
 * passed over. */
int listing_each(struct store *s, uint32_t personal_row, int (*fn)(void *ctx, uint64_t ino, const struct listing *l),
	void *ctx) MUST_CHECK;

/* Writes (ino 0: makes) the node within t; it is pushed as any other change. */
int listing_write(struct store_txn *t, uint32_t personal_row, uint64_t ino, const struct id32 *owner,
	const struct id16 *fresh_id, struct bytes content, int64_t now_ns) MUST_CHECK;

#endif
