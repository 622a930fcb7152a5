/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is who in the plain protocol: keys, UCAN chains, key sets, issuers' tokens, names of presence; with the known answers of
 * the protocol's reference.
 */
#include <stdlib.h>
#include <time.h>
#include "crypto/hash.h"
#include "crypto/jws.h"
#include "server/auth.h"
#include "server/jwt.h"
#include "server/presence.h"
#include "server/ucan.h"
#include "tests/lib/plain_party.h"
#include "tests/lib/relay_bench.h"

#define NOW 1900000000
#define SPACE "11111111-1111-1111-1111-111111111111"

static struct id16 space_id(void)
{
	struct id16 id;

	assert_int_equal(id16_parse(SPACE, 36, &id), 0);
	return id;
}

static void known_answers(void **state)
{
	static const uint8_t secret[32] = { 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
		9, 9, 9, 9, 9, 9, 9 };
	struct jwt_rules rules = { .has_identity_key = true };
	struct plain_self self = { 0 };
	struct plain_party p;
	struct jws_key key;
	struct id16 id = space_id();
	struct id32 cid;
	char text[ID32_TEXT_SIZE], peer[PRESENCE_PEER_SIZE];

	(void)state;
	plain_party_init(&p, 1);
	unit_assert_hex(bytes_of(p.point, sizeof p.point),
		"026ff03b949241ce1dadd43519e6960e0a85b41a69a05c328103aa2bce1594ca16");
	assert_string_equal(p.did, "did:key:zDnaeXxvmFHMHjqgQTbadpWG7gPHwnga1i7SMwxrV2BSdUjAD");
	assert_int_equal(jws_key_did(bytes_str(p.did), &key), 0);
	assert_int_equal(key.kind, JWS_P256);
	assert_memory_equal(key.b, p.point, 33);
	plain_party_release(&p);
	ucan_cid(bytes_str("token-a"), &cid);
	id32_format(&cid, text);
	assert_string_equal(text, "a70bf50e531ce1a817561f2f5d5b6645d4e806becf58ccc5e8cf6b8045a090a8");
	presence_name(secret, "conn-1", &id, peer);
	assert_string_equal(peer, "7a8bf0fbba24b6eb1c7114bc872aa6f0");
	memcpy(rules.identity_key, "01234567890123456789012345678901", 32);
	assert_int_equal(jwt_self(&rules, bytes_str("https://accounts.betterbase.dev"), bytes_str("user1"),
				 bytes_str("c"), &self),
		0);
	id32_format(&self.actor, text);
	assert_string_equal(text, "6b1092384902e31b5b1e01eb6408b290e2578da6dffe87f46e9a0efe38fb02a8");
	assert_int_equal(jwt_personal_space(bytes_str("https://accounts.betterbase.dev"), bytes_str("user-1"),
				 bytes_str("11111111-1111-1111-1111-111111111111"), &id),
		0);
	id16_format(&id, text);
	assert_string_equal(text, "da29e793-3f05-51c3-9f72-63cc953f9c05");
}

static void other_texts_are_no_did(void **state)
{
	static const char *const bad[] = {
		"",
		"did:key:z",
		"did:key:zDn",
		"did:web:example.org",
		"did:key:zDnaeXxvmFHMHjqgQTbadpWG7gPHwnga1i7SMwxrV2BSdUjA",
		"did:key:zDnaeXxvmFHMHjqgQTbadpWG7gPHwnga1i7SMwxrV2BSdUjAE", /* a point that is not on the curve, or another */
		"did:key:zDnaeXxvmFHMHjqgQTbadpWG7gPHwnga1i7SMwxrV2BSdUjADD",
		"did:key:z1DnaeXxvmFHMHjqgQTbadpWG7gPHwnga1i7SMwxrV2BSdUjA",
		"did:key:zDnaeXxvmFHMHjqgQTbadpWG7gPHwnga1i7SMwxrV2BSdUj0D",
	};
	struct jws_key key;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		if (i != 5)
			assert_int_equal(jws_key_did(bytes_str(bad[i]), &key), ERR_INVALID);
}

static int verify(const char *text, const char *audience, enum ucan_command need, struct ucan *u)
{
	const struct id16 space = space_id();

	return ucan_verify(bytes_str(text), audience, &space, need, NOW, u);
}

static void a_chain_leads_to_its_root(void **state)
{
	struct plain_party root, alice, bob;
	const struct id16 space = space_id();
	struct ucan u;
	char *a, *b;

	(void)state;
	plain_party_init(&root, 1);
	plain_party_init(&alice, 2);
	plain_party_init(&bob, 3);
	a = plain_party_ucan(&root, alice.did, &space, "/space/admin", NOW + 100, NULL);
	b = plain_party_ucan(&alice, bob.did, &space, "/space/write", NOW + 50, a);
	assert_int_equal(verify(a, alice.did, UCAN_ADMIN, &u), 0);
	assert_int_equal(u.depth, 1);
	assert_int_equal(verify(b, bob.did, UCAN_WRITE, &u), 0);
	assert_memory_equal(u.root.b, root.point, 33);
	assert_int_equal(u.depth, 2);
	assert_int_equal(u.exp, NOW + 50);
	assert_int_equal(verify(b, bob.did, UCAN_READ, &u), 0);
	assert_int_equal(verify(b, bob.did, UCAN_ADMIN, &u), ERR_FORBIDDEN);
	assert_int_equal(verify(b, alice.did, UCAN_READ, &u), ERR_CONTEXT);
	free(a);
	free(b);
	plain_party_release(&root);
	plain_party_release(&alice);
	plain_party_release(&bob);
}

static void a_chain_that_gives_more_than_it_has_is_none(void **state)
{
	struct plain_party root, alice, bob;
	const struct id16 space = space_id(), other = { { 7 } };
	struct ucan u;
	char *a, *b;

	(void)state;
	plain_party_init(&root, 1);
	plain_party_init(&alice, 2);
	plain_party_init(&bob, 3);
	a = plain_party_ucan(&root, alice.did, &space, "/space/read", NOW + 100, NULL);
	b = plain_party_ucan(&alice, bob.did, &space, "/space/write", NOW + 50, a);
	assert_int_equal(verify(b, bob.did, UCAN_WRITE, &u), ERR_FORBIDDEN); /* more than its parent */
	free(b);
	b = plain_party_ucan(&alice, bob.did, &space, "/space/read", NOW + 101, a);
	assert_int_equal(verify(b, bob.did, UCAN_READ, &u), ERR_STALE); /* longer than its parent */
	free(b);
	b = plain_party_ucan(&bob, bob.did, &space, "/space/read", NOW + 50, a);
	assert_int_equal(verify(b, bob.did, UCAN_READ, &u), ERR_CONTEXT); /* not by whom the parent names */
	free(b);
	free(a);
	a = plain_party_ucan(&root, alice.did, &other, "/space/admin", NOW + 100, NULL);
	b = plain_party_ucan(&alice, bob.did, &space, "/space/read", NOW + 50, a);
	assert_int_equal(verify(b, bob.did, UCAN_READ, &u), ERR_CONTEXT); /* the parent is for another space */
	assert_int_equal(verify(a, alice.did, UCAN_READ, &u), ERR_CONTEXT);
	free(a);
	free(b);
	a = plain_party_ucan(&root, alice.did, &space, "/space/admin", NOW - 1, NULL);
	assert_int_equal(verify(a, alice.did, UCAN_READ, &u), ERR_STALE);
	free(a);
	a = plain_party_ucan(&root, alice.did, &space, "/space/delete", NOW + 1, NULL);
	assert_int_equal(verify(a, alice.did, UCAN_READ, &u), ERR_INVALID);
	free(a);
	plain_party_release(&root);
	plain_party_release(&alice);
	plain_party_release(&bob);
}

static void every_changed_letter_is_noticed(void **state)
{
	struct plain_party root;
	const struct id16 space = space_id();
	struct ucan u;
	char *a;

	(void)state;
	plain_party_init(&root, 1);
	a = plain_party_ucan(&root, root.did, &space, "/space/admin", NOW + 100, NULL);
	for (size_t i = 0; i < strlen(a); i += 3) {
		char was = a[i];

		a[i] = was == 'A' ? 'B' : 'A';
		if (a[i] != was && verify(a, root.did, UCAN_READ, &u) >= 0)
			fail_msg("letter %zu of %s", i, a);
		a[i] = was;
	}
	for (size_t n = strlen(a); n-- > 0;) {
		a[n] = '\0';
		assert_true(verify(a, root.did, UCAN_READ, &u) < 0);
	}
	free(a);
	plain_party_release(&root);
}

static void chains_end(void **state)
{
	struct plain_party p;
	const struct id16 space = space_id();
	char *text = NULL, *next;
	struct ucan u;

	(void)state;
	plain_party_init(&p, 1);
	for (int i = 0; i < UCAN_DEPTH; i++) {
		next = plain_party_ucan(&p, p.did, &space, "/space/read", NOW + 10, text);
		free(text);
		text = next;
	}
	assert_int_equal(verify(text, p.did, UCAN_READ, &u), 0);
	assert_int_equal(u.depth, UCAN_DEPTH);
	assert_int_equal(u.n, UCAN_CIDS);
	next = plain_party_ucan(&p, p.did, &space, "/space/read", NOW + 10, text);
	assert_int_equal(verify(next, p.did, UCAN_READ, &u), ERR_INVALID);
	free(text);
	free(next);
	plain_party_release(&p);
}

static void unusable_keys_are_left_out(void **state)
{
	struct issuer_key *keys = calloc(ISSUERS_KEYS_MAX, sizeof *keys);
	struct plain_party p;
	char text[2048];

	(void)state;
	assert_non_null(keys);
	plain_party_init(&p, 4);
	snprintf(text, sizeof text,
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"half\",\"x\":\"%s\"},"
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"off\",\"x\":\"%s\",\"y\":\"%s\"},"
		"{\"kty\":\"oct\",\"kid\":\"o\",\"k\":\"AAAA\"},7,null,"
		"{\"kty\":\"RSA\",\"kid\":\"small\",\"n\":\"AQAB\",\"e\":\"AQAB\"},"
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"enc\",\"kid\":\"e\",\"x\":\"%s\",\"y\":\"%s\"},"
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"good\",\"x\":\"%s\",\"y\":\"%s\"}]}",
		p.x, p.x, p.x, p.x, p.y, p.x, p.y);
	assert_int_equal(jwks_read(bytes_str(text), keys), 1);
	assert_string_equal(keys[0].kid, "good");
	assert_memory_equal(keys[0].key.b, p.point, 33);
	assert_int_equal(jwks_read(bytes_str("{\"keys\":[]}"), keys), 0);
	assert_int_equal(jwks_read(bytes_str("{\"keys\":{}}"), keys), ERR_INVALID);
	assert_int_equal(jwks_read(bytes_str("[]"), keys), ERR_INVALID);
	assert_int_equal(jwks_read(bytes_str(""), keys), ERR_INVALID);
	plain_party_release(&p);
	free(keys);
}

/* --- issuers --- */

struct scene {
	struct key_server server;
	struct plain_party key, other;
	struct jwt_rules rules;
	char iss[64];
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int changes; /* under the lock */
};

static void changed(void *ctx)
{
	struct scene *x = ctx;

	pthread_mutex_lock(&x->lock);
	x->changes++;
	pthread_cond_broadcast(&x->cond);
	pthread_mutex_unlock(&x->lock);
}

static void wait_changes(struct scene *x, int n)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&x->lock);
	while (x->changes < n)
		assert_int_equal(pthread_cond_timedwait(&x->cond, &x->lock, &until), 0);
	pthread_mutex_unlock(&x->lock);
}

static void say_keys(struct scene *x, const char *kid, const struct plain_party *p)
{
	char text[512];

	snprintf(text, sizeof text,
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"}]}", kid, p->x,
		p->y);
	key_server_say(&x->server, 200, text);
}

static int setup(void **state)
{
	struct scene *x = calloc(1, sizeof *x);

	assert_non_null(x);
	pthread_mutex_init(&x->lock, NULL);
	pthread_cond_init(&x->cond, NULL);
	key_server_start(&x->server);
	plain_party_init(&x->key, 5);
	plain_party_init(&x->other, 6);
	snprintf(x->iss, sizeof x->iss, "http://127.0.0.1:%u", x->server.port);
	assert_int_equal(issuers_new(env_system(), &x->rules.issuers), 0);
	assert_int_equal(issuers_set(x->rules.issuers, (const char *const[]){ x->iss }, 1), 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct scene *x = *state;

	issuers_free(x->rules.issuers);
	key_server_stop(&x->server);
	plain_party_release(&x->key);
	plain_party_release(&x->other);
	pthread_mutex_destroy(&x->lock);
	pthread_cond_destroy(&x->cond);
	free(x);
	return 0;
}

static int check(
	struct scene *x, const struct plain_party *p, const char *kid, const char *more, struct plain_self *self)
{
	char header[128], claims[1024], *text;
	int err;

	snprintf(header, sizeof header, "{\"alg\":\"ES256\",\"kid\":\"%s\"}", kid);
	snprintf(claims, sizeof claims, "{\"iss\":\"%s/\",\"sub\":\"u\",\"client_id\":\"c\",\"exp\":%d%s}", x->iss,
		NOW + 10, more);
	text = plain_party_sign(p, header, claims);
	assert_true(jwt_is(bytes_str(text)));
	err = jwt_verify(bytes_str(text), &x->rules, NOW, self, &(int64_t){ 0 });
	free(text);
	return err;
}

static void what_a_trusted_issuer_says_counts(void **state)
{
	struct scene *x = *state;
	struct plain_self self;
	struct id16 personal;
	char slashed[80], more[256], id[ID16_TEXT_SIZE];

	say_keys(x, "k", &x->key);
	assert_int_equal(issuers_start(x->rules.issuers, changed, x), 0);
	wait_changes(x, 1);
	assert_int_equal(check(x, &x->key, "k", ",\"scope\":\"files  sync\",\"did\":\"did:key:z1\"", &self), 0);
	assert_true(self.trusted && self.sync && self.files && !self.has_personal);
	assert_string_equal(self.did, "did:key:z1");
	assert_int_equal(check(x, &x->key, "k", ",\"scope\":\"syncs\"", &self), 0);
	assert_false(self.sync || self.files);
	assert_int_equal(check(x, &x->other, "k", "", &self), ERR_SIGNATURE);
	/* a personal space is the one that follows from the rest, or none */
	snprintf(slashed, sizeof slashed, "%s/", x->iss);
	assert_int_equal(jwt_personal_space(bytes_str(slashed), bytes_str("u"), bytes_str("c"), &personal), 0);
	id16_format(&personal, id);
	snprintf(more, sizeof more, ",\"personal_space_id\":\"%s\"", id);
	assert_int_equal(check(x, &x->key, "k", more, &self), 0);
	assert_true(self.has_personal && id16_equal(&self.personal, &personal));
	assert_int_equal(check(x, &x->key, "k", ",\"personal_space_id\":\"" SPACE "\"", &self), ERR_INVALID);
	/* audiences */
	x->rules.audiences[x->rules.n_audiences++] = "here";
	assert_int_equal(check(x, &x->key, "k", "", &self), ERR_CONTEXT);
	assert_int_equal(check(x, &x->key, "k", ",\"aud\":\"there\"", &self), ERR_CONTEXT);
	assert_int_equal(check(x, &x->key, "k", ",\"aud\":[\"there\",\"here\"]", &self), 0);
	assert_int_equal(check(x, &x->key, "k", ",\"aud\":\"here\"", &self), 0);
}

static void tokens_end_and_strangers_are_refused(void **state)
{
	struct scene *x = *state;
	struct plain_self self;
	char *text;

	say_keys(x, "k", &x->key);
	assert_int_equal(issuers_start(x->rules.issuers, changed, x), 0);
	wait_changes(x, 1);
	text = plain_party_sign(&x->key, "{\"alg\":\"ES256\",\"kid\":\"k\"}",
		"{\"iss\":\"https://evil.example\",\"sub\":\"u\",\"client_id\":\"c\"}");
	assert_int_equal(jwt_verify(bytes_str(text), &x->rules, NOW, &self, &(int64_t){ 0 }), ERR_NOT_FOUND);
	free(text);
	assert_int_equal(check(x, &x->key, "k", ",\"nbf\":1", &self), 0);
	text = plain_party_sign(&x->key, "{\"alg\":\"none\",\"kid\":\"k\"}", "{}");
	assert_int_equal(jwt_verify(bytes_str(text), &x->rules, NOW, &self, &(int64_t){ 0 }), ERR_INVALID);
	free(text);
	text = plain_party_sign(&x->key, "{\"alg\":\"EdDSA\",\"kid\":\"k\"}", "{}");
	assert_false(jwt_is(bytes_str(text))); /* a device's own, if anything */
	free(text);
	assert_int_equal(check(x, &x->key, "k", ",\"exp\":1", &self), ERR_INVALID); /* a name twice */
}

static void a_new_key_is_fetched_once(void **state)
{
	struct scene *x = *state;
	struct plain_self self;

	say_keys(x, "k", &x->key);
	assert_int_equal(issuers_start(x->rules.issuers, changed, x), 0);
	wait_changes(x, 1);
	assert_int_equal(check(x, &x->key, "k", "", &self), 0);
	say_keys(x, "k2", &x->other);
	/* asked again only some time after the last fetch */
	assert_int_equal(check(x, &x->other, "k2", "", &self), ERR_WRONG_KEY);
	assert_int_equal(check(x, &x->other, "k2", "", &self), ERR_WRONG_KEY);
	assert_int_equal(atomic_load(&x->server.asked), 1);
	assert_int_equal(check(x, &x->key, "k", "", &self), 0);
}

static void an_issuer_that_fails_is_offline_not_wrong(void **state)
{
	struct scene *x = *state;
	struct plain_self self;

	key_server_say(&x->server, 500, "no");
	assert_int_equal(check(x, &x->key, "k", "", &self), ERR_AGAIN);
	assert_int_equal(issuers_start(x->rules.issuers, changed, x), 0);
	wait_changes(x, 1);
	assert_int_equal(check(x, &x->key, "k", "", &self), ERR_OFFLINE);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Each costs the network thread a signature; one that it knows costs nothing, for a minute. */
static void issued_tokens_are_counted_unless_they_are_known(void **state)
{
	struct scene *x = *state;
	struct relay_bench r;
	struct auth a = { 0 }, again;
	char claims[256], *good, *bad;
	struct config_fault fault;
	struct config *other;
	unsigned doubted;

	relay_bench_open(&r);
	r.relay.config->limits.auths_burst = 2;
	r.relay.config->limits.auths_per_minute = 1;
	limits_configure(r.relay.limits, r.relay.config);
	assert_int_equal(issuers_set(r.relay.jwt.issuers, (const char *const[]){ x->iss }, 1), 0);
	say_keys(x, "k", &x->key);
	assert_int_equal(issuers_start(r.relay.jwt.issuers, changed, x), 0);
	wait_changes(x, 1);
	snprintf(
		claims, sizeof claims, "{\"iss\":\"%s\",\"sub\":\"u\",\"client_id\":\"c\",\"scope\":\"sync\"}", x->iss);
	good = plain_party_sign(&x->key, "{\"alg\":\"ES256\",\"kid\":\"k\"}", claims);
	bad = plain_party_sign(&x->other, "{\"alg\":\"ES256\",\"kid\":\"k\"}", claims);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(auth_check(&r.relay, bytes_str(good), "192.0.2.1", &again), 0);
		if (!i)
			a = again;
		assert_memory_equal(&again, &a, sizeof a);
	}
	assert_int_equal(auth_check(&r.relay, bytes_str(bad), "192.0.2.1", &a), ERR_SIGNATURE);
	assert_int_equal(auth_check(&r.relay, bytes_str(bad), "192.0.2.1", &a), ERR_RATE_LIMITED);
	assert_int_equal(auth_check(&r.relay, bytes_str(bad), "192.0.2.2", &a), ERR_SIGNATURE);
	assert_int_equal(auth_check(&r.relay, bytes_str(bad), NULL, &a), ERR_SIGNATURE);
	assert_int_equal(auth_check(&r.relay, bytes_str(good), "192.0.2.1", &a), 0);
	fake_env_advance(r.env, 60 * 1000000000ll);
	assert_int_equal(auth_check(&r.relay, bytes_str(good), "192.0.2.1", &a), 0);
	assert_int_equal(auth_check(&r.relay, bytes_str(bad), "192.0.2.1", &a), ERR_RATE_LIMITED);
	/* settings that are read again hold at once, also for what is known */
	other = bench_config(r.dir, r.database);
	assert_int_equal(config_set(other, "auth.trusted_issuers", x->iss, &fault), OK);
	assert_int_equal(config_set(other, "auth.audiences", "elsewhere", &fault), OK);
	assert_int_equal(relay_configure(&r.relay, other, &doubted), 0);
	assert_int_equal(doubted, RELAY_DOUBTS_ISSUED);
	assert_int_equal(auth_check(&r.relay, bytes_str(good), NULL, &a), ERR_INVALID);
	other = bench_config(r.dir, r.database);
	assert_int_equal(config_set(other, "auth.trusted_issuers", x->iss, &fault), OK);
	assert_int_equal(relay_configure(&r.relay, other, &doubted), 0);
	assert_int_equal(doubted, 0);                                         /* nobody lost anything */
	assert_int_equal(auth_check(&r.relay, bytes_str(good), NULL, &a), 0); /* the keys are still here */
	assert_int_equal(relay_configure(&r.relay, bench_config(r.dir, r.database), &doubted), 0);
	assert_int_equal(doubted, RELAY_DOUBTS_ISSUED);
	assert_int_equal(auth_check(&r.relay, bytes_str(good), NULL, &a), ERR_NOT_FOUND);
	free(good);
	free(bad);
	relay_bench_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(other_texts_are_no_did),
		cmocka_unit_test(a_chain_leads_to_its_root),
		cmocka_unit_test(a_chain_that_gives_more_than_it_has_is_none),
		cmocka_unit_test(every_changed_letter_is_noticed),
		cmocka_unit_test(chains_end),
		cmocka_unit_test(unusable_keys_are_left_out),
		SCENE(what_a_trusted_issuer_says_counts),
		SCENE(tokens_end_and_strangers_are_refused),
		SCENE(a_new_key_is_fetched_once),
		SCENE(an_issuer_that_fails_is_offline_not_wrong),
		SCENE(issued_tokens_are_counted_unless_they_are_known),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
