/* SPDX-License-Identifier: Apache-2.0 */
/* coffer mount: mounts the profile, or one space of it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/home.h"
#include "cli/print.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	static const struct option options[] = { { "space", required_argument, NULL, 's' },
		{ "options", required_argument, NULL, 'o' }, { 0 } };
	const char *space = NULL, *mount_options = NULL;

	for (int c; (c = verb_option(&verb_mount, argc, argv, options)) != -1;) {
		switch (c) {
		case 's':
			space = optarg;
			break;
		case 'o':
			mount_options = optarg;
			break;
		default:
			return EX_USAGE;
		}
	}
	if (optind + 1 != argc)
		return verb_usage(&verb_mount);
	FREE_AFTER char *dir = realpath(argv[optind], NULL);
	if (!dir)
		dir = home_absolute(argv[optind]);
	if (!dir)
		return agent_fail(EX_OSERR, "out of memory", "");
	CLEANUP(map_release) struct map args = MAP_INIT;
	map_text(&args, "dir", dir);
	map_text(&args, "space", space);
	map_text(&args, "options", mount_options);
	return agent_do(ctx, "mount", &args, true);
}

const struct verb verb_mount = {
	.name = "mount",
	.synopsis = "DIR [--space NAME] [-o allow_other,ro,noexec,owners=keep,uid=N,gid=N,allow_suid,allow_dev]",
	.summary = "mount all spaces, or one, at an empty directory; ready when it returns",
	.example = "coffer mount ~/Coffer",
	.run = run,
};
