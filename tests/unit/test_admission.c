/* SPDX-License-Identifier: Apache-2.0 */
/* Who may make spaces: the set-up code that the first owner brings, and codes for guests. */
#include "server/admission.h"
#include "server/depot_sql.h"
#include "tests/lib/relay_bench.h"

static int setup(void **state)
{
	struct relay_bench *r = calloc(1, sizeof *r);

	assert_non_null(r);
	relay_bench_open(r);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	relay_bench_close(*state);
	free(*state);
	return 0;
}

static struct answer claim(struct relay_bench *r, const struct party *p, const char *code)
{
	struct caller *c = bench_caller(p);
	struct buf params = BUF_INIT(1024);
	struct cbor_enc e = cbor_enc_init(&params);
	struct answer a;

	cbor_put_map(&e, 1);
	cbor_put_text(&e, "code");
	cbor_put_text(&e, code);
	assert_int_equal(cbor_enc_end(&e), 0);
	a = bench_call(r, c, "coffer.claim", &params);
	caller_unref(c);
	return a;
}

static void claimed(struct relay_bench *r, const struct party *p, const char *code)
{
	struct answer a = claim(r, p, code);

	assert_true(answer_ok(&a));
	answer_release(&a);
}

static void refused(struct relay_bench *r, const struct party *p, const char *code)
{
	struct answer a = claim(r, p, code);

	assert_true(answer_refused(&a, "not_found"));
	answer_release(&a);
	fake_env_advance(r->env, 3600ll * 1000000000); /* so that the next is not refused for this one */
}

static bool makes_space(struct relay_bench *r, const struct party *p)
{
	struct caller *c = bench_caller(p);
	struct buf params = BUF_INIT(FRAME_MAX);
	struct new_space s;
	struct answer a;
	bool ok;

	party_space(p, &s);
	params_append(&params, log_space(s.log), s.blobs, 3);
	a = bench_call(r, c, "coffer.append", &params);
	ok = answer_ok(&a);
	assert_true(ok || answer_refused(&a, "forbidden"));
	answer_release(&a);
	new_space_release(&s);
	caller_unref(c);
	return ok;
}

static void the_first_to_bring_the_code_owns_the_relay(void **state)
{
	struct relay_bench *r = *state;
	struct party alice, mallory;
	char code[ADMISSION_CODE];

	party_init(&alice, "laptop");
	party_init(&mallory, "phone");
	claimed(r, &mallory, "anything"); /* it is open: there is nothing to claim */
	r->relay.config->strangers = STRANGERS_OWNERS;
	assert_int_equal(admission_start(&r->relay), 0);
	bench_setup_code(r, code);
	assert_false(makes_space(r, &alice));
	refused(r, &mallory, "0000-0000-0000-0000-0000");
	refused(r, &mallory, "");
	refused(r, &mallory, "not hex");
	claimed(r, &alice, code);
	claimed(r, &alice, "again, as after a lost answer");
	assert_true(makes_space(r, &alice));
	refused(r, &mallory, code);
	assert_false(makes_space(r, &mallory));
	relay_bench_restart(r);
	r->relay.config->strangers = STRANGERS_OWNERS;
	assert_int_equal(admission_start(&r->relay), 0);
	assert_true(makes_space(r, &alice));
	refused(r, &mallory, code);
	party_release(&alice);
	party_release(&mallory);
}

/* A token claims its person, so whoever has a DID could ask. */
static void who_may_make_spaces_is_not_asked_without_end(void **state)
{
	struct relay_bench *r = *state;
	const size_t most = r->relay.config->limits.invite_lookups_per_minute;
	struct party alice;
	struct answer a;

	party_init(&alice, "laptop");
	r->relay.config->strangers = STRANGERS_OWNERS;
	r->relay.config->owners[r->relay.config->n_owners++] = *identity_person(alice.id);
	assert_int_equal(admission_start(&r->relay), 0);
	for (size_t i = 0; i < most; i++)
		claimed(r, &alice, "");
	a = claim(r, &alice, "");
	assert_true(answer_refused(&a, "rate_limited"));
	answer_release(&a);
	party_release(&alice);
}

/* A store whose transactions fail, as when another relay came first. */
struct failing {
	struct depot_engine engine; /* first: what the connection points to */
	const struct depot_engine *real;
	int left; /* commits that fail */
};

static int failing_commit(struct depot *s)
{
	struct failing *f = (struct failing *)(uintptr_t)s->engine;

	if (!f->left)
		return f->real->commit(s);
	f->left--;
	f->real->rollback(s);
	return ERR_AGAIN;
}

/* However often its transaction fails, one guess is one. */
static void a_guess_counts_once(void **state)
{
	struct relay_bench *r = *state;
	struct depot *store = r->relay.store;
	struct failing f = { .engine = *store->engine, .real = store->engine };
	struct party alice;
	struct answer a;

	party_init(&alice, "laptop");
	r->relay.config->strangers = STRANGERS_OWNERS;
	assert_int_equal(admission_start(&r->relay), 0);
	f.engine.commit = failing_commit;
	store->engine = &f.engine;
	for (int i = 0; i < 3; i++) {
		f.left = 4;
		a = claim(r, &alice, "0000-0000-0000-0000-0000");
		assert_true(answer_refused(&a, "not_found"));
		answer_release(&a);
	}
	store->engine = f.real;
	a = claim(r, &alice, "0000-0000-0000-0000-0000");
	assert_true(answer_refused(&a, "rate_limited"));
	answer_release(&a);
	party_release(&alice);
}

static void named_owners_leave_nothing_to_claim(void **state)
{
	struct relay_bench *r = *state;
	struct party alice;
	char code[ADMISSION_CODE];

	party_init(&alice, "laptop");
	r->relay.config->strangers = STRANGERS_INVITED;
	r->relay.config->owners[r->relay.config->n_owners++] = (struct id32){ { 1 } };
	assert_int_equal(admission_start(&r->relay), 0);
	bench_setup_code(r, code);
	refused(r, &alice, code);
	party_release(&alice);
}

static void a_guests_code_lets_one_in_and_only_in_time(void **state)
{
	struct relay_bench *r = *state;
	struct party bob, carol;
	char code[ADMISSION_CODE], late[ADMISSION_CODE];

	party_init(&bob, "laptop");
	party_init(&carol, "phone");
	r->relay.config->strangers = STRANGERS_INVITED;
	assert_int_equal(admission_start(&r->relay), 0);
	assert_int_equal(admission_invite(r->relay.env, r->relay.store, 100, code), 0);
	r->relay.config->strangers = STRANGERS_OWNERS;
	refused(r, &bob, code);
	r->relay.config->strangers = STRANGERS_INVITED;
	for (size_t i = 0; code[i]; i++) { /* each digit counts */
		char other[ADMISSION_CODE];

		if (code[i] == '-')
			continue;
		snprintf(other, sizeof other, "%s", code);
		other[i] = other[i] == '0' ? '1' : '0';
		assert_int_equal(admission_claim(&r->relay, r->relay.store, identity_person(bob.id), bytes_str(other)),
			ERR_NOT_FOUND);
	}
	claimed(r, &bob, code);
	assert_true(makes_space(r, &bob));
	refused(r, &carol, code);
	assert_false(makes_space(r, &carol));
	assert_int_equal(admission_invite(r->relay.env, r->relay.store, 2, late), 0);
	fake_env_advance(r->env, 3 * 3600ll * 1000000000);
	refused(r, &carol, late);
	party_release(&bob);
	party_release(&carol);
}

/* Who was let in, and by what, counts as the settings are now. */
static void other_settings_let_others_in(void **state)
{
	struct relay_bench *r = *state;
	struct party alice, bob;
	char code[ADMISSION_CODE];

	party_init(&alice, "laptop");
	party_init(&bob, "phone");
	r->relay.config->strangers = STRANGERS_INVITED;
	assert_int_equal(admission_start(&r->relay), 0);
	bench_setup_code(r, code);
	claimed(r, &alice, code);
	assert_int_equal(admission_invite(r->relay.env, r->relay.store, 100, code), 0);
	claimed(r, &bob, code);
	assert_true(makes_space(r, &alice));
	assert_true(makes_space(r, &bob));
	r->relay.config->strangers = STRANGERS_OWNERS;
	assert_true(makes_space(r, &alice));
	assert_false(makes_space(r, &bob));
	r->relay.config->owners[r->relay.config->n_owners++] = *identity_person(bob.id);
	assert_false(makes_space(r, &alice));
	assert_true(makes_space(r, &bob));
	party_release(&alice);
	party_release(&bob);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_first_to_bring_the_code_owns_the_relay),
		T(who_may_make_spaces_is_not_asked_without_end),
		T(a_guess_counts_once),
		T(named_owners_leave_nothing_to_claim),
		T(a_guests_code_lets_one_in_and_only_in_time),
		T(other_settings_let_others_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
