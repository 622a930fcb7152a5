/* SPDX-License-Identifier: Apache-2.0 */
/* coffer restore: makes a file what it was in an earlier version. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/home.h"

static bool parse_version(const char *text, unsigned long long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return isdigit((unsigned char)text[0]) && !*end && !errno && *ret > 0;
}

static int run(const struct context *ctx, int argc, char **argv)
{
	static const struct option options[] = { { "version", required_argument, NULL, 'v' },
		{ "as", required_argument, NULL, 'a' }, { 0 } };
	CLEANUP(map_release) struct map args = MAP_INIT;
	unsigned long long version = 0;
	const char *as = NULL;

	for (int c; (c = verb_option(&verb_restore, argc, argv, options)) != -1;) {
		if (c == '?')
			return EX_USAGE;
		if (c == 'a')
			as = optarg;
		else if (!parse_version(optarg, &version))
			return verb_usage(&verb_restore);
	}
	if (optind != argc - 1 || !version)
		return verb_usage(&verb_restore);
	FREE_AFTER char *path = home_resolved(argv[optind]);
	if (!path)
		return agent_fail(EX_OSERR, "out of memory", "");
	map_bytes(&args, "path", path, strlen(path));
	map_uint(&args, "version", version);
	map_text(&args, "as", as);
	return agent_do(ctx, "restore", &args, true);
}

const struct verb verb_restore = {
	.name = "restore",
	.synopsis = "PATH --version V [--as NAME]",
	.summary = "make a file what it was in a version; --as: put that version beside it",
	.example = "coffer restore ~/Coffer/Photos/list.txt --version 3",
	.run = run,
};
