/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify reads every page of the index: one that does not open is told once, unless what the log has will replace it.
 */
#include <fcntl.h>
#include <stdio.h>
#include "cache/txn.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { PAGE = 4096, FILES = 120 };

struct told {
	unsigned index, nodes;
};

static void note(void *ctx, uint64_t ino, int err)
{
	struct told *t = ctx;
	assert_true(err < 0);
	t->nodes += ino != 0;
	t->index += ino == 0;
}

static struct told verify(struct store_fixture *f)
{
	struct told t = { 0 };
	uint64_t checked;
	assert_int_equal(store_verify(f->store, note, &t, &checked), 0);
	assert_true(checked > 0);
	return t;
}

/* Returns the number of pages. */
static uint64_t flip(struct store_fixture *f, uint64_t page)
{
	const struct env *env = fake_env_get(f->env);
	uint8_t byte;
	int fd = env->open(env->ctx, FAKE_DIR, "index", O_RDWR, 0);
	assert_true(fd >= 0);
	int64_t size = env->fsize(env->ctx, fd);
	off_t at = (off_t)(page * PAGE + 100);
	assert_int_equal(env->pread(env->ctx, fd, &byte, 1, at), 1);
	byte ^= 8;
	assert_int_equal(env->pwrite(env->ctx, fd, &byte, 1, at), 0);
	env->close(env->ctx, fd);
	return (uint64_t)size / PAGE;
}

/* With a checkpoint in every turn, or none. */
static void open_again(struct store_fixture *f, uint64_t frames)
{
	store_close(f->store);
	f->config.checkpoint_frames = frames;
	assert_int_equal(store_fixture_open(f), 0);
}

static void make_files(struct store_fixture *f, char first)
{
	for (int i = 0; i < FILES; i++) {
		char name[16];
		snprintf(name, sizeof name, "%c%d", first, i);
		(void)store_fixture_make(f, f->root, name, NODE_FILE);
	}
}

static void every_page_of_the_index_is_looked_at(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	uint64_t pages = 1;
	(void)state;
	open_again(f, 1);
	make_files(f, 'a');
	assert_int_equal(store_tend(f->store), 0);
	assert_int_equal(verify(f).index, 0);
	for (uint64_t page = 0; page < pages; page++) {
		pages = flip(f, page);
		assert_int_equal(verify(f).index, 1);
		(void)flip(f, page);
	}
	assert_true(pages > 10);
	assert_int_equal(verify(f).index, 0);
	store_fixture_free(f);
}

static void a_page_that_the_log_replaces_is_no_damage(void **state)
{
	struct store_fixture *f = store_fixture_new(2);
	struct id32 before, after;
	uint64_t pages = 1, told = 0;
	(void)state;
	open_again(f, 1);
	make_files(f, 'a');
	assert_int_equal(store_tend(f->store), 0);
	open_again(f, 1000000);
	make_files(f, 'b');
	assert_int_equal(store_tend(f->store), 0);
	assert_int_equal(store_fixture_digest(f, &before), 0);
	for (uint64_t page = 0; page < pages; page++) {
		pages = flip(f, page);
		if (verify(f).index == 1) {
			told++;
			(void)flip(f, page);
		}
	}
	assert_true(told > 0 && told < pages); /* the others stay damaged */
	f->config.checkpoint_frames = 1;
	store_fixture_crash(f, FAKE_KEEP_ALL);
	assert_int_equal(store_fixture_digest(f, &after), 0);
	unit_assert_bytes(bytes_of(after.b, sizeof after.b), bytes_of(before.b, sizeof before.b));
	(void)store_fixture_make(f, f->root, "c", NODE_FILE);
	assert_int_equal(store_tend(f->store), 0); /* the checkpoint mends them */
	assert_int_equal(verify(f).index, 0);
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_page_of_the_index_is_looked_at),
		cmocka_unit_test(a_page_that_the_log_replaces_is_no_damage) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
