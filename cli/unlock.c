/* SPDX-License-Identifier: Apache-2.0 */
/* coffer unlock: gives the agent the passphrase. */
#include <getopt.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/prompt.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	static const struct option options[] = { { "passphrase-file", required_argument, NULL, 'p' }, { 0 } };
	const char *file = NULL;

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c != 'p')
			return verb_usage(&verb_unlock);
		file = optarg;
	}
	if (optind != argc)
		return verb_usage(&verb_unlock);
	CLEANUP(map_release) struct map args = MAP_INIT_SECRET;
	CLEANUP(buf_release) struct buf passphrase = BUF_INIT_SECRET(PROMPT_MAX);
	int code = prompt_passphrase(file, false, &passphrase);
	if (code)
		return code;
	map_bytes(&args, "passphrase", passphrase.data, passphrase.len);
	CLEANUP(reply_release) struct reply r = REPLY_INIT;
	return agent_call_locked(ctx, "unlock", &args, NULL, NULL, &r);
}

const struct verb verb_unlock = {
	.name = "unlock",
	.synopsis = "[--passphrase-file F]",
	.summary = "load the keys with the passphrase",
	.example = "coffer unlock",
	.run = run,
};
