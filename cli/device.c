/* SPDX-License-Identifier: Apache-2.0 */
/* coffer device: the devices of this person; takes one away. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/print.h"
#include "cli/rows.h"

static int take_away(const struct context *ctx, const char *name)
{
	CLEANUP(map_release) struct map args = MAP_INIT;

	map_text(&args, "device", name);
	return agent_do(ctx, "device.remove", &args, true);
}

static int run(const struct context *ctx, int argc, char **argv)
{
	static const struct row_column columns[] = {
		{ "NAME", "name", ROW_PLAIN },
		{ "THIS", "self", ROW_PLAIN },
		{ "LIVE", "live", ROW_PLAIN },
		{ "DEVICE FINGERPRINT", "fingerprint", ROW_PLAIN },
		{ "SINCE", "since", ROW_DATE },
	};

	if (argc == 3 && strcmp(argv[1], "remove") == 0)
		return take_away(ctx, argv[2]);
	if (argc != 2 || strcmp(argv[1], "list") != 0)
		return verb_usage(&verb_device);
	CLEANUP(reply_release) struct reply r = REPLY_INIT;
	int code = agent_call(ctx, "device.list", NULL, &r);
	if (code)
		return code;
	return ctx->json ? print_json(r.result) : rows_print(r.result, "devices", columns, 5);
}

const struct verb verb_device = {
	.name = "device",
	.synopsis = "list | remove NAME",
	.summary = "the devices of this person; takes one that was lost out of every space",
	.example = "coffer device list",
	.run = run,
};
