/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_ops: random operations on two directories at once. Each call is made on both; its errno and what it returns must be the same, and so
 * must the trees before the first and after the last.
 *
 *	tree_ops DIR PLAIN_DIR SEED OPERATIONS
 *
 * Few names, so that most operations meet something: names, links, renames with flags, content through descriptors that stay open (also
 * of files without a name), maps, holes, copies, modes, times, xattrs. Ends with 1 and says operation and seed at the first difference. State is in the
 * trees alone: between two runs the file system may be stopped, killed and mounted again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { SIDES = 2, OPEN = 6, MAX_SIZE = 300000, IO = 40000, INODES = 1 << 15, DEPTH = 60 };

static uint64_t state, seed, operation;
static int root[SIDES]; /* descriptors of the two directories */
static struct {
	int fd[SIDES];
} opened[OPEN];
static char what[8400]; /* the operation, for messages */

static uint64_t rnd(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * UINT64_C(0x2545F4914F6CDD1D) % n;
}

static void __attribute__((format(printf, 1, 2), noreturn)) differ(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("seed %llu, operation %llu, %s: ", (unsigned long long)seed, (unsigned long long)operation, what);
	vprintf(fmt, args);
	printf("\n");
	exit(1);
}

/* A path of up to three directories and a name. */
static void random_path(char p[64])
{
	static const char *const names[] = { "a", "b", "c", "x y", "\xff\xfe", "long-name-that-is-longer-than-most",
		"e", "f" };
	size_t used = 0;

	for (uint64_t depth = rnd(3); depth > 0; depth--)
		used += (size_t)snprintf(p + used, 64 - used, "d%llu/", (unsigned long long)rnd(3));
	if (rnd(4) == 0)
		snprintf(p + used, 64 - used, "d%llu", (unsigned long long)rnd(3));
	else
		snprintf(p + used, 64 - used, "%s", names[rnd(sizeof names / sizeof names[0])]);
}

/* The same result on both sides? Returns whether it was a success. */
static bool same(long a, int ea, long b, int eb)
{
	if ((a < 0) != (b < 0) || (a < 0 && ea != eb) || (a >= 0 && a != b))
		differ("%ld (%s), plain %ld (%s)", a, a < 0 ? strerrorname_np(ea) : "", b,
			b < 0 ? strerrorname_np(eb) : "");
	return a >= 0;
}

/* Evaluates `call` for side i = 0 and 1; yields success. */
#define BOTH(call) \
	({ \
		long rc_[SIDES]; \
		int err_[SIDES]; \
		for (int i = 0; i < SIDES; i++) { \
			errno = 0; \
			rc_[i] = (long)(call); \
			err_[i] = errno; \
		} \
		same(rc_[0], err_[0], rc_[1], err_[1]); \
	})

#define SAY(...) snprintf(what, sizeof what, __VA_ARGS__)

static uint8_t data[IO], got[SIDES][MAX_SIZE + IO];

static size_t random_data(void)
{
	size_t n = rnd(3) ? rnd(600) + 1 : rnd(IO) + 1;
	uint8_t start = (uint8_t)rnd(256);

	for (size_t i = 0; i < n; i++)
		data[i] = (uint8_t)(start + i * 7);
	return n;
}

/* ---- names ---- */

static void op_create(void)
{
	char p[64];
	int flags = O_CREAT | O_WRONLY | O_NONBLOCK | (rnd(2) ? O_EXCL : 0) | (rnd(3) ? 0 : O_TRUNC);
	mode_t mode = (mode_t)(0600 | rnd(0100));

	random_path(p);
	SAY("open %s %#x", p, flags);
	int fd[SIDES];
	if (BOTH((fd[i] = openat(root[i], p, flags, mode)) < 0 ? -1 : 0))
		BOTH(close(fd[i]));
}

static void op_mkdir(void)
{
	char p[64];

	random_path(p);
	SAY("mkdir %s", p);
	BOTH(mkdirat(root[i], p, 0755));
}

static void op_unlink(void)
{
	char p[64];
	int flags = rnd(3) ? 0 : AT_REMOVEDIR;

	random_path(p);
	SAY("unlink %s %d", p, flags);
	BOTH(unlinkat(root[i], p, flags));
}

static void op_rename(void)
{
	static const unsigned flags[] = { 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE };
	char p[64], q[64];
	unsigned f = flags[rnd(5)];

	random_path(p);
	random_path(q);
	SAY("rename %s %s %u", p, q, f);
	BOTH(renameat2(root[i], p, root[i], q, f));
}

static void op_link(void)
{
	char p[64], q[64];

	random_path(p);
	random_path(q);
	SAY("link %s %s", p, q);
	BOTH(linkat(root[i], p, root[i], q, 0));
}

static void op_symlink(void)
{
	char p[64], q[64], back[SIDES][128];

	random_path(p);
	random_path(q);
	SAY("symlink %s %s", p, q);
	BOTH(symlinkat(p, root[i], q));
	memset(back, 0, sizeof back);
	BOTH(readlinkat(root[i], q, back[i], 127));
	if (strcmp(back[0], back[1]) != 0)
		differ("leads to %s, plain %s", back[0], back[1]);
}

static void op_mkfifo(void)
{
	char p[64];

	random_path(p);
	SAY("mkfifo %s", p);
	BOTH(mkfifoat(root[i], p, 0644));
}

/* ---- attributes ---- */

static void compare_stat(const struct stat *a, const struct stat *b)
{
	bool dir = S_ISDIR(a->st_mode);

	if (a->st_mode != b->st_mode || a->st_nlink != b->st_nlink || (!dir && a->st_size != b->st_size))
		differ("mode %o links %lu size %lld, plain mode %o links %lu size %lld", a->st_mode,
			(unsigned long)a->st_nlink, (long long)a->st_size, b->st_mode, (unsigned long)b->st_nlink,
			(long long)b->st_size);
}

static void op_stat(void)
{
	char p[64];
	struct stat st[SIDES];

	random_path(p);
	SAY("lstat %s", p);
	if (BOTH(fstatat(root[i], p, &st[i], AT_SYMLINK_NOFOLLOW)))
		compare_stat(&st[0], &st[1]);
}

static void op_chmod(void)
{
	char p[64];
	mode_t mode = (mode_t)(0700 | rnd(0100) | (rnd(8) ? 0 : 05000));

	random_path(p);
	SAY("chmod %s %o", p, mode);
	BOTH(fchmodat(root[i], p, mode, 0));
}

static void op_utime(void)
{
	char p[64];
	struct timespec t[2] = { { (time_t)rnd(4000000000u), (long)rnd(1000000000) },
		{ (time_t)rnd(4000000000u), (long)rnd(1000000000) } };
	struct stat st[SIDES];

	random_path(p);
	SAY("utimensat %s", p);
	if (BOTH(utimensat(root[i], p, t, AT_SYMLINK_NOFOLLOW)) &&
		BOTH(fstatat(root[i], p, &st[i], AT_SYMLINK_NOFOLLOW)) &&
		memcmp(&st[0].st_mtim, &t[1], sizeof t[1]) != 0)
		differ("another mtime");
}

static void op_xattr(void)
{
	char p[64], name[16];
	size_t n = rnd(300);
	int how = (int)rnd(3), flags = rnd(2) ? 0 : rnd(2) ? XATTR_CREATE : XATTR_REPLACE;
	int fd[SIDES];

	random_path(p);
	snprintf(name, sizeof name, "user.%c", (char)('a' + rnd(3)));
	memset(data, (int)rnd(256), n);
	SAY("xattr %s %s %d", p, name, how);
	if (!BOTH((fd[i] = openat(root[i], p, O_RDONLY | O_NONBLOCK | O_NOFOLLOW)) < 0 ? -1 : 0))
		return;
	struct stat st;
	bool plain = fstat(fd[0], &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
	if (plain && how == 0)
		BOTH(fsetxattr(fd[i], name, data, n, flags));
	else if (plain && how == 1)
		BOTH(fremovexattr(fd[i], name));
	else if (plain && BOTH(fgetxattr(fd[i], name, got[i], 1000)))
		(void)0;
	BOTH(close(fd[i]));
}

/* ---- content ---- */

static int any_open(void)
{
	int k = (int)rnd(OPEN);

	return opened[k].fd[0] >= 0 ? k : -1;
}

static void close_one(int k)
{
	BOTH(close(opened[k].fd[i]));
	opened[k].fd[0] = opened[k].fd[1] = -1;
}

static void op_open(void)
{
	char p[64];
	int k = (int)rnd(OPEN),
	    flags = O_RDWR | O_NONBLOCK | (rnd(3) ? O_CREAT : 0) | (rnd(6) ? 0 : O_APPEND) | (rnd(9) ? 0 : O_TRUNC);

	random_path(p);
	if (opened[k].fd[0] >= 0) {
		SAY("close %d", k);
		close_one(k);
	}
	SAY("open %s %#x as %d", p, flags, k);
	if (rnd(20) == 0)
		BOTH((opened[k].fd[i] = openat(root[i], ".", O_TMPFILE | O_RDWR, 0644)) < 0 ? -1 : 0);
	else
		BOTH((opened[k].fd[i] = openat(root[i], p, flags, 0644)) < 0 ? -1 : 0);
	struct stat st;
	if (opened[k].fd[0] >= 0 && fstat(opened[k].fd[0], &st) == 0 && !S_ISREG(st.st_mode))
		close_one(k); /* a fifo */
}

static void op_write(void)
{
	int k = any_open();
	size_t n = random_data();
	off_t at = (off_t)rnd(MAX_SIZE - IO);

	SAY("pwrite %d at %lld, %zu bytes", k, (long long)at, n);
	if (k >= 0)
		BOTH(pwrite(opened[k].fd[i], data, n, at));
}

static void compare_read(int fd0, int fd1, off_t at, size_t n)
{
	int fd[SIDES] = { fd0, fd1 };
	long len[SIDES];

	if (BOTH(len[i] = pread(fd[i], got[i], n, at)) && memcmp(got[0], got[1], (size_t)len[0]) != 0) {
		size_t k = 0;
		while (got[0][k] == got[1][k])
			k++;
		differ("other content at %lld", (long long)at + (long long)k);
	}
}

static void op_read(void)
{
	int k = any_open();
	off_t at = (off_t)rnd(MAX_SIZE);
	size_t n = rnd(IO) + 1;

	SAY("pread %d at %lld, %zu bytes", k, (long long)at, n);
	if (k >= 0)
		compare_read(opened[k].fd[0], opened[k].fd[1], at, n);
}

static void op_truncate(void)
{
	char p[64];
	off_t size = (off_t)rnd(MAX_SIZE);
	int k = any_open();

	random_path(p);
	SAY("truncate %s or %d to %lld", p, k, (long long)size);
	if (k >= 0 && rnd(2)) {
		BOTH(ftruncate(opened[k].fd[i], size));
		return;
	}
	int fd[SIDES];
	if (BOTH((fd[i] = openat(root[i], p, O_WRONLY | O_NONBLOCK | O_NOFOLLOW)) < 0 ? -1 : 0)) {
		struct stat st;
		if (fstat(fd[0], &st) == 0 && S_ISREG(st.st_mode))
			BOTH(ftruncate(fd[i], size));
		BOTH(close(fd[i]));
	}
}

static void op_hole(void)
{
	int k = any_open();
	off_t at = (off_t)rnd(MAX_SIZE), len = (off_t)rnd(IO) + 1;
	int mode = rnd(2) ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : 0;

	SAY("fallocate %d mode %d at %lld, %lld bytes", k, mode, (long long)at, (long long)len);
	if (k >= 0)
		BOTH(fallocate(opened[k].fd[i], mode, at, len));
}

static void op_copy(void)
{
	int a = any_open(), b = any_open();
	off_t from = (off_t)rnd(MAX_SIZE), to = (off_t)rnd(MAX_SIZE - IO);
	size_t n = rnd(IO) + 1;

	SAY("copy %d at %lld to %d at %lld, %zu bytes", a, (long long)from, b, (long long)to, n);
	if (a < 0 || b < 0)
		return;
	BOTH(({
		off_t f = from, t = to;
		copy_file_range(opened[a].fd[i], &f, opened[b].fd[i], &t, n, 0);
	}));
}

static void op_map(void)
{
	int k = any_open();
	size_t n = rnd(200) + 1;
	struct stat st;

	SAY("map %d", k);
	if (k < 0 || fstat(opened[k].fd[1], &st) < 0 || (size_t)st.st_size < n)
		return;
	size_t at = rnd((uint64_t)st.st_size - n + 1), len = (size_t)st.st_size;
	memset(data, (int)rnd(256), n);
	void *p[SIDES];
	if (!BOTH((p[i] = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, opened[k].fd[i], 0)) == MAP_FAILED ? -1
														 : 0))
		return;
	for (int i = 0; i < SIDES; i++)
		memcpy((uint8_t *)p[i] + at, data, n);
	if (memcmp(p[0], p[1], len) != 0)
		differ("other content in the map");
	BOTH(munmap(p[i], len));
}

static void op_sync(void)
{
	int k = any_open();

	SAY("fsync %d", k);
	if (k >= 0)
		BOTH(fsync(opened[k].fd[i]));
}

static void op_fstat(void)
{
	int k = any_open();
	struct stat st[SIDES];

	SAY("fstat %d", k);
	if (k >= 0 && BOTH(fstat(opened[k].fd[i], &st[i])))
		compare_stat(&st[0], &st[1]);
}

static void op_close(void)
{
	int k = any_open();

	SAY("close %d", k);
	if (k >= 0)
		close_one(k);
}

/* ---- whole trees ---- */

static uint64_t inode[INODES][SIDES]; /* which node here is which there */
static size_t n_inodes;

/* Names of one node here are names of one node there. */
static void pair_inodes(uint64_t a, uint64_t b)
{
	for (size_t k = 0; k < n_inodes; k++) {
		if ((inode[k][0] == a) != (inode[k][1] == b))
			differ("other hard links");
		if (inode[k][0] == a)
			return;
	}
	if (n_inodes < INODES) {
		inode[n_inodes][0] = a;
		inode[n_inodes++][1] = b;
	}
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t list(int at, const char *path, char **names, size_t max)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	size_t n = 0;

	if (!d)
		differ("cannot list: %s", strerror(errno));
	for (struct dirent *e; n < max && (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			names[n++] = strdup(e->d_name);
	closedir(d);
	qsort(names, n, sizeof *names, compare_names);
	return n;
}

static void compare_xattrs(int fd0, int fd1)
{
	int fd[SIDES] = { fd0, fd1 };

	for (char c = 'a'; c <= 'c'; c++) {
		char name[] = { 'u', 's', 'e', 'r', '.', c, 0 };
		long len[SIDES];
		if (BOTH(len[i] = fgetxattr(fd[i], name, got[i], 1000)) && memcmp(got[0], got[1], (size_t)len[0]) != 0)
			differ("other value of %s", name);
	}
}

static void compare_file(const char *path, const struct stat *st)
{
	int fd[SIDES];

	if (!BOTH((fd[i] = openat(root[i], path, O_RDONLY)) < 0 ? -1 : 0))
		return;
	if (S_ISREG(st->st_mode))
		compare_read(fd[0], fd[1], 0, sizeof got[0]);
	compare_xattrs(fd[0], fd[1]);
	BOTH(close(fd[i]));
}

static void compare_tree(const char *path, int depth)
{
	char *names[SIDES][256];
	size_t n[SIDES];

	SAY("comparing %s", path);
	for (int i = 0; i < SIDES; i++)
		n[i] = list(root[i], path, names[i], 256);
	for (size_t k = 0; k < n[0] || k < n[1]; k++) {
		char below[4096];
		struct stat st[SIDES];
		if (k >= n[0] || k >= n[1] || strcmp(names[0][k], names[1][k]) != 0)
			differ("lists %s, plain %s", k < n[0] ? names[0][k] : "no more",
				k < n[1] ? names[1][k] : "no more");
		snprintf(below, sizeof below, "%s/%s", path, names[0][k]);
		SAY("comparing %s", below);
		if (BOTH(fstatat(root[i], below, &st[i], AT_SYMLINK_NOFOLLOW)))
			compare_stat(&st[0], &st[1]);
		pair_inodes(st[0].st_ino, st[1].st_ino);
		if (S_ISREG(st[0].st_mode) || S_ISDIR(st[0].st_mode))
			compare_file(below, &st[0]);
		if (S_ISDIR(st[0].st_mode) && depth < DEPTH)
			compare_tree(below, depth + 1);
	}
	for (int i = 0; i < SIDES; i++)
		for (size_t k = 0; k < n[i]; k++)
			free(names[i][k]);
}

static void compare_all(void)
{
	n_inodes = 0;
	compare_tree(".", 0);
}

int main(int argc, char **argv)
{
	static void (*const ops[])(void) = { op_create, op_create, op_mkdir, op_mkdir, op_unlink, op_unlink, op_rename,
		op_rename, op_link, op_symlink, op_mkfifo, op_stat, op_stat, op_chmod, op_utime, op_xattr, op_open,
		op_open, op_write, op_write, op_write, op_write, op_read, op_read, op_truncate, op_hole, op_copy,
		op_map, op_sync, op_fstat, op_close };

	if (argc != 5) {
		fprintf(stderr, "usage: tree_ops DIR PLAIN_DIR SEED OPERATIONS\n");
		return 2;
	}
	seed = strtoull(argv[3], NULL, 10);
	state = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15) | 1;
	umask(022);
	for (int i = 0; i < SIDES; i++)
		if ((root[i] = open(argv[1 + i], O_RDONLY | O_DIRECTORY)) < 0) {
			perror(argv[1 + i]);
			return 2;
		}
	for (int k = 0; k < OPEN; k++)
		opened[k].fd[0] = opened[k].fd[1] = -1;
	compare_all();
	for (operation = 1; operation <= strtoull(argv[4], NULL, 10); operation++)
		ops[rnd(sizeof ops / sizeof ops[0])]();
	for (int k = 0; k < OPEN; k++)
		if (opened[k].fd[0] >= 0)
			close_one(k);
	compare_all();
	return 0;
}
