/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer: the one thread that changes the store. It takes everything that waits, runs it in one transaction, commits
 * (one fsync for all: group commit) and only then hands the jobs back. Signatures are checked before that, on verify
 * threads, in any order; the transaction keeps the order of arrival.
 *
 * A failing store undoes the whole transaction; the jobs are then run one by one, so that one that cannot be stored
 * does not take others with it. Between two transactions it does housekeeping when that is due, also when there is
 * always work.
 */
#ifndef COFFER_SERVER_WRITER_H
#define COFFER_SERVER_WRITER_H

#include "server/job.h"

struct writer;

/* done is called from the writer's thread; it takes the job. */
typedef void job_done(void *ctx, struct job *j);

int writer_start(struct relay *relay, job_done *done, void *ctx, struct writer **ret_w) MUST_CHECK;
void writer_put(struct writer *w, struct job *j);
/* How long, in ns at the monotonic time `now`, it has been at one batch; 0 if it waits for work. Any thread. */
int64_t writer_busy_ns(const struct writer *w, int64_t now);
/* Finishes what it has, then ends. */
void writer_stop(struct writer *w);

/* The same work without threads: prepares and runs a list of jobs as one batch (tests, fuzzers). */
void writer_run_batch(struct relay *relay, struct job **jobs, size_t n);

#endif
