/* SPDX-License-Identifier: Apache-2.0 */
/* coffer stop: ends the agent. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>

#include "base/cleanup.h"
#include "cli/agent.h"

#define TRIES 2000 /* 20 s */
#define TRY_NS 10000000L

/* The agent answers before it ends, and holds the profile's lock to the last. */
static void await_end(const char *home)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/lock", home);
	CLOSE_AFTER int fd = open(path, O_RDONLY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < TRIES && flock(fd, LOCK_SH | LOCK_NB) < 0; i++)
		nanosleep(&(struct timespec){ .tv_nsec = TRY_NS }, NULL);
}

static int run(const struct context *ctx, int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return verb_usage(&verb_stop);
	if (!agent_runs(ctx))
		return EX_OK;
	int code = agent_do(ctx, "stop", NULL, false);
	if (code == EX_OK)
		await_end(ctx->home);
	return code;
}

const struct verb verb_stop = {
	.name = "stop",
	.synopsis = "",
	.summary = "unmount everything and end the agent; what is unsent stays and is sent at the next start",
	.example = "coffer stop",
	.run = run,
};
