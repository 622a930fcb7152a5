/* SPDX-License-Identifier: Apache-2.0 */
/* coffer undelete: lists what was deleted from a space, or brings it back. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/print.h"
#include "cli/rows.h"

static int say(const struct reply *r)
{
	unsigned long long lost = map_get_uint(r->result, "lost", 0), taken = map_get_uint(r->result, "taken", 0);

	printf("%llu files and folders brought back\n", (unsigned long long)map_get_uint(r->result, "restored", 0));
	if (lost)
		printf("%llu are not kept by the relay any more\n", lost);
	if (taken)
		printf("%llu have a name that something else has now\n", taken);
	return EX_OK;
}

/* Most of them were brought back. On standard error: the list is for programs, too. */
static void say_taken(const struct reply *r)
{
	unsigned long long taken = map_get_uint(r->result, "taken", 0);

	if (taken)
		fprintf(stderr,
			"%llu more not shown: they are back, or something else has their name (rename it to get one)\n",
			taken);
}

static int run(const struct context *ctx, int argc, char **argv)
{
	static const struct row_column columns[] = {
		{ "KIND", "kind", ROW_PLAIN },
		{ "PATH", "path", ROW_PLAIN },
	};
	CLEANUP(map_release) struct map args = MAP_INIT;
	CLEANUP(reply_release) struct reply r = REPLY_INIT;

	if (argc != 2 && argc != 3)
		return verb_usage(&verb_undelete);
	map_text(&args, "space", argv[1]);
	if (argc == 3)
		map_bytes(&args, "path", argv[2], strlen(argv[2]));
	int code = agent_call(ctx, "undelete", &args, &r);
	if (code)
		return code;
	if (ctx->json)
		return print_json(r.result);
	if (argc == 3)
		return ctx->quiet ? EX_OK : say(&r);
	code = rows_print(r.result, "deleted", columns, 2);
	if (code == EX_OK && !ctx->quiet)
		say_taken(&r);
	return code;
}

const struct verb verb_undelete = {
	.name = "undelete",
	.synopsis = "SPACE [PATH]",
	.summary = "list what was deleted from a space, or bring back a file or folder of it",
	.example = "coffer undelete Photos 2026/a.jpg",
	.run = run,
};
