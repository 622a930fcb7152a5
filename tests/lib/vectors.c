/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/unit.h"

#define FIELDS 16

struct vector {
	char *name[FIELDS];
	char *value[FIELDS];
	uint8_t *bytes[FIELDS]; /* decoded on the way in, so that lookups change nothing */
	size_t len[FIELDS];
	size_t n;
};

static FILE *open_data(const char *file)
{
	char path[4096], exe[2048];
	ssize_t n;
	FILE *f;

	(void)snprintf(path, sizeof path, "tests/data/%s", file);
	f = fopen(path, "re");
	if (f)
		return f;
	n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	if (n < 0)
		return NULL;
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	(void)snprintf(path, sizeof path, "%s/../../tests/data/%s", exe, file);
	return fopen(path, "re");
}

/* 0 for what is no digit: words are decoded too, and never read as bytes. */
static unsigned digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 0;
}

static void decode(struct vector *v, size_t i)
{
	const char *s = v->value[i];
	size_t n = strlen(s) / 2;

	v->bytes[i] = malloc(n + 1);
	assert_non_null(v->bytes[i]);
	v->len[i] = n;
	for (size_t k = 0; k < n; k++)
		v->bytes[i][k] = (uint8_t)(digit(s[2 * k]) << 4 | digit(s[2 * k + 1]));
}

static void split(struct vector *v, char *line)
{
	char *rest = NULL;

	v->n = 0;
	for (char *field = strtok_r(line, " \n", &rest); field; field = strtok_r(NULL, " \n", &rest)) {
		char *eq = strchr(field, '=');

		assert_non_null(eq);
		assert_true(v->n < FIELDS);
		*eq = '\0';
		v->name[v->n] = field;
		v->value[v->n] = eq + 1;
		decode(v, v->n++);
	}
}

size_t vectors_each(const char *file, void (*check)(const struct vector *v, void *arg), void *arg)
{
	FILE *f = open_data(file);
	char *line = NULL;
	size_t size = 0, count = 0;
	struct vector v;

	if (!f)
		fail_msg("cannot read tests/data/%s", file);
	while (getline(&line, &size, f) > 0) {
		if (line[0] == '#')
			continue;
		split(&v, line);
		check(&v, arg);
		for (size_t i = 0; i < v.n; i++)
			free(v.bytes[i]);
		count++;
	}
	free(line);
	(void)fclose(f);
	return count;
}

static size_t find(const struct vector *v, const char *name)
{
	for (size_t i = 0; i < v->n; i++)
		if (strcmp(v->name[i], name) == 0)
			return i;
	fail_msg("no field %s", name);
	return 0;
}

struct bytes vector_get(const struct vector *v, const char *name)
{
	size_t i = find(v, name);

	return bytes_of(v->bytes[i], v->len[i]);
}

void vector_copy(const struct vector *v, const char *name, void *out, size_t n)
{
	struct bytes b = vector_get(v, name);

	assert_int_equal(b.len, n);
	memcpy(out, b.p, n);
}

bool vector_is(const struct vector *v, const char *name, const char *word)
{
	return strcmp(v->value[find(v, name)], word) == 0;
}
