/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/format_doc.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/lib/unit.h"

enum { DOC_MAX = 1 << 20, PARTS_MAX = 256, NAME_SIZE = 64, DEPTH_MAX = 8 };

enum part_kind { PART_HEX, PART_TEXT, PART_ROW };

/* One example, or one row of a table that begins with a `word`. */
struct part {
	enum part_kind kind;
	char name[NAME_SIZE];
	const char *at, *end; /* between the fences; of a row: its second column */
	bool seen;
};

/* One document per test program. */
static struct {
	char *text;
	struct part part[PARTS_MAX];
	size_t n;
} doc;

static FILE *open_doc(void)
{
	char path[4096], exe[2048];
	FILE *f = fopen("docs/FORMAT.md", "re");
	ssize_t n;

	if (f)
		return f;
	n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	if (n < 0)
		return NULL;
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	(void)snprintf(path, sizeof path, "%s/../../docs/FORMAT.md", exe);
	return fopen(path, "re");
}

static struct part *find(enum part_kind kind, const char *name)
{
	for (size_t i = 0; i < doc.n; i++)
		if (doc.part[i].kind == kind && strcmp(doc.part[i].name, name) == 0)
			return &doc.part[i];
	return NULL;
}

/* `stop` ends the name. */
static struct part *add(enum part_kind kind, const char *name, char stop)
{
	struct part *p = &doc.part[doc.n++];
	const char *end = strchr(name, stop);

	assert_true(doc.n < PARTS_MAX);
	assert_non_null(end);
	assert_true(end - name < NAME_SIZE);
	*p = (struct part){ .kind = kind, .at = end + 1 };
	memcpy(p->name, name, (size_t)(end - name));
	if (doc.n > 1 && find(kind, p->name) != p)
		fail_msg("docs/FORMAT.md has %s twice", p->name);
	return p;
}

static bool begins(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

/* *rows: within a marked table, whose rows count. */
static void read_line(const char *line, struct part **open, bool *rows)
{
	if (begins(line, "<!-- checked") || begins(line, "<!-- /checked"))
		*rows = line[5] == 'c';
	if (*open) {
		if (begins(line, "```")) {
			(*open)->end = line;
			*open = NULL;
		}
	} else if (begins(line, "```hex ")) {
		*open = add(PART_HEX, line + 7, '\n');
	} else if (begins(line, "```text ")) {
		*open = add(PART_TEXT, line + 8, '\n');
	} else if (*rows && begins(line, "| `")) {
		struct part *p = add(PART_ROW, line + 3, '`');

		p->at += strspn(p->at, " |");
		p->end = strchr(p->at, '\n');
	}
}

void doc_open(void)
{
	FILE *f = open_doc();
	struct part *open = NULL;
	bool rows = false;

	if (!f)
		fail_msg("no docs/FORMAT.md");
	doc.text = calloc(1, DOC_MAX);
	assert_non_null(doc.text);
	assert_true(fread(doc.text, 1, DOC_MAX - 1, f) < DOC_MAX - 1);
	(void)fclose(f);
	doc.n = 0;
	for (const char *line = doc.text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		read_line(line, &open, &rows);
	assert_null(open);
}

void doc_close(void)
{
	free(doc.text);
	doc.text = NULL;
}

/* The digits of an example, with what it includes, as unit_put_hex takes them. */
static void put_digits(struct buf *b, const char *name, unsigned depth)
{
	const struct part *part = find(PART_HEX, name);

	if (!part || depth > DEPTH_MAX)
		fail_msg("docs/FORMAT.md has no example %s", name);
	for (const char *p = part->at; p < part->end; p++) {
		if (*p == '#') {
			p = strchr(p, '\n');
		} else if (*p == '{') {
			char other[NAME_SIZE] = "";
			size_t n = strcspn(++p, "}");

			assert_true(n < sizeof other);
			memcpy(other, p, n);
			p += n;
			put_digits(b, other, depth + 1);
		} else if (!isspace((unsigned char)*p)) {
			assert_int_equal(buf_put_u8(b, (uint8_t)*p), 0);
		}
	}
}

static bool showing(void)
{
	return getenv("FORMAT_SHOW") != NULL;
}

static void show_hex(const char *name, struct bytes got)
{
	printf("%s ", name);
	for (size_t i = 0; i < got.len; i++)
		printf("%02x", got.p[i]);
	printf("\n");
}

void doc_hex(const char *name, struct bytes got)
{
	struct buf digits = BUF_INIT(DOC_MAX), want = BUF_INIT(DOC_MAX);
	struct part *part = find(PART_HEX, name);

	if (showing()) {
		show_hex(name, got);
		return;
	}
	put_digits(&digits, name, 0);
	assert_int_equal(buf_put_u8(&digits, 0), 0);
	unit_put_hex(&want, (const char *)digits.data);
	if (!bytes_equal(got, buf_bytes(&want)))
		(void)fprintf(stderr, "example %s differs\n", name);
	unit_assert_bytes(got, buf_bytes(&want));
	part->seen = true;
	buf_release(&digits);
	buf_release(&want);
}

/* Without blanks at line ends and the line ends themselves. */
void doc_text(const char *name, const char *got)
{
	struct part *part = find(PART_TEXT, name);
	const char *g = got;

	if (showing()) {
		printf("%s %s\n", name, got);
		return;
	}
	if (!part)
		fail_msg("docs/FORMAT.md has no example %s", name);
	for (const char *p = part->at; p < part->end; p++) {
		if (*p == '\n' && *g == ' ')
			g++;
		else if (*p != '\n' && *p != *g++)
			fail_msg("example %s differs: the code gives %s", name, got);
	}
	assert_string_equal(g, "");
	part->seen = true;
}

void doc_value(const char *name, unsigned long long got)
{
	struct part *row = find(PART_ROW, name);

	if (!row)
		fail_msg("docs/FORMAT.md has no row `%s`", name);
	if (strtoull(row->at, NULL, 10) != got)
		fail_msg("%s is %llu, not what docs/FORMAT.md says", name, got);
	row->seen = true;
}

void doc_label(const char *label)
{
	struct part *row = find(PART_ROW, label);

	if (!row)
		fail_msg("docs/FORMAT.md does not list the label %s", label);
	row->seen = true;
}

void doc_all_checked(void)
{
	for (size_t i = 0; i < doc.n && !showing(); i++)
		if (!doc.part[i].seen)
			fail_msg("nothing checks `%s` of docs/FORMAT.md", doc.part[i].name);
}
