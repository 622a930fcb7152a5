/* SPDX-License-Identifier: Apache-2.0 */
/* coffer rotate: changes the key of a space for all that is written from now on. */
#include "base/cleanup.h"
#include "cli/agent.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	if (argc != 2)
		return verb_usage(&verb_rotate);
	CLEANUP(map_release) struct map args = MAP_INIT;
	map_text(&args, "space", argv[1]);
	return agent_do(ctx, "rotate", &args, true);
}

const struct verb verb_rotate = {
	.name = "rotate",
	.synopsis = "SPACE",
	.summary = "changes the key of a space for all that is written from now on",
	.example = "coffer rotate Photos",
	.run = run,
};
