/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsx: random operations on one file, each done on a file of the mount and on a file of another file system (the
 * model), and compared.
 *
 *	fsx FILE MODEL SEED COUNT [MAX_BYTES]
 *
 * Reads, writes, O_APPEND writes, truncates, shared and private mappings, punched and zeroed ranges, fallocate,
 * copy_file_range within the file, holes by lseek, O_DIRECT, closing and opening again. Ends with 1 and the seed and
 * number of the operation that differed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct fsx {
	const char *path[2]; /* the file, the model */
	int fd[2];
	uint64_t rng, seed;
	size_t max;
	unsigned long op;
	uint8_t *data, *seen[2]; /* max bytes each; data aligned for O_DIRECT */
};

static uint64_t next_random(struct fsx *x)
{
	x->rng ^= x->rng << 13;
	x->rng ^= x->rng >> 7;
	x->rng ^= x->rng << 17;
	return x->rng;
}

static size_t below(struct fsx *x, size_t n)
{
	return n ? (size_t)(next_random(x) % n) : 0;
}

__attribute__((noreturn, format(printf, 2, 3))) static void differ(const struct fsx *x, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "fsx: seed %llu operation %lu: ", (unsigned long long)x->seed, x->op);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (errno %s)\n", strerror(errno));
	exit(1);
}

static size_t size_of(struct fsx *x)
{
	struct stat a, b;

	if (fstat(x->fd[0], &a) < 0 || fstat(x->fd[1], &b) < 0)
		differ(x, "fstat");
	if (a.st_size != b.st_size)
		differ(x, "size is %lld, not %lld", (long long)a.st_size, (long long)b.st_size);
	return (size_t)a.st_size;
}

/* A range inside MAX bytes, mostly small, sometimes aligned. */
static void pick(struct fsx *x, size_t *off, size_t *len)
{
	*len = 1 + below(x, next_random(x) % 8 ? 8192 : 200000);
	*off = below(x, x->max);
	if (next_random(x) % 4 == 0) {
		*off &= ~(size_t)4095;
		*len = (*len + 4095) & ~(size_t)4095;
	}
	if (*off + *len > x->max)
		*len = x->max - *off;
}

static void fill(struct fsx *x, size_t len)
{
	uint64_t v = next_random(x);

	for (size_t i = 0; i < len; i++)
		x->data[i] = (uint8_t)((v >> (i % 8 * 8)) + i / 8);
}

static void same_bytes(struct fsx *x, size_t off, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (x->seen[0][i] != x->seen[1][i])
			differ(x, "byte %zu is %02x, not %02x", off + i, x->seen[0][i], x->seen[1][i]);
}

static void do_read(struct fsx *x)
{
	size_t off, len;
	ssize_t n[2];

	pick(x, &off, &len);
	for (int i = 0; i < 2; i++)
		n[i] = pread(x->fd[i], x->seen[i], len, (off_t)off);
	if (n[0] != n[1])
		differ(x, "pread %zu at %zu gives %zd, not %zd", len, off, n[0], n[1]);
	same_bytes(x, off, (size_t)(n[0] > 0 ? n[0] : 0));
}

static void do_write(struct fsx *x)
{
	size_t off, len;

	pick(x, &off, &len);
	fill(x, len);
	for (int i = 0; i < 2; i++)
		if (pwrite(x->fd[i], x->data, len, (off_t)off) != (ssize_t)len)
			differ(x, "pwrite %zu at %zu", len, off);
}

static void do_append(struct fsx *x)
{
	size_t len = 1 + below(x, 5000);

	if (size_of(x) + len > x->max)
		return;
	fill(x, len);
	for (int i = 0; i < 2; i++) {
		int fd = open(x->path[i], O_WRONLY | O_APPEND);
		if (fd < 0 || write(fd, x->data, len) != (ssize_t)len || close(fd) < 0)
			differ(x, "append %zu", len);
	}
}

static void do_truncate(struct fsx *x)
{
	size_t to = next_random(x) % 8 ? below(x, x->max) : 0;

	for (int i = 0; i < 2; i++)
		if (ftruncate(x->fd[i], (off_t)to) < 0)
			differ(x, "ftruncate to %zu", to);
}

static void do_map_write(struct fsx *x)
{
	size_t size = size_of(x), off, len;

	pick(x, &off, &len);
	if (off >= size)
		return;
	if (off + len > size)
		len = size - off;
	fill(x, len);
	for (int i = 0; i < 2; i++) {
		uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, x->fd[i], 0);
		if (p == MAP_FAILED)
			differ(x, "mmap");
		memcpy(p + off, x->data, len);
		if (x->op % 3 == 0 && msync(p, size, MS_SYNC) < 0)
			differ(x, "msync");
		munmap(p, size);
	}
}

static void do_map_read(struct fsx *x)
{
	size_t size = size_of(x);

	if (size == 0)
		return;
	for (int i = 0; i < 2; i++) {
		uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, x->fd[i], 0);
		if (p == MAP_FAILED)
			differ(x, "mmap");
		memcpy(x->seen[i], p, size);
		p[size / 2] ^= 1; /* must not reach the file */
		munmap(p, size);
	}
	same_bytes(x, 0, size);
}

static void do_fallocate(struct fsx *x)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE };
	int mode = modes[below(x, sizeof modes / sizeof modes[0])];
	size_t off, len;

	pick(x, &off, &len);
	int model = mode;
	if (mode & FALLOC_FL_ZERO_RANGE) { /* tmpfs lacks it */
		model = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
		if (!(mode & FALLOC_FL_KEEP_SIZE) && off + len > size_of(x) &&
			ftruncate(x->fd[1], (off_t)(off + len)) < 0)
			differ(x, "ftruncate of the model");
	}
	if (fallocate(x->fd[1], model, (off_t)off, (off_t)len) < 0 ||
		fallocate(x->fd[0], mode, (off_t)off, (off_t)len) < 0)
		differ(x, "fallocate %d", mode);
}

static void do_copy(struct fsx *x)
{
	size_t size = size_of(x), from, len, to = below(x, x->max);

	pick(x, &from, &len);
	if (from >= size)
		return;
	if (from + len > size)
		len = size - from;
	if (to + len > x->max)
		len = x->max - to;
	if (to < from + len && from < to + len) /* overlaps: EINVAL */
		return;
	off64_t a = (off64_t)from, b = (off64_t)to;
	for (size_t left = len; left > 0;) {
		ssize_t n = copy_file_range(x->fd[0], &a, x->fd[0], &b, left, 0);
		if (n <= 0)
			differ(x, "copy_file_range %zu from %zu to %zu", len, from, to);
		left -= (size_t)n;
	}
	if (pread(x->fd[1], x->data, len, (off_t)from) != (ssize_t)len ||
		pwrite(x->fd[1], x->data, len, (off_t)to) != (ssize_t)len)
		differ(x, "copy on the model");
}

/* What lies in a hole must be zeros; data may be reported anywhere. */
static void do_seek(struct fsx *x)
{
	off_t size = (off_t)size_of(x), at = 0;

	while (at < size) {
		off_t data = lseek(x->fd[0], at, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			differ(x, "SEEK_DATA at %lld", (long long)at);
		off_t end = data < 0 ? size : data;
		if (end < at || end > size)
			differ(x, "SEEK_DATA from %lld gives %lld of %lld", (long long)at, (long long)data,
				(long long)size);
		ssize_t n = pread(x->fd[1], x->seen[1], (size_t)(end - at), at);
		for (ssize_t i = 0; i < n; i++)
			if (x->seen[1][i] != 0)
				differ(x, "a hole at %lld is no hole", (long long)at + i);
		if (data < 0)
			return;
		at = lseek(x->fd[0], data, SEEK_HOLE);
		if (at <= data || at > size)
			differ(x, "SEEK_HOLE from %lld gives %lld of %lld", (long long)data, (long long)at,
				(long long)size);
	}
}

static void do_direct(struct fsx *x)
{
	size_t off, len;

	pick(x, &off, &len);
	off &= ~(size_t)4095;
	len = (len + 4095) & ~(size_t)4095;
	if (off + len > x->max)
		return;
	fill(x, len);
	int fd = open(x->path[0], O_RDWR | O_DIRECT);
	if (fd < 0)
		differ(x, "open O_DIRECT");
	if (pwrite(fd, x->data, len, (off_t)off) != (ssize_t)len ||
		pwrite(x->fd[1], x->data, len, (off_t)off) != (ssize_t)len)
		differ(x, "O_DIRECT write %zu at %zu", len, off);
	memset(x->data, 0xee, len);
	if (pread(fd, x->data, len, (off_t)off) != (ssize_t)len || close(fd) < 0)
		differ(x, "O_DIRECT read %zu at %zu", len, off);
	memcpy(x->seen[0], x->data, len);
	if (pread(x->fd[1], x->seen[1], len, (off_t)off) != (ssize_t)len)
		differ(x, "read of the model");
	same_bytes(x, off, len);
}

static void reopen(struct fsx *x, int flags)
{
	for (int i = 0; i < 2; i++) {
		if (x->fd[i] >= 0 && close(x->fd[i]) < 0)
			differ(x, "close");
		x->fd[i] = open(x->path[i], O_RDWR | O_CREAT | flags, 0600);
		if (x->fd[i] < 0)
			differ(x, "open %s", x->path[i]);
	}
}

static void compare_all(struct fsx *x)
{
	size_t size = size_of(x);

	for (int i = 0; i < 2; i++)
		if (pread(x->fd[i], x->seen[i], size, 0) != (ssize_t)size)
			differ(x, "read of everything");
	same_bytes(x, 0, size);
}

static void step(struct fsx *x)
{
	static void (*const ops[])(struct fsx *) = { do_read, do_read, do_write, do_write, do_write, do_append,
		do_truncate, do_map_write, do_map_read, do_fallocate, do_copy, do_seek, do_direct };

	ops[below(x, sizeof ops / sizeof ops[0])](x);
	if (next_random(x) % 50 == 0)
		reopen(x, 0);
	if (next_random(x) % 20 == 0)
		compare_all(x);
	size_of(x);
}

int main(int argc, char **argv)
{
	struct fsx x = { .fd = { -1, -1 }, .max = 1u << 20 };

	if (argc < 5) {
		fprintf(stderr, "usage: fsx FILE MODEL SEED COUNT [MAX_BYTES]\n");
		return 2;
	}
	x.path[0] = argv[1];
	x.path[1] = argv[2];
	x.seed = strtoull(argv[3], NULL, 10);
	x.rng = x.seed * 0x9e3779b97f4a7c15u + 1;
	if (argc > 5)
		x.max = strtoull(argv[5], NULL, 10) & ~(size_t)4095;
	x.data = aligned_alloc(4096, x.max);
	x.seen[0] = malloc(x.max);
	x.seen[1] = malloc(x.max);
	if (!x.data || !x.seen[0] || !x.seen[1])
		return 2;
	unsigned long count = strtoul(argv[4], NULL, 10);
	reopen(&x, O_TRUNC);
	for (x.op = 1; x.op <= count; x.op++)
		step(&x);
	reopen(&x, 0);
	compare_all(&x);
	free(x.data);
	free(x.seen[0]);
	free(x.seen[1]);
	return 0;
}
