/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step: one call of a case, written as words: a verb, its arguments, and what must come of it.
 *
 *	rename a b !ENOTEMPTY       fails with that errno; without, the step must succeed
 *	stat f mode =640            the result, as text
 *	@4711:99 unlink d/f         by a user (and supplementary groups, :99,100), in a child
 *	& flock 1 ex+nb !EAGAIN     by another process
 *
 * Numbers 1 to 9 as first argument name descriptors that `open` and `tmpfile` set. In words, {n} stands for n letters,
 * \xHH for a byte and \s for a blank. The verbs stand in verbs.c.
 */
#ifndef COFFER_TESTS_POSIX_STEP_H
#define COFFER_TESTS_POSIX_STEP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define STEP_WORDS 8
#define STEP_TEXT 8192
#define STEP_FDS 10

/* What steps of one case share. */
struct scene {
	int fd[STEP_FDS]; /* -1: none */
	void *map[STEP_FDS];
	size_t map_len[STEP_FDS];
	struct stat marked; /* of `mark` */
};

struct step {
	struct scene *scene;
	char *word[STEP_WORDS]; /* word[0] is the verb */
	int n;
	char result[STEP_TEXT]; /* what a verb found out, if anything */
};

enum step_end { STEP_OK, STEP_UNSUPPORTED /* EOPNOTSUPP where it was not expected */, STEP_FAILED };

/* Carries out one step as written. On anything but STEP_OK, `why` (STEP_TEXT bytes) says what came instead. */
enum step_end step_run(struct scene *scene, const char *text, char *why);

void scene_open(struct scene *scene);
void scene_close(struct scene *scene);

/* verbs.c: carries out step->word[0]; 0 or an errno. -1: there is no such verb, or too few words. */
int step_verb(struct step *step);

#endif
