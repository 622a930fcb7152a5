/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/posix/words.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int words_flags(const struct word_flag *table, const char *text)
{
	int flags = 0;

	if (strcmp(text, "0") == 0)
		return 0;
	for (size_t len; *text; text += len + (text[len] == '+')) {
		const struct word_flag *f = table;
		len = strcspn(text, "+");
		while (f->name && (strlen(f->name) != len || memcmp(f->name, text, len) != 0))
			f++;
		if (!f->name) {
			fprintf(stderr, "no such flag: %s\n", text);
			abort();
		}
		flags |= f->value;
	}
	return flags;
}

mode_t words_mode(const char *text)
{
	return (mode_t)strtoul(text, NULL, 8);
}

long long words_number(const char *text)
{
	return strtoll(text, NULL, 10);
}

int words_fd(const struct step *s, int i)
{
	int n = atoi(s->word[i]);

	return n > 0 && n < STEP_FDS && s->scene->fd[n] >= 0 ? s->scene->fd[n] : 999;
}

const char *words_or(const struct step *s, int i, const char *otherwise)
{
	return i < s->n ? s->word[i] : otherwise;
}

void words_result(struct step *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(s->result, sizeof s->result, fmt, args);
	va_end(args);
}

static const struct verb *find(const struct verb *table, const char *name)
{
	for (; table->name; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}

int step_verb(struct step *s)
{
	const struct verb *v = find(verbs_path, s->word[0]);

	if (!v)
		v = find(verbs_fd, s->word[0]);
	return v && s->n >= v->words ? v->run(s) : -1;
}
