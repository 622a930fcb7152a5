/* SPDX-License-Identifier: Apache-2.0 */
#include "server/histogram.h"

static const struct {
	int64_t ns;
	const char *text; /* seconds */
} bounds[HISTOGRAM_BUCKETS] = {
	{ 250000, "0.00025" },
	{ 500000, "0.0005" },
	{ 1000000, "0.001" },
	{ 2500000, "0.0025" },
	{ 5000000, "0.005" },
	{ 10000000, "0.01" },
	{ 25000000, "0.025" },
	{ 50000000, "0.05" },
	{ 100000000, "0.1" },
	{ 250000000, "0.25" },
	{ 500000000, "0.5" },
	{ 1000000000, "1" },
	{ 2500000000, "2.5" },
	{ 10000000000, "10" },
};

void histogram_add(struct histogram *h, int64_t ns)
{
	size_t i = 0;

	while (i < HISTOGRAM_BUCKETS && ns > bounds[i].ns)
		i++;
	atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->ns, (unsigned long long)ns, memory_order_relaxed);
}

int histogram_put(struct buf *b, const struct histogram *h, const char *name, const char *label)
{
	const char *comma = *label ? "," : "", *open = *label ? "{" : "", *close = *label ? "}" : "";
	unsigned long long n = 0, ns;
	int err = OK;

	for (size_t i = 0; i <= HISTOGRAM_BUCKETS && err == OK; i++) {
		n += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
		err = buf_printf(b, "coffer_relay_%s_bucket{%s%sle=\"%s\"} %llu\n", name, label, comma,
			i < HISTOGRAM_BUCKETS ? bounds[i].text : "+Inf", n);
	}
	ns = atomic_load_explicit(&h->ns, memory_order_relaxed);
	if (err == OK)
		err = buf_printf(b, "coffer_relay_%s_sum%s%s%s %llu.%09llu\n", name, open, label, close,
			ns / 1000000000, ns % 1000000000);
	return err < 0 ? err : buf_printf(b, "coffer_relay_%s_count%s%s%s %llu\n", name, open, label, close, n);
}
