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

struct metrics {
	atomic_ullong connections, connections_active, requests, requests_refused, pushes, conflicts, records, entries;
	atomic_ullong chunks_in, chunk_bytes_in, chunks_again, chunks_out, chunk_bytes_out, notices, commits, commit_jobs;
	atomic_ullong invite_misses, slow_consumers, auth_failures, bytes_in, bytes_out, cleaned_chunks,
		cleaned_versions;
	atomic_ullong queued; /* requests under way: waiting, or being worked on */
	struct histogram request_time[METRICS_KINDS], commit_time;
	int64_t started; /* unix s */

	pthread_mutex_t sizes_lock; /* both below */
	struct depot_sizes sizes;
	int64_t sizes_at; /* unix s; 0: never */
};

#define metrics_add(m, field, n) atomic_fetch_add_explicit(&(m)->field, (unsigned long long)(n), memory_order_relaxed)

/* What is stored, at most METRICS_SIZES_SECONDS old: counting reads whole tables, and anybody may ask. */
#define METRICS_SIZES_SECONDS 60
int metrics_sizes(struct metrics *m, struct depot *store, int64_t now, struct depot_sizes *ret_z) MUST_CHECK;

int metrics_put(struct buf *b, const struct metrics *m, const struct depot_sizes *sizes, unsigned long long room, int64_t now)
	MUST_CHECK;

#endif
