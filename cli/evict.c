/* SPDX-License-Identifier: Apache-2.0 */
/* coffer evict: drops content that the relay has. */
#include "cli/keep.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	return argc < 2 ? verb_usage(&verb_evict) : keep_paths(ctx, "evict", argc, argv);
}

const struct verb verb_evict = {
	.name = "evict",
	.synopsis = "PATH...",
	.summary = "drop the content here; it is read from the relay when it is needed",
	.example = "coffer evict ~/Coffer/Photos/2019",
	.run = run,
};
