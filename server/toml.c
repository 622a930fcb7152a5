/* SPDX-License-Identifier: Apache-2.0 */
#include "server/toml.h"

#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"

struct reader {
	const char *p, *end;
	struct toml_fault *fault;
	char table[TOML_MAX_NAME + 1], key[TOML_MAX_NAME + 1];
	char *strings; /* decoded strings of one value; never more than the file has */
	size_t used;
	const char *items[TOML_MAX_ITEMS];
};

static int fail(struct reader *r, const char *what)
{
	r->fault->what = what;
	return ERR_INVALID;
}

static int peek(const struct reader *r)
{
	return r->p < r->end ? (unsigned char)*r->p : -1;
}

static void skip_blanks(struct reader *r)
{
	while (peek(r) == ' ' || peek(r) == '\t')
		r->p++;
}

/* A comment if there is one, and the end of the line. */
static int end_line(struct reader *r)
{
	skip_blanks(r);
	if (peek(r) == '#')
		while (r->p < r->end && *r->p != '\n')
			r->p++;
	if (peek(r) == '\r' && r->p + 1 < r->end && r->p[1] == '\n')
		r->p++;
	if (r->p == r->end)
		return OK;
	if (*r->p != '\n')
		return fail(r, "something stands after the value");
	r->p++;
	r->fault->line++;
	return OK;
}

/* Blanks, comments and line ends between the items of an array. */
static int skip_lines(struct reader *r)
{
	for (;;) {
		skip_blanks(r);
		if (peek(r) != '#' && peek(r) != '\n' && peek(r) != '\r')
			return OK;
		if (end_line(r) < 0)
			return ERR_INVALID;
	}
}

static bool is_name(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static int read_name(struct reader *r, char *out)
{
	size_t n = 0;

	skip_blanks(r);
	while (is_name(peek(r)) && n < TOML_MAX_NAME)
		out[n++] = *r->p++;
	out[n] = '\0';
	if (is_name(peek(r)))
		return fail(r, "a name is too long");
	if (!n)
		return fail(r, "a name of letters, digits, _ and - is wanted here");
	skip_blanks(r);
	return peek(r) == '.' ? fail(r, "names with dots are not taken here") : OK;
}

static int unescape(struct reader *r, char *out)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	const char *at;

	r->p++;
	at = peek(r) > 0 ? strchr(from, *r->p) : NULL;
	if (!at)
		return fail(r, "an unknown escape stands in a string; known are \\b \\t \\n \\f \\r \\\" \\\\");
	*out = to[at - from];
	r->p++;
	return OK;
}

/* *ret_text stays until the value is done. */
static int read_string(struct reader *r, const char **ret_text)
{
	char quote = *r->p++, *out = r->strings + r->used;

	*ret_text = out;
	if (peek(r) == quote && r->p + 1 < r->end && r->p[1] == quote)
		return fail(r, "strings over several lines are not taken here");
	while (peek(r) != quote) {
		if (peek(r) != '\t' && (peek(r) < ' ' || peek(r) == 127))
			return fail(r, peek(r) < 0 || peek(r) == '\n' || peek(r) == '\r'
					       ? "the closing quote of a string is missing"
					       : "a control character stands in a string");
		if (quote == '"' && peek(r) == '\\') {
			if (unescape(r, out++) < 0)
				return ERR_INVALID;
		} else {
			*out++ = *r->p++;
		}
	}
	r->p++;
	*out++ = '\0';
	r->used = (size_t)(out - r->strings);
	return OK;
}

static int read_number(struct reader *r, struct toml_value *v)
{
	bool minus = peek(r) == '-', digit = false;
	uint64_t n = 0;

	if (minus || peek(r) == '+')
		r->p++;
	if (peek(r) == '0' && r->p + 1 < r->end && (is_name(r->p[1]) || r->p[1] == '.'))
		return fail(r, "a number is written with digits only, and without leading zeros");
	for (;; r->p++) {
		if (peek(r) == '_' && digit && r->p + 1 < r->end && r->p[1] >= '0' && r->p[1] <= '9')
			continue;
		if (peek(r) < '0' || peek(r) > '9')
			break;
		digit = true;
		n = n * 10 + (uint64_t)(*r->p - '0');
		if (n > INT64_MAX)
			return fail(r, "a number is too large");
	}
	if (!digit)
		return fail(r, "a value is wanted here: \"text\", a number, true, false or [\"text\", ...]");
	if (is_name(peek(r)) || peek(r) == '.' || peek(r) == ':')
		return fail(r, "only whole numbers are taken here; put text in quotes");
	v->kind = TOML_NUMBER;
	v->number = minus ? -(int64_t)n : (int64_t)n;
	return OK;
}

static int read_list(struct reader *r, struct toml_value *v)
{
	v->kind = TOML_LIST;
	v->items = r->items;
	r->p++;
	for (;;) {
		if (skip_lines(r) < 0)
			return ERR_INVALID;
		if (peek(r) == ']')
			break;
		if (peek(r) != '"' && peek(r) != '\'')
			return fail(r,
				peek(r) < 0 ? "the closing ] of an array is missing" : "an array holds strings only");
		if (v->n == TOML_MAX_ITEMS)
			return fail(r, "an array is too long");
		if (read_string(r, &r->items[v->n++]) < 0 || skip_lines(r) < 0)
			return ERR_INVALID;
		if (peek(r) == ',')
			r->p++;
		else if (peek(r) != ']')
			return fail(r, "a , or ] is wanted between the items of an array");
	}
	r->p++;
	return OK;
}

static bool take_word(struct reader *r, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0 || (r->p + n < r->end && is_name(r->p[n])))
		return false;
	r->p += n;
	return true;
}

static int read_value(struct reader *r, struct toml_value *v)
{
	*v = (struct toml_value){ .kind = TOML_FLAG };
	r->used = 0;
	skip_blanks(r);
	if (peek(r) == '"' || peek(r) == '\'') {
		v->kind = TOML_TEXT;
		return read_string(r, &v->text);
	}
	if (peek(r) == '[')
		return read_list(r, v);
	v->flag = take_word(r, "true");
	if (v->flag || take_word(r, "false"))
		return OK;
	return read_number(r, v);
}

static int read_header(struct reader *r)
{
	r->p++;
	if (peek(r) == '[')
		return fail(r, "arrays of tables are not taken here");
	if (read_name(r, r->table) < 0)
		return ERR_INVALID;
	if (peek(r) != ']')
		return fail(r, "the closing ] of a table's name is missing");
	r->p++;
	return end_line(r);
}

static int read_pair(struct reader *r, toml_each *each, void *ctx)
{
	struct toml_value v;
	unsigned line = r->fault->line, next;
	int err = read_name(r, r->key);

	if (err < 0)
		return err;
	if (peek(r) != '=')
		return fail(r, "a = is wanted after the key");
	r->p++;
	if ((err = read_value(r, &v)) < 0 || (err = end_line(r)) < 0)
		return err;
	next = r->fault->line;
	r->fault->line = line;
	if ((err = each(ctx, r->table, r->key, &v)))
		return err;
	r->fault->line = next;
	return OK;
}

static int read_all(struct reader *r, toml_each *each, void *ctx)
{
	int err = OK;

	while (!err && r->p < r->end) {
		skip_blanks(r);
		if (peek(r) == '[')
			err = read_header(r);
		else if (is_name(peek(r)))
			err = read_pair(r, each, ctx);
		else if (peek(r) == '#' || peek(r) == '\n' || peek(r) == '\r' || r->p == r->end)
			err = end_line(r);
		else
			err = fail(r, "a [table], a key or a # comment is wanted here");
	}
	return err;
}

int toml_read(struct bytes text, toml_each *each, void *ctx, struct toml_fault *ret_fault)
{
	FREE_AFTER struct reader *r = calloc(1, sizeof *r);

	*ret_fault = (struct toml_fault){ .line = 1 };
	if (text.len > TOML_MAX_SIZE)
		return ERR_RANGE;
	if (!r || !(r->strings = malloc(text.len + 1)))
		return ERR_NOMEM;
	r->p = (const char *)text.p;
	r->end = r->p + text.len;
	r->fault = ret_fault;
	FREE_AFTER char *strings = r->strings;

	return read_all(r, each, ctx);
}
