/* SPDX-License-Identifier: Apache-2.0 */
/* coffer join: becomes a member of a space by code or link. */
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/print.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	static const struct option options[] = { { "relay", required_argument, NULL, 'r' },
		{ "as", required_argument, NULL, 'a' }, { 0 } };
	const char *relay = NULL, *as = NULL;

	for (int c; (c = verb_option(&verb_join, argc, argv, options)) != -1;) {
		switch (c) {
		case 'r':
			relay = optarg;
			break;
		case 'a':
			as = optarg;
			break;
		default:
			return EX_USAGE;
		}
	}
	if (optind + 1 != argc)
		return verb_usage(&verb_join);
	CLEANUP(map_release) struct map args = MAP_INIT_SECRET;
	map_text(&args, "secret", argv[optind]);
	map_text(&args, "relay", relay);
	map_text(&args, "as", as);
	CLEANUP(reply_release) struct reply r = REPLY_INIT;
	int code = agent_call(ctx, "join", &args, &r);
	if (code || ctx->quiet)
		return code;
	if (ctx->json)
		return print_json(r.result);
	fputs("joined: ", stdout);
	print_clean(map_get_text(r.result, "name"));
	putchar('\n');
	return EX_OK;
}

const struct verb verb_join = {
	.name = "join",
	.synopsis = "CODE|LINK [--relay URL] [--as NAME]",
	.summary = "become a member of a space you were invited to",
	.example = "coffer join K3QF-9T2M-X7PA-4WHD --relay https://relay.example.org",
	.run = run,
};
