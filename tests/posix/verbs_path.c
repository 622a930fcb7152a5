/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs whose arguments are paths. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include "tests/posix/words.h"

static int done(long rc)
{
	return rc < 0 ? errno : 0;
}

static int close_done(int fd)
{
	return fd < 0 ? errno : done(close(fd));
}

static int v_touch(struct step *s)
{
	return close_done(open(s->word[1], O_CREAT | O_EXCL | O_WRONLY, words_mode(words_or(s, 2, "644"))));
}

static int v_put(struct step *s)
{
	int fd = open(s->word[1], O_CREAT | O_TRUNC | O_WRONLY, 0644);

	if (fd >= 0 && write(fd, s->word[2], strlen(s->word[2])) < 0) {
		int err = errno;
		close(fd);
		return err;
	}
	return close_done(fd);
}

static int v_get(struct step *s)
{
	int fd = open(s->word[1], O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, s->result, sizeof s->result - 1);

	if (n < 0)
		return errno;
	s->result[n] = 0;
	return close_done(fd);
}

static int v_mkdir(struct step *s)
{
	return done(mkdir(s->word[1], words_mode(words_or(s, 2, "755"))));
}

static int v_rmdir(struct step *s)
{
	return done(rmdir(s->word[1]));
}

static int v_unlink(struct step *s)
{
	return done(unlink(s->word[1]));
}

static int v_link(struct step *s)
{
	return done(linkat(AT_FDCWD, s->word[1], AT_FDCWD, s->word[2], 0));
}

static int v_link_follow(struct step *s)
{
	return done(linkat(AT_FDCWD, s->word[1], AT_FDCWD, s->word[2], AT_SYMLINK_FOLLOW));
}

/* mklinks FILE N: link l0 .. l(N-1) */
static int v_mklinks(struct step *s)
{
	for (int i = 0; i < words_number(s->word[2]); i++) {
		char name[32];
		snprintf(name, sizeof name, "l%d", i);
		if (link(s->word[1], name) < 0)
			return errno;
	}
	return 0;
}

static int v_symlink(struct step *s)
{
	return done(symlink(s->word[1], s->word[2]));
}

static int v_readlink(struct step *s)
{
	ssize_t n = readlink(s->word[1], s->result, sizeof s->result - 1);

	if (n >= 0)
		s->result[n] = 0;
	return done(n);
}

static int v_rename(struct step *s)
{
	static const struct word_flag flags[] = { { "noreplace", RENAME_NOREPLACE }, { "exchange", RENAME_EXCHANGE },
		{ "whiteout", RENAME_WHITEOUT }, { "unknown", 1 << 10 }, { NULL, 0 } };

	return done(renameat2(
		AT_FDCWD, s->word[1], AT_FDCWD, s->word[2], (unsigned)words_flags(flags, words_or(s, 3, "0"))));
}

static int v_mkfifo(struct step *s)
{
	return done(mkfifo(s->word[1], words_mode(words_or(s, 2, "644"))));
}

/* mknod NAME c|b|s|f|p|d MAJOR MINOR */
static int v_mknod(struct step *s)
{
	static const struct word_flag kinds[] = { { "c", S_IFCHR }, { "b", S_IFBLK }, { "s", S_IFSOCK },
		{ "f", S_IFREG }, { "p", S_IFIFO }, { "d", S_IFDIR }, { NULL, 0 } };
	dev_t dev = makedev((unsigned)words_number(words_or(s, 3, "0")), (unsigned)words_number(words_or(s, 4, "0")));

	return done(mknod(s->word[1], (mode_t)words_flags(kinds, s->word[2]) | 0644, dev));
}

static int v_bind(struct step *s)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof a.sun_path, "%s", s->word[1]);
	int err = done(bind(fd, (struct sockaddr *)&a, sizeof a));
	close(fd);
	return err;
}

static int v_chmod(struct step *s)
{
	return done(chmod(s->word[1], words_mode(s->word[2])));
}

/* chown FILE UID GID, -1: as it is */
static int v_chown(struct step *s)
{
	return done(chown(s->word[1], (uid_t)words_number(s->word[2]), (gid_t)words_number(s->word[3])));
}

static int v_lchown(struct step *s)
{
	return done(lchown(s->word[1], (uid_t)words_number(s->word[2]), (gid_t)words_number(s->word[3])));
}

static int v_truncate(struct step *s)
{
	return done(truncate(s->word[1], words_number(s->word[2])));
}

static int v_access(struct step *s)
{
	static const struct word_flag flags[] = { { "r", R_OK }, { "w", W_OK }, { "x", X_OK }, { "f", F_OK },
		{ NULL, 0 } };

	return done(access(s->word[1], words_flags(flags, s->word[2])));
}

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "dir";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
		return "char";
	case S_IFBLK:
		return "block";
	default:
		return "none";
	}
}

static long long ns_of(const struct timespec *t)
{
	return t->tv_sec * 1000000000LL + t->tv_nsec;
}

static int field(struct step *s, const char *name, const struct stat *st)
{
	const struct {
		const char *name;
		long long value;
	} fields[] = { { "nlink", (long long)st->st_nlink }, { "uid", st->st_uid }, { "gid", st->st_gid },
		{ "size", st->st_size }, { "kib", st->st_blocks / 2 }, { "major", major(st->st_rdev) },
		{ "minor", minor(st->st_rdev) }, { "atime", ns_of(&st->st_atim) }, { "mtime", ns_of(&st->st_mtim) } };

	if (strcmp(name, "mode") == 0) {
		words_result(s, "%o", st->st_mode & 07777u);
		return 0;
	}
	if (strcmp(name, "type") == 0) {
		words_result(s, "%s", type_name(st->st_mode));
		return 0;
	}
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		if (strcmp(name, fields[i].name) == 0) {
			words_result(s, "%lld", fields[i].value);
			return 0;
		}
	}
	return -1;
}

static int v_stat(struct step *s)
{
	struct stat st;

	return stat(s->word[1], &st) < 0 ? errno : field(s, words_or(s, 2, "type"), &st);
}

static int v_lstat(struct step *s)
{
	struct stat st;

	return lstat(s->word[1], &st) < 0 ? errno : field(s, words_or(s, 2, "type"), &st);
}

static int v_fstat(struct step *s)
{
	struct stat st;

	return fstat(words_fd(s, 1), &st) < 0 ? errno : field(s, words_or(s, 2, "type"), &st);
}

/* same A B =yes|no: one node? */
static int v_same(struct step *s)
{
	struct stat a, b;

	if (lstat(s->word[1], &a) < 0 || lstat(s->word[2], &b) < 0)
		return errno;
	words_result(s, "%s", a.st_ino == b.st_ino && a.st_dev == b.st_dev ? "yes" : "no");
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int v_ls(struct step *s)
{
	DIR *d = opendir(s->word[1]);
	char *names[256];
	size_t n = 0, used = 0;

	if (!d)
		return errno;
	for (struct dirent *e; n < 256 && (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			names[n++] = strdup(e->d_name);
	closedir(d);
	qsort(names, n, sizeof *names, compare);
	for (size_t i = 0; i < n; i++) {
		used += (size_t)snprintf(s->result + used, sizeof s->result - used, "%s%s", i ? "," : "", names[i]);
		free(names[i]);
	}
	return 0;
}

/* count DIR =N: entries, with . and .. */
static int v_count(struct step *s)
{
	DIR *d = opendir(s->word[1]);
	int n = 0;

	if (!d)
		return errno;
	while (readdir(d))
		n++;
	closedir(d);
	words_result(s, "%d", n);
	return 0;
}

/* many DIR N: makes files f0 .. f(N-1) */
static int v_many(struct step *s)
{
	for (int i = 0; i < words_number(s->word[2]); i++) {
		char path[PATH_MAX];
		snprintf(path, sizeof path, "%s/f%d", s->word[1], i);
		int err = close_done(open(path, O_CREAT | O_EXCL | O_WRONLY, 0644));
		if (err)
			return err;
	}
	return 0;
}

static int v_cd(struct step *s)
{
	return done(chdir(s->word[1]));
}

static int v_umask(struct step *s)
{
	umask(words_mode(s->word[1]));
	return 0;
}

/* limit BYTES: of a file's size (RLIMIT_FSIZE), for this process */
static int v_limit(struct step *s)
{
	struct rlimit r;

	signal(SIGXFSZ, SIG_IGN);
	if (getrlimit(RLIMIT_FSIZE, &r) < 0)
		return errno;
	r.rlim_cur = strcmp(s->word[1], "none") == 0 ? r.rlim_max : (rlim_t)words_number(s->word[1]);
	return done(setrlimit(RLIMIT_FSIZE, &r));
}

/* ---- times ---- */

static struct timespec time_word(const char *word)
{
	long long ns = words_number(word);
	long long rest = (ns % 1000000000 + 1000000000) % 1000000000;

	if (strcmp(word, "now") == 0)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (strcmp(word, "omit") == 0)
		return (struct timespec){ .tv_nsec = UTIME_OMIT };
	return (struct timespec){ .tv_sec = (ns - rest) / 1000000000, .tv_nsec = rest };
}

static int v_utime(struct step *s)
{
	struct timespec t[2] = { time_word(s->word[2]), time_word(s->word[3]) };

	return done(utimensat(AT_FDCWD, s->word[1], t, 0));
}

static int v_lutime(struct step *s)
{
	struct timespec t[2] = { time_word(s->word[2]), time_word(s->word[3]) };

	return done(utimensat(AT_FDCWD, s->word[1], t, AT_SYMLINK_NOFOLLOW));
}

/* mark FILE: notes its times, and goes on when every clock has moved. */
static int v_mark(struct step *s)
{
	struct timespec then, now;

	if (lstat(s->word[1], &s->scene->marked) < 0)
		return errno;
	clock_gettime(CLOCK_REALTIME_COARSE, &then);
	for (int ticks = 0; ticks < 2; then = now) {
		do {
			struct timespec tick = { .tv_nsec = 1000000 };
			nanosleep(&tick, NULL);
			clock_gettime(CLOCK_REALTIME_COARSE, &now);
		} while (ns_of(&now) == ns_of(&then));
		ticks++;
	}
	return 0;
}

static char moved_of(const struct timespec *before, const struct timespec *after, char name)
{
	return ns_of(after) > ns_of(before) ? name : ns_of(after) < ns_of(before) ? '?' : '-';
}

/* moved FILE =mc|m-|-c|--: which of mtime and ctime moved since `mark` */
static int v_moved(struct step *s)
{
	struct stat st;

	if (lstat(s->word[1], &st) < 0)
		return errno;
	words_result(s, "%c%c", moved_of(&s->scene->marked.st_mtim, &st.st_mtim, 'm'),
		moved_of(&s->scene->marked.st_ctim, &st.st_ctim, 'c'));
	return 0;
}

/* ---- xattrs: the names with l do not follow symlinks ---- */

static int v_setx(struct step *s)
{
	static const struct word_flag flags[] = { { "create", XATTR_CREATE }, { "replace", XATTR_REPLACE },
		{ NULL, 0 } };

	return done(setxattr(
		s->word[1], s->word[2], s->word[3], strlen(s->word[3]), words_flags(flags, words_or(s, 4, "0"))));
}

static int v_lsetx(struct step *s)
{
	return done(lsetxattr(s->word[1], s->word[2], s->word[3], strlen(s->word[3]), 0));
}

/* setbig FILE NAME BYTES */
static int v_setbig(struct step *s)
{
	size_t n = (size_t)words_number(s->word[3]);
	char *value = calloc(1, n + 1);
	int err = done(setxattr(s->word[1], s->word[2], value, n, 0));

	free(value);
	return err;
}

static int v_getx(struct step *s)
{
	size_t room = (size_t)words_number(words_or(s, 3, "4000"));
	ssize_t n = getxattr(s->word[1], s->word[2], s->result, room);

	if (n < 0)
		return errno;
	if (room == 0)
		words_result(s, "%zd", n);
	else
		s->result[n] = 0;
	return 0;
}

static int v_rmx(struct step *s)
{
	return done(removexattr(s->word[1], s->word[2]));
}

/* listx FILE =names of user. and trusted., sorted */
static int v_listx(struct step *s)
{
	char list[STEP_TEXT], *names[64];
	ssize_t len = listxattr(s->word[1], list, sizeof list);
	size_t n = 0, used = 0;

	if (len < 0)
		return errno;
	for (char *p = list; p < list + len && n < 64; p += strlen(p) + 1)
		if (strncmp(p, "user.", 5) == 0 || strncmp(p, "trusted.", 8) == 0)
			names[n++] = p;
	qsort(names, n, sizeof *names, compare);
	for (size_t i = 0; i < n; i++)
		used += (size_t)snprintf(s->result + used, sizeof s->result - used, "%s%s", i ? "," : "", names[i]);
	return 0;
}

/* room DIR =yes: statvfs(3) makes sense */
static int v_room(struct step *s)
{
	struct statvfs v;

	if (statvfs(s->word[1], &v) < 0)
		return errno;
	words_result(s, "%s",
		v.f_blocks > 0 && v.f_bfree <= v.f_blocks && v.f_bavail <= v.f_bfree && v.f_frsize > 0 &&
				v.f_ffree <= v.f_files && v.f_namemax == 255
			? "yes"
			: "no");
	return 0;
}

const struct verb verbs_path[] = { { "touch", 2, v_touch }, { "put", 3, v_put }, { "get", 2, v_get },
	{ "mkdir", 2, v_mkdir }, { "rmdir", 2, v_rmdir }, { "unlink", 2, v_unlink }, { "link", 3, v_link },
	{ "linkf", 3, v_link_follow }, { "mklinks", 3, v_mklinks }, { "symlink", 3, v_symlink },
	{ "readlink", 2, v_readlink }, { "rename", 3, v_rename }, { "mkfifo", 2, v_mkfifo }, { "mknod", 3, v_mknod },
	{ "bind", 2, v_bind }, { "chmod", 3, v_chmod }, { "chown", 4, v_chown }, { "lchown", 4, v_lchown },
	{ "truncate", 3, v_truncate }, { "access", 3, v_access }, { "stat", 2, v_stat }, { "lstat", 2, v_lstat },
	{ "fstat", 2, v_fstat }, { "same", 3, v_same }, { "ls", 2, v_ls }, { "count", 2, v_count },
	{ "many", 3, v_many }, { "cd", 2, v_cd }, { "umask", 2, v_umask }, { "limit", 2, v_limit },
	{ "utime", 4, v_utime }, { "lutime", 4, v_lutime }, { "mark", 2, v_mark }, { "moved", 2, v_moved },
	{ "setx", 4, v_setx }, { "lsetx", 4, v_lsetx }, { "setbig", 4, v_setbig }, { "getx", 3, v_getx },
	{ "rmx", 3, v_rmx }, { "listx", 2, v_listx }, { "room", 2, v_room }, { NULL, 0, NULL } };
