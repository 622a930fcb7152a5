/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_head: reads the head of a journal file of a store that nobody has open (docs/FORMAT.md "Segment"), with the segment's own
 * key, which cache/segment.h keeps to itself.
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

#endif
