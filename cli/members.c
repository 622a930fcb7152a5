/* SPDX-License-Identifier: Apache-2.0 */
/* coffer members: people and devices of a space. */
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/print.h"
#include "cli/rows.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	static const char *const titles[] = { "PERSON", "DEVICE", "ROLE", "YOU", "FINGERPRINT", "LAST SEEN" };
	static const char *const keys[] = { "person", "device", "role", "self", "fingerprint", "seen" };

	if (argc != 2)
		return verb_usage(&verb_members);
	CLEANUP(map_release) struct map args = MAP_INIT;
	map_text(&args, "space", argv[1]);
	CLEANUP(reply_release) struct reply r = REPLY_INIT;
	int code = agent_call(ctx, "members", &args, NULL, NULL, &r);
	if (code)
		return code;
	return ctx->json ? print_json(r.result) : rows_print(r.result, "members", titles, keys, 6);
}

const struct verb verb_members = {
	.name = "members",
	.synopsis = "SPACE",
	.summary = "people, devices, roles and fingerprints of a space",
	.example = "coffer members Photos",
	.run = run,
};
