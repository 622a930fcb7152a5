/* SPDX-License-Identifier: Apache-2.0 */
/* coffer pair: lets a further device of the same person in. */
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/offer.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	static const struct option options[] = { { "expires", required_argument, NULL, 'e' }, { 0 } };
	unsigned long expires = 600;

	for (int c; (c = verb_option(&verb_pair, argc, argv, options)) != -1;) {
		if (c != 'e')
			return EX_USAGE;
		expires = offer_parse_span(optarg);
	}
	if (optind != argc || expires == 0)
		return verb_usage(&verb_pair);
	CLEANUP(map_release) struct map args = MAP_INIT;
	map_uint(&args, "expires", expires);
	CLEANUP(reply_release) struct reply r = REPLY_INIT;
	int code = agent_call(ctx, "pair", &args, &r);
	return code ? code : offer_print(ctx, r.result, "On the other device", "coffer init --pair");
}

const struct verb verb_pair = {
	.name = "pair",
	.synopsis = "[--expires 10m]",
	.summary = "show a code, link and QR for a further device of yours",
	.example = "coffer pair",
	.run = run,
};
