/* SPDX-License-Identifier: Apache-2.0 */
/* How much of what a relay keeps of a space is history, and who is told. */
#include <stdlib.h>
#include "server/history.h"
#include "server/housekeeping.h"
#include "tests/lib/relay_bench.h"
#include "wire/map.h"

#define DAY 86400
#define RETENTION (30ll * DAY)
#define CHUNKS 24 /* of the pool; those from LEAVES on name others */
#define LEAVES 16
#define RECORDS 12
#define VERSIONS 400
#define NAMED 4

struct version {
	size_t record, named[NAMED], n;
	uint64_t len;
	int64_t replaced; /* unix s; 0: it is current */
};

struct world {
	struct relay_bench r;
	struct party alice;
	struct new_space s;
	struct caller *c;
	uint64_t number, no;

	struct sealed chunks[CHUNKS];
	uint32_t names[CHUNKS]; /* what each names, as a set of the pool's */
	struct version versions[VERSIONS];
	size_t n;
	struct sealed current[RECORDS];
};

static void open_world(struct world *w)
{
	struct depot_space row;

	memset(w, 0, sizeof *w);
	relay_bench_open(&w->r);
	party_init(&w->alice, "laptop");
	party_space(&w->alice, &w->s);
	w->c = bench_caller(&w->alice);
	bench_space(&w->r, w->c, &w->s);
	assert_int_equal(depot_space_find(w->r.reader, log_space(w->s.log), &row), 0);
	w->no = row.no;
}

static void close_world(struct world *w)
{
	for (size_t i = 0; i < CHUNKS; i++)
		sealed_release(&w->chunks[i]);
	for (size_t i = 0; i < RECORDS; i++)
		sealed_release(&w->current[i]);
	caller_unref(w->c);
	new_space_release(&w->s);
	party_release(&w->alice);
	relay_bench_close(&w->r);
}

static struct answer push(struct world *w, const struct sealed *record, const struct sealed *chunks, size_t n)
{
	struct buf params = BUF_INIT(FRAME_MAX);

	params_push(
		&params, log_space(w->s.log), ++w->number, -1, record, record != NULL, chunks, n, bytes_of(NULL, 0));
	return bench_call(&w->r, w->c, "coffer.push", &params);
}

static void must_push(struct world *w, const struct sealed *record, const struct sealed *chunks, size_t n)
{
	struct answer a = push(w, record, chunks, n);

	assert_true(answer_ok(&a));
	answer_release(&a);
}

static uint64_t count(struct world *w)
{
	uint64_t bytes = UINT64_MAX;

	assert_int_equal(depot_begin_read(w->r.reader), 0);
	assert_int_equal(history_count(w->r.relay.env, w->r.reader, w->no, INT64_MAX, &bytes), 0);
	depot_end_read(w->r.reader);
	return bytes;
}

static struct answer ask(struct world *w, struct caller *c)
{
	struct buf params = BUF_INIT(FRAME_MAX);

	params_space(&params, "space", log_space(w->s.log));
	return bench_call(&w->r, c, "coffer.usage", &params);
}

static uint64_t told(const struct answer *a, const char *key)
{
	return map_get_uint(a->last.value, key, UINT64_MAX);
}

static void clean_up(struct world *w, int64_t seconds)
{
	fake_env_advance(w->r.env, seconds * 1000000000);
	while (housekeeping_step(&w->r.relay) > 0)
		;
}

/* --- against a plain look at everything --- */

static uint32_t below(const struct world *w, uint32_t set)
{
	uint32_t all = 0;

	while (all != set) {
		all = set;
		for (size_t i = 0; i < CHUNKS; i++)
			set |= all >> i & 1 ? w->names[i] : 0;
	}
	return all;
}

static uint64_t expected(const struct world *w)
{
	const int64_t now = relay_now(&w->r.relay);
	uint32_t held = 0, named = 0;
	uint64_t bytes = 0;

	for (size_t i = 0; i < w->n; i++) {
		const struct version *v = &w->versions[i];

		if (v->replaced && v->replaced + RETENTION <= now)
			continue;
		bytes += v->replaced ? v->len : 0;
		for (size_t k = 0; k < v->n; k++)
			*(v->replaced ? &named : &held) |= 1u << v->named[k];
	}
	named = below(w, named) & ~below(w, held);
	for (size_t i = 0; i < CHUNKS; i++)
		bytes += named >> i & 1 ? w->chunks[i].blob.len : 0;
	return bytes;
}

/* Chunks of different sizes, and such that name leaves and one another. */
static void make_pool(struct world *w)
{
	for (size_t i = 0; i < CHUNKS; i++) {
		struct id16 ids[NAMED];
		size_t n = i < LEAVES ? 0 : 1 + (size_t)rand() % NAMED;

		for (size_t k = 0; k < n; k++) {
			size_t which = (size_t)rand() % (i < LEAVES + 4 ? LEAVES : LEAVES + 4);

			ids[k] = w->chunks[which].id;
			w->names[i] |= 1u << which;
		}
		if (n)
			sealed_index(&w->s, ids, n, &w->chunks[i]);
		else
			sealed_chunk(&w->s, NULL, 100 + 50 * i, &w->chunks[i]);
	}
}

/* One more version of some record, which names anything, also the same twice. */
static void change(struct world *w)
{
	struct version *v = &w->versions[w->n];
	struct sealed next, *was;
	struct id16 ids[NAMED];

	v->record = (size_t)rand() % RECORDS;
	v->n = (size_t)rand() % (NAMED + 1);
	for (size_t i = 0; i < v->n; i++) {
		v->named[i] = (size_t)rand() % CHUNKS;
		ids[i] = w->chunks[v->named[i]].id;
	}
	was = &w->current[v->record];
	sealed_record(&w->alice, &w->s,
		(struct sealed_params){ .id = was->blob.len ? &was->id : NULL,
			.version = w->n + 1,
			.prev = was->blob.len ? &was->hash : NULL,
			.chunks = ids,
			.n_chunks = v->n },
		&next);
	must_push(w, &next, w->chunks, CHUNKS);
	for (size_t i = 0; i < w->n; i++)
		if (w->versions[i].record == v->record && !w->versions[i].replaced)
			w->versions[i].replaced = relay_now(&w->r.relay);
	v->len = next.blob.len;
	w->n++;
	sealed_release(was);
	*was = next;
}

static void history_is_what_would_go_with_it(void **state)
{
	struct world w;
	uint64_t most = 0, all, of_owner;

	(void)state;
	srand(5);
	open_world(&w);
	make_pool(&w);
	assert_int_equal(count(&w), 0);
	for (int round = 0; round < 12; round++) {
		for (int i = 0; i < 15; i++) {
			change(&w);
			assert_int_equal(count(&w), expected(&w));
		}
		most = count(&w) > most ? count(&w) : most;
		clean_up(&w, 5 * DAY);
		assert_int_equal(count(&w), expected(&w));
	}
	assert_true(most > 10000);
	clean_up(&w, RETENTION);
	assert_int_equal(count(&w), 0);
	assert_int_equal(depot_space_bytes(w.r.reader, w.no, &all, &of_owner), 0);
	assert_true(all > 0);
	close_world(&w);
}

/* --- who is told --- */

static void replace_one(struct world *w)
{
	struct sealed first, second;

	sealed_chunk(&w->s, NULL, 50000, &w->chunks[0]);
	sealed_record(&w->alice, &w->s, (struct sealed_params){ .chunks = &w->chunks[0].id, .n_chunks = 1 }, &first);
	must_push(w, &first, w->chunks, 1);
	sealed_record(&w->alice, &w->s, (struct sealed_params){ .id = &first.id, .version = 2, .prev = &first.hash },
		&second);
	must_push(w, &second, NULL, 0);
	w->versions[0].len = first.blob.len;
	w->versions[1].len = second.blob.len;
	sealed_release(&first);
	sealed_release(&second);
}

static void set_quota(struct world *w, const char *value)
{
	struct config *c = bench_config(w->r.dir, w->r.database);
	struct config_fault fault;

	assert_int_equal(config_set(c, "storage.space_bytes", value, &fault), 0);
	assert_int_equal(relay_configure(&w->r.relay, c, &(unsigned){ 0 }), 0);
}

static void members_are_told(void **state)
{
	struct world w;
	struct party eve;
	struct caller *stranger;
	struct answer a;
	uint64_t history;

	(void)state;
	open_world(&w);
	replace_one(&w);
	history = w.versions[0].len + w.chunks[0].blob.len;
	a = ask(&w, w.c);
	assert_int_equal(told(&a, "history"), history);
	assert_int_equal(told(&a, "used"), history + w.versions[1].len);
	assert_int_equal(told(&a, "quota"), UINT64_MAX); /* there is none */
	answer_release(&a);
	set_quota(&w, "123456");
	a = ask(&w, w.c);
	assert_int_equal(told(&a, "quota"), 123456);
	answer_release(&a);

	party_init(&eve, "laptop");
	stranger = bench_caller(&eve);
	a = ask(&w, stranger);
	assert_true(answer_refused(&a, "forbidden"));
	answer_release(&a);
	caller_unref(stranger);
	party_release(&eve);
	close_world(&w);
}

/* The writer counts nothing: it tells what somebody had counted, for an hour. */
static void a_refused_push_tells_it_too(void **state)
{
	struct world w;
	struct sealed more;
	struct answer a;
	uint64_t history;

	(void)state;
	open_world(&w);
	replace_one(&w);
	history = w.versions[0].len + w.chunks[0].blob.len;
	set_quota(&w, "60000");
	sealed_chunk(&w.s, NULL, 60000, &more);
	a = push(&w, NULL, &more, 1);
	assert_true(answer_refused(&a, "storage_full"));
	assert_int_equal(told(&a, "used"), history + w.versions[1].len);
	assert_int_equal(told(&a, "quota"), 60000);
	assert_int_equal(told(&a, "history"), UINT64_MAX);
	answer_release(&a);
	a = ask(&w, w.c);
	answer_release(&a);
	a = push(&w, NULL, &more, 1);
	assert_true(answer_refused(&a, "storage_full"));
	assert_int_equal(told(&a, "history"), history);
	answer_release(&a);
	fake_env_advance(w.r.env, HISTORY_KEEP_NS);
	a = push(&w, NULL, &more, 1);
	assert_true(answer_refused(&a, "storage_full"));
	assert_int_equal(told(&a, "history"), UINT64_MAX);
	answer_release(&a);
	sealed_release(&more);
	close_world(&w);
}

static uint64_t history_told(struct world *w)
{
	struct answer a = ask(w, w->c);
	uint64_t n = told(&a, "history");

	answer_release(&a);
	return n;
}

static void it_is_counted_now_and_then(void **state)
{
	struct world w;
	uint64_t history;

	(void)state;
	open_world(&w);
	assert_int_equal(history_told(&w), 0);
	replace_one(&w);
	history = w.versions[0].len + w.chunks[0].blob.len;
	fake_env_advance(w.r.env, HISTORY_FRESH_NS - 1000000000);
	assert_int_equal(history_told(&w), 0);
	fake_env_advance(w.r.env, 1000000000);
	assert_int_equal(history_told(&w), history);
	/* Never more than there is. */
	clean_up(&w, RETENTION);
	assert_int_equal(history_told(&w), 0);
	close_world(&w);
}

/* Of many spaces in turn those asked last are remembered, and one at a time is counted. */
static void few_are_remembered(void **state)
{
	static struct history h = HISTORY_INIT;
	struct world w;
	uint64_t n;

	(void)state;
	open_world(&w);
	replace_one(&w);
	for (uint64_t space = 1; space <= HISTORY_SPACES + 1; space++) {
		fake_env_advance(w.r.env, 1000000);
		assert_int_equal(history_look(&h, w.r.relay.env, w.r.reader, space), 0);
	}
	const int64_t now = w.r.relay.env->mono_ns(w.r.relay.env->ctx);

	assert_false(history_known(&h, 1, now, &n));
	for (uint64_t space = 2; space <= HISTORY_SPACES + 1; space++)
		assert_true(history_known(&h, space, now, &n));
	h.counting = true;
	assert_int_equal(history_look(&h, w.r.relay.env, w.r.reader, 1), 0);
	assert_false(history_known(&h, 1, now, &n));
	close_world(&w);
}

/* Also while there is nothing but versions to look at. */
static void a_count_ends_in_time(void **state)
{
	struct sealed first, second;
	struct world w;
	uint64_t n;

	(void)state;
	open_world(&w);
	const int64_t now = w.r.relay.env->mono_ns(w.r.relay.env->ctx);

	sealed_record(&w.alice, &w.s, (struct sealed_params){ 0 }, &first);
	must_push(&w, &first, NULL, 0);
	sealed_record(
		&w.alice, &w.s, (struct sealed_params){ .id = &first.id, .version = 2, .prev = &first.hash }, &second);
	must_push(&w, &second, NULL, 0);
	assert_int_equal(history_count(w.r.relay.env, w.r.reader, w.no, now + 1, &n), 0);
	assert_int_equal(n, first.blob.len);
	assert_int_equal(history_count(w.r.relay.env, w.r.reader, w.no, now, &n), ERR_TIMEOUT);
	sealed_release(&first);
	sealed_release(&second);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(history_is_what_would_go_with_it),
		cmocka_unit_test(members_are_told),
		cmocka_unit_test(a_refused_push_tells_it_too),
		cmocka_unit_test(it_is_counted_now_and_then),
		cmocka_unit_test(few_are_remembered),
		cmocka_unit_test(a_count_ends_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
