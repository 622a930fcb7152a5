/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mount over a real store, in one process: what other devices change behind the kernel's back, content that is not
 * here, whose nodes show how. Needs /dev/fuse; without it every test is skipped (the integration tests say so once,
 * as a failure in CI).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "fusefs/early.h"
#include "fusefs/late_read.h"
#include "fusefs/mount.h"
#include "fusefs/serve.h"
#include "tests/lib/mounted.h"

static void a_remote_change_shows_in_an_open_file(void **state)
{
	struct mounted *f = mounted_here(state);
	struct stat st;
	CLOSE_AFTER int fd = open("file", O_CREAT | O_RDWR, 0600);

	assert_int_equal(pwrite(fd, "written here", 12, 0), 12);
	assert_true(mounted_reads(fd, "written here"));
	assert_int_equal(fstat(fd, &st), 0);
	mounted_bring(f, st.st_ino, "short");
	EVENTUALLY(mounted_reads(fd, "short"));
	EVENTUALLY(fstat(fd, &st) == 0 && st.st_size == 5);
	mounted_bring(f, st.st_ino, "and now a longer one");
	EVENTUALLY(mounted_reads(fd, "and now a longer one"));
	mounted_bring(f, st.st_ino, "AND NOW A LONGER ONE");
	EVENTUALLY(mounted_reads(fd, "AND NOW A LONGER ONE"));
}

static int count_entries(void)
{
	int n = 0;
	FILE *p = popen("ls -A", "r");

	for (int c; (c = fgetc(p)) != EOF;)
		n += c == '\n';
	pclose(p);
	return n;
}

static void remote_entries_come_and_go(void **state)
{
	struct mounted *f = mounted_here(state);
	struct stat st;

	assert_int_equal(stat("new", &st), -1); /* the kernel remembers that */
	assert_int_equal(count_entries(), 0);
	struct store_txn *t = mounted_begin(f);
	uint64_t ino = mounted_add(t, f, "new", (struct node){ .owner = ME, .mode = 0644 });
	uint64_t unseen = mounted_add(t, f, "unseen", (struct node){ .owner = ME, .mode = 0644 });
	mounted_commit(t);
	mounted_tell(f, f->root, "new", 0);
	mounted_tell(f, f->root, "unseen", 0);
	EVENTUALLY(stat("new", &st) == 0 && st.st_ino == ino);
	EVENTUALLY(count_entries() == 2);
	struct link *l;
	size_t n;
	t = mounted_begin(f);
	assert_int_equal(txn_links_of(t, ino, &l, &n), OK);
	assert_int_equal(n, 1);
	assert_int_equal(txn_link_del(t, &l[0].id), OK);
	free(l);
	mounted_commit(t);
	mounted_tell(f, f->root, "new", ino);
	EVENTUALLY(stat("new", &st) == -1 && errno == ENOENT);
	EVENTUALLY(count_entries() == 1);
	assert_true(stat("unseen", &st) == 0 && st.st_ino == unseen);
}

/* A file of two chunks that are not here. */
static uint64_t add_absent(struct mounted *f, const char *name)
{
	static uint8_t number;
	struct store_txn *t = mounted_begin(f);
	uint64_t ino = mounted_add(t, f, name, (struct node){ .owner = ME, .mode = 0644, .size = 2 * CHUNK_LEN });

	for (uint64_t i = 0; i < 2; i++) {
		struct chunk_row c = {
			.space = f->space, .id = { { 50, ++number } }, .len = CHUNK_LEN, .confirmed = true
		};
		assert_int_equal(txn_chunk_add(t, &c), OK);
		assert_int_equal(txn_content_ref(t, ino, i * CHUNK_LEN, CHUNK_LEN, c.row, 0), OK);
	}
	mounted_commit(t);
	return ino;
}

static void absent_content_is_fetched(void **state)
{
	struct mounted *f = mounted_here(state);
	char p[3];

	add_absent(f, "remote");
	CLOSE_AFTER int fd = open("remote", O_RDONLY);
	assert_int_equal(pread(fd, p, 3, 5), 3);
	assert_memory_equal(p, "ccc", 3);
	assert_int_equal(pread(fd, p, 3, CHUNK_LEN - 1), 3);
	assert_memory_equal(p, "ccc", 3);
	EVENTUALLY(atomic_load(&f->fetches) == 2);
}

static void a_failed_fetch_is_an_errno_and_can_be_tried_again(void **state)
{
	static const struct {
		int err, code;
	} table[] = {
		{ ERR_OFFLINE, ENETUNREACH },
		{ ERR_TIMEOUT, ETIMEDOUT },
		{ ERR_MISSING, EREMOTEIO },
		{ ERR_TAMPERED, EIO },
	};
	struct mounted *f = mounted_here(state);
	char p[4096] __attribute__((aligned(4096)));

	add_absent(f, "remote");
	CLOSE_AFTER int fd = open("remote", O_RDONLY | O_DIRECT); /* the page cache would make EIO of all */
	for (size_t i = 0; i < COUNT(table); i++) {
		f->fetch_err = table[i].err;
		assert_int_equal(pread(fd, p, sizeof p, 0), -1);
		assert_int_equal(errno, table[i].code);
	}
	f->fetch_err = 0;
	assert_int_equal(pread(fd, p, sizeof p, 0), (ssize_t)sizeof p);
}

/* Reads in a process of its own: a thread of this one could not be killed while the read waits, nor this process
 * end. */
static pid_t spawn_reader(const char *name)
{
	char program[] = "dd", size[] = "bs=4096", count[] = "count=1", path[32];
	char direct[] = "iflag=direct",
	     silent[] = "status=none"; /* not what the kernel reads ahead: of that it asks for little */
	char *argv[] = { program, path, size, count, direct, silent, NULL };
	posix_spawn_file_actions_t quiet;
	pid_t pid;

	snprintf(path, sizeof path, "if=%s", name);
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	assert_int_equal(posix_spawnp(&pid, program, &quiet, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&quiet);
	return pid;
}

static void waiting_reads_can_be_killed_and_stop_nothing(void **state)
{
	struct mounted *f = mounted_here(state);
	pid_t readers[LATE_READ_THREADS + 8];
	struct stat st;
	char name[16];
	int status;

	f->fetch_waits = true;
	for (size_t i = 0; i < COUNT(readers); i++) { /* more than wait at once */
		snprintf(name, sizeof name, "remote%zu", i);
		add_absent(f, name);
		readers[i] = spawn_reader(name);
	}
	EVENTUALLY(atomic_load(&f->fetches) >= LATE_READ_THREADS);
	assert_int_equal(stat("none", &st), -1); /* the mount goes on */
	CLOSE_AFTER int fd = open("other", O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "x", 1), 1);
	for (size_t i = COUNT(readers); i-- > 0;) { /* the last ones wait for a thread */
		kill(readers[i], SIGTERM);
		pid_t ended = 0;
		EVENTUALLY(ended != 0 || (ended = waitpid(readers[i], &status, WNOHANG)) != 0);
		assert_int_equal(ended, readers[i]);
		assert_true(WIFSIGNALED(status));
	}
}

static void nodes_of_others_show_as_the_users_and_raise_nothing(void **state)
{
	struct mounted *f = mounted_here(state);
	struct node n = { .owner = OTHER, .author = OTHER, .mode = 06755, .uid = 4711, .gid = 4712 };
	struct stat st;
	struct store_txn *t = mounted_begin(f);

	uint64_t ino = mounted_add(t, f, "theirs", n);
	n.owner = (struct id32)ME;
	mounted_add(t, f, "mine-written-by-them", n);
	n.kind = NODE_DIR;
	n.mode = 02777;
	mounted_add(t, f, "dir-written-by-them", n);
	n.kind = NODE_FILE;
	n.mode = 06755;
	n.author = (struct id32)MY_DEVICE;
	mounted_add(t, f, "mine", n);
	n = (struct node){ .kind = NODE_CHAR, .owner = OTHER, .author = OTHER, .mode = 0666, .rdev = makedev(1, 5) };
	mounted_add(t, f, "zero", n);
	mounted_commit(t);
	assert_int_equal(store_setxattr(f->store, ino, "security.capability", bytes_str("cap"), 0), OK);
	assert_int_equal(store_setxattr(f->store, ino, "user.note", bytes_str("note"), 0), OK);
	assert_int_equal(stat("theirs", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(st.st_gid, getegid());
	assert_int_equal(getxattr("theirs", "security.capability", NULL, 0), -1);
	assert_int_equal(getxattr("theirs", "user.note", NULL, 0), 4);
	char names[512];
	ssize_t len = listxattr("theirs", names, sizeof names);
	assert_int_equal(len, sizeof "user.note");
	assert_string_equal(names, "user.note");
	static const uint8_t list[] =
		"\2\0\0\0"
		"\1\0\6\0\377\377\377\377"
		"\2\0\7\0\1\0\0\0"
		"\4\0\4\0\377\377\377\377"
		"\20\0\7\0\377\377\377\377"
		"\40\0\4\0\377\377\377\377"; /* owner rw, user 1 rwx, group r, mask rwx, others r */
	const uint32_t mode = 0674;
	assert_int_equal(store_set_acl(f->store, ino, NODE_ACL_ACCESS, bytes_of(list, sizeof list - 1), &mode), OK);
	struct invalidation moved = { .ino = ino };
	mount_invalidate(f->m, &moved, 1);
	EVENTUALLY(
		stat("theirs", &st) == 0 && (st.st_mode & 07777) == 0604); /* the group's bits are a mask of others */
	assert_int_equal(getxattr("theirs", NODE_ACL_ACCESS, NULL, 0), -1);
	assert_int_equal(errno, ENODATA);
	assert_int_equal(chown("theirs", 1, 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(chown("theirs", geteuid(), getegid()), 0);
	assert_int_equal(stat("mine-written-by-them", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(st.st_gid, getegid());
	assert_int_equal(chown("mine-written-by-them", 1, 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(mkdir("dir-written-by-them/d", 0755), 0);
	assert_int_equal(stat("dir-written-by-them/d", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755); /* neither the bit nor the group is passed on */
	assert_int_equal(st.st_gid, getegid());
	assert_int_equal(stat("mine", &st), 0);
	assert_int_equal(st.st_mode & 07777, 06755);
	assert_int_equal(st.st_uid, geteuid() == 0 ? 4711 : geteuid());
	assert_int_equal(setxattr("mine", NODE_ACL_ACCESS, list, sizeof list - 1, 0), 0);
	assert_int_equal(getxattr("mine", NODE_ACL_ACCESS, NULL, 0), sizeof list - 1);
	assert_int_equal(stat("mine", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0674);
	assert_int_equal(stat("zero", &st), 0);
	assert_int_equal(st.st_rdev, 0);
	int fd = open("zero", O_RDONLY);
	assert_int_equal(fd, -1);
}

static void a_busy_mount_stays_unless_stopped_lazily(void **state)
{
	struct mounted *f = mounted_here(state);
	char path[400];

	snprintf(path, sizeof path, "%s/file", f->path);
	assert_int_equal(chdir("/"), 0);
	CLOSE_AFTER int fd = open(path, O_CREAT | O_RDWR, 0600);
	assert_int_equal(ftruncate(fd, 4096), 0);
	char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	memcpy(map, "mapped", 6);
	assert_int_equal(mount_stop(&f->m, false), ERR_BUSY);
	assert_non_null(f->m);
	assert_int_equal(access(path, F_OK), 0);
	mount_flush(f->m);
	assert_int_equal(mount_stop(&f->m, true), OK);
	assert_null(f->m);
	munmap(map, 4096);
	struct node n;
	uint64_t chunk;
	size_t len;
	char p[6];
	assert_int_equal(store_lookup(f->store, f->root, bytes_str("file"), &n), OK);
	assert_int_equal(store_read(f->store, n.ino, 0, p, 6, &len, &chunk), OK);
	assert_memory_equal(p, "mapped", 6);
	assert_int_equal(atomic_load(&f->gone), 0);
}

static void an_unmount_from_outside_is_told_once(void **state)
{
	struct mounted *f = mounted_here(state);

	if (geteuid() != 0)
		skip();
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(umount2(f->path, MNT_DETACH), 0);
	EVENTUALLY(atomic_load(&f->gone) == 1);
	assert_int_equal(mount_stop(&f->m, false), OK);
	mounted_start(f); /* and again on the same directory */
	assert_int_equal(mount_stop(&f->m, false), OK);
	assert_int_equal(atomic_load(&f->gone), 1);
}

static void a_write_that_failed_after_its_answer_is_told_at_close_and_fsync(void **state)
{
	struct mounted *f = mounted_here(state);
	int a = open("a", O_CREAT | O_RDWR, 0600), b = open("b", O_CREAT | O_RDWR, 0600);

	assert_int_equal(write(a, "x", 1), 1);
	assert_int_equal(write(b, "x", 1), 1);
	assert_int_equal(fsync(a), 0);
	fake_env_fail(f->fake, FAKE_PWRITE, 1, ERR_IO, true);
	int wrote = (int)write(a, "y", 1);
	assert_int_equal(write(b, "y", 1), -1); /* after a failure nothing is answered early */
	assert_int_equal(fsync(a), -1);
	assert_int_equal(write(a, "z", 1), -1);
	if (wrote == 1)
		assert_int_equal(close(b), 0);
	fake_env_fail(f->fake, FAKE_PWRITE, 0, 0, false);
	close(a);
	int c = open("a", O_RDONLY);
	char p[4];
	assert_int_equal(read(c, p, sizeof p), 1); /* never more than was stored */
	close(c);
}

/* The kernel does not ask at the close of small new files: what failed must be told before. */
static void a_failed_write_to_a_new_file_is_told_by_its_close_at_the_latest(void **state)
{
	struct mounted *f = mounted_here(state);

	for (char name[] = "a"; name[0] < 'g'; name[0]++) {
		int fd = open(name, O_CREAT | O_WRONLY, 0600);
		assert_int_equal(write(fd, "x", 1), 1);
		assert_int_equal(close(fd), 0);
		name[0]++;
		fd = open(name, O_CREAT | O_WRONLY, 0600);
		fake_env_fail(f->fake, FAKE_PWRITE, 1, ERR_NO_SPACE, true);
		bool told = write(fd, "y", 1) < 0;
		told |= close(fd) < 0;
		fake_env_fail(f->fake, FAKE_PWRITE, 0, 0, false);
		assert_true(told);
	}
}

/* Whatever sizes its writes have, and whatever the file before it was. */
static void streams_and_small_files_take_turns(void **state)
{
	static char out[3 * EARLY_STREAM], in[sizeof out + 1];

	(void)mounted_here(state);
	memset(out, 'o', sizeof out);
	for (size_t i = 0; i < 6; i++) {
		char name[] = { 'f', (char)('0' + i), 0 };
		size_t piece = i % 3 == 0 ? 10 : sizeof out / i;
		int fd = open(name, O_CREAT | O_WRONLY, 0600);
		for (size_t at = 0; at < sizeof out / 30; at += piece)
			assert_int_equal(pwrite(fd, out + at, piece, (off_t)at), piece);
		struct stat st;
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(close(fd), 0);
		fd = open(name, O_RDONLY);
		assert_int_equal(read(fd, in, sizeof in), st.st_size);
		assert_memory_equal(in, out, (size_t)st.st_size);
		close(fd);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, mounted_set_up, mounted_leave)

/* ---- a disk that does not answer ---- */

enum { SYNCERS = 3 * SERVE_THREADS };

struct syncer {
	struct mounted *f;
	pthread_t thread;
	int number;
	atomic_bool *synced; /* whether any sync has ended */
	bool ok;
};

static void *sync_a_file(void *ctx)
{
	struct syncer *y = ctx;
	char name[400];

	snprintf(name, sizeof name, "%s/y%d", y->f->path, y->number);
	CLOSE_AFTER int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	y->ok = fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0;
	atomic_store(y->synced, true);
	return NULL;
}

/* Waits until each of them has written, looks up a name that the kernel does not know, reads, lists, and makes a folder. */
static void *go_on_meanwhile(void *ctx)
{
	struct mounted *f = ctx;
	struct stat st;
	char name[400], c;

	for (int i = 0; i < SYNCERS; i++) {
		snprintf(name, sizeof name, "%s/y%d", f->path, i);
		while (stat(name, &st) != 0 || st.st_size != 1)
			poll(NULL, 0, 1);
	}
	snprintf(name, sizeof name, "%s/nobody", f->path);
	if (stat(name, &st) == 0 || errno != ENOENT)
		return NULL;
	snprintf(name, sizeof name, "%s/there", f->path);
	CLOSE_AFTER int fd = open(name, O_RDONLY | O_CLOEXEC);
	DIR *d = opendir(f->path);
	bool listed = d && readdir(d);
	if (d)
		closedir(d);
	if (fd < 0 || read(fd, &c, 1) != 1 || c != 't' || !listed)
		return NULL;
	snprintf(name, sizeof name, "%s/new", f->path);
	return mkdir(name, 0700) == 0 ? f : NULL;
}

static void while_syncs_wait_for_the_disk_others_are_served(void **state)
{
	struct mounted *f = mounted_here(state);
	struct syncer y[SYNCERS];
	atomic_bool synced = false;
	struct timespec until;
	pthread_t other;
	void *went_on = NULL;

	CLOSE_AFTER int fd = open("there", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "t", 1), 1);
	fake_env_hold_syncs(f->fake, true);
	for (int i = 0; i < SYNCERS; i++) {
		y[i] = (struct syncer){ .f = f, .number = i, .synced = &synced };
		assert_int_equal(pthread_create(&y[i].thread, NULL, sync_a_file, &y[i]), 0);
	}
	EVENTUALLY(fake_env_held(f->fake) > 0);
	assert_int_equal(pthread_create(&other, NULL, go_on_meanwhile, f), 0);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 30; /* that it hangs shows here */
	int rc = pthread_timedjoin_np(other, &went_on, &until);
	bool early = atomic_load(&synced);
	fake_env_hold_syncs(f->fake, false);
	for (int i = 0; i < SYNCERS; i++)
		pthread_join(y[i].thread, NULL);
	if (rc != 0)
		pthread_join(other, &went_on);
	assert_int_equal(rc, 0);
	assert_true(went_on == f);
	assert_false(early);
	for (int i = 0; i < SYNCERS; i++)
		assert_true(y[i].ok);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_remote_change_shows_in_an_open_file),
		TEST(remote_entries_come_and_go),
		TEST(absent_content_is_fetched),
		TEST(a_failed_fetch_is_an_errno_and_can_be_tried_again),
		TEST(waiting_reads_can_be_killed_and_stop_nothing),
		TEST(nodes_of_others_show_as_the_users_and_raise_nothing),
		TEST(a_busy_mount_stays_unless_stopped_lazily),
		TEST(an_unmount_from_outside_is_told_once),
		cmocka_unit_test_setup_teardown(a_write_that_failed_after_its_answer_is_told_at_close_and_fsync,
			mounted_set_up_failing, mounted_leave),
		cmocka_unit_test_setup_teardown(a_failed_write_to_a_new_file_is_told_by_its_close_at_the_latest,
			mounted_set_up_failing, mounted_leave),
		cmocka_unit_test_setup_teardown(
			while_syncs_wait_for_the_disk_others_are_served, mounted_set_up_failing, mounted_leave),
		TEST(streams_and_small_files_take_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
