/* SPDX-License-Identifier: Apache-2.0 */
/* coffer umount: waits until everything is pushed, then unmounts. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/home.h"
#include "cli/offer.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	static const struct option options[] = { { "now", no_argument, NULL, 'n' },
		{ "timeout", required_argument, NULL, 't' }, { 0 } };
	bool now = false;
	unsigned long timeout_s = 60;

	for (int c; (c = verb_option(&verb_umount, argc, argv, options)) != -1;) {
		switch (c) {
		case 'n':
			now = true;
			break;
		case 't':
			timeout_s = offer_parse_span(optarg);
			break;
		default:
			return EX_USAGE;
		}
	}
	if (optind + 1 != argc || (timeout_s == 0 && !now))
		return verb_usage(&verb_umount);
	if (!agent_runs(ctx))
		return agent_fail(EX_UNAVAILABLE, "the agent does not run, so nothing of this profile is mounted",
			"a dead mount point is freed by the next `coffer mount`, or by `fusermount3 -u DIR`");
	FREE_AFTER char *dir = realpath(argv[optind], NULL);
	if (!dir) /* a dead mount point */
		dir = home_resolved(argv[optind]);
	if (!dir)
		return agent_fail(EX_OSERR, "out of memory", "");
	CLEANUP(map_release) struct map args = MAP_INIT;
	map_text(&args, "dir", dir);
	map_bool(&args, "now", now);
	map_uint(&args, "timeout_ms", timeout_s * 1000);
	return agent_do(ctx, "umount", &args, false);
}

const struct verb verb_umount = {
	.name = "umount",
	.synopsis = "DIR [--now] [--timeout 60s]",
	.summary = "wait until everything is pushed and unmount; --now does not wait",
	.example = "coffer umount ~/Coffer",
	.run = run,
};
