/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring_write: small new files one after the other, each written by io_uring at its current position, as write(2) does.
 *
 *	ring_write DIR
 *
 * Ends with 0 if each holds both of its writes; 77: io_uring is not to be had here.
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES 5

struct ring {
	int fd;
	struct io_uring_params p;
	uint8_t *sq, *cq;
	struct io_uring_sqe *sqes;
};

static void *map(const struct ring *r, uint64_t what)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, (off_t)what);
}

static bool ring_open(struct ring *r)
{
	*r = (struct ring){ .fd = -1 };
	r->fd = (int)syscall(SYS_io_uring_setup, 1, &r->p);
	if (r->fd < 0)
		return false;
	r->sq = map(r, IORING_OFF_SQ_RING);
	r->cq = map(r, IORING_OFF_CQ_RING);
	r->sqes = map(r, IORING_OFF_SQES);
	return r->sq != MAP_FAILED && r->cq != MAP_FAILED && r->sqes != MAP_FAILED;
}

static uint32_t *word(uint8_t *ring, uint32_t off)
{
	return (uint32_t *)(void *)(ring + off);
}

static int ring_write(struct ring *r, int fd, const char *text)
{
	uint32_t *tail = word(r->sq, r->p.sq_off.tail), *head = word(r->cq, r->p.cq_off.head);
	const struct io_uring_cqe *done = (const struct io_uring_cqe *)(const void *)(r->cq + r->p.cq_off.cqes);

	r->sqes[0] = (struct io_uring_sqe){ .opcode = IORING_OP_WRITE,
		.fd = fd,
		.addr = (uintptr_t)text,
		.len = (uint32_t)strlen(text),
		.off = UINT64_MAX }; /* the current position */
	*word(r->sq, r->p.sq_off.array) = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		return -1;
	int rc = done[*head & *word(r->cq, r->p.cq_off.ring_mask)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return rc;
}

static bool both_are_there(struct ring *r, const char *name)
{
	char in[32] = { 0 };
	int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	bool wrote = fd >= 0 && ring_write(r, fd, "first, ") == 7 && ring_write(r, fd, "second") == 6;

	if (fd < 0 || close(fd) < 0 || !wrote || (fd = open(name, O_RDONLY | O_CLOEXEC)) < 0)
		return false;
	ssize_t n = read(fd, in, sizeof in - 1);
	close(fd);
	return n == 13 && strcmp(in, "first, second") == 0;
}

int main(int argc, char **argv)
{
	struct ring r;

	if (argc != 2 || chdir(argv[1]) < 0)
		return 2;
	if (!ring_open(&r))
		return 77;
	for (char name[] = "a"; name[0] < 'a' + FILES; name[0]++) {
		if (!both_are_there(&r, name)) {
			fprintf(stderr, "ring_write: %s does not hold what was written\n", name);
			return 1;
		}
	}
	return 0;
}
