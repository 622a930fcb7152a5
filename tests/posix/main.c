/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posix_suite: runs the cases in a directory of a file system.
 *
 *	posix_suite [-o] DIR [WORD]
 *
 * WORD keeps the cases whose call or text contains it. -o: the file system is the judge of the cases: what it does not
 * support is passed over. Cases that need other users are passed over unless run as root. Prints each failed case, then
 * "N cases, M failed, K not run"; ends with 1 if any failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/posix/cases.h"
#include "tests/posix/step.h"

static const struct posix_case *const tables[] = { cases_names, cases_rename, cases_files, cases_space, cases_attrs,
	cases_users, cases_xattrs, cases_times, cases_locks };

struct suite {
	char *dir;
	const char *word;
	bool oracle;
	unsigned run, failed, passed_over;
};

static bool needs_root(const struct posix_case *c)
{
	return strchr(c->steps, '@') || strstr(c->steps, "chown ") || strstr(c->steps, "mknod ") ||
	       strstr(c->steps, "trusted.") || strstr(c->steps, "security.") || strstr(c->what, "root");
}

static bool is_wanted(const struct suite *s, const struct posix_case *c)
{
	return !s->word || strstr(c->call, s->word) || strstr(c->what, s->word);
}

/* Goes into a new directory for the case. */
static void enter(const struct suite *s, unsigned number)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/case%u", s->dir, number);
	umask(022);
	if (mkdir(path, 0755) < 0 || chdir(path) < 0) {
		perror(path);
		exit(2);
	}
}

static enum step_end run_steps(const struct posix_case *c)
{
	static char why[STEP_TEXT];
	struct scene scene;
	char *text = strdup(c->steps), *rest = text, *step;
	enum step_end end = STEP_OK;

	scene_open(&scene);
	while (end == STEP_OK && (step = strsep(&rest, ";"))) {
		end = step_run(&scene, step, why);
		if (end == STEP_FAILED)
			printf("%s: %s: at `%s`: %s\n", c->call, c->what, step + strspn(step, " "), why);
		else if (end == STEP_UNSUPPORTED)
			printf("%s: %s: at `%s` is not supported\n", c->call, c->what, step + strspn(step, " "));
	}
	scene_close(&scene);
	free(text);
	return end;
}

static void run_case(struct suite *s, const struct posix_case *c)
{
	if (!is_wanted(s, c))
		return;
	if (needs_root(c) && geteuid() != 0) {
		s->passed_over++;
		return;
	}
	enter(s, s->run + s->passed_over);
	enum step_end end = run_steps(c);
	if (end == STEP_UNSUPPORTED && s->oracle) {
		s->passed_over++;
		return;
	}
	s->run++;
	s->failed += end != STEP_OK;
}

int main(int argc, char **argv)
{
	struct suite s = { .oracle = argc > 1 && strcmp(argv[1], "-o") == 0 };

	argv += 1 + s.oracle;
	if (!argv[0]) {
		fprintf(stderr, "usage: posix_suite [-o] DIR [WORD]\n");
		return 2;
	}
	s.dir = realpath(argv[0], NULL);
	s.word = argv[1];
	for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
		for (const struct posix_case *c = tables[t]; c->call; c++)
			run_case(&s, c);
	printf("%u cases, %u failed, %u not run\n", s.run, s.failed, s.passed_over);
	free(s.dir);
	return s.failed > 0;
}
