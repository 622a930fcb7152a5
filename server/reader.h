/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader: threads that answer what only reads, each with a connection of its own to the store. There are two such
 * groups: one for what the store alone answers, one for what waits for objects (LANE_BLOB), so that a slow bucket holds
 * up nobody else. A long answer comes in slices: the job goes back with `more`, and is put again once its slice has
 * been sent.
 */
#ifndef COFFER_SERVER_READER_H
#define COFFER_SERVER_READER_H

#include "server/writer.h"

struct reader;

/* With n threads, READER_MAX at most. */
#define READER_MAX 64
int reader_start(struct relay *relay, size_t n, job_done *done, void *ctx, struct reader **ret_r) MUST_CHECK;
void reader_put(struct reader *r, struct job *j);
void reader_stop(struct reader *r);

/* Runs a job once, without threads. */
void reader_run(struct relay *relay, struct job *j, struct depot *store);

#endif
