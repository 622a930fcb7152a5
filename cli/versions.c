/* SPDX-License-Identifier: Apache-2.0 */
/* coffer versions: what a file was before. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/home.h"
#include "cli/print.h"
#include "cli/rows.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	static const struct row_column columns[] = {
		{ "VERSION", "version", ROW_PLAIN },
		{ "WHEN", "time", ROW_DATE },
		{ "BY", "author", ROW_PLAIN },
		{ "BYTES", "size", ROW_PLAIN },
		{ "CURRENT", "current", ROW_PLAIN },
		{ "KEPT UNTIL", "until", ROW_DATE },
	};
	CLEANUP(map_release) struct map args = MAP_INIT;
	CLEANUP(reply_release) struct reply r = REPLY_INIT;

	if (argc != 2)
		return verb_usage(&verb_versions);
	FREE_AFTER char *path = home_resolved(argv[1]);
	if (!path)
		return agent_fail(EX_OSERR, "out of memory", "");
	map_bytes(&args, "path", path, strlen(path));
	int code = agent_call(ctx, "versions", &args, &r);
	if (code)
		return code;
	return ctx->json ? print_json(r.result) : rows_print(r.result, "versions", columns, 6);
}

const struct verb verb_versions = {
	.name = "versions",
	.synopsis = "PATH",
	.summary = "the versions of a file that the relay keeps",
	.example = "coffer versions ~/Coffer/Photos/list.txt",
	.run = run,
};
