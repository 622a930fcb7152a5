/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names against a model: random creations, links, renames and removals, with kills and restarts; and the rules one by one.
 */
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include "base/cleanup.h"
#include "cache/txn.h"
#include "tests/lib/heap.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { DIRS = 4, NAMES = 5 };

/* dir[0] is the root. A directory exists if it has an ino; each name holds an ino or 0. */
struct model {
	struct store_fixture *f;
	uint64_t seed;
	struct {
		uint64_t ino, parent;
		uint64_t name[NAMES];
	} dir[64];
	size_t n_dirs;
};

static size_t below(struct model *m, size_t n)
{
	return (size_t)(unit_random(&m->seed) % n);
}

static struct bytes name_of(size_t i)
{
	static const char *const names[NAMES] = { "alpha", "b", "a rather long name with blanks", "\xff\xfe not UTF-8",
		".x" };
	return bytes_str(names[i]);
}

static size_t dir_of(const struct model *m, uint64_t ino)
{
	for (size_t i = 0; i < m->n_dirs; i++)
		if (ino != 0 && m->dir[i].ino == ino)
			return i;
	return SIZE_MAX;
}

static size_t pick_dir(struct model *m)
{
	size_t i;
	do {
		i = below(m, m->n_dirs);
	} while (m->dir[i].ino == 0);
	return i;
}

static bool empty_dir(const struct model *m, size_t d)
{
	for (size_t i = 0; i < NAMES; i++)
		if (m->dir[d].name[i] != 0)
			return false;
	return true;
}

static void op_make(struct model *m, size_t d, size_t n)
{
	struct node_new new = { .kind = below(m, 3) && m->n_dirs < 60 ? NODE_FILE : NODE_DIR, .mode = 0755 };
	struct node node;
	int err = store_create(m->f->store, m->dir[d].ino, name_of(n), &new, &node);
	if (m->dir[d].name[n] != 0) {
		assert_int_equal(err, ERR_EXISTS);
		return;
	}
	assert_int_equal(err, 0);
	m->dir[d].name[n] = node.ino;
	if (new.kind == NODE_DIR) {
		assert_true(m->n_dirs < COUNT(m->dir));
		memset(&m->dir[m->n_dirs], 0, sizeof m->dir[0]);
		m->dir[m->n_dirs].ino = node.ino;
		m->dir[m->n_dirs++].parent = m->dir[d].ino;
	}
}

static void op_remove(struct model *m, size_t d, size_t n)
{
	uint64_t ino = m->dir[d].name[n], got;
	size_t child = dir_of(m, ino);
	bool as_dir = below(m, 2) == 0;
	int err = store_unlink(m->f->store, m->dir[d].ino, name_of(n), as_dir, &got);
	if (ino == 0) {
		assert_int_equal(err, ERR_NOT_FOUND);
	} else if (as_dir != (child != SIZE_MAX)) {
		assert_int_equal(err, as_dir ? ERR_NOT_DIR : ERR_IS_DIR);
	} else if (as_dir && !empty_dir(m, child)) {
		assert_int_equal(err, ERR_NOT_EMPTY);
	} else {
		assert_int_equal(err, 0);
		assert_int_equal(got, ino);
		m->dir[d].name[n] = 0;
		if (as_dir)
			m->dir[child].ino = 0;
	}
}

static void op_link(struct model *m, size_t d, size_t n)
{
	size_t d2 = pick_dir(m), n2 = below(m, NAMES);
	uint64_t ino = m->dir[d].name[n];
	struct node node;
	if (ino == 0)
		return;
	int err = store_link(m->f->store, ino, m->dir[d2].ino, name_of(n2), &node);
	if (dir_of(m, ino) != SIZE_MAX) {
		assert_int_equal(err, ERR_PERMISSION);
	} else if (m->dir[d2].name[n2] != 0) {
		assert_int_equal(err, ERR_EXISTS);
	} else {
		assert_int_equal(err, 0);
		m->dir[d2].name[n2] = ino;
	}
}

static bool is_below(const struct model *m, uint64_t dir, uint64_t ino)
{
	while (dir != ino) {
		size_t i = dir_of(m, dir);
		if (i == 0 || i == SIZE_MAX)
			return false;
		dir = m->dir[i].parent;
	}
	return true;
}

static int expect_rename(const struct model *m, uint64_t from, uint64_t to, size_t d, size_t d2, unsigned flags)
{
	size_t child = dir_of(m, from), other = dir_of(m, to);
	if (from == 0)
		return ERR_NOT_FOUND;
	if ((flags & RENAME_NOREPLACE) && to != 0)
		return ERR_EXISTS;
	if ((flags & RENAME_EXCHANGE) && to == 0)
		return ERR_NOT_FOUND;
	if (child != SIZE_MAX && is_below(m, m->dir[d2].ino, from))
		return ERR_INVALID;
	if ((flags & RENAME_EXCHANGE) && other != SIZE_MAX && is_below(m, m->dir[d].ino, to))
		return ERR_INVALID;
	if (to == 0 || from == to || (flags & RENAME_EXCHANGE))
		return 0;
	if (other != SIZE_MAX && child == SIZE_MAX)
		return ERR_IS_DIR;
	if (other == SIZE_MAX && child != SIZE_MAX)
		return ERR_NOT_DIR;
	return other != SIZE_MAX && !empty_dir(m, other) ? ERR_NOT_EMPTY : 0;
}

static void op_rename(struct model *m, size_t d, size_t n)
{
	static const unsigned all[] = { 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE };
	unsigned flags = all[below(m, COUNT(all))];
	size_t d2 = pick_dir(m), n2 = below(m, NAMES);
	uint64_t from = m->dir[d].name[n], to = m->dir[d2].name[n2], replaced;
	int want = expect_rename(m, from, to, d, d2, flags);
	assert_int_equal(
		store_rename(m->f->store, m->dir[d].ino, name_of(n), m->dir[d2].ino, name_of(n2), flags, &replaced),
		want);
	if (want < 0)
		return;
	assert_int_equal(replaced, from != to && !(flags & RENAME_EXCHANGE) ? to : 0);
	if (from == to)
		return;
	size_t child = dir_of(m, from), other = dir_of(m, to);
	m->dir[d2].name[n2] = from;
	m->dir[d].name[n] = flags & RENAME_EXCHANGE ? to : 0;
	if (child != SIZE_MAX)
		m->dir[child].parent = m->dir[d2].ino;
	if (other != SIZE_MAX && (flags & RENAME_EXCHANGE))
		m->dir[other].parent = m->dir[d].ino;
	else if (other != SIZE_MAX)
		m->dir[other].ino = 0;
}

struct seen {
	const struct model *m;
	size_t dir, n, subdirs;
};

static int see(void *ctx, struct bytes name, uint64_t cookie, const struct node *node)
{
	struct seen *s = ctx;
	assert_true(cookie > 0 && cookie < INT64_MAX);
	size_t i = 0;
	while (!bytes_equal(name, name_of(i)))
		assert_true(++i < NAMES);
	assert_int_equal(s->m->dir[s->dir].name[i], node->ino);
	uint32_t links = 0;
	for (size_t d = 0; d < s->m->n_dirs; d++)
		for (size_t k = 0; s->m->dir[d].ino != 0 && k < NAMES; k++)
			links += s->m->dir[d].name[k] == node->ino;
	if (node->kind == NODE_DIR)
		s->subdirs++;
	else
		assert_int_equal(node->nlink, links);
	s->n++;
	return 1;
}

static void check(struct model *m)
{
	for (size_t d = 0; d < m->n_dirs; d++) {
		struct seen s = { .m = m, .dir = d };
		struct node node;
		uint64_t parent;
		size_t want = 0;
		if (m->dir[d].ino == 0)
			continue;
		assert_int_equal(store_readdir(m->f->store, m->dir[d].ino, 0, see, &s), 0);
		for (size_t i = 0; i < NAMES; i++) {
			want += m->dir[d].name[i] != 0;
			int err = store_lookup(m->f->store, m->dir[d].ino, name_of(i), &node);
			assert_int_equal(err, m->dir[d].name[i] ? 0 : ERR_NOT_FOUND);
			assert_true(err < 0 || node.ino == m->dir[d].name[i]);
		}
		assert_int_equal(s.n, want);
		assert_int_equal(store_getattr(m->f->store, m->dir[d].ino, &node), 0);
		assert_int_equal(node.nlink, 2 + s.subdirs);
		assert_int_equal(store_parent(m->f->store, m->dir[d].ino, &parent), 0);
		assert_int_equal(parent, d == 0 ? m->dir[0].ino : m->dir[d].parent);
	}
}

static void names_equal_the_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct model m = { .seed = seed, .n_dirs = 1 };
		m.f = store_fixture_new(seed);
		m.dir[0].ino = m.f->root;
		for (int i = 0; i < 400; i++) {
			static void (*const ops[])(
				struct model *, size_t, size_t) = { op_make, op_make, op_remove, op_link, op_rename };
			size_t kind = below(&m, COUNT(ops));
			if (kind > 1 || m.n_dirs < 60)
				ops[kind](&m, pick_dir(&m), below(&m, NAMES));
			if (i % 100 == 50)
				store_fixture_crash(m.f, FAKE_KEEP_ALL);
			if (i % 20 == 0)
				check(&m);
		}
		check(&m);
		store_fixture_free(m.f);
	}
}

static uint64_t count_nodes(struct store_fixture *f)
{
	struct store_stat st;
	assert_int_equal(store_stat(f->store, &st), 0);
	return st.nodes;
}

static void an_open_file_outlives_its_name(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	uint64_t ino = store_fixture_make(f, f->root, "a", NODE_FILE), got, chunk;
	uint8_t p[5];
	size_t n;
	(void)state;
	uint64_t before = count_nodes(f);
	store_fixture_write(f, ino, 0, "hello", 5);
	store_hold_open(f->store, ino);
	store_hold_open(f->store, ino);
	assert_int_equal(store_unlink(f->store, f->root, bytes_str("a"), false, &got), 0);
	store_fixture_write(f, ino, 0, "jello", 5);
	assert_int_equal(store_read(f->store, ino, 0, p, 5, &n, &chunk), 0);
	assert_memory_equal(p, "jello", 5);
	store_release_open(f->store, ino);
	assert_int_equal(count_nodes(f), before);
	store_release_open(f->store, ino);
	assert_int_equal(count_nodes(f), before - 1);
	ino = store_fixture_make(f, f->root, "b", NODE_FILE);
	store_hold_open(f->store, ino);
	assert_int_equal(store_unlink(f->store, f->root, bytes_str("b"), false, &got), 0);
	store_fixture_crash(f, FAKE_KEEP_ALL);
	assert_int_equal(count_nodes(f), before - 1); /* the start purges it */
	store_fixture_free(f);
}

/* A file that others have seen. */
static uint64_t make_seen(struct store_fixture *f, const char *name)
{
	uint64_t ino = store_fixture_make(f, f->root, name, NODE_FILE);
	struct store_txn *t;
	struct node n;
	assert_int_equal(store_getattr(f->store, ino, &n), 0);
	n.version = 1;
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_node_put(t, &n), 0);
	assert_int_equal(store_commit(&t), 0);
	return ino;
}

static int listed_orphans(struct store_fixture *f)
{
	int n = 0;
	assert_int_equal(store_lock(f->store), 0);
	for (uint64_t ino = 0; index_orphan_next(f->store->index, &ino) == 0;)
		n++;
	store_unlock(f->store);
	return n;
}

static void a_start_looks_only_at_what_has_something_to_give_back(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct store_stat st;
	uint64_t got, held[2];
	char name[16];
	(void)state;
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "t%d", i);
		uint64_t ino = make_seen(f, name);
		if (i % 2 == 0)
			store_fixture_write(f, ino, 0, "hello", 5);
		assert_int_equal(store_unlink(f->store, f->root, bytes_str(name), false, &got), 0);
	}
	assert_int_equal(listed_orphans(f), 0);
	for (int i = 0; i < 2; i++) { /* one has content when its name goes, the other later */
		held[i] = make_seen(f, "open");
		store_hold_open(f->store, held[i]);
		if (i == 0)
			store_fixture_write(f, held[i], 0, "hello", 5);
		assert_int_equal(store_unlink(f->store, f->root, bytes_str("open"), false, &got), 0);
		assert_int_equal(listed_orphans(f), 1);
	}
	store_fixture_write(f, held[1], 0, "jello", 5);
	assert_int_equal(listed_orphans(f), 2);
	store_fixture_crash(f, FAKE_KEEP_ALL);
	assert_int_equal(listed_orphans(f), 0);
	assert_int_equal(store_stat(f->store, &st), 0);
	assert_int_equal(st.live_bytes, 0);
	assert_int_equal(store_tend(f->store), 0);
	store_fixture_crash(f, FAKE_KEEP_ALL);
	assert_int_equal(listed_orphans(f), 0);
	store_fixture_free(f);
}

static void a_removed_directory_lives_until_it_is_forgotten(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	uint64_t before = count_nodes(f), dir = store_fixture_make(f, f->root, "d", NODE_DIR), got;
	uint64_t fifo = store_fixture_make(f, f->root, "p", NODE_FIFO);
	uint64_t file = store_fixture_make(f, f->root, "f", NODE_FILE);
	struct node n;
	(void)state;
	store_forget(f->store, dir);
	assert_int_equal(store_unlink(f->store, f->root, bytes_str("d"), true, &got), 0);
	assert_int_equal(store_unlink(f->store, f->root, bytes_str("p"), false, &got), 0);
	assert_int_equal(store_getattr(f->store, dir, &n), 0);
	assert_int_equal(n.nlink, 0);
	assert_int_equal(n.change, 0);
	store_forget(f->store, dir);
	assert_int_equal(store_getattr(f->store, dir, &n), ERR_NOT_FOUND);
	store_forget(f->store, dir);
	assert_int_equal(store_getattr(f->store, fifo, &n), 0);
	store_hold_open(f->store, file);
	assert_int_equal(store_unlink(f->store, f->root, bytes_str("f"), false, &got), 0);
	store_forget(f->store, file); /* by another mount: it is open here */
	assert_int_equal(store_getattr(f->store, file, &n), 0);
	store_fixture_crash(f, FAKE_KEEP_ALL);
	assert_int_equal(count_nodes(f), before);
	store_fixture_free(f);
}

static void a_file_without_a_name_can_get_one(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct node_new new = { .kind = NODE_FILE, .mode = 0600 };
	struct node n;
	(void)state;
	uint64_t before = count_nodes(f);
	assert_int_equal(store_create_unnamed(f->store, f->root, &new, &n), 0);
	assert_int_equal(n.nlink, 0);
	assert_int_equal(n.change, 0);
	uint64_t named = n.ino;
	assert_int_equal(store_create_unnamed(f->store, f->root, &new, &n), 0);
	assert_int_equal(store_link(f->store, named, f->root, bytes_str("x"), &n), 0);
	assert_int_equal(n.nlink, 1);
	assert_true(n.change != 0);
	store_fixture_crash(f, FAKE_KEEP_ALL);
	assert_int_equal(count_nodes(f), before + 1);
	store_fixture_free(f);
}

static void what_was_born_and_died_leaves_no_trace(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct store_stat st;
	uint64_t ino;
	(void)state;
	uint64_t before = count_nodes(f);
	store_fixture_make(f, f->root, "a", NODE_FILE);
	assert_int_equal(store_stat(f->store, &st), 0);
	assert_int_equal(st.dirty_nodes, 1); /* a directory's new time is no change to be sent */
	assert_int_equal(store_unlink(f->store, f->root, bytes_str("a"), false, &ino), 0);
	assert_int_equal(store_stat(f->store, &st), 0);
	assert_int_equal(st.dirty_nodes, 0);
	assert_int_equal(st.nodes, before);
	store_fixture_free(f);
}

/* Makes a node look as if its record had been sealed. */
static void seal(struct store_fixture *f, uint64_t ino, uint64_t version)
{
	struct store_txn *t;
	struct node n;
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_node_get(t, ino, &n), 0);
	struct outbox_row row = { .space = f->space, .ino = ino, .id = n.id, .hash = { { 1 } }, .change = n.change };
	assert_int_equal(txn_outbox_add(t, &row, bytes_str("x"), version, NULL, 0), 0);
	assert_int_equal(txn_outbox_del(t, row.row), 0);
	assert_int_equal(store_commit(&t), 0);
}

static void a_sealed_node_leaves_a_tombstone(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	uint64_t old = store_fixture_make(f, f->root, "doc", NODE_FILE), replaced;
	struct node n;
	(void)state;
	store_fixture_write(f, old, 0, "one", 3);
	seal(f, old, 4);
	store_fixture_make(f, f->root, "doc.tmp", NODE_FILE);
	assert_int_equal(
		store_rename(f->store, f->root, bytes_str("doc.tmp"), f->root, bytes_str("doc"), 0, &replaced), 0);
	assert_int_equal(replaced, old);
	assert_int_equal(store_getattr(f->store, old, &n), 0);
	assert_true((n.flags & NODE_DELETED) && (n.change_bits & CHANGE_DELETED) && n.change != 0);
	store_fixture_free(f);
}

static void a_whiteout_takes_the_old_name_in_one_step(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct node_new whiteout = { .kind = NODE_CHAR };
	uint64_t ino = store_fixture_make(f, f->root, "a", NODE_FILE);
	struct node n;
	(void)state;
	store_fixture_make(f, f->root, "b", NODE_FILE);
	assert_int_equal(store_rename_whiteout(f->store, f->root, bytes_str("a"), f->root, bytes_str("b"),
				 RENAME_NOREPLACE, &whiteout),
		ERR_EXISTS);
	assert_int_equal(
		store_rename_whiteout(f->store, f->root, bytes_str("a"), f->root, bytes_str("b"), 0, &whiteout), 0);
	store_fixture_crash(f, FAKE_KEEP_ALL);
	assert_int_equal(store_lookup(f->store, f->root, bytes_str("b"), &n), 0);
	assert_int_equal(n.ino, ino);
	assert_int_equal(store_lookup(f->store, f->root, bytes_str("a"), &n), 0);
	assert_int_equal(n.kind, NODE_CHAR);
	assert_int_equal(n.rdev, 0);
	assert_int_equal(n.nlink, 1);
	assert_true(n.change != 0); /* to be sent */
	store_fixture_free(f);
}

static void names_and_spaces_are_guarded(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct node_new new = { .kind = NODE_FILE, .mode = 0600 };
	struct node n;
	uint64_t r;
	char big[NODE_MAX_NAME + 2];
	(void)state;
	memset(big, 'x', sizeof big);
	static const char *const bad[] = { "", ".", "..", "a/b" };
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(store_create(f->store, f->root, bytes_str(bad[i]), &new, &n), ERR_INVALID);
	assert_int_equal(store_create(f->store, f->root, bytes_of("a\0b", 3), &new, &n), ERR_INVALID);
	assert_int_equal(
		store_create(f->store, f->root, bytes_of(big, NODE_MAX_NAME + 1), &new, &n), ERR_NAME_TOO_LONG);
	assert_int_equal(store_create(f->store, f->root, bytes_of(big, NODE_MAX_NAME), &new, &n), 0);
	assert_int_equal(store_create(f->store, STORE_ROOT_INO, bytes_str("x"), &new, &n), ERR_PERMISSION);
	assert_int_equal(store_unlink(f->store, STORE_ROOT_INO, bytes_str("home"), true, &r), ERR_PERMISSION);
	assert_int_equal(
		store_rename(f->store, STORE_ROOT_INO, bytes_str("home"), STORE_ROOT_INO, bytes_str("h2"), 0, &r), 0);
	assert_int_equal(store_lookup(f->store, STORE_ROOT_INO, bytes_str("h2"), &n), 0);
	assert_int_equal(n.ino, f->root);
	assert_int_equal(
		store_rename(f->store, f->root, bytes_of(big, NODE_MAX_NAME), STORE_ROOT_INO, bytes_str("x"), 0, &r),
		ERR_CROSS_SPACE);
	store_fixture_free(f);
}

static void xattrs_keep_their_rules(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	uint64_t ino = store_fixture_make(f, f->root, "a", NODE_FILE);
	CLEANUP(buf_release) struct buf out = BUF_INIT(70000);
	static uint8_t big[NODE_MAX_XATTR_BYTES];
	(void)state;
	assert_int_equal(store_getxattr(f->store, ino, "user.a", &out), ERR_NO_DATA);
	assert_int_equal(store_setxattr(f->store, ino, "user.a", bytes_str("1"), XATTR_REPLACE), ERR_NO_DATA);
	assert_int_equal(store_setxattr(f->store, ino, "user.a", bytes_str("1"), XATTR_CREATE), 0);
	assert_int_equal(store_setxattr(f->store, ino, "user.a", bytes_str("1"), XATTR_CREATE), ERR_EXISTS);
	assert_int_equal(store_setxattr(f->store, ino, "user.empty", bytes_str(""), 0), 0);
	assert_int_equal(store_setxattr(f->store, ino, "user.big", bytes_of(big, sizeof big), 0), ERR_NO_SPACE);
	assert_int_equal(store_getxattr(f->store, ino, "user.a", &out), 0);
	unit_assert_bytes(buf_bytes(&out), bytes_str("1"));
	store_fixture_crash(f, FAKE_KEEP_ALL);
	buf_clear(&out);
	assert_int_equal(store_listxattr(f->store, ino, &out), 0);
	unit_assert_bytes(buf_bytes(&out), bytes_of("user.a\0user.empty", 18));
	assert_int_equal(store_removexattr(f->store, ino, "user.a"), 0);
	assert_int_equal(store_removexattr(f->store, ino, "user.a"), ERR_NO_DATA);
	store_fixture_free(f);
}

static void a_full_disk_is_told_at_the_call(void **state)
{
	struct store_fixture *f = store_fixture_new(1); /* segments of 128 KiB */
	uint64_t ino = store_fixture_make(f, f->root, "a", NODE_FILE), chunk;
	static uint8_t data[60000], got[60000];
	struct node n;
	size_t len;
	int err = 0;
	(void)state;
	fake_env_fail(f->env, FAKE_FALLOCATE, 1, ERR_NO_SPACE, true);
	uint64_t size = 0;
	for (int i = 0; i < 10 && err == 0; i++) {
		memset(data, i + 1, sizeof data);
		err = store_write(f->store, ino, size, data, sizeof data);
		size += err == 0 ? sizeof data : 0;
	}
	assert_int_equal(err, ERR_NO_SPACE);
	assert_int_equal(store_getattr(f->store, ino, &n), 0);
	assert_int_equal(n.size, size);
	fake_env_fail(f->env, FAKE_FALLOCATE, 0, 0, false);
	assert_int_equal(store_write(f->store, ino, size, data, sizeof data), 0);
	assert_int_equal(store_read(f->store, ino, size, got, sizeof got, &len, &chunk), 0);
	assert_memory_equal(got, data, sizeof data);
	store_fixture_free(f);
}

/* Every call that would send something is refused and leaves nothing; what stays here goes on. */
static void a_read_only_space_takes_no_changes(void **state)
{
	struct store_fixture *f = store_fixture_new(7);
	struct node_new file = { .kind = NODE_FILE, .mode = 0644 }, dir = { .kind = NODE_DIR, .mode = 0755 };
	struct node attr = { .mode = 0600, .size = 1, .atime = 5, .mtime = 5 }, n;
	struct id32 before, after;
	uint64_t ino, chunk, copied, d;
	char byte;
	size_t len;

	(void)state;
	ino = store_fixture_make(f, f->root, "file", NODE_FILE);
	d = store_fixture_make(f, f->root, "dir", NODE_DIR);
	store_fixture_write(f, ino, 0, "abc", 3);
	assert_int_equal(store_setxattr(f->store, ino, "user.x", bytes_str("1"), 0), 0);
	store_fixture_make(f, f->root, "never sent", NODE_FILE);
	seal(f, ino, 1);
	seal(f, d, 1);
	assert_int_equal(store_may_change(f->store, ino), 0);
	assert_int_equal(store_set_read_only(f->store, f->space + 1, true), 0);
	assert_int_equal(store_set_read_only(f->store, f->space, true), 0);
	assert_int_equal(store_set_read_only(f->store, f->space, true), 0);
	assert_int_equal(store_fixture_digest(f, &before), 0);
	assert_int_equal(store_may_change(f->store, ino), ERR_READ_ONLY);
	assert_int_equal(store_may_change(f->store, d), ERR_READ_ONLY);
	assert_int_equal(store_may_change(f->store, STORE_ROOT_INO), 0);

	assert_int_equal(store_create(f->store, d, bytes_str("new"), &file, &n), ERR_READ_ONLY);
	assert_int_equal(store_create(f->store, f->root, bytes_str("new"), &dir, &n), ERR_READ_ONLY);
	assert_int_equal(store_create_unnamed(f->store, d, &file, &n), ERR_READ_ONLY);
	assert_int_equal(store_link(f->store, ino, d, bytes_str("link"), &n), ERR_READ_ONLY);
	assert_int_equal(store_unlink(f->store, f->root, bytes_str("file"), false, &copied), ERR_READ_ONLY);
	assert_int_equal(store_unlink(f->store, f->root, bytes_str("dir"), true, &copied), ERR_READ_ONLY);
	assert_int_equal(
		store_rename(f->store, f->root, bytes_str("file"), d, bytes_str("x"), 0, &copied), ERR_READ_ONLY);
	assert_int_equal(store_write(f->store, ino, 0, "z", 1), ERR_READ_ONLY);
	assert_int_equal(store_fallocate(f->store, ino, 0, 0, 10), ERR_READ_ONLY);
	assert_int_equal(store_copy_range(f->store, ino, 0, ino, 3, 3, &copied), ERR_READ_ONLY);
	assert_int_equal(store_setattr(f->store, ino, ATTR_MODE, &attr, &n), ERR_READ_ONLY);
	assert_int_equal(store_setattr(f->store, ino, ATTR_SIZE, &attr, &n), ERR_READ_ONLY);
	assert_int_equal(store_setattr(f->store, ino, ATTR_MTIME | ATTR_ATIME, &attr, &n), ERR_READ_ONLY);
	assert_int_equal(store_setattr(f->store, f->root, ATTR_MODE, &attr, &n), ERR_READ_ONLY);
	assert_int_equal(store_setxattr(f->store, ino, "user.y", bytes_str("1"), 0), ERR_READ_ONLY);
	assert_int_equal(store_removexattr(f->store, ino, "user.x"), ERR_READ_ONLY);
	assert_int_equal(store_fixture_digest(f, &after), 0);
	assert_memory_equal(&before, &after, sizeof before);

	assert_int_equal(store_unlink(f->store, f->root, bytes_str("never sent"), false, &copied), 0);
	assert_int_equal(store_setattr(f->store, ino, ATTR_ATIME, &attr, &n), 0);
	assert_int_equal(store_pin(f->store, ino, true), 0);
	assert_int_equal(store_mark_fsynced(f->store, ino), 0);
	assert_int_equal(store_read(f->store, ino, 0, &byte, 1, &len, &chunk), 0);
	struct store_txn *t; /* what others changed arrives */
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_mark_changed(t, ino, CHANGE_ATTR), 0);
	assert_int_equal(store_commit(&t), 0);

	assert_int_equal(store_set_read_only(f->store, f->space, false), 0);
	assert_int_equal(store_may_change(f->store, ino), 0);
	store_fixture_write(f, ino, 0, "z", 1);
	store_fixture_free(f);
}

/* The index follows a call late; whoever lets go, forgets, counts or lists right after it must see it all the same. */
static void what_comes_right_after_a_call_sees_it(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct store_stat before, st;
	struct node n;
	uint64_t gone;
	(void)state;
	assert_int_equal(store_stat(f->store, &before), 0);
	uint64_t file = store_fixture_make(f, f->root, "file", NODE_FILE);
	store_hold_open(f->store, file);
	assert_int_equal(store_unlink(f->store, f->root, bytes_str("file"), false, &gone), 0);
	store_release_open(f->store, file);
	assert_int_equal(store_getattr(f->store, file, &n), ERR_NOT_FOUND);
	uint64_t dir = store_fixture_make(f, f->root, "dir", NODE_DIR);
	assert_int_equal(store_unlink(f->store, f->root, bytes_str("dir"), true, &gone), 0);
	store_forget(f->store, dir);
	assert_int_equal(store_getattr(f->store, dir, &n), ERR_NOT_FOUND);
	assert_int_equal(store_stat(f->store, &st), 0);
	assert_int_equal(st.nodes, before.nodes);
	store_fixture_write(f, store_fixture_make(f, f->root, "kept", NODE_FILE), 0, "hello", 5);
	assert_int_equal(store_stat(f->store, &st), 0);
	assert_int_equal(st.nodes, before.nodes + 1);
	assert_true(st.live_bytes > before.live_bytes);
	store_fixture_kill(f, FAKE_KEEP_ALL); /* while the index lacks one more */
	assert_int_equal(store_fixture_open(f), 0);
	assert_int_equal(store_lookup(f->store, f->root, bytes_str("kept"), &n), 0);
	assert_int_equal(n.size, 5);
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(names_equal_the_model),
		cmocka_unit_test(what_comes_right_after_a_call_sees_it),
		cmocka_unit_test(an_open_file_outlives_its_name),
		cmocka_unit_test(a_start_looks_only_at_what_has_something_to_give_back),
		cmocka_unit_test(a_removed_directory_lives_until_it_is_forgotten),
		cmocka_unit_test(a_file_without_a_name_can_get_one),
		cmocka_unit_test(what_was_born_and_died_leaves_no_trace),
		cmocka_unit_test(a_sealed_node_leaves_a_tombstone),
		cmocka_unit_test(a_whiteout_takes_the_old_name_in_one_step),
		cmocka_unit_test(names_and_spaces_are_guarded), cmocka_unit_test(xattrs_keep_their_rules),
		cmocka_unit_test(a_full_disk_is_told_at_the_call),
		cmocka_unit_test(a_read_only_space_takes_no_changes) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
