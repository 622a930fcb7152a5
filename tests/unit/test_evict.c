/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks: adopted from a file's own bytes, filled, confirmed, evicted, fetched again, collected.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "cache/txn.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { LEN = 50000 };

static uint8_t content[LEN];

struct setting {
	struct store_fixture *f;
	uint64_t ino, chunk;
};

static void commit(struct store_txn **t)
{
	assert_int_equal(store_commit(t), 0);
}

static uint64_t add_chunk(struct store_fixture *f, struct store_txn *t, uint8_t id)
{
	struct chunk_row c = { .space = f->space, .id = { { id } }, .len = LEN, .hash = { { id } } };
	assert_int_equal(txn_chunk_add(t, &c), 0);
	return c.row;
}

/* A file whose bytes became a chunk, in one queued record. */
static struct setting set_up(uint64_t seed)
{
	struct setting s = { .f = store_fixture_new(seed) };
	struct store_txn *t;
	struct extent *e;
	struct node n;
	size_t count;
	for (size_t i = 0; i < LEN; i++)
		content[i] = (uint8_t)(i * 7 % 251);
	s.ino = store_fixture_make(s.f, s.f->root, "a", NODE_FILE);
	store_fixture_write(s.f, s.ino, 0, content, 20000);
	store_fixture_write(s.f, s.ino, 20000, content + 20000, LEN - 20000);
	assert_int_equal(store_begin(s.f->store, &t), 0);
	assert_int_equal(txn_node_get(t, s.ino, &n), 0);
	assert_int_equal(txn_extents(t, s.ino, &e, &count), 0);
	assert_int_equal(count, 2);
	s.chunk = add_chunk(s.f, t, 1);
	assert_int_equal(txn_chunk_adopt(t, s.chunk, s.ino, 0, LEN, e, count), 0);
	struct outbox_row row = {
		.space = s.f->space, .ino = s.ino, .id = n.id, .hash = { { 9 } }, .change = n.change
	};
	assert_int_equal(txn_outbox_add(t, &row, bytes_str("blob"), 1, &s.chunk, 1), 0);
	commit(&t);
	free(e);
	return s;
}

static void confirm(struct setting *s)
{
	struct store_txn *t;
	assert_int_equal(store_begin(s->f->store, &t), 0);
	assert_int_equal(txn_chunk_confirm(t, s->chunk), 0);
	assert_int_equal(txn_outbox_del(t, s->chunk + 1), 0);
	commit(&t);
}

static int read_all(struct setting *s, uint64_t *chunk)
{
	uint8_t got[LEN];
	size_t n;
	int err = store_read(s->f->store, s->ino, 0, got, LEN, &n, chunk);
	if (err < 0)
		return err;
	assert_int_equal(n, LEN);
	assert_memory_equal(got, content, LEN);
	return 0;
}

static uint64_t live_bytes(struct setting *s)
{
	struct store_stat st;
	assert_int_equal(store_stat(s->f->store, &st), 0);
	return st.live_bytes;
}

static void adopting_copies_nothing_and_cleans_the_node(void **state)
{
	struct setting s = set_up(1);
	struct node n;
	uint64_t chunk;
	(void)state;
	assert_int_equal(live_bytes(&s), LEN);
	assert_int_equal(store_getattr(s.f->store, s.ino, &n), 0);
	assert_int_equal(n.change, 0);
	assert_int_equal(n.change_bits, 0);
	assert_int_equal(n.version, 1);
	assert_int_equal(read_all(&s, &chunk), 0);
	store_fixture_crash(s.f, FAKE_KEEP_ALL);
	assert_int_equal(read_all(&s, &chunk), 0);
	assert_int_equal(live_bytes(&s), LEN);
	store_fixture_free(s.f);
}

static void only_confirmed_content_is_evicted_and_comes_back(void **state)
{
	struct setting s = set_up(2);
	uint64_t freed, chunk = 0;
	struct store_txn *t;
	struct node n;
	(void)state;
	assert_int_equal(store_evict(s.f->store, s.ino, &freed), ERR_BUSY);
	confirm(&s);
	assert_int_equal(store_pin(s.f->store, s.ino, true), 0);
	assert_int_equal(store_evict(s.f->store, s.ino, &freed), ERR_BUSY);
	assert_int_equal(store_pin(s.f->store, s.ino, false), 0);
	store_hold_open(s.f->store, s.ino);
	assert_int_equal(store_evict(s.f->store, s.ino, &freed), ERR_BUSY);
	store_release_open(s.f->store, s.ino);
	assert_int_equal(store_evict(s.f->store, s.ino, &freed), 0);
	assert_int_equal(freed, LEN);
	assert_int_equal(live_bytes(&s), 0);
	assert_int_equal(store_getattr(s.f->store, s.ino, &n), 0);
	assert_true(n.flags & NODE_PARTIAL);
	assert_int_equal(read_all(&s, &chunk), ERR_ABSENT);
	assert_int_equal(chunk, s.chunk);
	store_fixture_crash(s.f, FAKE_KEEP_ALL);
	assert_int_equal(read_all(&s, &chunk), ERR_ABSENT);
	assert_int_equal(store_begin(s.f->store, &t), 0);
	assert_int_equal(txn_chunk_fill(t, s.chunk, bytes_of(content, LEN - 1)), ERR_INVALID);
	assert_int_equal(txn_chunk_fill(t, s.chunk, bytes_of(content, LEN)), 0);
	commit(&t);
	assert_int_equal(read_all(&s, &chunk), 0);
	assert_int_equal(store_getattr(s.f->store, s.ino, &n), 0);
	assert_false(n.flags & NODE_PARTIAL);
	store_fixture_free(s.f);
}

static void a_write_over_a_chunk_needs_no_content(void **state)
{
	struct setting s = set_up(3);
	uint64_t freed, chunk;
	uint8_t p[100];
	size_t n;
	(void)state;
	confirm(&s);
	assert_int_equal(store_evict(s.f->store, s.ino, &freed), 0);
	store_fixture_write(s.f, s.ino, 1000, "hello", 5);
	assert_int_equal(store_read(s.f->store, s.ino, 1000, p, 5, &n, &chunk), 0);
	assert_memory_equal(p, "hello", 5);
	assert_int_equal(store_read(s.f->store, s.ino, 990, p, 20, &n, &chunk), ERR_ABSENT);
	store_fixture_free(s.f);
}

static void a_chunk_that_nothing_names_is_collected(void **state)
{
	struct setting s = set_up(4);
	struct node attr = { .size = 0 }, n;
	struct store_txn *t;
	struct chunk_row c;
	(void)state;
	assert_int_equal(store_setattr(s.f->store, s.ino, ATTR_SIZE, &attr, &n), 0);
	assert_int_equal(store_tend(s.f->store), 0);
	assert_int_equal(live_bytes(&s), LEN); /* the queued record needs it */
	confirm(&s);
	assert_int_equal(store_tend(s.f->store), 0);
	assert_int_equal(live_bytes(&s), 0);
	assert_int_equal(store_begin(s.f->store, &t), 0);
	assert_int_equal(txn_chunk_get(t, s.chunk, &c), ERR_NOT_FOUND);
	store_abort(&t);
	store_fixture_free(s.f);
}

static void adopting_what_changed_is_a_conflict(void **state)
{
	struct store_fixture *f = store_fixture_new(5);
	struct store_txn *t;
	struct extent *e;
	size_t n;
	(void)state;
	uint64_t ino = store_fixture_make(f, f->root, "a", NODE_FILE);
	store_fixture_write(f, ino, 0, content, LEN);
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_extents(t, ino, &e, &n), 0);
	store_abort(&t);
	store_fixture_write(f, ino, 100, "x", 1);
	assert_int_equal(store_begin(f->store, &t), 0);
	uint64_t chunk = add_chunk(f, t, 1);
	assert_int_equal(txn_chunk_adopt(t, chunk, ino, 0, LEN, e, n), ERR_CONFLICT);
	store_abort(&t);
	free(e);
	store_fixture_free(f);
}

static void the_limit_evicts_what_may_go(void **state)
{
	struct setting s = set_up(7);
	uint64_t chunk;
	(void)state;
	store_fixture_kill(s.f, FAKE_KEEP_ALL);
	s.f->config.limit = LEN / 2;
	assert_int_equal(store_fixture_open(s.f), 0);
	assert_int_equal(store_tend(s.f->store), 0);
	assert_int_equal(live_bytes(&s), LEN);
	confirm(&s);
	assert_int_equal(store_tend(s.f->store), 0);
	assert_int_equal(live_bytes(&s), 0);
	assert_int_equal(read_all(&s, &chunk), ERR_ABSENT);
	store_fixture_free(s.f);
}

/* ---- least recently used ---- */

enum { FILES = 10 };

struct many {
	struct store_fixture *f;
	uint64_t ino[FILES], chunk[FILES];
};

static void seal(struct many *m, int i)
{
	struct store_txn *t;
	struct extent *e;
	size_t n;
	assert_int_equal(store_begin(m->f->store, &t), 0);
	assert_int_equal(txn_extents(t, m->ino[i], &e, &n), 0);
	m->chunk[i] = add_chunk(m->f, t, (uint8_t)(i + 1));
	assert_int_equal(txn_chunk_adopt(t, m->chunk[i], m->ino[i], 0, LEN, e, n), 0);
	assert_int_equal(txn_chunk_confirm(t, m->chunk[i]), 0);
	assert_int_equal(txn_mark_clean(t, m->ino[i]), 0);
	commit(&t);
	free(e);
	assert_int_equal(store_tend(m->f->store), 0);
}

/* Files whose content is confirmed and that have nothing to send; each younger than the one before. shared: copies of the first, made
 * before it had chunks. */
static struct many make_files(uint64_t seed, bool shared)
{
	struct many m = { .f = store_fixture_new(seed) };
	uint64_t len;
	assert_int_equal(store_set_limit(m.f->store, UINT64_C(1) << 40), 0);
	for (int i = 0; i < FILES; i++) {
		m.ino[i] = store_fixture_make(m.f, m.f->root, (char[]){ 'f', (char)('0' + i), 0 }, NODE_FILE);
		if (i > 0 && shared)
			assert_int_equal(store_copy_range(m.f->store, m.ino[0], 0, m.ino[i], 0, LEN, &len), 0);
		else
			store_fixture_write(m.f, m.ino[i], 0, content, LEN);
		if (!shared)
			seal(&m, i);
	}
	for (int i = 0; shared && i < FILES; i++)
		seal(&m, i);
	return m;
}

static struct many make_many(uint64_t seed)
{
	return make_files(seed, false);
}

static bool is_here(struct many *m, int i)
{
	struct store_txn *t;
	struct chunk_row c;
	assert_int_equal(store_begin(m->f->store, &t), 0);
	assert_int_equal(txn_chunk_get(t, m->chunk[i], &c), 0);
	store_abort(&t);
	return c.here;
}

static void use(struct many *m, int i)
{
	uint8_t got[10];
	uint64_t chunk;
	size_t n;
	fake_env_advance(m->f->env, INT64_C(3600) * 1000000000);
	assert_int_equal(store_read(m->f->store, m->ino[i], 0, got, sizeof got, &n, &chunk), 0);
	assert_int_equal(store_tend(m->f->store), 0);
}

/* Leaves room for four files of ten; 90 % of it is aimed for, so three stay. */
static void what_was_not_used_for_longest_goes_first(void **state)
{
	struct many m = make_many(9);
	(void)state;
	use(&m, 1);
	use(&m, 0);
	fake_env_advance(m.f->env, INT64_C(3600) * 1000000000);
	store_hold_open(m.f->store, m.ino[5]); /* only opened: what is read may be in the kernel */
	store_release_open(m.f->store, m.ino[5]);
	assert_int_equal(store_tend(m.f->store), 0);
	store_fixture_reopen(m.f);
	assert_int_equal(store_set_limit(m.f->store, 4 * LEN), 0);
	assert_int_equal(store_tend(m.f->store), 0);
	for (int i = 0; i < FILES; i++)
		assert_true(is_here(&m, i) == (i == 0 || i == 1 || i == 5));
	store_fixture_free(m.f);
}

/* Also on a device that only reads: nothing else tells one use from another. */
static void the_order_of_uses_needs_no_writes(void **state)
{
	struct many m = make_many(15);
	(void)state;
	for (int i = FILES; i-- > 0;)
		use(&m, i);
	store_fixture_reopen(m.f);
	use(&m, 9);
	assert_int_equal(store_set_limit(m.f->store, 4 * LEN), 0);
	assert_int_equal(store_tend(m.f->store), 0);
	for (int i = 0; i < FILES; i++)
		assert_true(is_here(&m, i) == (i == 0 || i == 1 || i == 9));
	store_fixture_free(m.f);
}

static void pinned_and_open_files_stay_under_any_limit(void **state)
{
	struct many m = make_many(10);
	(void)state;
	assert_int_equal(store_pin(m.f->store, m.ino[2], true), 0);
	store_hold_open(m.f->store, m.ino[3]);
	assert_int_equal(store_set_limit(m.f->store, LEN), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_tend(m.f->store), 0);
	for (int i = 0; i < FILES; i++)
		assert_true(is_here(&m, i) == (i == 2 || i == 3));
	store_release_open(m.f->store, m.ino[3]);
	store_fixture_free(m.f);
}

/* Of a file and nine copies that take no room; until one is written, the limit is far. */
static void bytes_that_files_share_count_once(void **state)
{
	struct many m = make_files(13, true);
	struct store_stat st;
	(void)state;
	assert_int_equal(store_stat(m.f->store, &st), 0);
	assert_true(st.live_bytes >= FILES * LEN / 2);
	assert_int_equal(store_set_limit(m.f->store, 4 * LEN), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_tend(m.f->store), 0);
	for (int i = 0; i < FILES; i++)
		assert_true(is_here(&m, i));
	store_fixture_free(m.f);
}

/* Whatever it is that changed: here, the mode alone. */
static void changed_files_stay_under_any_limit(void **state)
{
	struct many m = make_many(12);
	struct node attr = { .mode = 0600 }, n;
	uint64_t freed;
	(void)state;
	assert_int_equal(store_setattr(m.f->store, m.ino[4], ATTR_MODE, &attr, &n), 0);
	assert_int_equal(store_evict(m.f->store, m.ino[4], &freed), ERR_BUSY);
	assert_int_equal(store_set_limit(m.f->store, LEN), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_tend(m.f->store), 0);
	for (int i = 0; i < FILES; i++)
		assert_true(is_here(&m, i) == (i == 4));
	store_fixture_free(m.f);
}

/* Files that share chunks: what comes for one is looked for in each from where that one's last was missing, not from the start. */
static void each_file_remembers_what_it_misses(void **state)
{
	enum { N = 20 };
	struct store_fixture *f = store_fixture_new(14);
	uint64_t ino[] = { store_fixture_make(f, f->root, "a", NODE_FILE),
		store_fixture_make(f, f->root, "b", NODE_FILE) };
	uint64_t chunk[N];
	struct store_txn *t;
	struct node n;
	(void)state;
	assert_int_equal(store_begin(f->store, &t), 0);
	for (uint64_t i = 0; i < N; i++) {
		chunk[i] = add_chunk(f, t, (uint8_t)(i + 1));
		for (int k = 0; k < 2; k++)
			assert_int_equal(txn_content_ref(t, ino[k], i * LEN, LEN, chunk[i], 0), 0);
	}
	commit(&t);
	for (uint64_t i = 0; i < N; i++) {
		unsigned right = 0;
		for (int k = 0; k < 2; k++) {
			assert_int_equal(store_getattr(f->store, ino[k], &n), 0);
			assert_true(n.flags & NODE_PARTIAL);
		}
		assert_int_equal(store_begin(f->store, &t), 0);
		assert_int_equal(txn_chunk_fill(t, chunk[i], bytes_of(content, LEN)), 0);
		commit(&t);
		for (size_t h = 0; h < ABSENT; h++)
			right += f->store->absent[h].ino != 0 && f->store->absent[h].off == (i + 1) * LEN;
		assert_int_equal(right, i + 1 < N ? 2 : 0);
	}
	for (int k = 0; k < 2; k++) {
		assert_int_equal(store_getattr(f->store, ino[k], &n), 0);
		assert_false(n.flags & NODE_PARTIAL);
	}
	store_fixture_free(f);
}

static void a_limit_is_kept_over_restarts(void **state)
{
	struct many m = make_many(11);
	struct store_stat st;
	(void)state;
	assert_int_equal(store_set_limit(m.f->store, 5 * LEN), 0);
	store_fixture_crash(m.f, FAKE_KEEP_ALL);
	assert_int_equal(store_stat(m.f->store, &st), 0);
	assert_int_equal(st.limit, 5 * LEN);
	assert_int_equal(store_tend(m.f->store), 0);
	assert_int_equal(store_stat(m.f->store, &st), 0);
	assert_true(st.live_bytes <= 5 * LEN);
	assert_int_equal(store_set_limit(m.f->store, 0), 0);
	store_fixture_reopen(m.f);
	assert_int_equal(store_stat(m.f->store, &st), 0);
	assert_int_equal(st.limit, 0);
	store_fixture_free(m.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(adopting_copies_nothing_and_cleans_the_node),
		cmocka_unit_test(only_confirmed_content_is_evicted_and_comes_back),
		cmocka_unit_test(a_write_over_a_chunk_needs_no_content),
		cmocka_unit_test(a_chunk_that_nothing_names_is_collected),
		cmocka_unit_test(adopting_what_changed_is_a_conflict), cmocka_unit_test(the_limit_evicts_what_may_go),
		cmocka_unit_test(what_was_not_used_for_longest_goes_first),
		cmocka_unit_test(the_order_of_uses_needs_no_writes),
		cmocka_unit_test(pinned_and_open_files_stay_under_any_limit),
		cmocka_unit_test(changed_files_stay_under_any_limit),
		cmocka_unit_test(bytes_that_files_share_count_once),
		cmocka_unit_test(each_file_remembers_what_it_misses), cmocka_unit_test(a_limit_is_kept_over_restarts) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
