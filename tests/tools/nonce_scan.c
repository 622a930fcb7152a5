/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nonce_scan: shows that no key and nonce came together twice in what a profile's device sent and wrote.
 *
 *	nonce_scan --min N --tape DIR --home HOME COPY...
 *
 * Tapes (tests/tools/syncd_tap.c): the nonce of every sealed record and chunk; the same one only with the same bytes. COPY: copies of
 * HOME/cache, taken one after another: every journal entry's (key of its file, stream, position) is sealed once, a new file has a key and a
 * number of its own, and no later run changed a byte of a file that an earlier one had written.
 *
 * Prints what it counted. 0: so it is, and at least N records and chunks, and N journal entries were seen. 1: not so. 2: unreadable.
 */
#include <dirent.h>
#include <fcntl.h>
#include <fts.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "cache/segment.h"
#include "crypto/hash.h"
#include "crypto/seal.h"
#include "crypto/secret.h"
#include "fusefs/profile.h"
#include "tests/lib/seen.h"
#include "tests/lib/segment_head.h"
#include "tests/lib/tape.h"

struct old_segment {
	struct segment_head head;
	struct bytes file;
};

struct scan {
	struct seen nonces, objects, journal;
	struct secret *store_key;
	struct old_segment *old; /* of all copies before */
	size_t n_old, n_before;  /* before: those of earlier copies */
	uint64_t newest;         /* number in earlier copies */
	size_t entries, segments;
	bool bad, unreadable;
};

__attribute__((format(printf, 2, 3))) static void complain(bool *flag, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	*flag = true;
}

static struct bytes map_at(int dirfd, const char *path)
{
	CLOSE_AFTER int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0)
		return bytes_of(NULL, 0);
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	return p == MAP_FAILED ? bytes_of(NULL, 0) : bytes_of(p, (size_t)st.st_size);
}

/* ---- tapes ---- */

static void take_object(void *ctx, enum tape_kind kind, struct bytes object, const struct msg *m)
{
	struct scan *s = ctx;
	struct record r;
	struct chunk c;
	struct bytes sealed = bytes_of(NULL, 0);

	(void)m;
	if (kind == TAPE_RECORD && record_decode(object, &r) == 0)
		sealed = r.sealed;
	else if (kind == TAPE_CHUNK && chunk_decode(object, &c) == 0)
		sealed = c.sealed;
	else
		return;
	if (!seen_add(&s->objects, object.p, object.len))
		return; /* sent again, byte for byte */
	if (sealed.len < SEAL_NONCE_SIZE || !seen_add(&s->nonces, sealed.p, SEAL_NONCE_SIZE))
		complain(&s->bad, "two %ss under one nonce", tape_kind_name(kind));
}

static void read_tapes(struct scan *s, const char *dir)
{
	char *paths[] = { (char *)dir, NULL };
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	struct tape_count count = { .tail = 0 };

	for (FTSENT *e; tree && (e = fts_read(tree));) {
		const char *dot = strrchr(e->fts_name, '.');
		size_t at = 0;

		if (e->fts_info != FTS_F || !dot)
			continue;
		struct bytes tape = map_at(AT_FDCWD, e->fts_accpath);
		if (tape_read(tape, strcmp(dot, ".to") == 0, take_object, s, &count, &at) < 0)
			complain(&s->unreadable, "%s: the message at %zu does not decode", e->fts_path, at);
		if (tape.p)
			munmap((void *)tape.p, tape.len);
	}
	fts_close(tree);
}

/* ---- journal ---- */

static void see_nonce(void *ctx, const struct segment_head *h, struct journal_nonce n)
{
	struct scan *s = ctx;
	uint8_t id[32 + 4 + 8];

	memcpy(id, h->key, 32);
	memcpy(id + 32, &n.stream, 4);
	memcpy(id + 36, &n.counter, 8);
	if (!seen_add(&s->journal, id, sizeof id))
		complain(&s->bad, "journal file %llu: position %llu was sealed twice", (unsigned long long)h->number,
			(unsigned long long)n.counter);
}

static void read_entries(struct scan *s, const struct segment_head *h, struct bytes file)
{
	size_t pos = SEGMENT_HEAD, len = 0;

	while (pos < file.len &&
		segment_entry_nonces(h, pos, bytes_of(file.p + pos, file.len - pos), see_nonce, s, &len) == 0) {
		s->entries++;
		pos += len;
	}
}

/* True if an earlier copy has the file: then it must be the same. */
static bool known_before(struct scan *s, const struct segment_head *h, struct bytes file)
{
	for (size_t i = 0; i < s->n_before; i++) {
		const struct old_segment *o = &s->old[i];

		if (memcmp(o->head.key, h->key, sizeof h->key) != 0)
			continue;
		if (o->head.number != h->number || !bytes_equal(o->file, file))
			complain(&s->bad, "journal file %llu was written to by a later run",
				(unsigned long long)h->number);
		return true;
	}
	if (h->number <= s->newest)
		complain(&s->bad, "journal file %llu: a number that was used before", (unsigned long long)h->number);
	return false;
}

static void read_segment(struct scan *s, struct bytes file)
{
	struct segment_head h;

	if (segment_head_open(secret_key(s->store_key), file, &h) < 0)
		return; /* one being made when the run was killed */
	if (known_before(s, &h, file))
		return;
	s->old = reallocarray(s->old, s->n_old + 1, sizeof *s->old);
	if (!s->old)
		abort();
	s->old[s->n_old++] = (struct old_segment){ .head = h, .file = file };
	s->segments++;
	read_entries(s, &h, file);
}

static void read_copy(struct scan *s, const char *path)
{
	DIR *d = opendir(path);

	if (!d) {
		complain(&s->unreadable, "%s cannot be read", path);
		return;
	}
	for (struct dirent *e; (e = readdir(d));)
		if (strncmp(e->d_name, "seg-", 4) == 0)
			read_segment(s, map_at(dirfd(d), e->d_name));
	closedir(d);
	for (; s->n_before < s->n_old; s->n_before++)
		if (s->old[s->n_before].head.number > s->newest)
			s->newest = s->old[s->n_before].head.number;
}

static void take_home(struct scan *s, const char *home)
{
	CLEANUP(identity_freep) struct identity *who = NULL;
	struct profile *p = NULL;

	int err = profile_open(env_system(), home, &p);
	if (err == 0)
		err = profile_unlock(p, NULL, &who);
	if (err == 0)
		err = secret_from(secret_bytes(identity_store_key(who)), &s->store_key);
	if (err < 0)
		complain(&s->unreadable, "%s: %s", home, err_str(err));
	profile_close(p);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "min", required_argument, NULL, 'm' },
		{ "home", required_argument, NULL, 'h' }, { "tape", required_argument, NULL, 't' }, { 0 } };
	struct scan s = { .nonces = SEEN_INIT };
	size_t min = 1;

	if (crypto_init() < 0)
		return 2;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'm':
			min = strtoul(optarg, NULL, 10);
			break;
		case 't':
			read_tapes(&s, optarg);
			break;
		case 'h':
			take_home(&s, optarg);
			break;
		default:
			return 2;
		}
	}
	for (int i = optind; i < argc && s.store_key; i++)
		read_copy(&s, argv[i]);
	printf("%zu records and chunks, %zu journal entries in %zu files, %zu nonces of theirs\n", s.nonces.n,
		s.entries, s.segments, s.journal.n);
	if (s.nonces.n < min || s.entries < min)
		complain(&s.unreadable, "fewer than %zu", min);
	secret_free(s.store_key);
	seen_release(&s.nonces);
	seen_release(&s.objects);
	seen_release(&s.journal);
	free(s.old);
	return s.bad ? 1 : s.unreadable ? 2 : 0;
}
