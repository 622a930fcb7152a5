/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_env.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include "tests/lib/heap.h"
#include "tests/lib/memdisk.h"

#define START_WALL_NS (INT64_C(1735689600) * 1000000000)
#define START_MONO_NS INT64_C(1000000000)

struct fake_env {
	struct env env;
	pthread_mutex_t lock; /* of all below */
	struct memdisk *disk; /* NULL: the real one */
	int64_t wall_ns, mono_ns;
	uint64_t random_state;
	unsigned long calls[FAKE_WRITING + 1];
	enum fake_call fail_call;
	unsigned long fail_at;
	int fail_err;
	bool fail_onward, failed, holds;
	unsigned held;
	pthread_cond_t let_go;
	_Atomic uint64_t written;
	bool read_only;
	void (*after)(void *ctx);
	void *after_ctx;
};

/* splitmix64: short, and each seed gives another sequence. */
static uint64_t next_random(struct fake_env *f)
{
	uint64_t z = f->random_state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static unsigned random_below(void *ctx, unsigned n)
{
	return (unsigned)(next_random(ctx) % n);
}

static void enter(struct fake_env *f)
{
	pthread_mutex_lock(&f->lock);
	heap_suspend();
}

static void leave(struct fake_env *f)
{
	heap_resume();
	pthread_mutex_unlock(&f->lock);
}

static bool is_writing(enum fake_call call)
{
	switch (call) {
	case FAKE_PWRITE:
	case FAKE_FDATASYNC:
	case FAKE_FSYNC:
	case FAKE_FTRUNCATE:
	case FAKE_FALLOCATE:
	case FAKE_RENAME:
	case FAKE_UNLINK:
		return true;
	default:
		return false;
	}
}

static bool hits(struct fake_env *f, enum fake_call counter)
{
	unsigned long n = ++f->calls[counter];
	if (f->fail_at == 0 || f->fail_call != counter)
		return false;
	return n == f->fail_at || (f->fail_onward && n > f->fail_at);
}

/* Counts a call and says whether it is to fail. */
static bool count_call(struct fake_env *f, enum fake_call call)
{
	bool now = hits(f, call);
	now |= hits(f, FAKE_ANY);
	if (is_writing(call))
		now |= hits(f, FAKE_WRITING);
	f->failed |= now;
	return now;
}

static int verdict(struct fake_env *f, enum fake_call call)
{
	bool fail = count_call(f, call);
	return fail ? f->fail_err : f->read_only && is_writing(call) ? ERR_READ_ONLY : 0;
}

/* One call: counted, then failed, or done by the disk in memory or by the system. */
#define DISK_CALL(type, call, in_memory, real) \
	do { \
		struct fake_env *f = ctx; \
		const struct env *sys = env_system(); \
		enter(f); \
		int err_ = verdict(f, call); \
		type result_ = err_ < 0 ? err_ : f->disk ? (in_memory) : (real); \
		leave(f); \
		if (is_writing(call) && f->after) \
			f->after(f->after_ctx); \
		return result_; \
	} while (0)

static int fake_open(void *ctx, int dirfd, const char *path, int flags, mode_t mode)
{
	if (((struct fake_env *)ctx)->read_only && (flags & (O_ACCMODE | O_CREAT)) != O_RDONLY)
		return ERR_READ_ONLY;
	DISK_CALL(int, FAKE_OPEN, memdisk_open(f->disk, path, flags), sys->open(sys->ctx, dirfd, path, flags, mode));
}

/* Closes even when it reports a failure, as close(2) does. */
static int fake_close(void *ctx, int fd)
{
	struct fake_env *f = ctx;
	enter(f);
	bool fail = count_call(f, FAKE_CLOSE);
	int err = f->disk ? memdisk_close(f->disk, fd) : env_system()->close(NULL, fd);
	if (fail)
		err = f->fail_err;
	leave(f);
	return err;
}

static ssize_t fake_pread(void *ctx, int fd, void *p, size_t n, off_t off)
{
	DISK_CALL(ssize_t, FAKE_PREAD, memdisk_pread(f->disk, fd, p, n, off), sys->pread(sys->ctx, fd, p, n, off));
}

static int fake_pwrite(void *ctx, int fd, const void *p, size_t n, off_t off)
{
	((struct fake_env *)ctx)->written += n;
	DISK_CALL(int, FAKE_PWRITE, memdisk_pwrite(f->disk, fd, p, n, off), sys->pwrite(sys->ctx, fd, p, n, off));
}

uint64_t fake_env_written(struct fake_env *f)
{
	enter(f);
	uint64_t n = f->written;
	leave(f);
	return n;
}

static void wait_while_held(struct fake_env *f)
{
	pthread_mutex_lock(&f->lock);
	f->held++;
	while (f->holds)
		pthread_cond_wait(&f->let_go, &f->lock);
	f->held--;
	pthread_mutex_unlock(&f->lock);
}

/* A failed one has written nothing, and no later one will. */
static int sync_file(struct fake_env *f, enum fake_call call, int fd)
{
	const struct env *sys = env_system();
	int err;
	wait_while_held(f);
	enter(f);
	if (count_call(f, call)) {
		if (f->disk)
			memdisk_lose(f->disk, fd);
		err = f->fail_err;
	} else if (f->disk) {
		err = memdisk_sync(f->disk, fd);
	} else {
		err = call == FAKE_FSYNC ? sys->fsync(sys->ctx, fd) : sys->fdatasync(sys->ctx, fd);
	}
	leave(f);
	if (f->after)
		f->after(f->after_ctx);
	return err;
}

static int fake_fdatasync(void *ctx, int fd)
{
	return sync_file(ctx, FAKE_FDATASYNC, fd);
}

static int fake_fsync(void *ctx, int fd)
{
	return sync_file(ctx, FAKE_FSYNC, fd);
}

static int fake_ftruncate(void *ctx, int fd, off_t size)
{
	DISK_CALL(int, FAKE_FTRUNCATE, memdisk_ftruncate(f->disk, fd, size), sys->ftruncate(sys->ctx, fd, size));
}

static int fake_fallocate(void *ctx, int fd, int mode, off_t off, off_t len)
{
	DISK_CALL(int, FAKE_FALLOCATE, memdisk_fallocate(f->disk, fd, mode, off, len),
		sys->fallocate(sys->ctx, fd, mode, off, len));
}

static int64_t fake_fsize(void *ctx, int fd)
{
	DISK_CALL(int64_t, FAKE_FSIZE, memdisk_fsize(f->disk, fd), sys->fsize(sys->ctx, fd));
}

static int fake_rename(void *ctx, int dirfd, const char *from, const char *to)
{
	DISK_CALL(int, FAKE_RENAME, memdisk_rename(f->disk, from, to), sys->rename(sys->ctx, dirfd, from, to));
}

static int fake_unlink(void *ctx, int dirfd, const char *path)
{
	DISK_CALL(int, FAKE_UNLINK, memdisk_unlink(f->disk, path), sys->unlink(sys->ctx, dirfd, path));
}

static int64_t fake_wall_ns(void *ctx)
{
	struct fake_env *f = ctx;
	enter(f);
	int64_t now = f->wall_ns;
	leave(f);
	return now;
}

static int64_t fake_mono_ns(void *ctx)
{
	struct fake_env *f = ctx;
	enter(f);
	int64_t now = f->mono_ns;
	leave(f);
	return now;
}

static void fake_random(void *ctx, void *p, size_t n)
{
	struct fake_env *f = ctx;
	enter(f);
	for (uint8_t *at = p; n > 0; n--)
		*at++ = (uint8_t)next_random(f);
	leave(f);
}

struct fake_env *fake_env_new(enum fake_disk disk, uint64_t seed)
{
	heap_suspend();
	struct fake_env *f = calloc(1, sizeof *f);
	if (!f)
		abort();
	*f = (struct fake_env){
		.env = { .ctx = f,
			.wall_ns = fake_wall_ns,
			.mono_ns = fake_mono_ns,
			.random = fake_random,
			.open = fake_open,
			.close = fake_close,
			.pread = fake_pread,
			.pwrite = fake_pwrite,
			.fdatasync = fake_fdatasync,
			.fsync = fake_fsync,
			.ftruncate = fake_ftruncate,
			.fallocate = fake_fallocate,
			.fsize = fake_fsize,
			.rename = fake_rename,
			.unlink = fake_unlink },
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.let_go = PTHREAD_COND_INITIALIZER,
		.disk = disk == FAKE_MEMORY ? memdisk_new() : NULL,
		.wall_ns = START_WALL_NS,
		.mono_ns = START_MONO_NS,
		.random_state = seed,
	};
	heap_resume();
	return f;
}

void fake_env_free(struct fake_env *f)
{
	if (!f)
		return;
	memdisk_free(f->disk);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->let_go);
	free(f);
}

const struct env *fake_env_get(struct fake_env *f)
{
	return &f->env;
}

void fake_env_after_writing(struct fake_env *f, void (*fn)(void *ctx), void *ctx)
{
	enter(f);
	f->after = fn;
	f->after_ctx = ctx;
	leave(f);
}

void fake_env_seed(struct fake_env *f, uint64_t seed)
{
	enter(f);
	f->random_state = seed;
	leave(f);
}

void fake_env_advance(struct fake_env *f, int64_t ns)
{
	enter(f);
	f->wall_ns += ns;
	f->mono_ns += ns;
	leave(f);
}

void fake_env_set_wall(struct fake_env *f, int64_t ns)
{
	enter(f);
	f->wall_ns = ns;
	leave(f);
}

void fake_env_fail(struct fake_env *f, enum fake_call call, unsigned long n, int err, bool onward)
{
	enter(f);
	for (size_t i = 0; i < sizeof f->calls / sizeof f->calls[0]; i++)
		f->calls[i] = 0;
	f->fail_call = call;
	f->fail_at = n;
	f->fail_err = err;
	f->fail_onward = onward;
	f->failed = false;
	leave(f);
}

void fake_env_read_only(struct fake_env *f, bool on)
{
	enter(f);
	f->read_only = on;
	leave(f);
}

void fake_env_break(struct fake_env *f, const char *path, off_t from, size_t n)
{
	enter(f);
	memdisk_break(f->disk, path, from, n);
	leave(f);
}

unsigned long fake_env_calls(struct fake_env *f, enum fake_call call)
{
	enter(f);
	unsigned long n = f->calls[call];
	leave(f);
	return n;
}

bool fake_env_failed(struct fake_env *f)
{
	enter(f);
	bool failed = f->failed;
	leave(f);
	return failed;
}

void fake_env_crash(struct fake_env *f, enum fake_crash how)
{
	enter(f);
	f->fail_at = 0;
	memdisk_crash(f->disk, how, random_below, f);
	leave(f);
}

void fake_env_hold_syncs(struct fake_env *f, bool on)
{
	enter(f);
	f->holds = on;
	pthread_cond_broadcast(&f->let_go);
	leave(f);
}

unsigned fake_env_held(struct fake_env *f)
{
	enter(f);
	unsigned n = f->held;
	leave(f);
	return n;
}

unsigned fake_env_open_files(struct fake_env *f)
{
	enter(f);
	unsigned n = memdisk_open_files(f->disk);
	leave(f);
	return n;
}

uint64_t fake_env_disk_bytes(struct fake_env *f)
{
	enter(f);
	uint64_t bytes = memdisk_bytes(f->disk);
	leave(f);
	return bytes;
}
