/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pin covers: a folder and all that is in it, comes to it or is moved to it, but for what was taken out; and which chunks are
 * wanted for it.
 */
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { LEN = 5000 };

static bool pinned(struct store_fixture *f, uint64_t ino)
{
	bool is = false;
	assert_int_equal(store_pinned(f->store, ino, &is), 0);
	return is;
}

static void pin(struct store_fixture *f, uint64_t ino, bool on)
{
	assert_int_equal(store_pin(f->store, ino, on), 0);
}

static uint32_t marks(struct store_fixture *f, uint64_t ino)
{
	struct node n;
	assert_int_equal(store_getattr(f->store, ino, &n), 0);
	return n.flags & (uint32_t)(NODE_PINNED | NODE_UNPINNED);
}

/* A file whose content is one chunk that only the relay has. */
static uint64_t make_remote(struct store_fixture *f, uint64_t dir, const char *name, uint8_t id, uint64_t *ret_chunk)
{
	struct chunk_row c = { .space = f->space, .id = { { id } }, .len = LEN, .hash = { { id } }, .confirmed = true };
	uint64_t ino = store_fixture_make(f, dir, name, NODE_FILE);
	struct store_txn *t;
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_chunk_add(t, &c), 0);
	assert_int_equal(txn_content_ref(t, ino, 0, LEN, c.row, 0), 0);
	assert_int_equal(txn_mark_clean(t, ino), 0);
	assert_int_equal(store_commit(&t), 0);
	*ret_chunk = c.row;
	return ino;
}

static void fill(struct store_fixture *f, uint64_t chunk)
{
	static const uint8_t content[LEN];
	struct store_txn *t;
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_chunk_fill(t, chunk, bytes_of(content, LEN)), 0);
	assert_int_equal(store_commit(&t), 0);
}

/* Another file in dir that names the chunk. */
static uint64_t share(struct store_fixture *f, uint64_t dir, const char *name, uint64_t chunk)
{
	uint64_t ino = store_fixture_make(f, dir, name, NODE_FILE);
	struct store_txn *t;
	assert_int_equal(store_begin(f->store, &t), 0);
	assert_int_equal(txn_content_ref(t, ino, 0, LEN, chunk, 0), 0);
	assert_int_equal(txn_mark_clean(t, ino), 0);
	assert_int_equal(store_commit(&t), 0);
	return ino;
}

/* The chunk that the look finds next; 0: none. `most` are looked at in one go; *turns: how many goes it took. */
static uint64_t wanted_in(struct store_fixture *f, struct pin_look *look, size_t most, unsigned *turns)
{
	struct chunk_row c;
	int err;
	*turns = 0;
	do {
		struct store_txn *t;
		size_t left = most;
		assert_int_equal(store_begin(f->store, &t), 0);
		err = txn_pinned_absent(t, look, &left, &c);
		store_abort(&t);
		assert_true(left <= most && (err != ERR_AGAIN || left == 0));
		++*turns;
	} while (err == ERR_AGAIN);
	if (err == ERR_NOT_FOUND)
		return 0;
	assert_int_equal(err, 0);
	assert_int_equal(c.row, look->row);
	return c.row;
}

static uint64_t wanted(struct store_fixture *f, struct pin_look *look, size_t most)
{
	unsigned turns;
	return wanted_in(f, look, most, &turns);
}

static void a_folder_pins_what_is_in_it_and_what_comes(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	uint64_t a = store_fixture_make(f, f->root, "a", NODE_DIR), b = store_fixture_make(f, a, "b", NODE_DIR);
	uint64_t old = store_fixture_make(f, b, "old", NODE_FILE),
		 away = store_fixture_make(f, f->root, "away", NODE_FILE);
	uint64_t none;
	struct node n;
	(void)state;
	pin(f, a, true);
	uint64_t later = store_fixture_make(f, b, "later", NODE_FILE);
	assert_true(pinned(f, a) && pinned(f, b) && pinned(f, old) && pinned(f, later));
	assert_false(pinned(f, away) || pinned(f, f->root));
	assert_int_equal(store_rename(f->store, f->root, bytes_str("away"), b, bytes_str("here"), 0, &none), 0);
	assert_true(pinned(f, away));
	assert_int_equal(store_link(f->store, old, f->root, bytes_str("other name"), &n), 0);
	assert_true(pinned(f, old));
	store_fixture_crash(f, FAKE_KEEP_ALL);
	assert_true(pinned(f, later));
	pin(f, a, false);
	assert_false(pinned(f, a) || pinned(f, later) || pinned(f, old));
	store_fixture_free(f);
}

static void the_nearest_mark_counts_and_none_is_kept_without_need(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	uint64_t a = store_fixture_make(f, f->root, "a", NODE_DIR), b = store_fixture_make(f, a, "b", NODE_DIR);
	uint64_t c = store_fixture_make(f, b, "c", NODE_FILE);
	(void)state;
	pin(f, a, true);
	pin(f, b, true);
	assert_int_equal(marks(f, b), 0);
	pin(f, b, false);
	assert_int_equal(marks(f, b), NODE_UNPINNED);
	assert_true(pinned(f, a));
	assert_false(pinned(f, b) || pinned(f, c));
	pin(f, c, true);
	assert_true(pinned(f, c));
	pin(f, b, true);
	pin(f, c, true);
	assert_int_equal(marks(f, b) | marks(f, c), 0);
	assert_true(pinned(f, b) && pinned(f, c));
	store_fixture_free(f);
}

static void only_what_is_pinned_and_absent_is_wanted(void **state)
{
	struct store_fixture *f = store_fixture_new(3);
	uint64_t a = store_fixture_make(f, f->root, "a", NODE_DIR);
	struct pin_look look = { .row = 0 };
	uint64_t one, two, other, moved, late, none;
	(void)state;
	make_remote(f, a, "one", 1, &one);
	make_remote(f, f->root, "other", 2, &other);
	make_remote(f, f->root, "moved", 3, &moved);
	make_remote(f, a, "two", 4, &two);
	assert_int_equal(wanted(f, &look, 1000), 0);
	pin(f, a, true);
	for (size_t most = 1; most < 4; most++) {
		look = (struct pin_look){ .row = 0 };
		assert_int_equal(wanted(f, &look, most), one);
		assert_int_equal(wanted(f, &look, most), two);
		assert_int_equal(wanted(f, &look, most), 0);
	}
	make_remote(f, a, "late", 5, &late); /* found from where the last look ended */
	assert_int_equal(wanted(f, &look, 1), late);
	fill(f, one);
	fill(f, late);
	assert_int_equal(store_rename(f->store, f->root, bytes_str("moved"), a, bytes_str("moved"), 0, &none), 0);
	look = (struct pin_look){ .row = 0 };
	assert_int_equal(wanted(f, &look, 1000), moved);
	assert_int_equal(wanted(f, &look, 1000), two);
	assert_int_equal(wanted(f, &look, 1000), 0);
	store_fixture_free(f);
}

/* Files that name one chunk, and folders above them, count: no turn under the lock goes over more of them than it may. */
static void owners_and_folders_are_looked_at_some_at_a_time(void **state)
{
	enum { FILES = 100, DEPTH = 50, MOST = 8 };
	struct store_fixture *f = store_fixture_new(5);
	struct pin_look look = { .row = 0 };
	uint64_t a = store_fixture_make(f, f->root, "a", NODE_DIR), deep = f->root, chunk;
	unsigned turns;
	(void)state;
	for (unsigned i = 0; i < DEPTH; i++)
		deep = store_fixture_make(f, deep, "deep", NODE_DIR);
	make_remote(f, deep, "first", 1, &chunk);
	for (unsigned i = 0; i < FILES; i++) {
		char name[] = { 'f', (char)('0' + i / 10), (char)('0' + i % 10), '\0' };
		share(f, deep, name, chunk);
	}
	pin(f, a, true);
	assert_int_equal(wanted_in(f, &look, MOST, &turns), 0);
	assert_in_range(turns, (FILES + DEPTH) / MOST, (5 * FILES + 2 * DEPTH) / MOST); /* up the folders once */
	share(f, a, "last", chunk);
	for (size_t most = 1; most < MOST; most++) {
		look = (struct pin_look){ .row = 0 };
		assert_int_equal(wanted(f, &look, most), chunk);
		assert_int_equal(wanted(f, &look, most), 0);
	}
	store_fixture_free(f);
}

static void what_its_folder_pins_is_not_evicted(void **state)
{
	struct store_fixture *f = store_fixture_new(4);
	uint64_t a = store_fixture_make(f, f->root, "a", NODE_DIR), chunk, freed = 0;
	uint64_t ino = make_remote(f, a, "one", 1, &chunk);
	(void)state;
	fill(f, chunk);
	pin(f, a, true);
	assert_int_equal(store_evict(f->store, ino, &freed), ERR_BUSY);
	pin(f, ino, false);
	assert_int_equal(store_evict(f->store, ino, &freed), 0);
	assert_int_equal(freed, LEN);
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_folder_pins_what_is_in_it_and_what_comes),
		cmocka_unit_test(the_nearest_mark_counts_and_none_is_kept_without_need),
		cmocka_unit_test(only_what_is_pinned_and_absent_is_wanted),
		cmocka_unit_test(owners_and_folders_are_looked_at_some_at_a_time),
		cmocka_unit_test(what_its_folder_pins_is_not_evicted) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
