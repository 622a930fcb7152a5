/* SPDX-License-Identifier: Apache-2.0 */
/* coffer evict: drops content that the relay has. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/agent.h"
#include "cli/keep.h"

/* "20G", "500M", "none". False: it is none of these. */
static bool parse_limit(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	char *end;

	*ret = 0;
	if (strcmp(text, "none") == 0)
		return true;
	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	const char *unit = *end ? strchr(units, *end) : NULL;
	if (errno || n == 0 || (*end && (!unit || end[1])))
		return false;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	if (n > (UINT64_MAX >> 1) >> shift)
		return false;
	*ret = (uint64_t)n << shift;
	return true;
}

static int run(const struct context *ctx, int argc, char **argv)
{
	static const struct option options[] = { { "limit", required_argument, NULL, 'l' }, { 0 } };
	uint64_t limit = UINT64_MAX;

	for (int c; (c = verb_option(&verb_evict, argc, argv, options)) != -1;) {
		if (c != 'l')
			return EX_USAGE;
		if (!parse_limit(optarg, &limit))
			return agent_fail(EX_USAGE, "that is no limit", "give bytes, or as in 500M, 20G or none");
	}
	if (optind == argc && limit == UINT64_MAX)
		return verb_usage(&verb_evict);
	return keep_paths(ctx, "evict", limit == UINT64_MAX ? NULL : &limit, argc - optind, argv + optind);
}

const struct verb verb_evict = {
	.name = "evict",
	.synopsis = "[--limit SIZE|none] [PATH...]",
	.summary = "drop the content here; it is read from the relay when it is needed. --limit: keep at most so much "
		   "from now on",
	.example = "coffer evict ~/Coffer/Photos/2019; coffer evict --limit 20G",
	.run = run,
};
