/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for the disk keeps nobody from reading: no sync is done with the store's lock held, also when writers go on all the time.
 */
#include <stdlib.h>
#include "cache/txn.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

struct watch {
	struct store_fixture *f;
	uint64_t ino;
	unsigned long syncs; /* seen */
	unsigned locked, gates, writes;
	bool inside;
};

/* After each sync: is the lock free? Who writes does so at once if nothing keeps him. */
static void look(void *ctx)
{
	struct watch *w = ctx;
	struct store *s = w->f->store;
	unsigned long syncs = fake_env_calls(w->f->env, FAKE_FDATASYNC) + fake_env_calls(w->f->env, FAKE_FSYNC);
	struct node n;
	if (w->inside || syncs == w->syncs)
		return;
	w->syncs = syncs;
	if (pthread_mutex_trylock(&s->lock) != 0) {
		w->locked++;
		return;
	}
	pthread_mutex_unlock(&s->lock);
	w->inside = true;
	assert_int_equal(store_getattr(s, w->ino, &n), 0);
	if (atomic_load(&s->gate)) {
		w->gates++;
		assert_true(store_may_wait(s));
	} else {
		w->writes++;
		store_fixture_write(w->f, w->ino, 0, &w->writes, sizeof w->writes);
	}
	w->inside = false;
}

static void no_sync_is_done_under_the_lock(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	(void)state;
	store_close(f->store);
	f->config.checkpoint_frames = 1;
	assert_int_equal(store_fixture_open(f), 0);
	struct watch w = { .f = f, .ino = store_fixture_make(f, f->root, "a", NODE_FILE) };
	fake_env_after_writing(f->env, look, &w);
	for (int i = 0; i < 5; i++)
		assert_int_equal(store_tend(f->store), 0);
	fake_env_after_writing(f->env, NULL, NULL);
	assert_int_equal(w.locked, 0);
	assert_true(w.writes > 0);
	assert_true(w.gates > 0); /* what came before the gate closed was synced behind it */
	assert_false(store_may_wait(f->store));
	store_fixture_write(f, w.ino, 0, "b", 1);
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(no_sync_is_done_under_the_lock) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
