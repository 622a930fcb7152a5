/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mount over a real store, in one process: what other devices change behind the kernel's back, content that is not
 * here, whose nodes show how. Needs /dev/fuse; without it every test is skipped (the integration tests say so once,
 * as a failure in CI).
 */
#define FUSE_USE_VERSION 314
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "fusefs/early.h"
#include "fusefs/late_read.h"
#include "fusefs/mount.h"
#include "fusefs/settle.h"
#include "fusefs/serve.h"
#include "tests/lib/fake_env.h"
#include "tests/lib/unit.h"

#define ME \
	{ \
		{ \
			1 \
		} \
	}
#define OTHER \
	{ \
		{ \
			2 \
		} \
	}
#define MY_DEVICE \
	{ \
		{ \
			11 \
		} \
	}
#define CHUNK_LEN 100000

struct fixture {
	char dir[256], path[320];
	int dirfd;
	struct store *store;
	struct mount *m, *second;
	uint64_t root;
	uint32_t space;
	atomic_int gone;
	struct fake_env *fake; /* a disk that fails, or NULL */
	/* what fetch does */
	atomic_int fetch_err;
	atomic_bool fetch_waits;
	atomic_int fetches;
};

static const uint8_t key[32] = { 1 };

static int fetch(void *ctx, uint64_t chunk, int64_t deadline, bool (*interrupted)(void *arg), void *arg)
{
	struct fixture *f = ctx;
	struct store_txn *t;
	FREE_AFTER uint8_t *p = malloc(CHUNK_LEN);

	(void)deadline;
	atomic_fetch_add(&f->fetches, 1);
	while (f->fetch_waits && !interrupted(arg))
		poll(NULL, 0, 1);
	if (f->fetch_waits)
		return ERR_CANCELLED;
	if (f->fetch_err)
		return f->fetch_err;
	memset(p, 'c', CHUNK_LEN);
	int err = store_begin(f->store, &t);
	if (err < 0)
		return err;
	err = txn_chunk_fill(t, chunk, bytes_of(p, CHUNK_LEN));
	if (err < 0) {
		store_abort(&t);
		return err;
	}
	return store_commit(&t);
}

static bool own_device(void *ctx, const struct id32 *device)
{
	(void)ctx;
	return device->b[0] == 11;
}

static void gone(void *ctx, struct mount *m)
{
	struct fixture *f = ctx;

	(void)m;
	atomic_fetch_add(&f->gone, 1);
}

static void start(struct fixture *f)
{
	struct mount_config c = { .store = f->store,
		.dir = f->path,
		.root_ino = f->root,
		.person = ME,
		.ctx = f,
		.fetch = fetch,
		.own_device = own_device,
		.gone = gone,
		.suid = geteuid() == 0,
		.dev = geteuid() == 0 };

	assert_int_equal(mount_start(&c, &f->m), OK);
}

static int set_up_on(struct fixture *f, const struct env *env)
{
	struct store_txn *t;
	struct space_row row = { .id = { { 7 } }, .owner = ME, .name = "s" };
	const char *top = getenv("TMPDIR");

	f->dirfd = -1;
	snprintf(f->dir, sizeof f->dir, "%s/mount-XXXXXX", top ? top : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof f->path, "%s/mnt", f->dir);
	assert_int_equal(mkdir(f->path, 0700), 0);
	snprintf(f->path, sizeof f->path, "%s/store", f->dir);
	assert_int_equal(mkdir(f->path, 0700), 0);
	f->dirfd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(f->path, sizeof f->path, "%s/mnt", f->dir);
	assert_int_equal(crypto_init(), OK);
	struct store_config c = { .env = env, .dirfd = f->dirfd, .key = key };
	assert_int_equal(store_open(&c, &f->store), OK);
	assert_int_equal(store_begin(f->store, &t), OK);
	assert_int_equal(txn_space_add(t, &row), OK);
	assert_int_equal(store_commit(&t), OK);
	f->root = row.root_ino;
	f->space = row.row;
	if (access("/dev/fuse", R_OK | W_OK) == 0)
		start(f);
	return 0;
}

static int set_up(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return set_up_on(*state, env_system());
}

static int set_up_failing(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	*state = f;
	f->fake = fake_env_new(FAKE_REAL, 1);
	return set_up_on(f, fake_env_get(f->fake));
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char store[320];

	assert_int_equal(mount_stop(&f->m, true), OK);
	store_close(f->store);
	close(f->dirfd);
	rmdir(f->path);
	snprintf(store, sizeof store, "rm -rf '%s'", f->dir);
	assert_int_equal(system(store), 0);
	if (f->fake)
		fake_env_free(f->fake);
	free(f);
	return 0;
}

static struct fixture *mounted(void **state)
{
	struct fixture *f = *state;

	if (!f->m)
		skip();
	assert_int_equal(chdir(f->path), 0);
	return f;
}

static struct store_txn *begin(struct fixture *f)
{
	struct store_txn *t;

	assert_int_equal(store_begin(f->store, &t), OK);
	return t;
}

static void commit(struct store_txn *t)
{
	assert_int_equal(store_commit(&t), OK);
}

/* A node and its link, as a merge makes them. */
static uint64_t add_remote(struct store_txn *t, struct fixture *f, const char *name, struct node n)
{
	static uint8_t number;
	struct link l = { .id = { { 200, ++number } }, .parent = f->root, .shown_parent = f->root };

	n.space = f->space;
	n.id = (struct id16){ { 100, number } };
	n.nlink = 1;
	if (n.kind == 0)
		n.kind = NODE_FILE;
	assert_int_equal(txn_node_add(t, &n, bytes_of(NULL, 0)), OK);
	l.ino = n.ino;
	l.name_len = l.shown_len = (uint8_t)strlen(name);
	memcpy(l.name, name, l.name_len);
	memcpy(l.shown, name, l.name_len);
	assert_int_equal(txn_link_put(t, &l), OK);
	return n.ino;
}

static void tell(struct fixture *f, uint64_t ino, const char *name, uint64_t child)
{
	struct invalidation i = { .ino = ino, .child = child, .name_len = (uint8_t)strlen(name) };

	memcpy(i.name, name, i.name_len);
	mount_invalidate(f->m, &i, 1);
}

/* Invalidation is asynchronous: waits up to 5 s for a condition. */
#define EVENTUALLY(condition) \
	do { \
		for (int i_ = 0; i_ < 5000 && !(condition); i_++) \
			poll(NULL, 0, 1); \
		assert_true(condition); \
	} while (0)

static bool reads(int fd, const char *want)
{
	char p[64];
	ssize_t n = pread(fd, p, sizeof p, 0);

	return n == (ssize_t)strlen(want) && memcmp(p, want, (size_t)n) == 0;
}

static void put_content(struct fixture *f, uint64_t ino, const char *text)
{
	struct store_txn *t = begin(f);
	struct node n;

	assert_int_equal(txn_node_get(t, ino, &n), OK);
	n.size = strlen(text);
	n.mtime += 1000000000;
	assert_int_equal(txn_content_clear(t, ino), OK);
	assert_int_equal(txn_node_put(t, &n), OK);
	assert_int_equal(txn_content_data(t, ino, 0, bytes_str(text)), OK);
	commit(t);
}

static void bring_content(struct fixture *f, uint64_t ino, const char *text)
{
	put_content(f, ino, text);
	tell(f, ino, "", 0);
}

static void a_remote_change_shows_in_an_open_file(void **state)
{
	struct fixture *f = mounted(state);
	struct stat st;
	CLOSE_AFTER int fd = open("file", O_CREAT | O_RDWR, 0600);

	assert_int_equal(pwrite(fd, "written here", 12, 0), 12);
	assert_true(reads(fd, "written here"));
	assert_int_equal(fstat(fd, &st), 0);
	bring_content(f, st.st_ino, "short");
	EVENTUALLY(reads(fd, "short"));
	EVENTUALLY(fstat(fd, &st) == 0 && st.st_size == 5);
	bring_content(f, st.st_ino, "and now a longer one");
	EVENTUALLY(reads(fd, "and now a longer one"));
	bring_content(f, st.st_ino, "AND NOW A LONGER ONE");
	EVENTUALLY(reads(fd, "AND NOW A LONGER ONE"));
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
	struct fixture *f = mounted(state);
	struct stat st;

	assert_int_equal(stat("new", &st), -1); /* the kernel remembers that */
	assert_int_equal(count_entries(), 0);
	struct store_txn *t = begin(f);
	uint64_t ino = add_remote(t, f, "new", (struct node){ .owner = ME, .mode = 0644 });
	uint64_t unseen = add_remote(t, f, "unseen", (struct node){ .owner = ME, .mode = 0644 });
	commit(t);
	tell(f, f->root, "new", 0);
	tell(f, f->root, "unseen", 0);
	EVENTUALLY(stat("new", &st) == 0 && st.st_ino == ino);
	EVENTUALLY(count_entries() == 2);
	struct link *l;
	size_t n;
	t = begin(f);
	assert_int_equal(txn_links_of(t, ino, &l, &n), OK);
	assert_int_equal(n, 1);
	assert_int_equal(txn_link_del(t, &l[0].id), OK);
	free(l);
	commit(t);
	tell(f, f->root, "new", ino);
	EVENTUALLY(stat("new", &st) == -1 && errno == ENOENT);
	EVENTUALLY(count_entries() == 1);
	assert_true(stat("unseen", &st) == 0 && st.st_ino == unseen);
}

/* A file of two chunks that are not here. */
static uint64_t add_absent(struct fixture *f, const char *name)
{
	static uint8_t number;
	struct store_txn *t = begin(f);
	uint64_t ino = add_remote(t, f, name, (struct node){ .owner = ME, .mode = 0644, .size = 2 * CHUNK_LEN });

	for (uint64_t i = 0; i < 2; i++) {
		struct chunk_row c = {
			.space = f->space, .id = { { 50, ++number } }, .len = CHUNK_LEN, .confirmed = true
		};
		assert_int_equal(txn_chunk_add(t, &c), OK);
		assert_int_equal(txn_content_ref(t, ino, i * CHUNK_LEN, CHUNK_LEN, c.row, 0), OK);
	}
	commit(t);
	return ino;
}

static void absent_content_is_fetched(void **state)
{
	struct fixture *f = mounted(state);
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
	struct fixture *f = mounted(state);
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
	struct fixture *f = mounted(state);
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
	struct fixture *f = mounted(state);
	struct node n = { .owner = OTHER, .author = OTHER, .mode = 06755, .uid = 4711, .gid = 4712 };
	struct stat st;
	struct store_txn *t = begin(f);

	uint64_t ino = add_remote(t, f, "theirs", n);
	n.owner = (struct id32)ME;
	add_remote(t, f, "mine-written-by-them", n);
	n.kind = NODE_DIR;
	n.mode = 02777;
	add_remote(t, f, "dir-written-by-them", n);
	n.kind = NODE_FILE;
	n.mode = 06755;
	n.author = (struct id32)MY_DEVICE;
	add_remote(t, f, "mine", n);
	n = (struct node){ .kind = NODE_CHAR, .owner = OTHER, .author = OTHER, .mode = 0666, .rdev = makedev(1, 5) };
	add_remote(t, f, "zero", n);
	commit(t);
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
	struct fixture *f = mounted(state);
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
	struct fixture *f = mounted(state);

	if (geteuid() != 0)
		skip();
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(umount2(f->path, MNT_DETACH), 0);
	EVENTUALLY(atomic_load(&f->gone) == 1);
	assert_int_equal(mount_stop(&f->m, false), OK);
	start(f); /* and again on the same directory */
	assert_int_equal(mount_stop(&f->m, false), OK);
	assert_int_equal(atomic_load(&f->gone), 1);
}

static void a_write_that_failed_after_its_answer_is_told_at_close_and_fsync(void **state)
{
	struct fixture *f = mounted(state);
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
	struct fixture *f = mounted(state);

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

	(void)mounted(state);
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

/* ---- small files ---- */

static uint64_t add_small(struct fixture *f, const char *name, const char *text)
{
	struct store_txn *t = begin(f);
	uint64_t ino = add_remote(t, f, name, (struct node){ .mode = 0600, .size = strlen(text) });

	assert_int_equal(txn_content_data(t, ino, 0, bytes_str(text)), OK);
	commit(t);
	return ino;
}

/* What changes afterwards without a word to the kernel tells where a read had its content from. */
static void a_small_file_comes_with_its_open(void **state)
{
	struct fixture *f = mounted(state);
	uint64_t ino = add_small(f, "small", "then");
	int fd = open("small", O_RDONLY);

	put_content(f, ino, "soon");
	assert_true(reads(fd, "then"));
	close(fd);
	tell(f, ino, "", 0);
	fd = open("small", O_RDONLY);
	EVENTUALLY(reads(fd, "soon"));
	close(fd);
}

static void what_somebody_else_has_open_is_read(void **state)
{
	static const int others[] = { O_RDONLY, O_RDWR };
	struct fixture *f = mounted(state);

	for (size_t i = 0; i < COUNT(others); i++) {
		char name[] = { 's', (char)('0' + i), 0 };
		uint64_t ino = add_small(f, name, "then");
		CLOSE_AFTER int other = open(name, others[i] | O_DIRECT);
		CLOSE_AFTER int fd = open(name, O_RDONLY);
		put_content(f, ino, "soon");
		assert_true(reads(fd, "soon"));
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
	struct fixture *f = mounted(state);
	uint64_t ino = add_small(f, "small", "then");
	pthread_t opener;
	int fd;

	atomic_store(&giving, false);
	atomic_store(&told, false);
	atomic_store(&crossing, true);
	assert_int_equal(pthread_create(&opener, NULL, open_small, &fd), 0);
	EVENTUALLY(atomic_load(&giving));
	bring_content(f, ino, "soon");
	pthread_join(opener, NULL);
	mount_settle(f->m);
	assert_true(reads(fd, "soon"));
	close(fd);
}

static bool is_open(struct fixture *f, uint64_t ino)
{
	store_hold_open(f->store, ino);
	bool others = store_open_shared(f->store, ino);
	store_release_open(f->store, ino);
	return others;
}

/* Until it is told, the kernel shows what it has, or what is there now, but no mixture. */
static void a_change_is_not_laid_over_what_was_read_before(void **state)
{
	struct fixture *f = mounted(state);
	uint64_t ino = add_small(f, "small", "a long one");
	int other = open("small", O_RDONLY | O_DIRECT), fd = open("small", O_RDONLY);

	assert_true(reads(fd, "a long one"));
	close(fd);
	close(other);
	EVENTUALLY(!is_open(f, ino));
	put_content(f, ino, "AN");
	fd = open("small", O_RDONLY);
	assert_true(reads(fd, "a long one") || reads(fd, "AN"));
	close(fd);
}

/* ---- two mounts of one store ---- */

static bool has_others(void *ctx)
{
	(void)ctx;
	return true;
}

static void tell_others(void *ctx, const struct mount *m, const struct invalidation *inv, size_t n)
{
	struct fixture *f = ctx;

	mount_invalidate(m == f->m ? f->second : f->m, inv, n);
}

static bool shows(int dir, const char *name, const char *want)
{
	CLOSE_AFTER int fd = openat(dir, name, O_RDONLY);
	return want ? fd >= 0 && reads(fd, want) : fd < 0 && errno == ENOENT;
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
	struct fixture *f = mounted(state);
	char path[400];
	struct mount_config c = { .store = f->store,
		.dir = path,
		.root_ino = STORE_ROOT_INO,
		.person = ME,
		.ctx = f,
		.has_others = has_others,
		.tell_others = tell_others };

	assert_int_equal(chdir("/"), 0);
	assert_int_equal(mount_stop(&f->m, false), OK);
	snprintf(path, sizeof path, "%s/second", f->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(mount_start(&c, &f->second), OK);
	c.dir = f->path;
	c.root_ino = f->root;
	assert_int_equal(mount_start(&c, &f->m), OK);
	int one = open(f->path, O_RDONLY | O_DIRECTORY);
	snprintf(path, sizeof path, "%s/second/s", f->dir);
	int two = open(path, O_RDONLY | O_DIRECTORY);
	change_one(one, two);
	change_one(two, one);
	close(one);
	close(two);
	assert_int_equal(mount_stop(&f->second, true), OK);
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
	(void)mounted(state);
	CLOSE_AFTER int fd = open_one_of_many("new", O_WRONLY, 0600);
	CLOSE_AFTER int reader = open("new", O_RDONLY);
	CLOSE_AFTER int end = open("new", O_WRONLY | O_APPEND);

	assert_int_equal(pwrite(fd, "first", 5, 0), 5);
	assert_true(reads(reader, "first"));
	assert_int_equal(pwrite(fd, "l", 1, 4), 1);
	assert_true(reads(reader, "firsl"));
	const char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, reader, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_memory_equal(p, "firsl", 6);
	assert_int_equal(pwrite(fd, "F", 1, 0), 1);
	assert_memory_equal(p, "Firsl", 6);
	munmap((void *)p, 4096);
	assert_int_equal(write(end, "+", 1), 1);
	assert_true(reads(reader, "Firsl+"));
	assert_int_equal(ftruncate(fd, 2), 0);
	assert_true(reads(reader, "Fi"));
}

static void a_final_file_can_be_read_and_mapped_by_its_maker(void **state)
{
	(void)mounted(state);
	int fd = open_one_of_many("object", O_RDWR, 0444);

	assert_int_equal(write(fd, "object", 6), 6);
	assert_true(reads(fd, "object"));
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_memory_equal(p, "object", 7);
	p[0] = 'O';
	munmap(p, 4096);
	assert_int_equal(pwrite(fd, "T", 1, 5), 1);
	assert_true(reads(fd, "ObjecT"));
	close(fd);
	fd = open("object", O_RDONLY);
	assert_true(reads(fd, "ObjecT"));
	close(fd);
}

static void each_write_takes_capabilities(void **state)
{
	static const uint8_t cap_net_raw[20] = { 1, 0, 0, 2, 0, 0x20 }; /* capabilities(7), revision 2 */
	uint8_t in[sizeof cap_net_raw];

	(void)mounted(state);
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

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, leave)

static int leave(void **state)
{
	return chdir("/") < 0 ? -1 : tear_down(state);
}

/* ---- a disk that does not answer ---- */

enum { SYNCERS = 3 * SERVE_THREADS };

struct syncer {
	struct fixture *f;
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
	struct fixture *f = ctx;
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
	struct fixture *f = mounted(state);
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

/* Whether the handle is O_DSYNC or the write alone is, and however writes to it are answered. */
static void a_synchronous_write_waits_for_the_disk(void **state)
{
	struct fixture *f = mounted(state);
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
		cmocka_unit_test_setup_teardown(
			a_write_that_failed_after_its_answer_is_told_at_close_and_fsync, set_up_failing, leave),
		cmocka_unit_test_setup_teardown(
			a_failed_write_to_a_new_file_is_told_by_its_close_at_the_latest, set_up_failing, leave),
		cmocka_unit_test_setup_teardown(while_syncs_wait_for_the_disk_others_are_served, set_up_failing, leave),
		cmocka_unit_test_setup_teardown(a_synchronous_write_waits_for_the_disk, set_up_failing, leave),
		TEST(streams_and_small_files_take_turns),
		TEST(a_small_file_comes_with_its_open),
		TEST(what_somebody_else_has_open_is_read),
		TEST(a_change_that_crosses_an_open_shows),
		TEST(a_change_is_not_laid_over_what_was_read_before),
		TEST(what_one_mount_changes_shows_in_another),
		TEST(one_of_many_shows_what_is_written),
		TEST(a_final_file_can_be_read_and_mapped_by_its_maker),
		TEST(each_write_takes_capabilities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
