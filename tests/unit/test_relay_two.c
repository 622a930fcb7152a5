/* SPDX-License-Identifier: Apache-2.0 */
/* Two relays on one store: refused with SQLite, at one with PostgreSQL. */
#include "tests/lib/relay_bench.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "server/rpc.h"
#include "tests/lib/relay_process.h"
#include "tests/lib/rpc_client.h"
#include "tests/lib/test_database.h"

#define SPACES 4
#define ROUNDS 12

static void a_second_relay_on_a_directory_is_refused(void **state)
{
	struct relay_bench r;
	struct relay second;

	(void)state;
	relay_bench_open(&r);
	assert_int_equal(relay_open(&second, fake_env_get(r.env), bench_config(r.dir, r.database)), ERR_BUSY);
	relay_bench_close(&r);
}

struct scene {
	struct relay_bench r[2];
	struct party alice, bob;
	struct new_space s;
	struct id16 space;
	struct caller *a, *b;
	uint64_t number;
};

static int setup(void **state)
{
	struct scene *x = calloc(1, sizeof *x);

	assert_non_null(x);
	relay_bench_open(&x->r[0]);
	relay_bench_open_beside(&x->r[1], &x->r[0]);
	party_init(&x->alice, "laptop");
	party_init(&x->bob, "phone");
	party_space(&x->alice, &x->s);
	x->space = *log_space(x->s.log);
	x->a = bench_caller(&x->alice);
	x->b = bench_caller(&x->bob);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct scene *x = *state;

	caller_unref(x->a);
	caller_unref(x->b);
	new_space_release(&x->s);
	party_release(&x->alice);
	party_release(&x->bob);
	relay_bench_close(&x->r[1]);
	relay_bench_close(&x->r[0]);
	free(x);
	return 0;
}

static struct answer push(
	struct scene *x, int at, struct caller *c, const struct party *author, struct sealed_params params)
{
	struct buf b = BUF_INIT(FRAME_MAX);
	struct sealed r;

	sealed_record(author, &x->s, params, &r);
	params_push(&b, &x->space, ++x->number, -1, &r, 1, NULL, 0, bytes_of(NULL, 0));
	sealed_release(&r);
	return bench_call(&x->r[at], c, "coffer.push", &b);
}

static void expect_cursor(struct answer a, uint64_t cursor)
{
	if (!answer_ok(&a))
		fail_msg("refused");
	assert_int_equal(answer_uint(&a, "cursor"), cursor);
	answer_release(&a);
}

static void each_goes_on_where_the_other_was(void **state)
{
	struct scene *x = *state;
	struct buf params;
	struct answer a;

	bench_space(&x->r[0], x->a, &x->s);
	for (unsigned i = 0; i < 10; i++)
		expect_cursor(push(x, i % 3 == 1, x->a, &x->alice, (struct sealed_params){ 0 }), i + 2);
	for (int at = 0; at < 2; at++) {
		params = (struct buf)BUF_INIT(FRAME_MAX);
		params_pull(&params, &x->space, 0, "records", -1);
		a = bench_call(&x->r[at], x->a, "coffer.pull", &params);
		assert_int_equal(a.chunks, 2 + 11); /* begin, commit, steps */
		answer_release(&a);
	}
}

static void a_record_is_compared_with_what_the_other_took(void **state)
{
	struct scene *x = *state;
	struct id16 id = sealed_id();
	struct answer a;

	bench_space(&x->r[0], x->a, &x->s);
	expect_cursor(push(x, 0, x->a, &x->alice, (struct sealed_params){ .id = &id }), 2);
	a = push(x, 1, x->a, &x->alice, (struct sealed_params){ .id = &id, .version = 2 });
	assert_true(answer_refused(&a, "conflict"));
	answer_release(&a);
}

static void append(struct scene *x, int at, struct caller *c, const struct buf *entry)
{
	struct answer a = bench_append(&x->r[at], c, &x->space, entry);

	if (!answer_ok(&a))
		fail_msg("refused");
	answer_release(&a);
	assert_int_equal(log_apply(x->s.log, buf_bytes(entry), LOG_VERIFY), 0);
}

static void a_log_entry_through_one_is_law_at_the_other(void **state)
{
	struct scene *x = *state;
	struct invite_params p = { .role = ROLE_WRITER, .uses = 1, .relay = PARTY_RELAY, .name = "x" };
	struct buf b = BUF_INIT(ENTRY_MAX_BLOB);
	struct invite_keys k;
	struct entry_maker m;
	struct answer a;

	bench_space(&x->r[0], x->a, &x->s);
	a = push(x, 1, x->b, &x->bob, (struct sealed_params){ 0 });
	assert_true(answer_refused(&a, "forbidden"));
	answer_release(&a);
	p.expires = (uint64_t)relay_now(&x->r[0].relay) + 600;
	m = party_maker(&x->alice, x->s.log);
	party_keys(&k);
	assert_int_equal(entry_make_invite(&m, x->s.ring, &p, &k, &b), 0);
	append(x, 1, x->a, &b);
	buf_clear(&b);
	party_join_blob(&x->bob, x->s.log, &k, &b);
	append(x, 0, x->b, &b);
	expect_cursor(push(x, 1, x->b, &x->bob, (struct sealed_params){ 0 }), 4);
	expect_cursor(push(x, 0, x->b, &x->bob, (struct sealed_params){ 0 }), 5);
	invite_keys_release(&k);
	buf_release(&b);
}

/* --- both at once --- */

struct worker {
	struct relay_bench *r;
	struct party *p;
	struct new_space *s; /* SPACES of them */
	int turn;
	struct buf pushes[ROUNDS][SPACES];
	struct answer answers[ROUNDS][SPACES];
};

/* Each round is one batch of a push into every space, the one relay's in the opposite order of the other's. */
static void prepare(struct worker *w)
{
	for (size_t i = 0; i < ROUNDS; i++)
		for (size_t k = 0; k < SPACES; k++) {
			struct new_space *s = &w->s[w->turn ? SPACES - 1 - k : k];
			struct sealed r;

			w->pushes[i][k] = (struct buf)BUF_INIT(FRAME_MAX);
			sealed_record(w->p, s, (struct sealed_params){ 0 }, &r);
			params_push(&w->pushes[i][k], log_space(s->log), i * SPACES + k + 1, -1, &r, 1, NULL, 0,
				bytes_of(NULL, 0));
			sealed_release(&r);
		}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct caller *c = bench_caller(w->p);

	for (size_t i = 0; i < ROUNDS; i++)
		bench_batch(w->r, c, "coffer.push", w->pushes[i], w->answers[i], SPACES);
	caller_unref(c);
	return NULL;
}

static void note_cursors(struct worker *w, bool seen[SPACES][2 * ROUNDS + 2])
{
	for (size_t i = 0; i < ROUNDS; i++)
		for (size_t k = 0; k < SPACES; k++) {
			size_t s = w->turn ? SPACES - 1 - k : k;
			uint64_t cursor;

			if (!answer_ok(&w->answers[i][k]))
				fail_msg("refused");
			cursor = answer_uint(&w->answers[i][k], "cursor");
			assert_in_range(cursor, 2, 2 * ROUNDS + 1);
			assert_false(seen[s][cursor]);
			seen[s][cursor] = true;
			answer_release(&w->answers[i][k]);
		}
}

static void no_cursor_is_lost_or_given_twice(void **state)
{
	static bool seen[SPACES][2 * ROUNDS + 2];
	static struct worker w[2];
	struct scene *x = *state;
	struct new_space s[SPACES];
	pthread_t threads[2];

	for (size_t i = 0; i < SPACES; i++) {
		party_space(&x->alice, &s[i]);
		bench_space(&x->r[i % 2], x->a, &s[i]);
	}
	for (int i = 0; i < 2; i++) {
		w[i] = (struct worker){ .r = &x->r[i], .p = &x->alice, .s = s, .turn = i };
		prepare(&w[i]);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, &w[i]), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	note_cursors(&w[0], seen);
	note_cursors(&w[1], seen); /* 2 * ROUNDS different ones between 2 and 2 * ROUNDS + 1: none is missing */
	for (size_t i = 0; i < SPACES; i++)
		new_space_release(&s[i]);
}

static void *start_admission(void *arg)
{
	struct relay_bench *r = arg;

	assert_int_equal(admission_start(&r->relay), 0);
	return NULL;
}

/* The first is still about to store its key when the second looks for one. */
static void both_say_one_set_up_code(void **state)
{
	static const uint8_t first[32] = { 1 };
	CLEANUP(buf_release) struct buf key = BUF_INIT(64);
	struct scene *x = *state;
	pthread_t thread;

	for (int i = 0; i < 2; i++)
		x->r[i].relay.config->strangers = STRANGERS_OWNERS;
	assert_int_equal(depot_begin(x->r[0].relay.store), 0);
	assert_int_equal(depot_fact_put(x->r[0].relay.store, "admission/key", bytes_of(first, sizeof first)), 0);
	assert_int_equal(
		depot_fact_get(x->r[0].relay.store, "admission/key", &key), 0); /* it is there, to be committed */
	buf_clear(&key);
	assert_int_equal(pthread_create(&thread, NULL, start_admission, &x->r[1]), 0);
	test_database_await_waiter(x->r[0].database);
	assert_int_equal(depot_commit(x->r[0].relay.store), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(depot_fact_get(x->r[1].relay.store, "admission/key", &key), 0);
	assert_int_equal(key.len, sizeof first);
	assert_memory_equal(key.data, first, sizeof first);
}

struct claim {
	struct relay_bench *r;
	struct id32 person;
	const char *code;
	int err;
};

static void *claim(void *arg)
{
	struct claim *c = arg;
	struct depot *store = c->r->relay.store;

	assert_int_equal(depot_begin(store), 0);
	c->err = admission_claim(&c->r->relay, store, &c->person, bytes_str(c->code));
	assert_int_equal(depot_commit(store), 0);
	return NULL;
}

/* Alice's claim is about to be committed when bob brings the same code to the other relay. */
static void expect_good_once(struct scene *x, const char *code)
{
	const struct id32 alice = *identity_person(x->alice.id);
	struct claim bob = { .r = &x->r[1], .person = *identity_person(x->bob.id), .code = code };
	struct depot *store = x->r[0].relay.store;
	pthread_t thread;

	assert_int_equal(depot_begin(store), 0);
	assert_int_equal(admission_claim(&x->r[0].relay, store, &alice, bytes_str(code)), 0);
	assert_int_equal(pthread_create(&thread, NULL, claim, &bob), 0);
	test_database_await_waiter(x->r[0].database);
	assert_int_equal(depot_commit(store), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(bob.err, ERR_NOT_FOUND);
	assert_int_equal(admission_has(&x->r[1].relay, x->r[1].reader, &alice), 1);
	assert_int_equal(admission_has(&x->r[1].relay, x->r[1].reader, &bob.person), 0);
}

static void a_set_up_code_is_good_once_for_both(void **state)
{
	struct scene *x = *state;
	char code[ADMISSION_CODE];

	for (int i = 0; i < 2; i++) {
		x->r[i].relay.config->strangers = STRANGERS_OWNERS;
		assert_int_equal(admission_start(&x->r[i].relay), 0);
	}
	bench_setup_code(&x->r[0], code);
	expect_good_once(x, code);
}

static void a_guests_code_is_good_once_for_both(void **state)
{
	struct scene *x = *state;
	char code[ADMISSION_CODE];

	for (int i = 0; i < 2; i++) {
		x->r[i].relay.config->strangers = STRANGERS_INVITED;
		assert_int_equal(admission_start(&x->r[i].relay), 0);
	}
	assert_int_equal(admission_invite(x->r[0].relay.env, x->r[0].relay.store, 1, code), 0);
	expect_good_once(x, code);
}

static void *create(void *arg)
{
	struct worker *w = arg;
	struct caller *c = bench_caller(w->p);
	struct buf params = BUF_INIT(FRAME_MAX);

	params_append(&params, log_space(w->s->log), w->s->blobs, 3);
	w->answers[0][0] = bench_call(w->r, c, "coffer.append", &params);
	caller_unref(c);
	return NULL;
}

static void a_space_that_both_make_is_made_once(void **state)
{
	static struct worker w[2];
	struct scene *x = *state;
	pthread_t threads[2];

	for (int i = 0; i < 2; i++) {
		w[i] = (struct worker){ .r = &x->r[i], .p = &x->alice, .s = &x->s };
		assert_int_equal(pthread_create(&threads[i], NULL, create, &w[i]), 0);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(answer_ok(&w[i].answers[0][0])); /* again is as good as first */
		answer_release(&w[i].answers[0][0]);
	}
	expect_cursor(push(x, 0, x->a, &x->alice, (struct sealed_params){ 0 }), 2);
}

/* --- with their network --- */

struct pair {
	struct relay_process relay[2];
	struct party alice;
	struct new_space s;
	struct id16 space;
	struct rpc_client c[2]; /* one at each, both subscribed */
	uint64_t number;
};

static void connect_to(struct pair *x, int at)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	struct reply r;

	rpc_open(&x->c[at], x->relay[at].port);
	rpc_auth(&x->c[at], &x->alice, x->relay[at].url);
	if (!at) {
		params_append(&params, &x->space, x->s.blobs, 3);
		r = rpc_call(&x->c[at], "coffer.append", &params);
		assert_true(reply_ok(&r));
		reply_release(&r);
	}
	params_subscribe(&params, &x->space);
	r = rpc_call(&x->c[at], "subscribe", &params);
	assert_false(r.f.is_error);
	reply_release(&r);
}

static int setup_pair(void **state)
{
	struct pair *x = calloc(1, sizeof *x);

	assert_non_null(x);
	relay_process_start(&x->relay[0]);
	relay_process_start_beside(&x->relay[1], &x->relay[0]);
	party_init(&x->alice, "laptop");
	party_space(&x->alice, &x->s);
	x->space = *log_space(x->s.log);
	for (int i = 0; i < 2; i++)
		connect_to(x, i);
	*state = x;
	return 0;
}

static int teardown_pair(void **state)
{
	struct pair *x = *state;

	for (int i = 0; i < 2; i++)
		rpc_close(&x->c[i]);
	new_space_release(&x->s);
	party_release(&x->alice);
	relay_process_kill(&x->relay[1], SIGTERM);
	relay_process_remove(&x->relay[0]);
	free(x);
	return 0;
}

static uint64_t push_at(struct pair *x, int at)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	struct sealed one;
	struct reply r;
	uint64_t cursor;

	sealed_record(&x->alice, &x->s, (struct sealed_params){ 0 }, &one);
	params_push(&params, &x->space, ++x->number, -1, &one, 1, NULL, 0, bytes_of(NULL, 0));
	r = rpc_call(&x->c[at], "coffer.push", &params);
	assert_true(reply_ok(&r));
	cursor = reply_uint(&r, "cursor");
	reply_release(&r);
	sealed_release(&one);
	return cursor;
}

/* The next notification, which must have that name; of steps that of this cursor. A relay that begins to listen to the other tells
 * its subscribers to look, so that steps are told more than once. */
static void expect_notice(struct rpc_client *c, const char *name, uint64_t cursor)
{
	uint64_t v;
	struct frame f;

	do {
		f = rpc_notice(c);
		v = 0;
		if (cbor_text_is(f.name, "coffer.sync"))
			assert_int_equal(param_uint(f.value, "cursor", &v), 0);
	} while (v && (!cursor || v < cursor));
	if (!cbor_text_is(f.name, name) || v != cursor)
		fail_msg("%.*s (%u) instead of %s (%u)", (int)f.name.len, (const char *)f.name.p, (unsigned)v, name,
			(unsigned)cursor);
}

static void subscribers_of_one_hear_of_pushes_through_the_other(void **state)
{
	struct pair *x = *state;

	for (int i = 0; i < 6; i++)
		expect_notice(&x->c[!(i % 2)], "coffer.sync", push_at(x, i % 2));
}

static void who_listens_again_hears_what_was_missed(void **state)
{
	struct pair *x = *state;

	test_database_deafen(x->relay[0].database);
	for (int i = 0; i < 6; i++)
		expect_notice(&x->c[!(i % 2)], "coffer.sync", push_at(x, i % 2));
}

static void send_live(struct pair *x, int at, const char *name, size_t len)
{
	static const uint8_t data[4096];
	struct buf b = BUF_INIT(65536);
	struct cbor_enc e = cbor_enc_init(&b);

	frame_begin_notification(&e, bytes_str(name));
	cbor_put_map(&e, len ? 2 : 1);
	cbor_put_text(&e, "space");
	put_id(&e, &x->space);
	if (len) {
		cbor_put_text(&e, "data");
		cbor_put_bytes(&e, data, len);
	}
	assert_int_equal(cbor_enc_end(&e), 0);
	rpc_send(&x->c[at], buf_bytes(&b), true);
	buf_release(&b);
}

static void presence_and_events_reach_the_other(void **state)
{
	struct pair *x = *state;

	send_live(x, 0, "presence.set", 1024);
	expect_notice(&x->c[1], "presence", 0);
	send_live(x, 1, "event.send", 4096);
	expect_notice(&x->c[0], "event", 0);
	send_live(x, 0, "presence.clear", 0);
	expect_notice(&x->c[1], "presence.leave", 0);
}

/* A relay that was killed is missed by nobody: its clients go to the other, which has all that it confirmed. */
static void what_a_killed_relay_confirmed_is_at_the_other(void **state)
{
	struct pair *x = *state;
	struct buf params = BUF_INIT(FRAME_MAX);
	uint64_t last = 0;
	struct reply r;

	for (int i = 0; i < 5; i++)
		last = push_at(x, 0);
	relay_process_kill(&x->relay[0], SIGKILL);
	params_space(&params, "space", &x->space);
	r = rpc_call(&x->c[1], "coffer.head", &params);
	assert_int_equal(reply_uint(&r, "cursor"), last);
	reply_release(&r);
	assert_int_equal(push_at(x, 1), last + 1);
}

/* Who takes a lost table for an absent row believes that nothing was ever stored. */
static void a_store_that_is_gone_is_not_an_empty_one(void **state)
{
	const struct id16 space = { { 1 } };
	struct depot_space sp = { .id = space, .retention = 1 };
	struct relay_bench r;
	struct depot *s;

	(void)state;
	relay_bench_open(&r);
	s = r.relay.store;
	assert_int_equal(depot_space_find(s, &space, &sp), ERR_NOT_FOUND);
	assert_int_equal(depot_begin(s), 0);
	assert_int_equal(depot_space_create(s, &sp), 0);
	assert_int_equal(depot_commit(s), 0);
	assert_int_equal(depot_space_find(r.reader, &space, &sp), 0);
	test_database_drop(r.database);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(depot_space_find(s, &space, &sp), ERR_CORRUPT);
		assert_int_equal(depot_space_find(r.reader, &space, &sp), ERR_CORRUPT);
	}
	r.database[0] = '\0';
	relay_bench_close(&r);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest sqlite[] = { cmocka_unit_test(a_second_relay_on_a_directory_is_refused) };
	const struct CMUnitTest shared[] = {
		T(each_goes_on_where_the_other_was),
		T(a_record_is_compared_with_what_the_other_took),
		T(a_log_entry_through_one_is_law_at_the_other),
		T(no_cursor_is_lost_or_given_twice),
		T(a_space_that_both_make_is_made_once),
		T(both_say_one_set_up_code),
		T(a_set_up_code_is_good_once_for_both),
		T(a_guests_code_is_good_once_for_both),
		cmocka_unit_test(a_store_that_is_gone_is_not_an_empty_one),
		cmocka_unit_test_setup_teardown(
			subscribers_of_one_hear_of_pushes_through_the_other, setup_pair, teardown_pair),
		cmocka_unit_test_setup_teardown(who_listens_again_hears_what_was_missed, setup_pair, teardown_pair),
		cmocka_unit_test_setup_teardown(presence_and_events_reach_the_other, setup_pair, teardown_pair),
		cmocka_unit_test_setup_teardown(
			what_a_killed_relay_confirmed_is_at_the_other, setup_pair, teardown_pair),
	};

	return test_database_is_sqlite() ? cmocka_run_group_tests(sqlite, NULL, NULL)
					 : cmocka_run_group_tests(shared, NULL, NULL);
}
