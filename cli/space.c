/* SPDX-License-Identifier: Apache-2.0 */
/* coffer space create|list */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/print.h"
#include "cli/rows.h"

static int create(const struct context *ctx, const char *name)
{
	CLEANUP(map_release) struct map args = MAP_INIT;
	map_text(&args, "name", name);
	return agent_do(ctx, "space.create", &args, true);
}

static int list(const struct context *ctx)
{
	static const struct row_column columns[] = {
		{ "NAME", "name", ROW_PLAIN },
		{ "ROLE", "role", ROW_PLAIN },
		{ "ID", "id", ROW_PLAIN },
		{ "RELAY", "relay", ROW_PLAIN },
	};
	CLEANUP(reply_release) struct reply r = REPLY_INIT;

	int code = agent_call(ctx, "space.list", NULL, &r);
	if (code)
		return code;
	return ctx->json ? print_json(r.result) : rows_print(r.result, "spaces", columns, 4);
}

static int run(const struct context *ctx, int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "create") == 0)
		return create(ctx, argv[2]);
	if (argc == 2 && strcmp(argv[1], "list") == 0)
		return list(ctx);
	return verb_usage(&verb_space);
}

const struct verb verb_space = {
	.name = "space",
	.synopsis = "create NAME | list",
	.summary = "make a space, or list those of this profile",
	.example = "coffer space create Photos",
	.run = run,
};
