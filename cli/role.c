/* SPDX-License-Identifier: Apache-2.0 */
/* coffer role: says what a member may do. */
#include "base/cleanup.h"
#include "cli/agent.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	if (argc != 4)
		return verb_usage(&verb_role);
	CLEANUP(map_release) struct map args = MAP_INIT;
	map_text(&args, "space", argv[1]);
	map_text(&args, "member", argv[2]);
	map_text(&args, "role", argv[3]);
	return agent_do(ctx, "role", &args, true);
}

const struct verb verb_role = {
	.name = "role",
	.synopsis = "SPACE MEMBER reader|writer|admin",
	.summary = "says what a member may do",
	.example = "coffer role Photos 5f1c-07aa-91b2-33d0-8e41 reader",
	.run = run,
};
