/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: the relay's log methods as typed calls, over sync_call. Each blocks until the answer or the deadline
 * (monotonic ns); not for the sync thread. docs/PROTOCOL.md has the methods.
 */
#ifndef COFFER_FUSEFS_RELAY_H
#define COFFER_FUSEFS_RELAY_H

#include "fusefs/sync.h"
#include "wire/head.h"

#define RELAY_MAX_ENTRIES 100000
#define RELAY_MAX_LOG_BYTES (64u << 20)

/* Entry blobs in order; memory belongs to `bytes`. */
struct entry_list {
	struct buf bytes;
	struct bytes *blobs;
	size_t n;
};

#define ENTRY_LIST_INIT { .bytes = BUF_INIT(RELAY_MAX_LOG_BYTES), .blobs = NULL, .n = 0 }
void entry_list_release(struct entry_list *l);

/* coffer.claim: this device's person may make spaces, by a set-up or guest's code. ERR_NOT_FOUND: it is wrong, used up
 * or expired; ERR_RATE_LIMITED. */
int relay_claim(struct sync *s, const char *relay, struct bytes code, int64_t deadline) MUST_CHECK;

/* coffer.append. ERR_CONFLICT: the relay's log is longer or other than the entries assume. */
int relay_append(struct sync *s, const char *relay, const struct id16 *space, const struct bytes *blobs, size_t n,
	int64_t deadline) MUST_CHECK;

/* coffer.log from entry 0: of a space this device is a member of; or, with `chain` (an encoded certificate chain), of
 * one that its person is a member of. ERR_FORBIDDEN also if there is no such space. */
int relay_fetch_log(struct sync *s, const char *relay, const struct id16 *space, struct bytes chain, int64_t deadline,
		    struct entry_list *ret_l) MUST_CHECK;

/* coffer.log of the space that an open invite belongs to. ERR_NOT_FOUND: no such invite, or closed, used or expired;
 * ERR_RATE_LIMITED. */
int relay_fetch_invited(struct sync *s, const char *relay, const struct id16 *invite, int64_t deadline,
	struct entry_list *ret_l) MUST_CHECK;

/* coffer.head: the newest head of each device that the relay has of a space. fn is called, on this thread, for those
 * whose signature verifies; whether their devices are members is for the log to say. */
int relay_fetch_heads(struct sync *s, const char *relay, const struct id16 *space, int64_t deadline,
		      void (*fn)(void *ctx, const struct head *h), void *ctx) MUST_CHECK;

#endif
