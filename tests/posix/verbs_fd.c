/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs whose first argument is a descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tests/posix/words.h"

static int done(long rc)
{
	return rc < 0 ? errno : 0;
}

static int keep(struct step *s, int fd)
{
	int n = atoi(s->word[1]);

	if (fd < 0)
		return errno;
	if (n <= 0 || n >= STEP_FDS)
		return -1;
	s->scene->fd[n] = fd;
	return 0;
}

static const struct word_flag open_flags[] = { { "r", O_RDONLY }, { "w", O_WRONLY }, { "rw", O_RDWR },
	{ "creat", O_CREAT }, { "excl", O_EXCL }, { "trunc", O_TRUNC }, { "append", O_APPEND }, { "dir", O_DIRECTORY },
	{ "nofollow", O_NOFOLLOW }, { "direct", O_DIRECT }, { "path", O_PATH }, { "nb", O_NONBLOCK },
	{ "sync", O_SYNC }, { "noatime", O_NOATIME }, { NULL, 0 } };

/* open N PATH FLAGS [MODE] */
static int v_open(struct step *s)
{
	return keep(s, open(s->word[2], words_flags(open_flags, s->word[3]), words_mode(words_or(s, 4, "644"))));
}

/* tmpfile N DIR [FLAGS] [MODE] */
static int v_tmpfile(struct step *s)
{
	int flags = words_flags(open_flags, words_or(s, 3, "rw"));

	return keep(s, open(s->word[2], O_TMPFILE | flags, words_mode(words_or(s, 4, "644"))));
}

/* linkfd N PATH: gives the file a name */
static int v_linkfd(struct step *s)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/self/fd/%d", words_fd(s, 1));
	return done(linkat(AT_FDCWD, path, AT_FDCWD, s->word[2], AT_SYMLINK_FOLLOW));
}

static int v_close(struct step *s)
{
	int fd = words_fd(s, 1);

	s->scene->fd[atoi(s->word[1])] = -1;
	return done(close(fd));
}

/* Text, with "." for NUL. */
static void text_of(struct step *s, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s->result[i] = p[i] ? p[i] : '.';
	s->result[n] = 0;
}

static int v_read(struct step *s)
{
	char p[STEP_TEXT];
	ssize_t n = read(words_fd(s, 1), p, (size_t)words_number(s->word[2]));

	if (n >= 0)
		text_of(s, p, (size_t)n);
	return done(n);
}

static int v_pread(struct step *s)
{
	char p[STEP_TEXT];
	ssize_t n = pread(words_fd(s, 1), p, (size_t)words_number(s->word[2]), words_number(s->word[3]));

	if (n >= 0)
		text_of(s, p, (size_t)n);
	return done(n);
}

static int wrote(struct step *s, ssize_t n)
{
	if (n < 0)
		return errno;
	words_result(s, "%zd", n);
	return 0;
}

static int v_write(struct step *s)
{
	return wrote(s, write(words_fd(s, 1), s->word[2], strlen(s->word[2])));
}

static int v_pwrite(struct step *s)
{
	return wrote(s, pwrite(words_fd(s, 1), s->word[2], strlen(s->word[2]), words_number(s->word[3])));
}

/* fill N BYTES [OFFSET]: letters */
static int v_fill(struct step *s)
{
	size_t n = (size_t)words_number(s->word[2]);
	off_t at = words_number(words_or(s, 3, "0"));
	char *p = malloc(n + 1);

	for (size_t i = 0; i < n; i++)
		p[i] = (char)('a' + (at + (off_t)i) % 26);
	ssize_t rc = pwrite(words_fd(s, 1), p, n, at);
	free(p);
	return rc < 0 ? errno : (size_t)rc == n ? 0 : EIO;
}

static int v_seek(struct step *s)
{
	static const struct word_flag whence[] = { { "set", SEEK_SET }, { "cur", SEEK_CUR }, { "end", SEEK_END },
		{ "data", SEEK_DATA }, { "hole", SEEK_HOLE }, { NULL, 0 } };
	off_t at = lseek(words_fd(s, 1), words_number(s->word[2]), words_flags(whence, s->word[3]));

	words_result(s, "%lld", (long long)at);
	return done(at);
}

static int v_ftruncate(struct step *s)
{
	return done(ftruncate(words_fd(s, 1), words_number(s->word[2])));
}

static int v_fsync(struct step *s)
{
	return done(fsync(words_fd(s, 1)));
}

static int v_fdatasync(struct step *s)
{
	return done(fdatasync(words_fd(s, 1)));
}

static int v_fchmod(struct step *s)
{
	return done(fchmod(words_fd(s, 1), words_mode(s->word[2])));
}

/* falloc N MODE OFFSET LENGTH */
static int v_falloc(struct step *s)
{
	static const struct word_flag modes[] = { { "keep", FALLOC_FL_KEEP_SIZE }, { "punch", FALLOC_FL_PUNCH_HOLE },
		{ "zero", FALLOC_FL_ZERO_RANGE }, { NULL, 0 } };

	return done(fallocate(
		words_fd(s, 1), words_flags(modes, s->word[2]), words_number(s->word[3]), words_number(s->word[4])));
}

/* copy FROM OFFSET TO OFFSET LENGTH =bytes */
static int v_copy(struct step *s)
{
	off_t from = words_number(s->word[2]), to = words_number(s->word[4]);

	return wrote(
		s, copy_file_range(words_fd(s, 1), &from, words_fd(s, 3), &to, (size_t)words_number(s->word[5]), 0));
}

static int v_flock(struct step *s)
{
	static const struct word_flag ops[] = { { "sh", LOCK_SH }, { "ex", LOCK_EX }, { "un", LOCK_UN },
		{ "nb", LOCK_NB }, { NULL, 0 } };

	return done(flock(words_fd(s, 1), words_flags(ops, s->word[2])));
}

static int lock(struct step *s, int command)
{
	static const struct word_flag types[] = { { "r", F_RDLCK }, { "w", F_WRLCK }, { "u", F_UNLCK }, { NULL, 0 } };
	struct flock l = { .l_type = (short)words_flags(types, s->word[2]),
		.l_whence = SEEK_SET,
		.l_start = words_number(s->word[3]),
		.l_len = words_number(s->word[4]) };

	return done(fcntl(words_fd(s, 1), command, &l));
}

/* plock N r|w|u START LENGTH: of the process; olock: of the open file */
static int v_plock(struct step *s)
{
	return lock(s, F_SETLK);
}

static int v_olock(struct step *s)
{
	return lock(s, F_OFD_SETLK);
}

/* flockf PATH OPS, plockf PATH r|w|u START LENGTH: opens, locks, closes */
static int v_flockf(struct step *s)
{
	s->scene->fd[9] = open(s->word[1], O_RDWR);
	s->word[1][0] = '9';
	s->word[1][1] = 0;
	return s->scene->fd[9] < 0 ? errno : v_flock(s);
}

static int v_plockf(struct step *s)
{
	s->scene->fd[9] = open(s->word[1], O_RDWR);
	s->word[1][0] = '9';
	s->word[1][1] = 0;
	return s->scene->fd[9] < 0 ? errno : v_plock(s);
}

/* map N BYTES [private] */
static int v_map(struct step *s)
{
	int n = atoi(s->word[1]), how = strcmp(words_or(s, 3, ""), "private") == 0 ? MAP_PRIVATE : MAP_SHARED;
	size_t len = (size_t)words_number(s->word[2]);
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, how, words_fd(s, 1), 0);

	if (p == MAP_FAILED)
		return errno;
	s->scene->map[n] = p;
	s->scene->map_len[n] = len;
	return 0;
}

static int v_mput(struct step *s)
{
	memcpy((char *)s->scene->map[atoi(s->word[1])] + words_number(s->word[3]), s->word[2], strlen(s->word[2]));
	return 0;
}

/* mget N BYTES OFFSET */
static int v_mget(struct step *s)
{
	text_of(s, (const char *)s->scene->map[atoi(s->word[1])] + words_number(s->word[3]),
		(size_t)words_number(s->word[2]));
	return 0;
}

static int v_msync(struct step *s)
{
	int n = atoi(s->word[1]);

	return done(msync(s->scene->map[n], s->scene->map_len[n], MS_SYNC));
}

static int v_unmap(struct step *s)
{
	int n = atoi(s->word[1]);
	int err = done(munmap(s->scene->map[n], s->scene->map_len[n]));

	s->scene->map[n] = NULL;
	return err;
}

/* directread N BYTES OFFSET =bytes read, into aligned memory */
static int v_directread(struct step *s)
{
	void *p = NULL;
	size_t n = (size_t)words_number(s->word[2]);

	if (posix_memalign(&p, 4096, n) != 0)
		return ENOMEM;
	int err = wrote(s, pread(words_fd(s, 1), p, n, words_number(s->word[3])));
	free(p);
	return err;
}

/* directfill N BYTES OFFSET */
static int v_directfill(struct step *s)
{
	void *p = NULL;
	size_t n = (size_t)words_number(s->word[2]);

	if (posix_memalign(&p, 4096, n) != 0)
		return ENOMEM;
	memset(p, 'd', n);
	int err = wrote(s, pwrite(words_fd(s, 1), p, n, words_number(s->word[3])));
	free(p);
	return err;
}

const struct verb verbs_fd[] = { { "open", 4, v_open }, { "tmpfile", 3, v_tmpfile }, { "linkfd", 3, v_linkfd },
	{ "close", 2, v_close }, { "read", 3, v_read }, { "pread", 4, v_pread }, { "write", 3, v_write },
	{ "pwrite", 4, v_pwrite }, { "fill", 3, v_fill }, { "seek", 4, v_seek }, { "ftruncate", 3, v_ftruncate },
	{ "fsync", 2, v_fsync }, { "fdatasync", 2, v_fdatasync }, { "fchmod", 3, v_fchmod }, { "falloc", 5, v_falloc },
	{ "copy", 6, v_copy }, { "flock", 3, v_flock }, { "plock", 5, v_plock }, { "olock", 5, v_olock },
	{ "flockf", 3, v_flockf }, { "plockf", 5, v_plockf }, { "map", 3, v_map }, { "mput", 4, v_mput },
	{ "mget", 4, v_mget }, { "msync", 2, v_msync }, { "unmap", 2, v_unmap }, { "directread", 4, v_directread },
	{ "directfill", 4, v_directfill }, { NULL, 0, NULL } };
