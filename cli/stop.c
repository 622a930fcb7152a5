/* SPDX-License-Identifier: Apache-2.0 */
/* coffer stop: ends the agent. */
#include <stdio.h>

#include "cli/agent.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return verb_usage(&verb_stop);
	if (!agent_runs(ctx))
		return EX_OK;
	return agent_do(ctx, "stop", NULL, false);
}

const struct verb verb_stop = {
	.name = "stop",
	.synopsis = "",
	.summary = "unmount everything and end the agent; what is unsent stays and is sent at the next start",
	.example = "coffer stop",
	.run = run,
};
