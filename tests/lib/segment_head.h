/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_head: reads the head of a journal file (docs/FORMAT.md "Segment"), with the segment's own key, which
 * cache/segment.h keeps to itself, and tells which nonces the entries behind it were sealed under.
 */
#ifndef COFFER_TESTS_LIB_SEGMENT_HEAD_H
#define COFFER_TESTS_LIB_SEGMENT_HEAD_H

#include "base/bytes.h"
#include "base/err.h"

struct segment_head {
	uint32_t suite;
	uint64_t number, prev, prev_pos, seq, size;
	uint8_t key[32];
};

/* ERR_CORRUPT: no head, or it does not open with this store key. */
int segment_head_open(const uint8_t store_key[32], struct bytes file, struct segment_head *ret) MUST_CHECK;

struct journal_nonce {
	uint32_t stream;
	uint64_t counter;
};

/* The entry that `at` begins with, at position pos of the segment: calls fn for each nonce that it was sealed under.
 * *ret_len is its length. ERR_CORRUPT: there is none. */
int segment_entry_nonces(const struct segment_head *h, uint64_t pos, struct bytes at,
	void (*fn)(void *ctx, const struct segment_head *h, struct journal_nonce nonce), void *ctx,
	size_t *ret_len) MUST_CHECK;

#endif
