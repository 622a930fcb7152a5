/* SPDX-License-Identifier: Apache-2.0 */
/* coffer members: people and devices of a space. */
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/print.h"
#include "cli/rows.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	static const struct row_column columns[] = {
		{ "PERSON", "person", ROW_PLAIN },
		{ "DEVICE", "device", ROW_PLAIN },
		{ "ROLE", "role", ROW_PLAIN },
		{ "YOU", "self", ROW_PLAIN },
		{ "PERSON FINGERPRINT", "fingerprint", ROW_PLAIN },
		{ "LAST SEEN", "seen", ROW_DATE },
	};

	if (argc != 2)
		return verb_usage(&verb_members);
	CLEANUP(map_release) struct map args = MAP_INIT;
	map_text(&args, "space", argv[1]);
	CLEANUP(reply_release) struct reply r = REPLY_INIT;
	int code = agent_call(ctx, "members", &args, &r);
	if (code)
		return code;
	return ctx->json ? print_json(r.result) : rows_print(r.result, "members", columns, 6);
}

const struct verb verb_members = {
	.name = "members",
	.synopsis = "SPACE",
	.summary = "people, devices, roles and fingerprints of a space",
	.example = "coffer members Photos",
	.run = run,
};
