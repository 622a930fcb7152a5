/* SPDX-License-Identifier: Apache-2.0 */
/*
 * histogram: how long things took, in the buckets that Prometheus wants. Any thread adds.
 *
 *	histogram_add(&h, ns);
 *	histogram_put(&buf, &h, "commit_seconds", "lane=\"write\"");
 */
#ifndef COFFER_SERVER_HISTOGRAM_H
#define COFFER_SERVER_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>
#include "base/buf.h"

#define HISTOGRAM_BUCKETS 14

struct histogram {
	atomic_ullong buckets[HISTOGRAM_BUCKETS + 1]; /* each by itself; the last: longer than all */
	atomic_ullong ns;
};

void histogram_add(struct histogram *h, int64_t ns);
/* The sample lines of coffer_relay_`name`, without HELP and TYPE; `label` is name="value", or "". */
int histogram_put(struct buf *b, const struct histogram *h, const char *name, const char *label) MUST_CHECK;

#endif
