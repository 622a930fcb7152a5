/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key_scan: looks for every secret of some stopped profiles in files, and reads every message that a tap of coffer-syncd recorded.
 *
 *	key_scan [--min N] [--home DIR]... [--words FILE]... [--code CODE]... [--tape DIR]... [PATH...]
 *	key_scan --show KIND --home DIR...      # prints one secret in hex, to plant it somewhere
 *
 * Tapes (tests/tools/syncd_tap.c) are decoded message by message, and each sealed object in them is opened, so that the keys of
 * versions that no store holds any more are looked for too; then they are searched like any PATH (a file, or all files below).
 *
 * 0: nothing found. 1: found, one line each. 2: the search says nothing: fewer than N secrets, a profile or tape that cannot be read,
 * a message or object of no known kind, a record or chunk that none of the secrets opens.
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "tests/lib/needle.h"
#include "tests/lib/tape.h"
#include "tests/lib/vault.h"

enum { FOUND = 1, WORTHLESS = 2, SHOWN_MAX = 20 };

struct scan {
	struct needles *needles;
	struct vault *vault;
	struct tape_count count;
	size_t found, files;
	uint64_t bytes;
	const char *path; /* searched now */
	int code;
};

__attribute__((format(printf, 2, 3))) static void worthless(struct scan *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	s->code = WORTHLESS;
}

/* The mapping stays to the end: the vault keeps views of it. */
static struct bytes map_file(struct scan *s, const char *path)
{
	CLOSE_AFTER int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		worthless(s, "%s: %s", path, strerror(errno));
		return bytes_of(NULL, 0);
	}
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return bytes_of(NULL, 0);
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED) {
		worthless(s, "%s: %s", path, strerror(errno));
		return bytes_of(NULL, 0);
	}
	return bytes_of(p, (size_t)st.st_size);
}

/* Calls fn for each file at or below a path. */
static void each_file(struct scan *s, const char *path, void (*fn)(struct scan *s, const char *path))
{
	char *paths[] = { (char *)path, NULL };
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

	if (!tree)
		abort();
	for (FTSENT *e; (e = fts_read(tree));) {
		if (e->fts_info == FTS_F)
			fn(s, e->fts_accpath);
		else if (e->fts_info == FTS_ERR || e->fts_info == FTS_DNR || e->fts_info == FTS_NS)
			worthless(s, "%s: %s", e->fts_path, strerror(e->fts_errno));
	}
	fts_close(tree);
}

/* ---- tapes ---- */

static void take_object(void *ctx, enum tape_kind kind, struct bytes object, const struct msg *m)
{
	struct scan *s = ctx;

	if (kind == TAPE_RECORD)
		vault_take_record(s->vault, object);
	else if (kind == TAPE_CHUNK)
		vault_take_chunk(s->vault, object);
	else if (kind == TAPE_OTHER)
		worthless(s, "%s: %zu bytes of no known kind in a message of type %d, %.*s", s->path, object.len,
			(int)m->type, (int)m->text.len, (const char *)m->text.p);
}

static void read_tape(struct scan *s, const char *path)
{
	const char *dot = strrchr(path, '.');
	bool to_syncd = dot && strcmp(dot, ".to") == 0;
	size_t at = 0;

	if (!to_syncd && !(dot && strcmp(dot, ".from") == 0)) {
		worthless(s, "%s: not a tape", path);
		return;
	}
	s->path = path;
	int err = tape_read(map_file(s, path), to_syncd, take_object, s, &s->count, &at);
	if (err < 0)
		worthless(s, "%s: the message at %zu does not decode: %s", path, at, err_str(err));
}

static void judge_tapes(struct scan *s)
{
	struct vault_count c;

	vault_finish(s->vault, &c);
	for (int i = 0; i <= MSG_RATE; i++)
		if (s->count.messages[i] > 0)
			printf("messages of type %d\t%zu\n", i, s->count.messages[i]);
	for (int i = 0; i < TAPE_KINDS; i++)
		if (s->count.objects[i] > 0)
			printf("objects: %s\t%zu\n", tape_kind_name((enum tape_kind)i), s->count.objects[i]);
	printf("records opened\t%zu\nchunks opened\t%zu\nindex chunks\t%zu\n", c.records_opened, c.chunks_opened,
		c.index_chunks);
	if (c.records_closed > 0 || c.chunks_closed > 0)
		worthless(s, "%zu records and %zu chunks open with none of the secrets", c.records_closed,
			c.chunks_closed);
}

/* ---- search ---- */

static void report(void *ctx, const char *kind, const char *form, size_t at)
{
	struct scan *s = ctx;

	if (s->found++ < SHOWN_MAX)
		printf("FOUND %s (%s) at %zu of %s\n", kind, form, at, s->path);
}

static void search(struct scan *s, const char *path)
{
	struct bytes b = map_file(s, path);

	s->path = path;
	needles_scan(s->needles, b, report, s);
	s->files++;
	s->bytes += b.len;
	if (b.p)
		munmap((void *)b.p, b.len);
}

static void print_kind(void *ctx, const char *kind, size_t count)
{
	(void)ctx;
	printf("%s\t%zu\n", kind, count);
}

static int show(const struct scan *s, const char *kind)
{
	struct bytes b = needles_first(s->needles, kind);

	for (size_t i = 0; i < b.len; i++)
		printf("%02x", b.p[i]);
	putchar('\n');
	return b.len > 0 ? 0 : WORTHLESS;
}

/* Reads the tapes, which may add secrets, then searches them and the paths. */
static void scan_all(struct scan *s, char **tapes, size_t n_tapes, size_t min, char **paths)
{
	for (size_t i = 0; i < n_tapes; i++)
		each_file(s, tapes[i], read_tape);
	judge_tapes(s);
	needles_each_kind(s->needles, print_kind, NULL);
	if (needles_count(s->needles, NULL) < min)
		worthless(s, "only %zu secrets, not %zu", needles_count(s->needles, NULL), min);
	needles_sort(s->needles);
	for (size_t i = 0; i < n_tapes; i++)
		each_file(s, tapes[i], search);
	for (; *paths; paths++)
		each_file(s, *paths, search);
	printf("searched\t%zu files, %" PRIu64 " bytes, %zu secrets\n", s->files, s->bytes,
		needles_count(s->needles, NULL));
}

static void take_option(struct scan *s, int o)
{
	int err = o == 'h'   ? vault_add_home(s->vault, optarg)
		  : o == 'w' ? vault_add_words(s->vault, optarg)
			     : vault_add_code(s->vault, optarg);

	if (err < 0)
		worthless(s, "%s: %s", optarg, err_str(err));
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "min", required_argument, NULL, 'm' },
		{ "home", required_argument, NULL, 'h' }, { "words", required_argument, NULL, 'w' },
		{ "code", required_argument, NULL, 'c' }, { "tape", required_argument, NULL, 't' },
		{ "show", required_argument, NULL, 's' }, { 0 } };
	struct scan s = { .code = 0 };
	const char *kind = NULL;
	char **tapes = calloc((size_t)argc, sizeof *tapes);
	size_t min = 0, n_tapes = 0;

	if (crypto_init() < 0 || !tapes)
		return WORTHLESS;
	s.needles = needles_new();
	s.vault = vault_new(s.needles);
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'm':
			min = strtoul(optarg, NULL, 10);
			break;
		case 's':
			kind = optarg;
			break;
		case 't':
			tapes[n_tapes++] = optarg;
			break;
		case '?':
			return WORTHLESS;
		default:
			take_option(&s, o);
		}
	}
	if (kind)
		s.code = show(&s, kind);
	else
		scan_all(&s, tapes, n_tapes, min, argv + optind);
	vault_free(s.vault);
	needles_free(s.needles);
	free(tapes);
	return s.code ? s.code : s.found ? FOUND : 0;
}
