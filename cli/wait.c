/* SPDX-License-Identifier: Apache-2.0 */
/* coffer wait: the barrier: what was here is on the relay, what was there is here. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/offer.h"
#include "cli/print.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	static const struct option options[] = { { "space", required_argument, NULL, 's' },
		{ "timeout", required_argument, NULL, 't' }, { 0 } };
	const char *space = NULL;
	unsigned long timeout_s = 60;

	for (int c; (c = verb_option(&verb_wait, argc, argv, options)) != -1;) {
		switch (c) {
		case 's':
			space = optarg;
			break;
		case 't':
			timeout_s = offer_parse_span(optarg);
			break;
		default:
			return EX_USAGE;
		}
	}
	if (optind != argc || timeout_s == 0)
		return verb_usage(&verb_wait);
	CLEANUP(map_release) struct map args = MAP_INIT;
	map_text(&args, "space", space);
	map_uint(&args, "timeout_ms", timeout_s * 1000);
	return agent_do(ctx, "wait", &args, true);
}

const struct verb verb_wait = {
	.name = "wait",
	.synopsis = "[--space NAME] [--timeout 60s]",
	.summary = "0 when everything here is safe at the relay and everything there is here; 75 with what is left "
		   "otherwise",
	.example = "coffer wait --timeout 5m && echo safe",
	.run = run,
};
