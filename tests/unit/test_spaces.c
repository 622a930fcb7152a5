/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of spaces while the store takes its time. */
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>
#include "server/depot_sql.h"
#include "server/spaces.h"
#include "tests/lib/relay_bench.h"

/* A connection whose first entry of a log comes when it is let go. */
struct slow_store {
	struct depot_engine engine; /* first: what the connection points to */
	const struct depot_engine *real;
	struct depot *store;
	sem_t there, go;
	int err; /* what it answers then, or 0 for the truth */
	bool held;
};

static int slow_row(struct sql_stmt *q)
{
	struct slow_store *w = (struct slow_store *)(uintptr_t)q->s->engine;

	if (q->st == ST_ENTRIES && !w->held) {
		w->held = true;
		sem_post(&w->there);
		sem_wait(&w->go);
		if (w->err)
			return w->err;
	}
	return w->real->row(q);
}

static void slow_open(struct slow_store *w, struct relay_bench *r)
{
	memset(w, 0, sizeof *w);
	assert_int_equal(depot_open_reader(r->relay.store, &w->store), 0);
	w->real = w->store->engine;
	w->engine = *w->real;
	w->engine.row = slow_row;
	w->store->engine = &w->engine;
	sem_init(&w->there, 0, 0);
	sem_init(&w->go, 0, 0);
}

static void slow_close(struct slow_store *w)
{
	depot_close(w->store);
	sem_destroy(&w->there);
	sem_destroy(&w->go);
}

struct getter {
	struct spaces *spaces;
	struct depot *store;
	struct id16 id;
	struct space *space;
	int err;
};

static void *get_space(void *arg)
{
	struct getter *g = arg;

	g->err = spaces_get(g->spaces, g->store, &g->id, &g->space);
	return NULL;
}

struct scene {
	struct relay_bench r;
	struct party alice;
	struct new_space s[2];
	struct id16 id[2];
};

/* Two spaces that nobody has asked for since the relay started. */
static void scene_open(struct scene *x)
{
	struct caller *c;

	relay_bench_open(&x->r);
	party_init(&x->alice, "laptop");
	c = bench_caller(&x->alice);
	for (int i = 0; i < 2; i++) {
		party_space(&x->alice, &x->s[i]);
		x->id[i] = *log_space(x->s[i].log);
		bench_space(&x->r, c, &x->s[i]);
	}
	caller_unref(c);
	relay_bench_restart(&x->r);
	alarm(60);
}

static void scene_close(struct scene *x)
{
	alarm(0);
	for (int i = 0; i < 2; i++)
		new_space_release(&x->s[i]);
	party_release(&x->alice);
	relay_bench_close(&x->r);
}

/* The first of two who want one space, with `err` from its store; meanwhile others go on. */
static void load_at_once(struct scene *x, int err)
{
	struct spaces *all = x->r.relay.spaces;
	struct slow_store w;
	struct getter first = { .spaces = all, .id = x->id[0] }, second = first;
	struct space *other;
	struct space_view v;
	pthread_t a, b;

	slow_open(&w, &x->r);
	w.err = err;
	first.store = w.store;
	assert_int_equal(depot_open_reader(x->r.relay.store, &second.store), 0);
	assert_int_equal(spaces_get(all, x->r.reader, &x->id[1], &other), 0);
	assert_int_equal(pthread_create(&a, NULL, get_space, &first), 0);
	sem_wait(&w.there);
	/* what the network thread does, and other readers */
	spaces_put(all, spaces_ref(all, other));
	spaces_put(all, other);
	assert_int_equal(spaces_get(all, x->r.reader, &x->id[1], &other), 0);
	assert_int_equal(pthread_create(&b, NULL, get_space, &second), 0);
	sem_post(&w.go);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	assert_int_equal(first.err, err);
	assert_int_equal(second.err, 0);
	v = space_view(second.space);
	assert_int_equal(log_count(v.log->log), 3);
	space_view_release(&v);
	if (!err) {
		assert_ptr_equal(first.space, second.space);
		spaces_put(all, first.space);
	}
	spaces_put(all, second.space);
	spaces_put(all, other);
	depot_close(second.store);
	slow_close(&w);
}

static void a_space_that_loads_keeps_nobody_waiting(void **state)
{
	struct scene x;

	(void)state;
	scene_open(&x);
	load_at_once(&x, 0);
	scene_close(&x);
}

static void a_space_that_did_not_load_is_tried_again(void **state)
{
	struct scene x;

	(void)state;
	scene_open(&x);
	load_at_once(&x, ERR_IO);
	scene_close(&x);
}

static void what_is_not_there_leaves_no_place(void **state)
{
	const struct id16 none = { { 7 } };
	struct spaces *all;
	struct space *sp;
	struct scene x;

	(void)state;
	scene_open(&x);
	all = x.r.relay.spaces;
	assert_int_equal(spaces_get(all, x.r.reader, &none, &sp), ERR_NOT_FOUND);
	assert_int_equal(spaces_get_new(all, x.r.relay.store, &none, &sp), 0);
	assert_null(sp->published.log);
	spaces_put(all, sp);
	assert_int_equal(spaces_get(all, x.r.reader, &none, &sp), ERR_NOT_FOUND);
	scene_close(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_space_that_loads_keeps_nobody_waiting),
		cmocka_unit_test(a_space_that_did_not_load_is_tried_again),
		cmocka_unit_test(what_is_not_there_leaves_no_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
