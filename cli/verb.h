/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verb: one command of `coffer`. Each verb has a file of its own; cli/main.c holds the table.
 *
 * A verb parses its own arguments (argv[0] is its name), asks the agent, prints, and returns a sysexits code. Errors
 * have been printed when it returns.
 */
#ifndef COFFER_CLI_VERB_H
#define COFFER_CLI_VERB_H

#include <getopt.h>
#include <stdbool.h>
#include <sysexits.h>

struct context {
	const char *home; /* directory of the profile; absolute */
	bool json;        /* print data as JSON */
	bool quiet;
};

struct verb {
	const char *name;
	const char *synopsis; /* arguments, for usage lines */
	const char *summary;  /* one line */
	const char *example;
	int (*run)(const struct context *ctx, int argc, char **argv);
};

extern const struct verb verb_init, verb_lock, verb_unlock, verb_stop, verb_mount, verb_umount, verb_space, verb_pair,
	verb_device, verb_invite, verb_join, verb_members, verb_status, verb_wait, verb_pin, verb_evict, verb_verify,
	verb_rotate, verb_role, verb_remove, verb_versions, verb_restore, verb_undelete;

/* getopt_long for a verb: the next option's value, -1 at their end, '?' for one that is unknown or lacks its argument:
 * that has been said then, and the verb returns EX_USAGE. `mount` alone has a short option: -o. */
int verb_option(const struct verb *v, int argc, char **argv, const struct option *options);

/* Says in one line that the arguments are not those of the verb, and what they are; returns EX_USAGE. */
int verb_usage(const struct verb *v);

#endif
