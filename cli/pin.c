/* SPDX-License-Identifier: Apache-2.0 */
/* coffer pin: keeps content on this device. */
#include "cli/keep.h"

static int run(const struct context *ctx, int argc, char **argv)
{
	return argc < 2 ? verb_usage(&verb_pin) : keep_paths(ctx, "pin", NULL, argc - 1, argv + 1);
}

const struct verb verb_pin = {
	.name = "pin",
	.synopsis = "PATH...",
	.summary = "bring the content here and keep it; of a folder, all that is in it",
	.example = "coffer pin ~/Coffer/Photos/2026",
	.run = run,
};
