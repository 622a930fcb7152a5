/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small files: what comes with their open (preload.h), how many new ones are written; and what one mount changes shows in
 * another. Needs /dev/fuse; without it every test is skipped.
 */
#define FUSE_USE_VERSION 314
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "fusefs/mount.h"
#include "fusefs/settle.h"
#include "tests/lib/mounted.h"

/* ---- small files ---- */

static uint64_t add_small(struct mounted *f, const char *name, const char *text)
{
	struct store_txn *t = mounted_begin(f);
	uint64_t ino = mounted_add(t, f, name, (struct node){ .mode = 0600, .size = strlen(text) });

	assert_int_equal(txn_content_data(t, ino, 0, bytes_str(text)), OK);
	mounted_commit(t);
	return ino;
}

/* What changes afterwards without a word to the kernel tells where a read had its content from. */
static void a_small_file_comes_with_its_open(void **state)
{
	struct mounted *f = mounted_here(state);
	uint64_t ino = add_small(f, "small", "then");
	int fd = open("small", O_RDONLY);

	mounted_put(f, ino, "soon");
	assert_true(mounted_reads(fd, "then"));
	close(fd);
	mounted_tell(f, ino, "", 0);
	fd = open("small", O_RDONLY);
	EVENTUALLY(mounted_reads(fd, "soon"));
	close(fd);
}

static void what_somebody_else_has_open_is_read(void **state)
{
	static const int others[] = { O_RDONLY, O_RDWR };
	struct mounted *f = mounted_here(state);

	for (size_t i = 0; i < COUNT(others); i++) {
		char name[] = { 's', (char)('0' + i), 0 };
		uint64_t ino = add_small(f, name, "then");
		CLOSE_AFTER int other = open(name, others[i] | O_DIRECT);
		CLOSE_AFTER int fd = open(name, O_RDONLY);
		mounted_put(f, ino, "soon");
		assert_true(mounted_reads(fd, "soon"));
	}
}

/* The two notifications, as the linker finds them here first: while `crossing`, content waits for the word that it
 * changed, as long as that may take to come. */
static atomic_bool crossing, giving, told;

int fuse_lowlevel_notify_store(
	struct fuse_session *se, fuse_ino_t ino, off_t off, struct fuse_bufvec *b, enum fuse_buf_copy_flags flags)
{
	__typeof__(&fuse_lowlevel_notify_store) real;

	*(void **)&real = dlsym(RTLD_NEXT, __func__);
	if (atomic_exchange(&crossing, false)) {
		atomic_store(&giving, true);
		for (int ms = 0; ms < 100 && !atomic_load(&told); ms++)
			poll(NULL, 0, 1);
	}
	return real(se, ino, off, b, flags);
}

int fuse_lowlevel_notify_inval_inode(struct fuse_session *se, fuse_ino_t ino, off_t off, off_t len)
{
	__typeof__(&fuse_lowlevel_notify_inval_inode) real;

	*(void **)&real = dlsym(RTLD_NEXT, __func__);
	int rc = real(se, ino, off, len);
	atomic_store(&told, true);
	return rc;
}

static void *open_small(void *ret_fd)
{
	*(int *)ret_fd = open("small", O_RDONLY);
	return NULL;
}

static void a_change_that_crosses_an_open_shows(void **state)
{
	struct mounted *f = mounted_here(state);
	uint64_t ino = add_small(f, "small", "then");
	pthread_t opener;
	int fd;

	atomic_store(&giving, false);
	atomic_store(&told, false);
	atomic_store(&crossing, true);
	assert_int_equal(pthread_create(&opener, NULL, open_small, &fd), 0);
	EVENTUALLY(atomic_load(&giving));
	mounted_bring(f, ino, "soon");
	pthread_join(opener, NULL);
	mount_settle(f->m);
	assert_true(mounted_reads(fd, "soon"));
	close(fd);
}

static bool is_open(struct mounted *f, uint64_t ino)
{
	store_hold_open(f->store, ino);
	bool others = store_open_shared(f->store, ino);
	store_release_open(f->store, ino);
	return others;
}

/* Until it is told, the kernel shows what it has, or what is there now, but no mixture. */
static void a_change_is_not_laid_over_what_was_read_before(void **state)
{
	struct mounted *f = mounted_here(state);
	uint64_t ino = add_small(f, "small", "a long one");
	int other = open("small", O_RDONLY | O_DIRECT), fd = open("small", O_RDONLY);

	assert_true(mounted_reads(fd, "a long one"));
	close(fd);
	close(other);
	EVENTUALLY(!is_open(f, ino));
	mounted_put(f, ino, "AN");
	fd = open("small", O_RDONLY);
	assert_true(mounted_reads(fd, "a long one") || mounted_reads(fd, "AN"));
	close(fd);
}

/* ---- two mounts of one store ---- */

/* Those that are up, as an agent lists them. */
struct pair {
	pthread_mutex_t lock; /* below */
	struct mount *mounts[2];
};

static void pair_set(struct pair *p, struct mount *one, struct mount *two)
{
	pthread_mutex_lock(&p->lock);
	p->mounts[0] = one;
	p->mounts[1] = two;
	pthread_mutex_unlock(&p->lock);
}

static bool has_others(void *ctx)
{
	(void)ctx;
	return true;
}

static void tell_others(void *ctx, const struct mount *m, const struct invalidation *inv, size_t n)
{
	struct pair *p = ctx;

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < COUNT(p->mounts); i++) {
		if (p->mounts[i] && p->mounts[i] != m)
			mount_invalidate(p->mounts[i], inv, n);
	}
	pthread_mutex_unlock(&p->lock);
}

static bool shows(int dir, const char *name, const char *want)
{
	CLOSE_AFTER int fd = openat(dir, name, O_RDONLY);
	return want ? fd >= 0 && mounted_reads(fd, want) : fd < 0 && errno == ENOENT;
}

/* Makes a change in `one`; `other` has seen what was before. */
static void change_one(int one, int other)
{
	struct stat st;
	char value[4];
	int fd = openat(one, "file", O_CREAT | O_RDWR, 0600);

	assert_int_equal(write(fd, "first", 5), 5);
	EVENTUALLY(shows(other, "file", "first"));
	assert_int_equal(pwrite(fd, "FIRST", 5, 0), 5);
	EVENTUALLY(shows(other, "file", "FIRST"));
	assert_int_equal(ftruncate(fd, 2), 0);
	EVENTUALLY(shows(other, "file", "FI"));
	assert_int_equal(fchmod(fd, 0640), 0);
	EVENTUALLY(fstatat(other, "file", &st, 0) == 0 && (st.st_mode & 0777) == 0640);
	assert_int_equal(fsetxattr(fd, "user.a", "v", 1, 0), 0);
	CLOSE_AFTER int there = openat(other, "file", O_RDONLY);
	assert_int_equal(fgetxattr(there, "user.a", value, sizeof value), 1);
	close(fd);
	assert_int_equal(linkat(one, "file", one, "second name", 0), 0);
	EVENTUALLY(fstat(there, &st) == 0 && st.st_nlink == 2);
	assert_int_equal(renameat(one, "file", one, "moved"), 0);
	EVENTUALLY(shows(other, "file", NULL) && shows(other, "moved", "FI"));
	close(openat(one, "moved", O_WRONLY | O_TRUNC));
	EVENTUALLY(shows(other, "second name", ""));
	assert_int_equal(unlinkat(one, "moved", 0), 0);
	assert_int_equal(unlinkat(one, "second name", 0), 0);
	EVENTUALLY(shows(other, "moved", NULL) && shows(other, "second name", NULL));
	assert_int_equal(mkdirat(one, "dir", 0700), 0);
	EVENTUALLY(fstatat(other, "dir", &st, 0) == 0);
	assert_int_equal(unlinkat(one, "dir", AT_REMOVEDIR), 0);
	EVENTUALLY(fstatat(other, "dir", &st, 0) < 0);
}

static void what_one_mount_changes_shows_in_another(void **state)
{
	static struct pair pair = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct mounted *f = mounted_here(state);
	struct mount *second;
	char path[400];
	struct mount_config c = { .store = f->store,
		.dir = path,
		.root_ino = STORE_ROOT_INO,
		.person = ME,
		.ctx = &pair,
		.has_others = has_others,
		.tell_others = tell_others };

	assert_int_equal(chdir("/"), 0);
	assert_int_equal(mount_stop(&f->m, false), OK);
	snprintf(path, sizeof path, "%s/second", f->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(mount_start(&c, &second), OK);
	c.dir = f->path;
	c.root_ino = f->root;
	assert_int_equal(mount_start(&c, &f->m), OK);
	pair_set(&pair, f->m, second);
	int one = open(f->path, O_RDONLY | O_DIRECTORY);
	snprintf(path, sizeof path, "%s/second/s", f->dir);
	int two = open(path, O_RDONLY | O_DIRECTORY);
	change_one(one, two);
	change_one(two, one);
	close(one);
	close(two);
	pair_set(&pair, NULL, NULL);
	assert_int_equal(mount_stop(&second, true), OK);
}

/* Opens as somebody who just wrote other small files. */
static int open_one_of_many(const char *name, int flags, mode_t mode)
{
	for (char other[] = "a"; other[0] <= 'c'; other[0]++) {
		CLOSE_AFTER int fd = open(other, O_CREAT | O_WRONLY, 0600);
		assert_int_equal(write(fd, "small", 5), 5);
	}
	return open(name, flags | O_CREAT | O_EXCL, mode);
}

static void one_of_many_shows_what_is_written(void **state)
{
	(void)mounted_here(state);
	CLOSE_AFTER int fd = open_one_of_many("new", O_WRONLY, 0600);
	CLOSE_AFTER int reader = open("new", O_RDONLY);
	CLOSE_AFTER int end = open("new", O_WRONLY | O_APPEND);

	assert_int_equal(pwrite(fd, "first", 5, 0), 5);
	assert_true(mounted_reads(reader, "first"));
	assert_int_equal(pwrite(fd, "l", 1, 4), 1);
	assert_true(mounted_reads(reader, "firsl"));
	const char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, reader, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_memory_equal(p, "firsl", 6);
	assert_int_equal(pwrite(fd, "F", 1, 0), 1);
	assert_memory_equal(p, "Firsl", 6);
	munmap((void *)p, 4096);
	assert_int_equal(write(end, "+", 1), 1);
	assert_true(mounted_reads(reader, "Firsl+"));
	assert_int_equal(ftruncate(fd, 2), 0);
	assert_true(mounted_reads(reader, "Fi"));
}

static void a_final_file_can_be_read_and_mapped_by_its_maker(void **state)
{
	(void)mounted_here(state);
	int fd = open_one_of_many("object", O_RDWR, 0444);

	assert_int_equal(write(fd, "object", 6), 6);
	assert_true(mounted_reads(fd, "object"));
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_memory_equal(p, "object", 7);
	p[0] = 'O';
	munmap(p, 4096);
	assert_int_equal(pwrite(fd, "T", 1, 5), 1);
	assert_true(mounted_reads(fd, "ObjecT"));
	close(fd);
	fd = open("object", O_RDONLY);
	assert_true(mounted_reads(fd, "ObjecT"));
	close(fd);
}

static void each_write_takes_capabilities(void **state)
{
	static const uint8_t cap_net_raw[20] = { 1, 0, 0, 2, 0, 0x20 }; /* capabilities(7), revision 2 */
	uint8_t in[sizeof cap_net_raw];

	(void)mounted_here(state);
	if (geteuid() != 0)
		return; /* nobody else may set them */
	CLOSE_AFTER int fd = open_one_of_many("program", O_WRONLY, 0755);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(fsetxattr(fd, "security.capability", cap_net_raw, sizeof in, 0), 0);
	assert_int_equal(fgetxattr(fd, "security.capability", in, sizeof in), sizeof in);
	assert_int_equal(write(fd, "y", 1), 1);
	assert_int_equal(fgetxattr(fd, "security.capability", in, sizeof in), -1);
	assert_int_equal(errno, ENODATA);
}

/* Whether the handle is O_DSYNC or the write alone is, and however writes to it are answered. */
static void a_synchronous_write_waits_for_the_disk(void **state)
{
	struct mounted *f = mounted_here(state);
	struct iovec one = { .iov_base = (char[]){ 'x' }, .iov_len = 1 };

	for (unsigned i = 0; i < 4; i++) {
		char name[] = { 's', (char)('0' + i), 0 };
		int sync = i & 1 ? O_DSYNC : 0;
		int fd = i & 2 ? open(name, O_CREAT | O_RDWR | sync, 0600)
			       : open_one_of_many(name, O_WRONLY | sync, 0600);
		unsigned long before = fake_env_calls(f->fake, FAKE_FDATASYNC);
		assert_int_equal(pwritev2(fd, &one, 1, 0, sync ? 0 : RWF_DSYNC), 1);
		assert_true(fake_env_calls(f->fake, FAKE_FDATASYNC) > before);
		close(fd);
		for (char other[] = "a"; other[0] <= 'c'; other[0]++)
			unlink(other);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, mounted_set_up, mounted_leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_small_file_comes_with_its_open),
		TEST(what_somebody_else_has_open_is_read),
		TEST(a_change_that_crosses_an_open_shows),
		TEST(a_change_is_not_laid_over_what_was_read_before),
		TEST(what_one_mount_changes_shows_in_another),
		TEST(one_of_many_shows_what_is_written),
		TEST(a_final_file_can_be_read_and_mapped_by_its_maker),
		TEST(each_write_takes_capabilities),
		cmocka_unit_test_setup_teardown(
			a_synchronous_write_waits_for_the_disk, mounted_set_up_failing, mounted_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
