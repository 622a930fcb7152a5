/* SPDX-License-Identifier: Apache-2.0 */
/* coffer remove: takes a member out of a space and changes its key. */
#include "base/cleanup.h"
#include "cli/agent.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	if (argc != 3)
		return verb_usage(&verb_remove);
	CLEANUP(map_release) struct map args = MAP_INIT;
	map_text(&args, "space", argv[1]);
	map_text(&args, "member", argv[2]);
	return agent_do(ctx, "remove", &args, true);
}

const struct verb verb_remove = {
	.name = "remove",
	.synopsis = "SPACE MEMBER",
	.summary = "takes a member out of a space and changes its key",
	.example = "coffer remove Photos 5f1c-07aa-91b2-33d0-8e41",
	.run = run,
};
