/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions of sync: all or nothing, read back within themselves, kept through kills; and what stands at rest shows nothing and
 * is checked.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

static struct store_txn *begin(struct store_fixture *f)
{
	struct store_txn *t;
	assert_int_equal(store_begin(f->store, &t), 0);
	return t;
}

static void commit(struct store_txn *t)
{
	assert_int_equal(store_commit(&t), 0);
}

static uint64_t add_node(struct store_fixture *f, struct store_txn *t, uint8_t id, enum node_kind kind)
{
	struct node n = {
		.space = f->space, .id = { { id } }, .kind = kind, .mode = 0644, .version = 1, .base = { { id } }
	};
	assert_int_equal(txn_node_add(t, &n, bytes_str("target")), 0);
	return n.ino;
}

static struct link link_of(
	uint8_t id, uint64_t ino, uint64_t parent, const char *name, uint64_t shown_parent, const char *shown)
{
	struct link l = { .id = { { id } }, .ino = ino, .parent = parent, .shown_parent = shown_parent };
	l.name_len = (uint8_t)strlen(name);
	memcpy(l.name, name, l.name_len);
	l.shown_len = (uint8_t)strlen(shown);
	memcpy(l.shown, shown, l.shown_len);
	return l;
}

static int count_meta(void *ctx, const char *key, struct bytes value)
{
	(void)key;
	*(size_t *)ctx += value.len;
	return 1;
}

static void abort_undoes_everything(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct id32 before, after;
	struct store_stat st1, st2;
	struct node n;
	(void)state;
	uint64_t file = store_fixture_make(f, f->root, "a", NODE_FILE);
	store_fixture_write(f, file, 0, "hello", 5);
	assert_int_equal(store_fixture_digest(f, &before), 0);
	assert_int_equal(store_stat(f->store, &st1), 0);
	struct store_txn *t = begin(f);
	uint64_t ino = add_node(f, t, 9, NODE_FILE);
	struct link l = link_of(1, ino, f->root, "b", f->root, "b");
	assert_int_equal(txn_link_put(t, &l), 0);
	assert_int_equal(txn_content_data(t, ino, 0, bytes_str("content")), 0);
	assert_int_equal(txn_content_clear(t, file), 0);
	assert_int_equal(txn_meta_put(t, "k", bytes_str("v")), 0);
	assert_int_equal(txn_node_get(t, ino, &n), 0);
	assert_int_equal(n.nlink, 1);
	store_abort(&t);
	assert_int_equal(store_fixture_digest(f, &after), 0);
	assert_true(id32_equal(&before, &after));
	assert_int_equal(store_stat(f->store, &st2), 0);
	assert_int_equal(st1.live_bytes, st2.live_bytes);
	assert_int_equal(st1.nodes, st2.nodes);
	store_fixture_free(f);
}

static void data_of_a_transaction_is_where_it_says(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	uint64_t ino[40], chunk;
	(void)state;
	struct store_txn *t = begin(f);
	for (size_t i = 0; i < 40; i++) {
		char name[8];
		uint8_t data[700];
		snprintf(name, sizeof name, "n%zu", i);
		memset(data, (int)i, sizeof data);
		ino[i] = add_node(f, t, (uint8_t)(i + 1), NODE_FILE);
		struct link l = link_of((uint8_t)(i + 1), ino[i], f->root, name, f->root, name);
		assert_int_equal(txn_link_put(t, &l), 0);
		assert_int_equal(txn_content_data(t, ino[i], 0, bytes_of(data, sizeof data)), 0);
		struct node n;
		assert_int_equal(txn_node_get(t, ino[i], &n), 0);
		n.size = sizeof data;
		assert_int_equal(txn_node_put(t, &n), 0);
	}
	commit(t);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < 40; i++) {
			uint8_t got[700];
			size_t n;
			assert_int_equal(store_read(f->store, ino[i], 0, got, sizeof got, &n, &chunk), 0);
			assert_int_equal(n, 700);
			for (size_t k = 0; k < n; k++)
				assert_int_equal(got[k], i);
		}
		store_fixture_crash(f, FAKE_KEEP_ALL);
	}
	store_fixture_free(f);
}

static void a_claimed_name_is_found_and_told_of(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct link *links, got;
	uint64_t parent = 0, ino;
	uint8_t len = 0;
	char name[NODE_MAX_NAME + 1] = "";
	size_t n;
	(void)state;
	struct store_txn *t = begin(f);
	uint64_t a = add_node(f, t, 1, NODE_FILE), b = add_node(f, t, 2, NODE_FILE), c = add_node(f, t, 3, NODE_FILE);
	struct link la = link_of(1, a, f->root, "doc", f->root, "doc");
	struct link lb = link_of(2, b, f->root, "doc", f->root, "doc (2)");
	struct link lc = link_of(3, c, f->root, "doc", 0, "");
	assert_int_equal(txn_link_put(t, &la), 0);
	struct link taken = link_of(4, b, f->root, "doc", f->root, "doc");
	assert_int_equal(txn_link_put(t, &taken), ERR_EXISTS);
	assert_int_equal(txn_link_put(t, &lb), 0);
	assert_int_equal(txn_link_put(t, &lc), 0);
	assert_int_equal(txn_links_named(t, f->root, bytes_str("doc"), &links, &n), 0);
	assert_int_equal(n, 3);
	free(links);
	assert_int_equal(txn_links_in(t, f->root, true, &links, &n), 0);
	assert_int_equal(n, 2);
	free(links);
	assert_int_equal(txn_links_in(t, f->root, false, &links, &n), 0);
	assert_int_equal(n, 3);
	free(links);
	assert_int_equal(txn_links_of(t, c, &links, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(links[0].shown_parent, 0);
	free(links);
	assert_int_equal(txn_touched_take(t, f->space, &parent, name, &len), ERR_NOT_FOUND);
	commit(t);
	assert_int_equal(store_unlink(f->store, f->root, bytes_str("doc"), false, &ino), 0);
	store_fixture_crash(f, FAKE_KEEP_ALL);
	t = begin(f);
	assert_int_equal(txn_touched_take(t, f->space, &parent, name, &len), 0);
	assert_int_equal(parent, f->root);
	assert_string_equal(name, "doc");
	assert_int_equal(txn_touched_take(t, f->space, &parent, name, &len), ERR_NOT_FOUND);
	assert_int_equal(txn_link_get(t, &lb.id, &got), 0);
	memcpy(got.shown, "doc", 4);
	got.shown_len = 3;
	assert_int_equal(txn_link_put(t, &got), 0);
	assert_int_equal(txn_link_shown(t, f->root, bytes_str("doc"), &got), 0);
	assert_int_equal(got.ino, b);
	commit(t);
	store_fixture_free(f);
}

/* A space takes its own names, in their order; those in a directory that is gone are told to nobody. */
static void a_touched_name_is_told_to_its_space_alone(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct space_row other = { .id = { { 7 } }, .name = "other" };
	char name[NODE_MAX_NAME + 1] = "";
	uint64_t parent = 0, ino;
	uint8_t len = 0;
	(void)state;
	struct store_txn *t = begin(f);
	assert_int_equal(txn_space_add(t, &other), 0);
	uint64_t a = add_node(f, t, 1, NODE_FILE), gone = add_node(f, t, 2, NODE_DIR);
	struct link claim = link_of(1, a, f->root, "doc", f->root, "doc (2)");
	assert_int_equal(txn_link_put(t, &claim), 0);
	commit(t);
	uint64_t dirs[] = { other.root_ino, f->root, gone };
	for (size_t i = 0; i < COUNT(dirs); i++) {
		(void)store_fixture_make(f, dirs[i], "b", NODE_FILE);
		(void)store_fixture_make(f, dirs[i], "c", NODE_FILE);
		assert_int_equal(store_unlink(f->store, dirs[i], bytes_str("c"), false, &ino), 0);
	}
	t = begin(f);
	assert_int_equal(txn_node_del(t, gone), 0);
	for (char want = 'b'; want <= 'c'; want++) {
		assert_int_equal(txn_touched_take(t, f->space, &parent, name, &len), 0);
		assert_int_equal(parent, f->root);
		assert_string_equal(name, ((char[]){ want, 0 }));
	}
	assert_int_equal(txn_touched_take(t, f->space, &parent, name, &len), ERR_NOT_FOUND);
	commit(t);
	t = begin(f);
	parent = len = 0;
	for (char want = 'b'; want <= 'c'; want++) {
		assert_int_equal(txn_touched_take(t, other.row, &parent, name, &len), 0);
		assert_int_equal(parent, other.root_ino);
		assert_string_equal(name, ((char[]){ want, 0 }));
	}
	assert_int_equal(txn_touched_take(t, other.row, &parent, name, &len), ERR_NOT_FOUND);
	commit(t);
	store_fixture_free(f);
}

static int count_rows(void *ctx, const struct outbox_row *row, struct bytes blob)
{
	(void)row;
	unit_assert_bytes(blob, bytes_str("sealed"));
	++*(int *)ctx;
	return 1;
}

static int count_dirty(void *ctx, const struct node *n)
{
	assert_true(n->change != 0);
	++*(int *)ctx;
	return 1;
}

static int count_entries(void *ctx, uint64_t seq, struct bytes blob)
{
	assert_int_equal(blob.len, seq + 1);
	++*(int *)ctx;
	return 1;
}

static void what_sync_keeps_is_kept(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	CLEANUP(buf_release) struct buf out = BUF_INIT(1000);
	struct id32 hash = { { 7 } }, got_hash;
	uint64_t cursor, *chunks;
	size_t n = 0;
	int count = 0;
	(void)state;
	uint64_t ino = store_fixture_make(f, f->root, "a", NODE_FILE);
	struct store_txn *t = begin(f);
	assert_int_equal(txn_meta_put(t, "log/1", bytes_str("one")), 0);
	assert_int_equal(txn_meta_put(t, "log/2", bytes_str("three")), 0);
	assert_int_equal(txn_meta_put(t, "logs", bytes_str("x")), 0);
	for (uint64_t seq = 0; seq < 5; seq++)
		assert_int_equal(txn_entry_put(t, f->space, seq, bytes_of("abcdefgh", seq + 1)), 0);
	assert_int_equal(txn_record_put(t, f->space, &(struct id16){ { 5 } }, &hash, 12, bytes_str("record")), 0);
	assert_int_equal(txn_dirty_each(t, f->space, 0, count_dirty, &count), 0);
	assert_int_equal(count, 1);
	struct chunk_row c = { .space = f->space, .id = { { 3 } }, .len = 4 };
	assert_int_equal(txn_chunk_add(t, &c), 0);
	assert_int_equal(txn_chunk_fill(t, c.row, bytes_str("four")), 0);
	struct node node;
	assert_int_equal(txn_node_get(t, ino, &node), 0);
	struct outbox_row row = { .space = f->space, .ino = ino, .id = node.id, .hash = hash, .change = node.change };
	assert_int_equal(txn_outbox_add(t, &row, bytes_str("sealed"), 1, &c.row, 1), 0);
	commit(t);
	store_fixture_crash(f, FAKE_KEEP_ALL);
	t = begin(f);
	assert_int_equal(txn_meta_each(t, "log/", count_meta, &n), 0);
	assert_int_equal(n, 8);
	count = 0;
	assert_int_equal(txn_entry_each(t, f->space, 2, count_entries, &count), 0);
	assert_int_equal(count, 3);
	assert_int_equal(txn_record_get(t, f->space, &(struct id16){ { 5 } }, &got_hash, &cursor, &out), 0);
	assert_int_equal(cursor, 12);
	assert_true(id32_equal(&hash, &got_hash));
	unit_assert_bytes(buf_bytes(&out), bytes_str("record"));
	count = 0;
	assert_int_equal(txn_outbox_each(t, f->space, 0, count_rows, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(txn_outbox_chunks(t, row.row, &chunks, &n), 0);
	assert_int_equal(n, 1);
	free(chunks);
	count = 0;
	assert_int_equal(txn_dirty_each(t, f->space, 0, count_dirty, &count), 0);
	assert_int_equal(count, 0);
	commit(t);
	buf_clear(&out);
	assert_int_equal(store_read_chunk(f->store, c.row, &out), 0);
	unit_assert_bytes(buf_bytes(&out), bytes_str("four"));
	store_fixture_free(f);
}

static void a_space_goes_with_all_that_is_in_it(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	struct store_stat st;
	struct node n;
	(void)state;
	uint64_t dir = store_fixture_make(f, f->root, "d", NODE_DIR);
	for (int i = 0; i < 20; i++) {
		char name[16];
		snprintf(name, sizeof name, "n%d", i);
		store_fixture_write(f, store_fixture_make(f, i % 2 ? dir : f->root, name, NODE_FILE), 0, "data", 4);
	}
	struct store_txn *t = begin(f);
	assert_int_equal(txn_space_del(t, f->space), 0);
	commit(t);
	assert_int_equal(store_stat(f->store, &st), 0);
	assert_int_equal(st.nodes, 1);
	assert_int_equal(st.live_bytes, 0);
	assert_int_equal(st.dirty_nodes, 0);
	assert_int_equal(store_lookup(f->store, STORE_ROOT_INO, bytes_str("home"), &n), ERR_NOT_FOUND);
	store_fixture_free(f);
}

/* ---- at rest ---- */

static bool file_holds(int dirfd, const char *name, const char *what)
{
	size_t len, n = strlen(what);
	uint8_t *p = NULL;
	bool found = false;
	assert_int_equal(env_read_file(env_system(), dirfd, name, 64 << 20, &p, &len), 0);
	for (size_t i = 0; i + n <= len; i++)
		found |= p[i] == (uint8_t)what[0] && memcmp(p + i, what, n) == 0;
	free(p);
	return found;
}

static void nothing_at_rest_is_readable(void **state)
{
	struct store_fixture *f = store_fixture_real();
	static const char *const words[] = { "Steuererklaerung", "geheimer Inhalt", "user.comment", "a remark",
		"to/somewhere", "meta-key" };
	struct node_new new = { .kind = NODE_SYMLINK, .mode = 0777, .target = bytes_str("to/somewhere") };
	struct node n;
	(void)state;
	uint64_t ino = store_fixture_make(f, f->root, "Steuererklaerung", NODE_FILE);
	store_fixture_write(f, ino, 0, "geheimer Inhalt", 15);
	assert_int_equal(store_setxattr(f->store, ino, "user.comment", bytes_str("a remark"), 0), 0);
	assert_int_equal(store_create(f->store, f->root, bytes_str("l"), &new, &n), 0);
	struct store_txn *t = begin(f);
	assert_int_equal(txn_meta_put(t, "meta-key", bytes_str("a remark")), 0);
	commit(t);
	assert_int_equal(store_tend(f->store), 0);
	DIR *dir = opendir(f->dir);
	assert_non_null(dir);
	int files = 0;
	for (struct dirent *e; (e = readdir(dir));) {
		if (e->d_name[0] == '.')
			continue;
		files++;
		for (size_t i = 0; i < COUNT(words); i++)
			assert_false(file_holds(f->config.dirfd, e->d_name, words[i]));
	}
	assert_true(files >= 4);
	closedir(dir);
	store_fixture_free(f);
}

static void count_damage(void *ctx, uint64_t ino, int err)
{
	uint64_t *damaged = ctx;
	assert_true(err == ERR_TAMPERED || err == ERR_CORRUPT);
	*damaged = ino;
}

static void flip(struct store_fixture *f, const char *name, off_t at)
{
	const struct env *env = f->config.env;
	uint8_t byte;
	int fd = env->open(env->ctx, f->config.dirfd, name, O_RDWR, 0);
	assert_true(fd >= 0);
	assert_int_equal(env->pread(env->ctx, fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(env->pwrite(env->ctx, fd, &byte, 1, at), 0);
	env->close(env->ctx, fd);
}

static void a_damaged_block_is_told_and_never_read(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	static uint8_t data[20000], got[20000];
	uint64_t chunk, damaged = 0, checked;
	size_t n;
	(void)state;
	uint64_t ino = store_fixture_make(f, f->root, "a", NODE_FILE);
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 11);
	store_fixture_write(f, ino, 0, data, sizeof data);
	struct store_txn *t = begin(f);
	struct extent *e;
	assert_int_equal(txn_extents(t, ino, &e, &n), 0);
	store_abort(&t);
	assert_int_equal(n, 1);
	char name[32];
	snprintf(name, sizeof name, "seg-%016llx", (unsigned long long)e[0].segment);
	assert_int_equal(store_verify(f->store, count_damage, &damaged, &checked), 0);
	assert_int_equal(damaged, 0);
	assert_true(checked > 0);
	flip(f, name, (off_t)e[0].pos + 4112 * 2 + 100); /* in the third unit */
	memset(got, 0xcc, sizeof got);
	assert_int_equal(store_read(f->store, ino, 0, got, sizeof got, &n, &chunk), ERR_TAMPERED);
	for (size_t i = 8192; i < sizeof got; i++)
		assert_true(got[i] == 0xcc || got[i] == 0);
	assert_int_equal(store_read(f->store, ino, 0, got, 8192, &n, &chunk), 0);
	assert_memory_equal(got, data, 8192);
	assert_int_equal(store_read(f->store, ino, 12288, got, 4096, &n, &chunk), 0);
	assert_int_equal(store_verify(f->store, count_damage, &damaged, &checked), 0);
	assert_int_equal(damaged, ino);
	free(e);
	store_fixture_free(f);
}

static void a_damaged_head_or_index_is_told(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct store_fixture *f = store_fixture_new(2);
		store_fixture_make(f, f->root, "a", NODE_FILE);
		assert_int_equal(store_tend(f->store), 0);
		store_close(f->store);
		if (i == 0)
			flip(f, "head", 20);
		else if (i == 1)
			flip(f, "seg-0000000000000001", 60);
		else
			flip(f, "index-wal", 5);
		int err = store_fixture_open(f);
		assert_true(i == 2 ? err == 0 || err == ERR_CORRUPT : err == ERR_CORRUPT);
		store_fixture_free(f);
	}
}

/* Database and journal are enough: the index's log only spares replaying. */
static void a_lost_index_log_loses_nothing(void **state)
{
	(void)state;
	for (int at = 0; at < 60; at += 7) {
		struct store_fixture *f = store_fixture_new(1); /* small segments and checkpoints */
		struct id32 before, after;
		static uint8_t data[9000];
		uint64_t ino[5];
		for (size_t i = 0; i < 5; i++) {
			char name[] = { 'f', (char)('a' + i), 0 };
			ino[i] = store_fixture_make(f, f->root, name, NODE_FILE);
		}
		for (int i = 0; i < 100 + at; i++) {
			memset(data, i, sizeof data);
			store_fixture_write(f, ino[i % 5], (uint64_t)(i % 3) * 3000, data, sizeof data);
			if (i % 7 == 0)
				assert_int_equal(store_tend(f->store), 0);
		}
		assert_int_equal(store_fixture_digest(f, &before), 0);
		store_fixture_kill(f, FAKE_KEEP_ALL);
		for (int i = 0; i < 40; i++)
			flip(f, "index-wal", i * 100);
		assert_int_equal(store_fixture_open(f), 0);
		assert_int_equal(store_fixture_digest(f, &after), 0);
		assert_true(id32_equal(&before, &after));
		store_fixture_free(f);
	}
}

/* Over several transactions, and whatever changes in between. */
static void a_walk_over_records_goes_on_where_it_stood(void **state)
{
	struct store_fixture *f = store_fixture_new(31);
	struct record_at at = { .begun = false };
	struct store_txn *t;
	struct id32 hash = { { 7 } };
	(void)state;
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_record_next(t, f->space, &at), ERR_NOT_FOUND);
	for (uint8_t id = 0; id < 10; id += 2) /* the root's is 0 */
		assert_int_equal(txn_record_put(t, f->space, &(struct id16){ { id } }, &hash, 100u + id,
					 bytes_of("xxxxxxxxx", id)),
			0);
	assert_int_equal(store_commit(&t), 0);
	at.begun = false;
	for (uint8_t id = 0; id < 10; id += 2) {
		assert_int_equal(store_begin(f->store, &t), 0);
		assert_int_equal(txn_record_next(t, f->space, &at), 0);
		assert_int_equal(at.id.b[0], id);
		assert_true(id32_equal(&at.hash, &hash));
		assert_int_equal(at.cursor, 100 + id);
		assert_int_equal(at.len, id);
		assert_int_equal(
			txn_record_put(t, f->space, &(struct id16){ { id } }, &hash, 200, bytes_str("new")), 0);
		assert_int_equal(store_commit(&t), 0);
	}
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_record_next(t, f->space, &at), ERR_NOT_FOUND);
	store_abort(&t);
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(abort_undoes_everything),
		cmocka_unit_test(data_of_a_transaction_is_where_it_says),
		cmocka_unit_test(a_claimed_name_is_found_and_told_of),
		cmocka_unit_test(a_touched_name_is_told_to_its_space_alone), cmocka_unit_test(what_sync_keeps_is_kept),
		cmocka_unit_test(a_space_goes_with_all_that_is_in_it), cmocka_unit_test(nothing_at_rest_is_readable),
		cmocka_unit_test(a_damaged_block_is_told_and_never_read),
		cmocka_unit_test(a_damaged_head_or_index_is_told), cmocka_unit_test(a_lost_index_log_loses_nothing),
		cmocka_unit_test(a_walk_over_records_goes_on_where_it_stood) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
