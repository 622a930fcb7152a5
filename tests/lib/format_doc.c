/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/format_doc.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/lib/unit.h"

#define OF_FORMAT "format."

enum { DOC_MAX = 1 << 20, PARTS_MAX = 256, NAME_SIZE = 64, DEPTH_MAX = 8 };

enum part_kind { PART_HEX, PART_TEXT, PART_ROW };

/* One example, or one row of a table that begins with a `word`. */
struct part {
	enum part_kind kind;
	char name[NAME_SIZE];
	const char *at, *end; /* between the fences; of a row: its second column */
	bool seen;
};

struct doc {
	const char *name;
	char *text;
	struct part part[PARTS_MAX];
	size_t n;
};

/* The one that is checked, and the one whose examples it may include. */
static struct doc doc, format;

static FILE *open_file(const char *name)
{
	char path[4096], exe[2048];
	FILE *f = fopen(name, "re");
	ssize_t n;

	if (f)
		return f;
	n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	if (n < 0)
		return NULL;
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	(void)snprintf(path, sizeof path, "%s/../../%s", exe, name);
	return fopen(path, "re");
}

static struct part *find(struct doc *d, enum part_kind kind, const char *name)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->part[i].kind == kind && strcmp(d->part[i].name, name) == 0)
			return &d->part[i];
	return NULL;
}

/* `stop` ends the name. */
static struct part *add(struct doc *d, enum part_kind kind, const char *name, char stop)
{
	struct part *p = &d->part[d->n++];
	const char *end = strchr(name, stop);

	assert_true(d->n < PARTS_MAX);
	assert_non_null(end);
	assert_true(end - name < NAME_SIZE);
	*p = (struct part){ .kind = kind, .at = end + 1 };
	memcpy(p->name, name, (size_t)(end - name));
	if (d->n > 1 && find(d, kind, p->name) != p)
		fail_msg("%s has %s twice", d->name, p->name);
	return p;
}

static bool begins(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

/* *rows: within a marked table, whose rows count. */
static void read_line(struct doc *d, const char *line, struct part **open, bool *rows)
{
	if (begins(line, "<!-- checked") || begins(line, "<!-- /checked"))
		*rows = line[5] == 'c';
	if (*open) {
		if (begins(line, "```")) {
			(*open)->end = line;
			*open = NULL;
		}
	} else if (begins(line, "```hex ")) {
		*open = add(d, PART_HEX, line + 7, '\n');
	} else if (begins(line, "```text ")) {
		*open = add(d, PART_TEXT, line + 8, '\n');
	} else if (*rows && begins(line, "| `")) {
		struct part *p = add(d, PART_ROW, line + 3, '`');

		p->at += strspn(p->at, " |");
		p->end = strchr(p->at, '\n');
	}
}

static void read_doc(struct doc *d, const char *name)
{
	FILE *f = open_file(name);
	struct part *open = NULL;
	bool rows = false;

	if (!f)
		fail_msg("no %s", name);
	*d = (struct doc){ .name = name, .text = calloc(1, DOC_MAX) };
	assert_non_null(d->text);
	assert_true(fread(d->text, 1, DOC_MAX - 1, f) < DOC_MAX - 1);
	(void)fclose(f);
	for (const char *line = d->text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		read_line(d, line, &open, &rows);
	assert_null(open);
}

void doc_open(const char *name)
{
	read_doc(&doc, name);
	read_doc(&format, DOC_FORMAT);
}

void doc_close(void)
{
	free(doc.text);
	free(format.text);
	doc.text = format.text = NULL;
}

/* The digits of an example, with what it includes, as unit_put_hex takes them. */
static void put_digits(struct buf *b, struct doc *d, const char *name, unsigned depth)
{
	const struct part *part = find(d, PART_HEX, name);

	if (!part || depth > DEPTH_MAX)
		fail_msg("%s has no example %s", d->name, name);
	for (const char *p = part->at; p < part->end; p++) {
		if (*p == '#') {
			p = strchr(p, '\n');
		} else if (*p == '{') {
			char other[NAME_SIZE] = "";
			size_t n = strcspn(++p, "}");

			assert_true(n < sizeof other);
			memcpy(other, p, n);
			p += n;
			if (begins(other, OF_FORMAT))
				put_digits(b, &format, other + strlen(OF_FORMAT), depth + 1);
			else
				put_digits(b, d, other, depth + 1);
		} else if (!isspace((unsigned char)*p)) {
			assert_int_equal(buf_put_u8(b, (uint8_t)*p), 0);
		}
	}
}

static bool showing(void)
{
	return getenv("DOC_SHOW") != NULL;
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
	struct part *part = find(&doc, PART_HEX, name);

	if (showing()) {
		show_hex(name, got);
		return;
	}
	put_digits(&digits, &doc, name, 0);
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
	struct part *part = find(&doc, PART_TEXT, name);
	const char *g = got;

	if (showing()) {
		printf("%s %s\n", name, got);
		return;
	}
	if (!part)
		fail_msg("%s has no example %s", doc.name, name);
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
	struct part *row = find(&doc, PART_ROW, name);

	if (!row)
		fail_msg("%s has no row `%s`", doc.name, name);
	if (strtoull(row->at, NULL, 10) != got)
		fail_msg("%s is %llu, not what %s says", name, got, doc.name);
	row->seen = true;
}

void doc_label(const char *label)
{
	struct part *row = find(&doc, PART_ROW, label);

	if (!row)
		fail_msg("%s does not list the label %s", doc.name, label);
	row->seen = true;
}

void doc_all_checked(void)
{
	for (size_t i = 0; i < doc.n && !showing(); i++)
		if (!doc.part[i].seen)
			fail_msg("nothing checks `%s` of %s", doc.part[i].name, doc.name);
}
