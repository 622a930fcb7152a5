/* SPDX-License-Identifier: Apache-2.0 */
/* words: the words of steps as numbers and flags. */
#ifndef COFFER_TESTS_POSIX_WORDS_H
#define COFFER_TESTS_POSIX_WORDS_H

#include "tests/posix/step.h"

struct word_flag {
	const char *name;
	int value;
};

/* The flags of "a+b+c", ended by a NULL name; 0 for "0". Aborts the program at an unknown one. */
int words_flags(const struct word_flag *table, const char *text);
mode_t words_mode(const char *text);   /* octal */
long long words_number(const char *text);
/* The descriptor that word[i] names, or the invalid 999. */
int words_fd(const struct step *s, int i);
/* Word i, or `otherwise` if there are fewer. */
const char *words_or(const struct step *s, int i, const char *otherwise);
void words_result(struct step *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct verb {
	const char *name;
	int words; /* at least, with the verb */
	int (*run)(struct step *s); /* 0 or errno */
};
extern const struct verb verbs_path[], verbs_fd[]; /* each ends with a NULL name */

#endif
