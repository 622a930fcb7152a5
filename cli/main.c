/* SPDX-License-Identifier: Apache-2.0 */
/* coffer: finds the profile and the verb, and lets the verb do the rest. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/home.h"
#include "cli/mount_helper.h"
#include "cli/verb.h"

static const struct verb *const verbs[] = {
	&verb_init,
	&verb_mount,
	&verb_umount,
	&verb_space,
	&verb_invite,
	&verb_join,
	&verb_members,
	&verb_role,
	&verb_remove,
	&verb_rotate,
	&verb_pair,
	&verb_device,
	&verb_status,
	&verb_wait,
	&verb_pin,
	&verb_evict,
	&verb_verify,
	&verb_versions,
	&verb_restore,
	&verb_undelete,
	&verb_lock,
	&verb_unlock,
	&verb_stop,
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (strcmp(verbs[i]->name, name) == 0)
			return verbs[i];
	return NULL;
}

static void print_help(FILE *out)
{
	fputs("usage: coffer [--home DIR] [--json] [--quiet] VERB ...\n\n"
	      "An end-to-end-encrypted folder, kept on several devices and shared by invite.\n\n",
		out);
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		fprintf(out, "  %-8s %s\n", verbs[i]->name, verbs[i]->summary);
	fputs("\n`coffer help VERB` shows the arguments and an example.\n"
	      "--home (or COFFER_HOME) names the profile; the default is $XDG_DATA_HOME/coffer,\n"
	      "or else ~/.local/share/coffer.\n",
		out);
}

static void print_verb_help(const struct verb *v)
{
	printf("usage: coffer %s%s%s\n\n%s\n\nexample:\n  %s\n", v->name, v->synopsis[0] ? " " : "", v->synopsis,
		v->summary, v->example);
}

int verb_usage(const struct verb *v)
{
	fprintf(stderr, "coffer: these are not the arguments of %s; usage: coffer %s%s%s\n", v->name, v->name,
		v->synopsis[0] ? " " : "", v->synopsis);
	return EX_USAGE;
}

/* getopt's own message would be a line without a next step. */
static int bad_option(int c, char **argv, const char *verb)
{
	char text[3] = { '-', (char)optopt, 0 };
	const char *name = optind > 1 && strncmp(argv[optind - 1], "--", 2) == 0 ? argv[optind - 1] : text;

	fprintf(stderr,
		c == ':' ? "coffer: the option %s needs an argument; `coffer%s%s --help` shows it\n"
			 : "coffer: the option %s cannot be used here; `coffer%s%s --help` shows those there are\n",
		name, verb[0] ? " " : "", verb);
	return '?';
}

int verb_option(const struct verb *v, int argc, char **argv, const struct option *options)
{
	opterr = 0;
	int c = getopt_long(argc, argv, v == &verb_mount ? ":o:" : ":", options, NULL);
	return c == '?' || c == ':' ? bad_option(c, argv, v->name) : c;
}

/* --json and --quiet may stand after the verb too; takes them out of argv. */
static int take_common(struct context *ctx, int argc, char **argv, bool *ret_help)
{
	int n = 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			ctx->json = true;
		else if (strcmp(argv[i], "--quiet") == 0)
			ctx->quiet = true;
		else if (strcmp(argv[i], "--help") == 0)
			*ret_help = true;
		else
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
	return n;
}

/* What was printed may not have got through. */
static int check_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EX_OK;
	fprintf(stderr, "coffer: the output cannot be written: %s; what was asked for has been done\n",
		strerror(errno));
	return EX_IOERR;
}

enum { GO_ON = -1 };

/* The options before the verb; optind is the verb's place then. The code to end with, or GO_ON. */
static int take_leading(struct context *ctx, int argc, char **argv, const char **ret_home)
{
	static const struct option options[] = {
		{ "home", required_argument, NULL, 'H' },
		{ "json", no_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};

	opterr = 0;
	for (int c; (c = getopt_long(argc, argv, "+:", options, NULL)) != -1;) {
		switch (c) {
		case 'H':
			*ret_home = optarg;
			break;
		case 'j':
			ctx->json = true;
			break;
		case 'q':
			ctx->quiet = true;
			break;
		case 'h':
			print_help(stdout);
			return check_output();
		case 'V':
			puts("coffer 0.1");
			return check_output();
		default:
			bad_option(c, argv, "");
			return EX_USAGE;
		}
	}
	if (optind < argc)
		return GO_ON;
	print_help(stderr);
	return EX_USAGE;
}

static int run(struct context *ctx, const struct verb *v, const char *home_option, int argc, char **argv)
{
	FREE_AFTER char *home = home_find(home_option);

	if (!home) {
		fputs("coffer: no home directory is set; name a profile with --home DIR\n", stderr);
		return EX_CONFIG;
	}
	ctx->home = home;
	optind = 0; /* starts getopt anew, in its usual order */
	int code = v->run(ctx, argc, argv);
	return code ? code : check_output();
}

int main(int argc, char **argv)
{
	struct context ctx = { 0 };
	const char *home_option = NULL;
	const struct verb *v;
	bool help = false;

	if (mount_helper_named(argv[0]))
		return mount_helper_main(argc, argv);
	int code = take_leading(&ctx, argc, argv, &home_option);
	if (code != GO_ON)
		return code;
	argc = take_common(&ctx, argc - optind, argv + optind, &help);
	argv += optind;
	if (strcmp(argv[0], "help") == 0) { /* of a verb: as VERB --help */
		if (argc == 1) {
			print_help(stdout);
			return check_output();
		}
		argv++;
		argc--;
		help = true;
	}
	v = find_verb(argv[0]);
	if (!v) {
		fprintf(stderr, "coffer: there is no command '%s'; `coffer --help` lists them\n", argv[0]);
		return EX_USAGE;
	}
	if (help) {
		print_verb_help(v);
		return check_output();
	}
	return run(&ctx, v, home_option, argc, argv);
}
