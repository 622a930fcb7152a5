/* SPDX-License-Identifier: Apache-2.0 */
/*
 * direct_io: asynchronous direct writes beside ordinary reads of one file.
 *
 *	direct_io FILE ROUNDS
 *
 * A thread reads the file over and over through the page cache. Each round writes all of it with O_DIRECT, four requests at once, waits
 * for their end, and reads it as the thread does: anything but what was just written is an error (exit 1).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK 16384
#define BLOCKS 4
#define SIZE (BLOCK * BLOCKS)

static atomic_bool over;

static int fail(const char *what)
{
	fprintf(stderr, "direct_io: %s: %s\n", what, strerror(errno));
	return 1;
}

static void *read_on(void *arg)
{
	char p[SIZE];

	while (!atomic_load(&over))
		if (pread(*(int *)arg, p, sizeof p, 0) < 0)
			break;
	return NULL;
}

static int write_all(aio_context_t ctx, int fd, char *p)
{
	struct iocb cb[BLOCKS] = { 0 }, *list[BLOCKS];
	struct io_event done[BLOCKS];

	for (int i = 0; i < BLOCKS; i++) {
		cb[i] = (struct iocb){ .aio_lio_opcode = IOCB_CMD_PWRITE,
			.aio_fildes = (unsigned)fd,
			.aio_buf = (unsigned long)(p + i * BLOCK),
			.aio_nbytes = BLOCK,
			.aio_offset = (long long)i * BLOCK };
		list[i] = &cb[i];
	}
	if (syscall(SYS_io_submit, ctx, BLOCKS, list) != BLOCKS)
		return fail("io_submit");
	if (syscall(SYS_io_getevents, ctx, BLOCKS, BLOCKS, done, NULL) != BLOCKS)
		return fail("io_getevents");
	for (int i = 0; i < BLOCKS; i++)
		if (done[i].res != BLOCK)
			return errno = done[i].res < 0 ? (int)-done[i].res : EIO, fail("write");
	return 0;
}

static int round_of(aio_context_t ctx, int direct, int cached, char *p, int n)
{
	char seen[SIZE];

	memset(p, 'a' + n % 26, SIZE);
	if (write_all(ctx, direct, p))
		return 1;
	if (pread(cached, seen, SIZE, 0) != SIZE)
		return fail("read");
	if (memcmp(seen, p, SIZE) == 0)
		return 0;
	fprintf(stderr, "direct_io: round %d: a read shows what was overwritten\n", n);
	return 1;
}

int main(int argc, char **argv)
{
	aio_context_t ctx = 0;
	pthread_t reader;
	char *p;
	int code = 0;

	if (argc != 3)
		return 2;
	int direct = open(argv[1], O_RDWR | O_CREAT | O_DIRECT, 0600), cached = open(argv[1], O_RDONLY);
	if (direct < 0 || cached < 0 || ftruncate(direct, SIZE) < 0)
		return fail(argv[1]);
	if (syscall(SYS_io_setup, BLOCKS, &ctx) < 0)
		return fail("io_setup");
	if (posix_memalign((void **)&p, 4096, SIZE) || pthread_create(&reader, NULL, read_on, &cached))
		return fail("start");
	for (int n = 0; n < atoi(argv[2]) && code == 0; n++)
		code = round_of(ctx, direct, cached, p, n);
	atomic_store(&over, true);
	pthread_join(reader, NULL);
	free(p);
	return code;
}
