/* SPDX-License-Identifier: Apache-2.0 */
/*
 * early: writes that are answered before the store has taken them. The writer goes on while its bytes are sealed.
 *
 *	if (early_may(e, size)) { reply; err = write; if (err < 0) early_failed(e, ino, err); }
 *	else { err = early_take(e, ino); if (err == 0) err = write; reply err; }
 *	flush, fsync:  err = early_take(e, ino);
 *
 * The serving thread keeps the lead over both steps (serve.h), so a request that follows the answer is carried out
 * after the write: order and content are as if it had been answered late. What differs: kill -9 within those
 * microseconds loses a write that no flush, fsync or close has followed yet; and an error comes at the next write,
 * flush or fsync of the file. So that ENOSPC still comes at the call, writes are answered early only while there is
 * ample room, which is looked at every EARLY_BUDGET bytes, and not after an error until a write has succeeded.
 *
 * Of many small files that are made one after the other, those that are open for writing alone are spared all this:
 * their writes are answered when they are in the journal, so that close(2) has nothing to wait for and nothing to
 * tell, and the kernel sends no FLUSH. That is one in five of the requests that their maker waits for. A stream gains
 * more by early answers: so does a file that was no small one's follower within EARLY_BURST_NS. A wrong guess costs
 * time alone.
 */
#ifndef COFFER_FUSEFS_EARLY_H
#define COFFER_FUSEFS_EARLY_H

#include "cache/store.h"

#define EARLY_BUDGET (64u << 20)
#define EARLY_ROOM (4 * (uint64_t)EARLY_BUDGET)
#define EARLY_STREAM (64u << 10) /* a write of that many bytes is one of a stream */
#define EARLY_BURST_NS INT64_C(100000000)

struct early;

int early_new(struct store *s, struct early **ret_e) MUST_CHECK;
void early_free(struct early *e);

/* Thread-safe, all of them. */
bool early_may(struct early *e, size_t size);
/* Each write, whatever file and however answered. */
void early_note(struct early *e, size_t size);
/* Whether a file that is made now is likely to be one of many small ones. */
bool early_expects_small(const struct early *e);
/* Keeps err for the node. If even that fails, every file reports it once: early_take of any node. */
void early_failed(struct early *e, uint64_t ino, int err);
/* The error kept for the node, once; 0 if none. */
int early_take(struct early *e, uint64_t ino) MUST_CHECK;
/* A write succeeded that was not answered early. */
void early_recovered(struct early *e);

#endif
