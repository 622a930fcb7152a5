/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"
#include "tests/lib/mutate.h"

#include "crypto/delegation.h"
#include "crypto/hash.h"
#include "crypto/session.h"
#include "crypto/sign.h"
#include "crypto/token.h"
#include "crypto/token_text.h"

#define AUD "http://127.0.0.1:5379"
#define NOW 1800000000

struct fixture {
	struct secret *device_key;
	struct delegation d;
	struct session *session;
	struct buf delegation, token;
	int64_t exp;
};

static void fixture_init(struct fixture *f, int64_t not_after)
{
	*f = (struct fixture){ .delegation = BUF_INIT(DELEGATION_MAX), .token = BUF_INIT(TOKEN_MAX) };
	assert_int_equal(sign_keypair_new(&f->device_key, &f->d.device), 0);
	assert_int_equal(session_new(&f->session), 0);
	f->d.session = *session_public(f->session);
	f->d.person.b[0] = 9;
	f->d.aud = bytes_str(AUD);
	f->d.not_after = not_after;
	assert_int_equal(delegation_make(&f->d, f->device_key, &f->delegation), 0);
	assert_int_equal(session_token(f->session, buf_bytes(&f->delegation), NOW, &f->token, &f->exp), 0);
}

static void fixture_release(struct fixture *f)
{
	secret_free(f->device_key);
	session_free(f->session);
	buf_release(&f->delegation);
	buf_release(&f->token);
}

static int verify_at(const struct fixture *f, const char *aud, int64_t now)
{
	struct token t;

	return token_verify(buf_bytes(&f->token), aud, now, &t);
}

static void says_who_it_is(void **state)
{
	struct fixture f;
	struct token t;

	(void)state;
	fixture_init(&f, NOW + 1800);
	assert_int_equal(token_verify(buf_bytes(&f.token), AUD, NOW, &t), 0);
	assert_true(id32_equal(&t.person, &f.d.person));
	assert_true(id32_equal(&t.device, &f.d.device));
	assert_true(id32_equal(&t.session, &f.d.session));
	assert_int_equal(t.exp, NOW + 1800);
	assert_int_equal(f.exp, NOW + 1800);
	fixture_release(&f);
}

static void times(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, NOW + 3600);
	assert_int_equal(verify_at(&f, AUD, NOW), 0);
	assert_int_equal(verify_at(&f, AUD, NOW + 3599), 0);
	assert_int_equal(verify_at(&f, AUD, NOW + 3600), ERR_STALE);
	assert_int_equal(verify_at(&f, AUD, NOW + 100000), ERR_STALE);
	assert_int_equal(verify_at(&f, AUD, NOW - TOKEN_SKEW), 0);
	assert_int_equal(verify_at(&f, AUD, NOW - TOKEN_SKEW - 1), ERR_STALE);
	fixture_release(&f);
	fixture_init(&f, NOW + 7200); /* a delegation over an hour gives nothing */
	assert_int_equal(f.exp, NOW + TOKEN_MAX_LIFE);
	assert_int_equal(verify_at(&f, AUD, NOW), ERR_INVALID);
	fixture_release(&f);
}

static void other_relay_and_other_session(void **state)
{
	struct fixture f, g;
	int64_t exp;

	(void)state;
	fixture_init(&f, NOW + 3600);
	fixture_init(&g, NOW + 3600);
	assert_int_equal(verify_at(&f, "http://127.0.0.1:5380", NOW), ERR_CONTEXT);
	assert_int_equal(verify_at(&f, "", NOW), ERR_CONTEXT);
	buf_clear(&f.token);
	assert_int_equal(session_token(f.session, buf_bytes(&g.delegation), NOW, &f.token, &exp), ERR_CONTEXT);
	assert_int_equal(session_token(f.session, buf_bytes(&f.delegation), NOW + 3600, &f.token, &exp), ERR_STALE);
	assert_int_equal(f.token.len, 0);
	fixture_release(&f);
	fixture_release(&g);
}

static int verify_changed(struct bytes changed, size_t at, void *arg)
{
	struct token t;
	int err = token_verify(changed, AUD, NOW, &t);

	(void)at;
	(void)arg;
	if (err < 0)
		assert_true(err == ERR_INVALID || err == ERR_SIGNATURE || err == ERR_CONTEXT /* another aud */);
	return err;
}

static void refuses_every_change(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, NOW + 3600);
	mutate_flips(buf_bytes(&f.token), verify_changed, NULL);
	mutate_lengths(buf_bytes(&f.token), verify_changed, NULL);
	fixture_release(&f);
}

/* Anybody can make a token for nowhere: it must not cost the relay a signature for each name that it has. */
static void another_relay_is_seen_before_signatures(void **state)
{
	struct fixture f;
	struct token t;

	(void)state;
	fixture_init(&f, NOW + 3600);
	uint8_t *letter = &f.token.data[f.token.len - 5]; /* of the signature; it stays base64url */
	*letter = *letter == 'A' ? 'B' : 'A';
	assert_int_equal(token_verify(buf_bytes(&f.token), AUD, NOW, &t), ERR_SIGNATURE);
	assert_int_equal(token_verify(buf_bytes(&f.token), "https://elsewhere.example", NOW, &t), ERR_CONTEXT);
	fixture_release(&f);
}

static int verify_changed_delegation(struct bytes changed, size_t at, void *arg)
{
	struct delegation d;

	(void)at;
	(void)arg;
	return delegation_verify(changed, &d);
}

static void refuses_every_change_of_a_delegation(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, NOW + 3600);
	mutate_flips(buf_bytes(&f.delegation), verify_changed_delegation, NULL);
	mutate_lengths(buf_bytes(&f.delegation), verify_changed_delegation, NULL);
	fixture_release(&f);
}

/* A session key's holder writes any claims he likes and signs them. */
static int verify_claims(const struct secret *key, const char *header, const char *claims)
{
	struct buf b = BUF_INIT(TOKEN_MAX);
	struct token t;
	uint8_t signature[64];
	int err;

	assert_int_equal(token_text_put_base64(&b, bytes_str(header)), 0);
	assert_int_equal(buf_put(&b, ".", 1), 0);
	assert_int_equal(token_text_put_base64(&b, bytes_str(claims)), 0);
	assert_int_equal(sign_detached("", buf_bytes(&b), key, signature), 0);
	assert_int_equal(buf_put(&b, ".", 1), 0);
	assert_int_equal(token_text_put_base64(&b, bytes_of(signature, 64)), 0);
	err = token_verify(buf_bytes(&b), AUD, NOW, &t);
	buf_release(&b);
	return err;
}

struct forgery {
	char person[DID_KEY_TEXT_SIZE], other[DID_KEY_TEXT_SIZE], device[DID_KEY_TEXT_SIZE], session[DID_KEY_TEXT_SIZE];
	char dlg[1024];
	struct secret *key;
};

static void forgery_init(struct forgery *g, const char *aud, int64_t not_after)
{
	struct delegation d = { .aud = bytes_str(aud), .not_after = not_after };
	struct buf b = BUF_INIT(DELEGATION_MAX), text = BUF_INIT(sizeof g->dlg - 1);
	struct id32 other = { { 8 } };
	struct secret *device;

	assert_int_equal(sign_keypair_new(&g->key, &d.session), 0);
	assert_int_equal(sign_keypair_new(&device, &d.device), 0);
	d.person.b[0] = 9;
	assert_int_equal(delegation_make(&d, device, &b), 0);
	assert_int_equal(token_text_put_base64(&text, buf_bytes(&b)), 0);
	memcpy(g->dlg, text.data, text.len);
	g->dlg[text.len] = '\0';
	id32_format_did(&d.person, g->person);
	id32_format_did(&other, g->other);
	id32_format_did(&d.device, g->device);
	id32_format_did(&d.session, g->session);
	secret_free(device);
	buf_release(&b);
	buf_release(&text);
}

#define HEADER "{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}"

static int forge(const struct forgery *g, const char *iss, const char *client, const char *cnf, const char *aud,
	int64_t iat, int64_t exp, const char *scope, const char *more)
{
	char json[TOKEN_MAX];

	(void)snprintf(json, sizeof json,
		"{\"iss\":\"%s\",\"sub\":\"%s\",\"client_id\":\"%s\",\"aud\":\"%s\",\"iat\":%lld,\"exp\":%lld,"
		"\"scope\":\"%s\","
		"\"cnf\":\"%s\",\"dlg\":\"%s\"%s}",
		iss, iss, client, aud, (long long)iat, (long long)exp, scope, cnf, g->dlg, more);
	return verify_claims(g->key, HEADER, json);
}

static void forged_claims(void **state)
{
	struct forgery g;

	(void)state;
	forgery_init(&g, AUD, NOW + 3600);
	assert_int_equal(forge(&g, g.person, g.device, g.session, AUD, NOW, NOW + 60, TOKEN_SCOPE, ""), 0);
	assert_int_equal(forge(&g, g.person, g.device, g.session, AUD, NOW, NOW + 60, TOKEN_SCOPE, ",\"x\":1"), 0);
	assert_int_equal(forge(&g, g.other, g.device, g.session, AUD, NOW, NOW + 60, TOKEN_SCOPE, ""), ERR_CONTEXT);
	assert_int_equal(forge(&g, g.person, g.other, g.session, AUD, NOW, NOW + 60, TOKEN_SCOPE, ""), ERR_CONTEXT);
	assert_int_equal(forge(&g, g.person, g.device, g.device, AUD, NOW, NOW + 60, TOKEN_SCOPE, ""), ERR_SIGNATURE);
	assert_int_equal(
		forge(&g, g.person, g.device, g.session, "http://b", NOW, NOW + 60, TOKEN_SCOPE, ""), ERR_CONTEXT);
	assert_int_equal(forge(&g, g.person, g.device, g.session, AUD, NOW, NOW + 3601, TOKEN_SCOPE, ""), ERR_INVALID);
	assert_int_equal(
		forge(&g, g.person, g.device, g.session, AUD, NOW + 50, NOW + 3640, TOKEN_SCOPE, ""), ERR_INVALID);
	assert_int_equal(forge(&g, g.person, g.device, g.session, AUD, NOW, NOW - 1, TOKEN_SCOPE, ""), ERR_INVALID);
	assert_int_equal(forge(&g, g.person, g.device, g.session, AUD, NOW, NOW + 60, "sync admin", ""), ERR_INVALID);
	assert_int_equal(
		forge(&g, g.person, g.device, g.session, AUD, NOW, NOW + 60, TOKEN_SCOPE, ",\"aud\":\"" AUD "\""),
		ERR_INVALID);
	secret_free(g.key);
	forgery_init(&g, "http://b", NOW + 3600); /* a delegation for another relay */
	assert_int_equal(forge(&g, g.person, g.device, g.session, AUD, NOW, NOW + 60, TOKEN_SCOPE, ""), ERR_CONTEXT);
	secret_free(g.key);
}

static void refuses_other_algorithms_and_shapes(void **state)
{
	static const char *const headers[] = { "{\"alg\":\"none\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", "{\"typ\":\"JWT\",\"alg\":\"EdDSA\"}", "{}", "" };
	static const char *const bodies[] = { "", "{", "{}", "[]", "{\"iss\"}", "{\"iss\":}", "{\"iss\":01}",
		"{\"iss\":-1}", "{\"iss\":1e9}", "{\"iss\":true}", "{\"iss\":{}}", "{\"a\":\"\\u0041\"}",
		"{ \"iss\":1}", "{\"iss\":1}x", "{\"iss\":1,}", "{\"iss\":99999999999999999999}", "{\"a\":1,\"a\":1}" };
	struct claims c;
	struct secret *key;
	struct id32 public;

	(void)state;
	assert_int_equal(sign_keypair_new(&key, &public), 0);
	for (size_t i = 0; i < COUNT(headers); i++)
		assert_int_equal(verify_claims(key, headers[i], "{\"iss\":1}"), ERR_INVALID);
	for (size_t i = 0; i < COUNT(bodies); i++) {
		assert_int_equal(verify_claims(key, HEADER, bodies[i]), ERR_INVALID);
		assert_int_equal(token_text_claims(bytes_str(bodies[i]), &c), ERR_INVALID);
	}
	secret_free(key);
}

static void delegation_needs_the_devices_key(void **state)
{
	struct buf b = BUF_INIT(DELEGATION_MAX);
	struct fixture f;
	struct secret *other;
	struct id32 public;

	(void)state;
	fixture_init(&f, NOW + 3600);
	assert_int_equal(sign_keypair_new(&other, &public), 0);
	assert_int_equal(delegation_make(&f.d, other, &b), ERR_INVALID);
	f.d.aud = bytes_str("http://a\"b");
	assert_int_equal(delegation_make(&f.d, f.device_key, &b), ERR_INVALID);
	f.d.aud = bytes_str("");
	assert_int_equal(delegation_make(&f.d, f.device_key, &b), ERR_INVALID);
	assert_int_equal(b.len, 0);
	secret_free(other);
	buf_release(&b);
	fixture_release(&f);
}

static void the_longest_relay_name_fits(void **state)
{
	char aud[TOKEN_AUD_MAX + 1];
	struct fixture f;
	struct token t;
	int64_t exp;

	(void)state;
	fixture_init(&f, NOW + 3600);
	memset(aud, 'a', TOKEN_AUD_MAX);
	aud[TOKEN_AUD_MAX] = '\0';
	f.d.aud = bytes_str(aud);
	buf_clear(&f.delegation);
	buf_clear(&f.token);
	assert_int_equal(delegation_make(&f.d, f.device_key, &f.delegation), 0);
	assert_int_equal(session_token(f.session, buf_bytes(&f.delegation), NOW, &f.token, &exp), 0);
	assert_int_equal(token_verify(buf_bytes(&f.token), aud, NOW, &t), 0);
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_who_it_is),
		cmocka_unit_test(times),
		cmocka_unit_test(other_relay_and_other_session),
		cmocka_unit_test(refuses_every_change),
		cmocka_unit_test(another_relay_is_seen_before_signatures),
		cmocka_unit_test(refuses_every_change_of_a_delegation),
		cmocka_unit_test(forged_claims),
		cmocka_unit_test(refuses_other_algorithms_and_shapes),
		cmocka_unit_test(delegation_needs_the_devices_key),
		cmocka_unit_test(the_longest_relay_name_fits),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
