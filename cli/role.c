/* SPDX-License-Identifier: Apache-2.0 */
/* coffer role: says what a member may do. */
#include <string.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "wire/entry.h"

static bool is_role(const char *text)
{
	for (enum role r = ROLE_READER; r <= ROLE_ADMIN; r++)
		if (strcmp(text, role_name(r)) == 0)
			return true;
	return false;
}

static int run(const struct context *ctx, int argc, char **argv)
{
	if (argc != 4)
		return verb_usage(&verb_role);
	if (!is_role(argv[3]))
		return agent_fail(EX_USAGE, "there is no such role", "roles are reader, writer and admin");
	CLEANUP(map_release) struct map args = MAP_INIT;
	map_text(&args, "space", argv[1]);
	map_text(&args, "member", argv[2]);
	map_text(&args, "role", argv[3]);
	return agent_do(ctx, "role", &args, true);
}

const struct verb verb_role = {
	.name = "role",
	.synopsis = "SPACE MEMBER reader|writer|admin",
	.summary = "says what a member may do",
	.example = "coffer role Photos 5f1c-07aa-91b2-33d0-8e41 reader",
	.run = run,
};
