/* SPDX-License-Identifier: Apache-2.0 */
/* coffer unlock: gives the agent the passphrase. */
#include <stdio.h>

#include "cli/agent.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	static const struct option options[] = { { "passphrase-file", required_argument, NULL, 'p' }, { 0 } };
	const char *file = NULL;

	for (int c; (c = verb_option(&verb_unlock, argc, argv, options)) != -1;) {
		if (c != 'p')
			return EX_USAGE;
		file = optarg;
	}
	if (optind != argc)
		return verb_usage(&verb_unlock);
	int code = agent_unlock(ctx, file);
	if (code == EX_OK && ctx->json)
		puts("{\"v\": 1}");
	return code;
}

const struct verb verb_unlock = {
	.name = "unlock",
	.synopsis = "[--passphrase-file F]",
	.summary = "load the keys with the passphrase",
	.example = "coffer unlock",
	.run = run,
};
