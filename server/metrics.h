/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics: counters of a running relay, and their Prometheus text (0.0.4). No label names a person, device or space.
 * Counters are atomic; any thread adds.
 */
#ifndef COFFER_SERVER_METRICS_H
#define COFFER_SERVER_METRICS_H

#include <pthread.h>
#include <stdatomic.h>
#include "base/buf.h"
#include "server/depot.h"
#include "server/histogram.h"

#define RELAY_VERSION "0.1"

/* What a request is, for its time from the socket to its answer. */
enum metrics_kind { METRICS_WRITE, METRICS_READ, METRICS_UPLOAD, METRICS_DOWNLOAD, METRICS_KINDS };

#define METRICS_CODES 10 /* how WebSocket connections end: with a code of the protocol, or without any */

struct metrics {
	atomic_ullong connections, connections_active, requests, requests_refused, pushes, conflicts, records, entries;
	atomic_ullong chunks_in, chunk_bytes_in, chunks_again, chunks_out, chunk_bytes_out, notices, commits,
		commit_jobs;
	atomic_ullong files_in, file_bytes_in, files_out, file_bytes_out;
	atomic_ullong closes[METRICS_CODES]; /* metrics_close */
	atomic_ullong invite_misses, slow_consumers, auth_failures, bytes_in, bytes_out, cleaned_chunks,
		cleaned_versions;
	atomic_ullong queued; /* requests under way: waiting, or being worked on */
	struct histogram request_time[METRICS_KINDS], commit_time;
	int64_t started; /* unix s */

	pthread_mutex_t sizes_lock; /* all below */
	struct depot_sizes sizes;
	bool sizes_known, sizes_wanted; /* counted once; asked for since */
};

#define metrics_add(m, field, n) atomic_fetch_add_explicit(&(m)->field, (unsigned long long)(n), memory_order_relaxed)

/* A WebSocket connection ended: the relay closed it with this code, or (0) without one, or the client did. */
void metrics_close(struct metrics *m, int code);

/* Counts what is stored, if somebody asked since the last time. It reads whole tables, and anybody may ask: so this is
 * for a thread that nobody waits for (sweep.h), once a minute. */
int metrics_count(struct metrics *m, struct depot *store) MUST_CHECK;
/* What was counted last, and has it counted again soon. False: not yet. */
bool metrics_sizes(struct metrics *m, struct depot_sizes *ret_z);

/* sizes NULL: those rows are left out. */
int metrics_put(struct buf *b, const struct metrics *m, const struct depot_sizes *sizes, unsigned long long room,
	int64_t now) MUST_CHECK;

#endif
