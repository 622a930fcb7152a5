/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota: whether there is room for more: on the disk above its reserve, in the space's quota and in that of its owner
 * (the person who made it). Everything stored counts: chunks, current records and history.
 *
 *	if ((err = quota_check(&r->quota, r, space_no, bytes)) == ERR_NO_SPACE) refuse;
 *
 * The relay stops before the disk is full, so that it can go on working: small requests (deletes, changes of members)
 * may use half of the reserve, and pass a quota by a sixteenth, because deleting is a record too. Writer thread.
 */
#ifndef COFFER_SERVER_QUOTA_H
#define COFFER_SERVER_QUOTA_H

#include <stdatomic.h>
#include <stdint.h>
#include "base/err.h"

#define QUOTA_SMALL_REQUEST (64u << 10)

struct depot;
struct relay;

struct quota {
	int64_t looked_at;          /* monotonic ns; the disk is asked once a second */
	atomic_ullong available;    /* bytes; any thread reads */
	uint64_t reserve;
};

/* `space`: its number in the store, or 0 to ask for the disk alone. ERR_NO_SPACE, or the store's errors. */
int quota_check(struct quota *q, struct relay *r, uint64_t space, uint64_t bytes) MUST_CHECK;

/* The same before work is done off the writer, whose quota_check then counts: nothing is noted. Any thread, with its
 * store. */
int quota_check_early(const struct relay *r, struct depot *store, uint64_t space, uint64_t bytes) MUST_CHECK;

/* The same two for a plain space. */
struct depot_plain;
int quota_check_plain(struct quota *q, struct relay *r, const struct depot_plain *sp, uint64_t bytes) MUST_CHECK;
int quota_check_plain_early(
	const struct relay *r, struct depot *store, const struct depot_plain *sp, uint64_t bytes) MUST_CHECK;
/* The same for one revocation of a UCAN: it passes a quota by an eighth, so that nobody's small changes keep others
 * from taking rights away. */
int quota_check_revocation(struct quota *q, struct relay *r, const struct depot_plain *sp) MUST_CHECK;

#endif
