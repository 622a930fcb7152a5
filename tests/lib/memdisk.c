/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/memdisk.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES = 1024, FDS = 256, FD_BASE = 2000000, SECTOR = 512, BLOCK = 4096 };

struct content {
	uint8_t *p;
	size_t size, alloc;
};

/* A change of a file that is not durable yet: a write, or (data NULL) a new size. */
struct change {
	struct change *next;
	uint8_t *data;
	size_t off, n;
};

struct file {
	struct content now, durable;
	struct change *first, **last;
	size_t bad_from, bad_to; /* bytes that cannot be read */
	unsigned refs;           /* names in both directories, descriptors */
};

/* A name of the directory; file NULL in a change means that the name goes. */
struct name {
	char *text;
	struct file *file;
};

struct directory {
	struct name names[NAMES];
	size_t n;
};

struct memdisk {
	struct directory now, durable;
	struct name *changes; /* in order */
	size_t changes_n;
	struct file *fds[FDS];
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* --- content --- */

static void content_resize(struct content *c, size_t size)
{
	/* Some files grow by one block thousands of times; one that is cut gives its memory back. */
	if (!c->p || size > c->alloc || size < c->alloc / 4) {
		size_t more = size > c->alloc ? c->alloc + c->alloc / 2 : 0;

		c->alloc = size > more ? size : more;
		c->p = must(realloc(c->p, c->alloc + 1));
	}
	if (size > c->size)
		memset(c->p + c->size, 0, size - c->size);
	c->size = size;
}

static void content_apply(struct content *c, const struct change *ch, size_t n)
{
	if (!ch->data) {
		content_resize(c, ch->off);
		return;
	}
	if (ch->off + n > c->size)
		content_resize(c, ch->off + n);
	if (n > 0)
		memcpy(c->p + ch->off, ch->data, n);
}

static void drop_changes(struct file *f)
{
	while (f->first) {
		struct change *ch = f->first;
		f->first = ch->next;
		free(ch->data);
		free(ch);
	}
	f->last = &f->first;
}

static struct file *ref(struct file *f)
{
	if (f)
		f->refs++;
	return f;
}

static void unref(struct file *f)
{
	if (!f || --f->refs > 0)
		return;
	drop_changes(f);
	free(f->now.p);
	free(f->durable.p);
	free(f);
}

/* A write of n bytes at off, or with p NULL the size off. */
static void change_file(struct file *f, const void *p, size_t n, size_t off)
{
	struct change *ch = must(calloc(1, sizeof *ch));
	ch->off = off;
	ch->n = n;
	if (p) {
		ch->data = must(malloc(n + 1));
		memcpy(ch->data, p, n);
	}
	content_apply(&f->now, ch, n);
	*f->last = ch;
	f->last = &ch->next;
}

/* --- directory --- */

static struct name *find(struct directory *dir, const char *text)
{
	for (size_t i = 0; i < dir->n; i++)
		if (strcmp(dir->names[i].text, text) == 0)
			return &dir->names[i];
	return NULL;
}

static void directory_set(struct directory *dir, const char *text, struct file *f)
{
	struct name *name = find(dir, text);
	ref(f);
	if (name) {
		unref(name->file);
		name->file = f;
	} else if (f) {
		if (dir->n == NAMES)
			abort();
		name = &dir->names[dir->n++];
		*name = (struct name){ .text = must(strdup(text)), .file = f };
	}
	if (name && !f) {
		free(name->text);
		*name = dir->names[--dir->n];
	}
}

static void directory_clear(struct directory *dir)
{
	while (dir->n > 0)
		directory_set(dir, dir->names[0].text, NULL);
}

static void change_directory(struct memdisk *d, const char *text, struct file *f)
{
	d->changes = must(realloc(d->changes, (d->changes_n + 1) * sizeof *d->changes));
	d->changes[d->changes_n++] = (struct name){ .text = must(strdup(text)), .file = ref(f) };
	directory_set(&d->now, text, f);
}

/* The first n changes become durable, the others are forgotten. */
static void settle_directory(struct memdisk *d, size_t n)
{
	for (size_t i = 0; i < d->changes_n; i++) {
		if (i < n)
			directory_set(&d->durable, d->changes[i].text, d->changes[i].file);
		free(d->changes[i].text);
		unref(d->changes[i].file);
	}
	d->changes_n = 0;
}

/* --- calls --- */

struct memdisk *memdisk_new(void)
{
	return must(calloc(1, sizeof(struct memdisk)));
}

static struct file *file_of(const struct memdisk *d, int fd)
{
	return fd >= FD_BASE && fd < FD_BASE + FDS ? d->fds[fd - FD_BASE] : NULL;
}

int memdisk_open(struct memdisk *d, const char *path, int flags)
{
	struct name *name = find(&d->now, path);
	int slot = 0;
	if (flags & O_DIRECTORY)
		return FAKE_DIR;
	if (name && (flags & O_CREAT) && (flags & O_EXCL))
		return ERR_EXISTS;
	if (!name && !(flags & O_CREAT))
		return ERR_NOT_FOUND;
	while (slot < FDS && d->fds[slot])
		slot++;
	if (slot == FDS)
		abort();
	if (!name) {
		struct file *f = must(calloc(1, sizeof *f));
		f->last = &f->first;
		change_directory(d, path, f);
		name = find(&d->now, path);
	}
	d->fds[slot] = ref(name->file);
	if ((flags & O_TRUNC) && name->file->now.size > 0)
		change_file(name->file, NULL, 0, 0);
	return FD_BASE + slot;
}

int memdisk_close(struct memdisk *d, int fd)
{
	struct file *f = file_of(d, fd);
	if (f) {
		d->fds[fd - FD_BASE] = NULL;
		unref(f);
	}
	return f || fd == FAKE_DIR ? 0 : ERR_IO;
}

ssize_t memdisk_pread(struct memdisk *d, int fd, void *p, size_t n, off_t off)
{
	struct file *f = file_of(d, fd);
	if (!f)
		return ERR_IO;
	if ((size_t)off >= f->now.size)
		return 0;
	if (n > f->now.size - (size_t)off)
		n = f->now.size - (size_t)off;
	if ((size_t)off < f->bad_to && (size_t)off + n > f->bad_from)
		return ERR_IO;
	memcpy(p, f->now.p + off, n);
	return (ssize_t)n;
}

void memdisk_break(struct memdisk *d, const char *path, off_t from, size_t n)
{
	struct name *name = find(&d->now, path);
	if (!name)
		abort();
	name->file->bad_from = (size_t)from;
	name->file->bad_to = (size_t)from + n;
}

int memdisk_pwrite(struct memdisk *d, int fd, const void *p, size_t n, off_t off)
{
	struct file *f = file_of(d, fd);
	if (!f)
		return ERR_IO;
	if (n > 0)
		change_file(f, p, n, (size_t)off);
	return 0;
}

int memdisk_sync(struct memdisk *d, int fd)
{
	struct file *f = file_of(d, fd);
	if (!f) {
		settle_directory(d, d->changes_n);
		return 0;
	}
	for (const struct change *ch = f->first; ch; ch = ch->next)
		content_apply(&f->durable, ch, ch->n);
	drop_changes(f);
	return 0;
}

void memdisk_lose(struct memdisk *d, int fd)
{
	struct file *f = file_of(d, fd);
	if (f)
		drop_changes(f);
}

int memdisk_ftruncate(struct memdisk *d, int fd, off_t size)
{
	struct file *f = file_of(d, fd);
	if (!f)
		return ERR_IO;
	change_file(f, NULL, 0, (size_t)size);
	return 0;
}

int memdisk_fallocate(struct memdisk *d, int fd, int mode, off_t off, off_t len)
{
	struct file *f = file_of(d, fd);
	size_t from = (size_t)off, to = (size_t)off + (size_t)len;
	if (!f)
		return ERR_IO;
	if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
		size_t end = to < f->now.size ? to : f->now.size;
		if (from < end) {
			uint8_t *zeros = must(calloc(1, end - from));
			change_file(f, zeros, end - from, from);
			free(zeros);
		}
	}
	if (!(mode & FALLOC_FL_KEEP_SIZE) && to > f->now.size)
		change_file(f, NULL, 0, to);
	return 0;
}

int64_t memdisk_fsize(struct memdisk *d, int fd)
{
	struct file *f = file_of(d, fd);
	return f ? (int64_t)f->now.size : ERR_IO;
}

int memdisk_rename(struct memdisk *d, const char *from, const char *to)
{
	struct name *name = find(&d->now, from);
	if (!name)
		return ERR_NOT_FOUND;
	struct file *f = ref(name->file);
	change_directory(d, to, f);
	change_directory(d, from, NULL);
	unref(f);
	return 0;
}

int memdisk_unlink(struct memdisk *d, const char *path)
{
	if (!find(&d->now, path))
		return ERR_NOT_FOUND;
	change_directory(d, path, NULL);
	return 0;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

uint64_t memdisk_bytes(const struct memdisk *d)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < d->now.n; i++) {
		const struct content *c = &d->now.names[i].file->now;
		for (size_t at = 0; at < c->size; at += BLOCK) {
			size_t n = c->size - at < BLOCK ? c->size - at : BLOCK;
			bytes += all_zero(c->p + at, n) ? 0 : BLOCK;
		}
	}
	return bytes;
}

unsigned memdisk_open_files(const struct memdisk *d)
{
	unsigned n = 0;
	for (int i = 0; i < FDS; i++)
		n += d->fds[i] != NULL;
	return n;
}

/* --- power cut --- */

/* Some sectors of a write, in no order. */
static void apply_sectors(
	struct content *c, const struct change *ch, unsigned (*random)(void *ctx, unsigned n), void *ctx)
{
	for (size_t at = 0; at < ch->n; at += SECTOR) {
		struct change part = { .data = ch->data + at, .off = ch->off + at };
		if (random(ctx, 2) == 0)
			content_apply(c, &part, ch->n - at < SECTOR ? ch->n - at : SECTOR);
	}
}

/* After LOSE_ALL or RANDOM the file is what was durable, or became it. */
static void crash_file(struct file *f, enum fake_crash how, unsigned (*random)(void *ctx, unsigned n), void *ctx)
{
	for (const struct change *ch = f->first; ch && how != FAKE_LOSE_ALL; ch = ch->next) {
		unsigned fate = random(ctx, 4);
		if (fate == 0)
			content_apply(&f->durable, ch, ch->n);
		else if (fate == 1 && ch->data)
			content_apply(&f->durable, ch, SECTOR * (size_t)random(ctx, (unsigned)(ch->n / SECTOR) + 1));
		else if (fate == 2 && ch->data)
			apply_sectors(&f->durable, ch, random, ctx);
	}
	drop_changes(f);
	content_resize(&f->now, f->durable.size);
	if (f->durable.size > 0)
		memcpy(f->now.p, f->durable.p, f->durable.size);
}

void memdisk_crash(struct memdisk *d, enum fake_crash how, unsigned (*random)(void *ctx, unsigned n), void *ctx)
{
	size_t keep = how == FAKE_RANDOM ? random(ctx, (unsigned)d->changes_n + 1) : 0;
	for (int i = 0; i < FDS; i++) {
		unref(d->fds[i]);
		d->fds[i] = NULL;
	}
	if (how == FAKE_KEEP_ALL)
		return; /* a later power cut may lose it all the same */
	/* A rename is two changes but one step: never keep only its first half. */
	if (keep > 0 && keep < d->changes_n && d->changes[keep - 1].file && !d->changes[keep].file)
		keep++;
	settle_directory(d, keep);
	directory_clear(&d->now);
	for (size_t i = 0; i < d->durable.n; i++)
		crash_file(d->durable.names[i].file, how, random, ctx);
	for (size_t i = 0; i < d->durable.n; i++)
		directory_set(&d->now, d->durable.names[i].text, d->durable.names[i].file);
}

void memdisk_free(struct memdisk *d)
{
	if (!d)
		return;
	for (int i = 0; i < FDS; i++)
		unref(d->fds[i]);
	settle_directory(d, 0);
	directory_clear(&d->now);
	directory_clear(&d->durable);
	free(d->changes);
	free(d);
}
