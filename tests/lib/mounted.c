/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/mounted.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "crypto/hash.h"

static const uint8_t key[32] = { 1 };

static int fetch(void *ctx, uint64_t chunk, int64_t deadline, bool (*interrupted)(void *arg), void *arg)
{
	struct mounted *f = ctx;
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
	struct mounted *f = ctx;

	(void)m;
	atomic_fetch_add(&f->gone, 1);
}

void mounted_start(struct mounted *f)
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

static int set_up_on(struct mounted *f, const struct env *env)
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
		mounted_start(f);
	return 0;
}

int mounted_set_up(void **state)
{
	*state = calloc(1, sizeof(struct mounted));
	return set_up_on(*state, env_system());
}

int mounted_set_up_failing(void **state)
{
	struct mounted *f = calloc(1, sizeof *f);

	*state = f;
	f->fake = fake_env_new(FAKE_REAL, 1);
	return set_up_on(f, fake_env_get(f->fake));
}

static int tear_down(void **state)
{
	struct mounted *f = *state;
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

struct mounted *mounted_here(void **state)
{
	struct mounted *f = *state;

	if (!f->m)
		skip();
	assert_int_equal(chdir(f->path), 0);
	return f;
}

struct store_txn *mounted_begin(struct mounted *f)
{
	struct store_txn *t;

	assert_int_equal(store_begin(f->store, &t), OK);
	return t;
}

void mounted_commit(struct store_txn *t)
{
	assert_int_equal(store_commit(&t), OK);
}

/* A node and its link, as a merge makes them. */
uint64_t mounted_add(struct store_txn *t, struct mounted *f, const char *name, struct node n)
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

void mounted_tell(struct mounted *f, uint64_t ino, const char *name, uint64_t child)
{
	struct invalidation i = { .ino = ino, .child = child, .name_len = (uint8_t)strlen(name) };

	memcpy(i.name, name, i.name_len);
	mount_invalidate(f->m, &i, 1);
}

/* Invalidation is asynchronous: waits up to 5 s for a condition. */
bool mounted_reads(int fd, const char *want)
{
	char p[64];
	ssize_t n = pread(fd, p, sizeof p, 0);

	return n == (ssize_t)strlen(want) && memcmp(p, want, (size_t)n) == 0;
}

void mounted_put(struct mounted *f, uint64_t ino, const char *text)
{
	struct store_txn *t = mounted_begin(f);
	struct node n;

	assert_int_equal(txn_node_get(t, ino, &n), OK);
	n.size = strlen(text);
	n.mtime += 1000000000;
	assert_int_equal(txn_content_clear(t, ino), OK);
	assert_int_equal(txn_node_put(t, &n), OK);
	assert_int_equal(txn_content_data(t, ino, 0, bytes_str(text)), OK);
	mounted_commit(t);
}

void mounted_bring(struct mounted *f, uint64_t ino, const char *text)
{
	mounted_put(f, ino, text);
	mounted_tell(f, ino, "", 0);
}

int mounted_leave(void **state)
{
	return chdir("/") < 0 ? -1 : tear_down(state);
}
