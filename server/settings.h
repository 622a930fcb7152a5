/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings: where the config comes from: the file, the environment, and the command line over both.
 *
 *	struct settings s = { 0 };
 *	status = settings_parse(&s, argc, argv);         // >= 0: exit with it
 *	if ((err = settings_load(&s, &config, &fault)) < 0) ...   // again at each reload
 *	settings_release(&s);
 */
#ifndef COFFER_SERVER_SETTINGS_H
#define COFFER_SERVER_SETTINGS_H

#include "base/buf.h"
#include "server/config.h"

struct settings {
	const char *file, *listen, *data; /* NULL: not given; they point into argv */
	struct buf origins;               /* separated by commas, NUL-terminated; empty: none given */
	const char *const *rest;          /* arguments that are no options, n of them */
	size_t n;
};

/* Returns -1 to go on, else the exit status; what people must know is printed. */
int settings_parse(struct settings *s, int argc, char **argv);
void settings_release(struct settings *s);
/* Also sets the log's level and format. */
int settings_load(const struct settings *s, struct config **ret_c, struct config_fault *ret_fault) MUST_CHECK;

#endif
