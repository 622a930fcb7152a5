/* SPDX-License-Identifier: Apache-2.0 */
/* coffer lock: drops the keys from memory. */
#include <stdio.h>

#include "cli/agent.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return verb_usage(&verb_lock);
	if (!agent_runs(ctx)) {
		if (!ctx->quiet)
			puts("locked (the agent does not run)");
		return EX_OK;
	}
	return agent_do(ctx, "lock", NULL, false);
}

const struct verb verb_lock = {
	.name = "lock",
	.synopsis = "",
	.summary = "unmount everything and drop the keys from memory",
	.example = "coffer lock",
	.run = run,
};
