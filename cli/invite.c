/* SPDX-License-Identifier: Apache-2.0 */
/* coffer invite: lets another person into a space, by code or link. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/offer.h"
#include "cli/print.h"
#include "cli/rows.h"

static int list(const struct context *ctx)
{
	static const struct row_column columns[] = {
		{ "ID", "id", ROW_PLAIN },
		{ "SPACE", "space", ROW_PLAIN },
		{ "ROLE", "role", ROW_PLAIN },
		{ "USES LEFT", "left", ROW_PLAIN },
		{ "EXPIRES", "expires", ROW_UNTIL },
	};
	CLEANUP(reply_release) struct reply r = REPLY_INIT;

	int code = agent_call(ctx, "invite.list", NULL, &r);
	if (code)
		return code;
	return ctx->json ? print_json(r.result) : rows_print(r.result, "invites", columns, 5);
}

static int cancel(const struct context *ctx, const char *id)
{
	CLEANUP(map_release) struct map args = MAP_INIT;
	map_text(&args, "id", id);
	return agent_do(ctx, "invite.cancel", &args, true);
}

static int create(const struct context *ctx, int argc, char **argv)
{
	static const struct option options[] = { { "role", required_argument, NULL, 'r' },
		{ "expires", required_argument, NULL, 'e' }, { "uses", required_argument, NULL, 'u' }, { 0 } };
	const char *role = "writer";
	unsigned long expires = 600, uses = 1;
	char *end;

	for (int c; (c = verb_option(&verb_invite, argc, argv, options)) != -1;) {
		switch (c) {
		case 'r':
			role = optarg;
			break;
		case 'e':
			expires = offer_parse_span(optarg);
			break;
		case 'u':
			uses = strtoul(optarg, &end, 10);
			uses = optarg[0] < '0' || optarg[0] > '9' || *end ? 0 : uses;
			break;
		default:
			return EX_USAGE;
		}
	}
	if (optind + 1 != argc)
		return verb_usage(&verb_invite);
	if (expires == 0 || uses == 0 || uses > 1000)
		return agent_fail(EX_USAGE, "these are no bounds of an invite",
			"--expires takes a span like 10m, 2h or 7d, --uses a number from 1 to 1000");
	if (strcmp(role, "reader") != 0 && strcmp(role, "writer") != 0)
		return agent_fail(EX_USAGE, "an invite cannot give that role", "choose reader or writer");
	CLEANUP(map_release) struct map args = MAP_INIT;
	map_text(&args, "space", argv[optind]);
	map_text(&args, "role", role);
	map_uint(&args, "expires", expires);
	map_uint(&args, "uses", uses);
	CLEANUP(reply_release) struct reply r = REPLY_INIT;
	int code = agent_call(ctx, "invite", &args, &r);
	return code ? code : offer_print(ctx, r.result, "The other person, after `coffer init`", "coffer join");
}

static int run(const struct context *ctx, int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "list") == 0)
		return argc == 2 ? list(ctx) : verb_usage(&verb_invite);
	if (argc > 1 && strcmp(argv[1], "cancel") == 0)
		return argc == 3 ? cancel(ctx, argv[2]) : verb_usage(&verb_invite);
	return create(ctx, argc, argv);
}

const struct verb verb_invite = {
	.name = "invite",
	.synopsis = "SPACE [--role reader|writer] [--expires 10m] [--uses 1] | list | cancel ID",
	.summary = "share a space by code, link or QR; works while this device sleeps",
	.example = "coffer invite Photos --role writer --expires 2h",
	.run = run,
};
