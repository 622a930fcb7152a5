/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A killed store's memory is released through store_close() on a disk that fails every call, so that leaks show.
 */
#include "tests/lib/store_fixture.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "tests/lib/unit.h"

static struct store_fixture *new_fixture(enum fake_disk disk, uint64_t seed)
{
	struct store_fixture *f = calloc(1, sizeof *f);
	assert_non_null(f);
	assert_int_equal(crypto_init(), 0);
	memset(f->key, 7, sizeof f->key);
	f->env = fake_env_new(disk, seed);
	f->config = (struct store_config){ .env = fake_env_get(f->env),
		.dirfd = FAKE_DIR,
		.key = f->key,
		.no_thread = true,
		.segment_size = seed % 2 ? 128 * 1024 : 0,
		.checkpoint_frames = seed % 2 ? 20 : 0 };
	return f;
}

struct store_fixture *store_fixture_new(uint64_t seed)
{
	struct store_fixture *f = new_fixture(FAKE_MEMORY, seed);
	assert_int_equal(store_fixture_open(f), 0);
	return f;
}

struct store_fixture *store_fixture_real(void)
{
	struct store_fixture *f = new_fixture(FAKE_REAL, 1);
	const char *tmp = getenv("TMPDIR");
	snprintf(f->dir, sizeof f->dir, "%s/store-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	f->config.dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->config.dirfd >= 0);
	assert_int_equal(store_fixture_open(f), 0);
	return f;
}

void store_fixture_free(struct store_fixture *f)
{
	store_close(f->store);
	if (f->dir[0]) {
		char command[128];
		close(f->config.dirfd);
		snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
		assert_int_equal(system(command), 0);
	}
	fake_env_free(f->env);
	free(f);
}

static int find_space(void *ctx, const struct space_row *row)
{
	struct store_fixture *f = ctx;
	f->root = row->root_ino;
	f->space = row->row;
	return 0;
}

static int add_space(struct store_fixture *f)
{
	struct store_txn *t;
	struct space_row row = { .name = "home", .id = { { 1 } }, .owner = { { 2 } } };
	int err = store_begin(f->store, &t);
	if (err < 0)
		return err;
	f->root = 0;
	err = txn_space_each(t, find_space, f);
	if (err == 0 && f->root == 0) {
		err = txn_space_add(t, &row);
		f->root = row.root_ino;
		f->space = row.row;
	}
	if (err == 0)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

int store_fixture_open(struct store_fixture *f)
{
	f->config.key = f->key;
	f->store = NULL;
	int err = store_open(&f->config, &f->store);
	return err < 0 ? err : add_space(f);
}

void store_fixture_reopen(struct store_fixture *f)
{
	store_close(f->store);
	assert_int_equal(store_fixture_open(f), 0);
}

void store_fixture_kill(struct store_fixture *f, enum fake_crash how)
{
	fake_env_crash(f->env, how);
	fake_env_fail(f->env, FAKE_ANY, 1, ERR_IO, true);
	store_close(f->store);
	f->store = NULL;
	fake_env_fail(f->env, FAKE_ANY, 0, 0, false);
}

void store_fixture_crash(struct store_fixture *f, enum fake_crash how)
{
	store_fixture_kill(f, how);
	assert_int_equal(store_fixture_open(f), 0);
}

uint64_t store_fixture_make(struct store_fixture *f, uint64_t dir, const char *name, enum node_kind kind)
{
	struct node_new new = { .kind = kind, .mode = 0644, .uid = 1000, .gid = 1000, .target = bytes_str("target") };
	struct node n;
	assert_int_equal(store_create(f->store, dir, bytes_str(name), &new, &n), 0);
	return n.ino;
}

void store_fixture_write(struct store_fixture *f, uint64_t ino, uint64_t off, const void *p, size_t len)
{
	assert_int_equal(store_write(f->store, ino, off, p, len), 0);
}

/* ---- digest ---- */

struct listing {
	struct buf text; /* of this directory */
	uint64_t dirs[256], files[256], links[256];
	size_t n_dirs, n_files, n_links;
};

static int list_entry(void *ctx, struct bytes name, uint64_t cookie, const struct node *n)
{
	struct listing *l = ctx;
	(void)cookie;
	int err = buf_put(&l->text, name.p, name.len);
	if (err == 0)
		err = buf_printf(&l->text, "/%d %o %u %u %llu %lld %lld %u %u\n", (int)n->kind, n->mode, n->uid, n->gid,
			(unsigned long long)n->size, (long long)n->mtime, (long long)n->ctime, n->nlink,
			n->change_bits);
	assert_int_equal(err, 0);
	assert_true(l->n_dirs < 256 && l->n_files < 256 && l->n_links < 256);
	if (n->kind == NODE_DIR)
		l->dirs[l->n_dirs++] = n->ino;
	else if (n->kind == NODE_FILE)
		l->files[l->n_files++] = n->ino;
	else if (n->kind == NODE_SYMLINK)
		l->links[l->n_links++] = n->ino;
	return 1;
}

static int put_content(struct store_fixture *f, uint64_t ino, struct buf *out)
{
	struct node n;
	uint64_t chunk;
	size_t got;
	uint8_t *p;
	int err = store_getattr(f->store, ino, &n);
	if (err == 0)
		err = buf_grow(out, (size_t)n.size, &p);
	if (err == 0 && n.size > 0)
		err = store_read(f->store, ino, 0, p, (size_t)n.size, &got, &chunk);
	if (err == ERR_ABSENT) {
		memset(p, 0xab, (size_t)n.size);
		err = 0;
	}
	return err < 0 ? err : store_listxattr(f->store, ino, out);
}

static int put_dir(struct store_fixture *f, uint64_t dir, struct buf *out)
{
	FREE_AFTER struct listing *l = calloc(1, sizeof *l);
	assert_non_null(l);
	l->text = (struct buf)BUF_INIT(1 << 20);
	int err = store_readdir(f->store, dir, 0, list_entry, l);
	if (err == 0)
		err = buf_put(out, l->text.data, l->text.len);
	buf_release(&l->text);
	for (size_t i = 0; err == 0 && i < l->n_files; i++)
		err = put_content(f, l->files[i], out);
	for (size_t i = 0; err == 0 && i < l->n_links; i++) {
		CLEANUP(buf_release) struct buf target = BUF_INIT(NODE_MAX_TARGET);
		err = store_readlink(f->store, l->links[i], &target);
		if (err == 0)
			err = buf_put(out, target.data, target.len);
	}
	for (size_t i = 0; err == 0 && i < l->n_dirs; i++)
		err = put_dir(f, l->dirs[i], out);
	return err;
}

struct books {
	struct buf *out;
	int err;
};

static int put_dirty(void *ctx, const struct node *n)
{
	struct books *b = ctx;
	b->err = buf_printf(b->out, "dirty %llu %llu %x %llu\n", (unsigned long long)n->ino,
		(unsigned long long)n->change, n->change_bits, (unsigned long long)n->version);
	return b->err == 0;
}

static int put_outbox(void *ctx, const struct outbox_row *row, struct bytes blob)
{
	struct books *b = ctx;
	b->err = buf_printf(b->out, "out %llu %llu %llu %zu\n", (unsigned long long)row->row,
		(unsigned long long)row->ino, (unsigned long long)row->change, blob.len);
	return b->err == 0;
}

static int put_record(void *ctx, const struct id16 *id, const struct id32 *hash, struct bytes blob)
{
	struct books *b = ctx;
	(void)id;
	b->err = buf_put(b->out, hash->b, sizeof hash->b);
	if (b->err == 0)
		b->err = buf_put(b->out, blob.p, blob.len);
	return b->err == 0;
}

static int put_meta(void *ctx, const char *key, struct bytes value)
{
	struct books *b = ctx;
	b->err = buf_printf(b->out, "%s %zu\n", key, value.len);
	if (b->err == 0)
		b->err = buf_put(b->out, value.p, value.len);
	return b->err == 0;
}

static int put_books(struct store_fixture *f, struct buf *out)
{
	struct books b = { .out = out };
	struct store_txn *t;
	int err = store_begin(f->store, &t);
	if (err < 0)
		return err;
	err = txn_dirty_each(t, f->space, 0, put_dirty, &b);
	if (err == 0)
		err = txn_outbox_each(t, f->space, 0, put_outbox, &b);
	if (err == 0)
		err = txn_record_each(t, f->space, put_record, &b);
	if (err == 0)
		err = txn_meta_each(t, "", put_meta, &b);
	store_abort(&t);
	return err < 0 ? err : b.err;
}

int store_fixture_digest_all(struct store_fixture *f, struct id32 *ret)
{
	CLEANUP(buf_release) struct buf all = BUF_INIT(64 << 20);
	int err = put_dir(f, f->root, &all);
	if (err == 0)
		err = put_books(f, &all);
	if (err == 0)
		hash_sha256(buf_bytes(&all), ret);
	return err;
}

int store_fixture_digest(struct store_fixture *f, struct id32 *ret)
{
	CLEANUP(buf_release) struct buf all = BUF_INIT(64 << 20);
	int err = put_dir(f, f->root, &all);
	if (err == 0)
		hash_sha256(buf_bytes(&all), ret);
	return err;
}
