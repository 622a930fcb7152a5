/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads on one store with its housekeeping thread, on the real disk with small segments: each reads back what it wrote, while
 * segments are freed, compacted and checkpointed under it. For the thread sanitizer above all.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { THREADS = 4, ROUNDS = 150, LEN = 20000 };

struct worker {
	struct store_fixture *f;
	pthread_t thread;
	uint64_t ino, seed;
	int failed; /* line of the first failure: cmocka's asserts are for the main thread */
};

#define CHECK(w, what) \
	do { \
		if (!(what)) { \
			(w)->failed = __LINE__; \
			return NULL; \
		} \
	} while (0)

static void *work(void *ctx)
{
	struct worker *w = ctx;
	FREE_AFTER uint8_t *data = malloc(LEN), *got = malloc(LEN);
	char name[32], other[48];
	struct node_new new = { .kind = NODE_FILE, .mode = 0600 };
	struct node n;
	uint64_t chunk, ino;
	size_t len;
	for (int i = 0; i < ROUNDS; i++) {
		memset(data, (int)unit_random(&w->seed), LEN);
		CHECK(w, store_write(w->f->store, w->ino, 0, data, LEN) == 0);
		CHECK(w, store_read(w->f->store, w->ino, 0, got, LEN, &len, &chunk) == 0 && len == LEN);
		CHECK(w, memcmp(data, got, LEN) == 0);
		snprintf(name, sizeof name, "t%llu-%d", (unsigned long long)w->ino, i);
		snprintf(other, sizeof other, "%s-renamed", name);
		CHECK(w, store_create(w->f->store, w->f->root, bytes_str(name), &new, &n) == 0);
		CHECK(w, store_rename(
				 w->f->store, w->f->root, bytes_str(name), w->f->root, bytes_str(other), 0, &ino) == 0);
		CHECK(w, store_unlink(w->f->store, w->f->root, bytes_str(other), false, &ino) == 0);
		if (i % 20 == 0)
			CHECK(w, store_sync(w->f->store) == 0);
		if (i % 30 == 0)
			CHECK(w, store_tend(w->f->store) == 0);
	}
	return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
	struct store_fixture *f = store_fixture_real();
	struct worker w[THREADS];
	struct store_stat st;
	(void)state;
	store_close(f->store);
	f->config.no_thread = false;
	f->config.segment_size = 256 * 1024;
	f->config.checkpoint_frames = 50;
	assert_int_equal(store_fixture_open(f), 0);
	for (size_t i = 0; i < THREADS; i++) {
		char name[] = { 'f', (char)('0' + i), 0 };
		w[i] = (struct worker){ .f = f, .seed = i + 1, .ino = store_fixture_make(f, f->root, name, NODE_FILE) };
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		assert_int_equal(w[i].failed, 0);
	}
	for (int i = 0; i < 6; i++)
		assert_int_equal(store_tend(f->store), 0);
	assert_int_equal(store_stat(f->store, &st), 0);
	assert_int_equal(st.live_bytes, THREADS * LEN);
	assert_true(st.segment_bytes < 40 * 256 * 1024);
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(threads_do_not_disturb_each_other) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
