/* SPDX-License-Identifier: Apache-2.0 */
/* The plain protocol's refusals in the words of its reference, which its clients show to people and some compare: of methods, of
 * connections that are closed, of HTTP. */
#include <stdlib.h>
#include <time.h>
#include "crypto/hash.h"
#include "server/plain.h"
#include "server/rpc.h"
#include "tests/lib/plain_scene.h"
#include "tests/lib/relay_process.h"
#include "tests/lib/rpc_client.h"

#define MISSING_ID "0f8fad5b-d9cb-469f-a165-70867728950e"

/* --- methods --- */

struct arg {
	const char *key;
	enum { END, TEXT, BYTES, NUMBER, KEYS } kind;
	const char *text; /* KEYS: the id of the only one */
	size_t n;         /* BYTES, KEYS: so many zeros; KEYS: of epoch 1 */
};

static void put_keys(struct params *p, const struct arg *a)
{
	uint8_t dek[PLAIN_DEK] = { 0, 0, 0, 1 };

	params_array(p, a->key, 1);
	cbor_put_map(&p->e, 2);
	params_text(p, "id", a->text);
	params_bytes(p, "dek", dek, a->n);
}

/* Alice asks in her space. */
static void refused(struct scene *x, const char *method, const struct arg *args, const char *code, const char *message)
{
	static const uint8_t zeros[64];
	struct params p;
	size_t n = 0;

	while (args[n].kind)
		n++;
	params_begin(&p, n + 1);
	params_text(&p, "ucan", x->ua);
	for (const struct arg *a = args; a->kind; a++) {
		if (a->kind == TEXT)
			params_text(&p, a->key, a->text);
		else if (a->kind == BYTES)
			params_bytes(&p, a->key, zeros, a->n);
		else if (a->kind == NUMBER)
			params_uint(&p, a->key, a->n);
		else
			put_keys(&p, a);
	}
	scene_refused(scene_call(x, x->a, method, &p), code, message);
}

static void methods_say_what_is_wrong(void **state)
{
	static const struct {
		const char *method;
		struct arg args[5];
		const char *code, *message;
	} cases[] = {
		{ "membership.list", { { "space", TEXT, "x", 0 } }, "bad_request", "invalid space id" },
		{ "membership.list", { { "space", NUMBER, NULL, 7 } }, "invalid_params", NULL },
		{ "space.create", { { "id", TEXT, "x", 0 }, { "root_public_key", BYTES, NULL, 33 } }, "bad_request",
			"invalid space id" },
		{ "space.create", { { "id", TEXT, MISSING_ID, 0 }, { "root_public_key", BYTES, NULL, 33 } },
			"bad_request", "invalid root public key" },
		{ "membership.append",
			{ { "space", TEXT, SCENE_SPACE, 0 }, { "expected_version", NUMBER, NULL, 0 },
				{ "entry_hash", BYTES, NULL, 31 }, { "payload", BYTES, NULL, 1 } },
			"bad_request", "entry_hash must be 32 bytes" },
		{ "membership.append",
			{ { "space", TEXT, SCENE_SPACE, 0 }, { "expected_version", NUMBER, NULL, 0 },
				{ "entry_hash", BYTES, NULL, 32 }, { "payload", BYTES, NULL, 1 } },
			"bad_request", "entry_hash does not match SHA-256 of payload" },
		{ "deks.rewrap", { { "space", TEXT, SCENE_SPACE, 0 }, { "deks", KEYS, "", 44 } }, "bad_request",
			"invalid record: id must be non-empty string" },
		{ "deks.rewrap", { { "space", TEXT, SCENE_SPACE, 0 }, { "deks", KEYS, MISSING_ID, 43 } }, "bad_request",
			"invalid record: wrapped DEK must be exactly 44 bytes" },
		{ "deks.rewrap", { { "space", TEXT, SCENE_SPACE, 0 }, { "deks", KEYS, MISSING_ID, 44 } }, "bad_request",
			"one or more DEK records were not found" },
		{ "deks.rewrapFiles", { { "space", TEXT, SCENE_SPACE, 0 }, { "deks", KEYS, "x", 44 } }, "bad_request",
			"invalid record: id must be a valid UUID" },
		{ "file.deks.rewrap", { { "space", TEXT, SCENE_SPACE, 0 }, { "deks", KEYS, MISSING_ID, 44 } },
			"bad_request", "one or more file DEK records were not found" },
		{ "epoch.complete", { { "space", TEXT, SCENE_SPACE, 0 }, { "epoch", NUMBER, NULL, 2 } }, "conflict",
			"epoch mismatch" },
		{ "invitation.create",
			{ { "mailbox_id", TEXT, "7c5f58a3c8b2f0e6d1a49b3c2e7f6058a1b2c3d4e5f60718293a4b5c6d7e8f90", 0 },
				{ "payload", TEXT, "x", 0 }, { "server", TEXT, "other.example", 0 } },
			"bad_request", "federation is not enabled on this server" },
		{ "invitation.list", { { "after", TEXT, "x", 0 } }, "bad_request", "invalid invitation cursor" },
		{ "invitation.get", { { "id", TEXT, "x", 0 } }, "bad_request", NULL },
		{ "invitation.get", { { "id", TEXT, MISSING_ID, 0 } }, "not_found", "not found" },
		{ "invitation.delete", { { "id", TEXT, MISSING_ID, 0 } }, "not_found", "not found" },
	};
	struct scene *x = *state;

	for (size_t i = 0; i < COUNT(cases); i++)
		refused(x, cases[i].method, cases[i].args, cases[i].code, cases[i].message);
}

static void a_space_is_made_once(void **state)
{
	struct scene *x = *state;
	struct params p;

	params_begin(&p, 2);
	params_text(&p, "id", SCENE_SPACE);
	params_bytes(&p, "root_public_key", x->root.point, sizeof x->root.point);
	scene_refused(scene_call(x, x->a, "space.create", &p), "conflict", "space already exists");
}

/* --- connections and HTTP, on a relay that believes one issuer and devices --- */

struct door {
	struct plain_party issuer;
	struct key_server keys;
	struct relay_process relay;
	char iss[80];
};

static int open_door(void **state)
{
	struct door *d = calloc(1, sizeof *d);
	char keys[512];

	assert_non_null(d);
	plain_party_init(&d->issuer, 9);
	key_server_start(&d->keys);
	snprintf(keys, sizeof keys,
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"x\":\"%s\",\"y\":\"%s\"}]}", d->issuer.x,
		d->issuer.y);
	key_server_say(&d->keys, 200, keys);
	snprintf(d->iss, sizeof d->iss, "http://127.0.0.1:%u", d->keys.port);
	setenv("TRUSTED_ISSUERS", d->iss, 1);
	setenv("COFFER_RELAY_AUTH_SELF_ISSUED", "open", 1);
	relay_process_start(&d->relay);
	unsetenv("TRUSTED_ISSUERS");
	unsetenv("COFFER_RELAY_AUTH_SELF_ISSUED");
	*state = d;
	return 0;
}

static int close_door(void **state)
{
	struct door *d = *state;

	relay_process_remove(&d->relay);
	key_server_stop(&d->keys);
	plain_party_release(&d->issuer);
	free(d);
	return 0;
}

static char *issued(const struct door *d, const char *iss, int64_t exp, const char *scope)
{
	char claims[512];

	snprintf(claims, sizeof claims,
		"{\"iss\":\"%s\",\"sub\":\"u\",\"client_id\":\"app\",\"exp\":%lld,\"scope\":\"%s\"}", iss,
		(long long)exp, scope);
	return plain_party_sign(&d->issuer, "{\"alg\":\"ES256\",\"kid\":\"k\"}", claims);
}

static void is_closed(struct rpc_client *c, int code, const char *why)
{
	assert_int_equal(rpc_wait_close(c), code);
	if (c->message.len != 2 + strlen(why) || memcmp(c->message.data + 2, why, strlen(why)) != 0)
		fail_msg("%.*s instead of %s", (int)c->message.len - 2, (const char *)c->message.data + 2, why);
	rpc_close(c);
}

static void first_message_is_refused(const struct door *d, struct bytes message, bool binary, const char *why)
{
	struct rpc_client c;

	rpc_open(&c, d->relay.port);
	rpc_send(&c, message, binary);
	is_closed(&c, 4000, why);
}

/* text NULL: without one. */
static void token_is_refused(const struct door *d, const char *text, const char *why)
{
	struct buf b = BUF_INIT(65536);
	struct cbor_enc e = cbor_enc_init(&b);

	frame_begin_notification(&e, bytes_str("auth"));
	cbor_put_map(&e, text ? 1 : 0);
	if (text) {
		cbor_put_text(&e, "token");
		cbor_put_text(&e, text);
	}
	assert_int_equal(cbor_enc_end(&e), 0);
	first_message_is_refused(d, buf_bytes(&b), true, why);
	buf_release(&b);
}

static void whoever_is_not_let_in_hears_why(void **state)
{
	const struct door *d = *state;
	const int64_t now = time(NULL);
	struct buf b = BUF_INIT(1024);
	struct cbor_enc e = cbor_enc_init(&b);
	char *text;

	first_message_is_refused(d, bytes_str("hello"), false, "expected binary auth frame");
	first_message_is_refused(d, bytes_of(NULL, 0), true, "empty auth frame");
	first_message_is_refused(d, bytes_str("\xff"), true, "invalid auth frame");
	frame_begin_request(&e, bytes_str("1"), bytes_str("auth"));
	cbor_put_map(&e, 0);
	assert_int_equal(cbor_enc_end(&e), 0);
	first_message_is_refused(d, buf_bytes(&b), true, "first frame must be an auth notification");
	buf_release(&b);
	token_is_refused(d, NULL, "missing auth token");
	token_is_refused(d, "", "empty auth token");
	token_is_refused(d, "nonsense", "invalid auth token");
	text = issued(d, "https://other.example", now + 600, "sync");
	token_is_refused(d, text, "untrusted auth issuer");
	free(text);
	text = issued(d, d->iss, now - 600, "sync");
	token_is_refused(d, text, "expired auth token");
	free(text);
	text = issued(d, d->iss, now + 600, "files");
	token_is_refused(d, text, "sync scope required");
	free(text);
}

static void what_is_no_frame_ends_a_connection_with_its_reason(void **state)
{
	static const struct {
		const char *message;
		bool binary;
		const char *why;
	} cases[] = {
		{ "hello", false, "expected binary rpc frame" },
		{ "", true, "empty binary frame" },
		{ "\xff", true, "invalid cbor frame" },
	};
	const struct door *d = *state;
	struct buf params = BUF_INIT(64);
	struct rpc_client c;
	struct party p;
	struct reply r;

	party_init(&p, "laptop");
	for (size_t i = 0; i < COUNT(cases); i++) {
		rpc_open(&c, d->relay.port);
		rpc_auth(&c, &p, d->relay.url);
		assert_int_equal(buf_put_u8(&params, 0xa0), 0);
		r = rpc_call(&c, "no.such", &params);
		assert_true(cbor_text_is(r.f.message, "unknown method: no.such"));
		reply_release(&r);
		rpc_send(&c, bytes_str(cases[i].message), cases[i].binary);
		is_closed(&c, 4005, cases[i].why);
	}
	party_release(&p);
}

static void get_is_refused(const struct door *d, const char *space, const char *header, int status, const char *why)
{
	struct buf b = BUF_INIT(65536), all = BUF_INIT(1u << 20);
	char json[128];

	assert_int_equal(
		buf_printf(&b,
			"GET /api/v1/spaces/%s/files/" MISSING_ID " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n",
			space, header),
		0);
	assert_int_equal(http_raw(d->relay.port, buf_bytes(&b), &all), status);
	snprintf(json, sizeof json, "{\"error\":\"%s\"}", why);
	if (!memmem(all.data, all.len, json, strlen(json)))
		fail_msg("no %s in %.*s", why, (int)all.len, (const char *)all.data);
	buf_release(&b);
	buf_release(&all);
}

static void token_is_no_bearer(const struct door *d, char *text, int status, const char *space, const char *why)
{
	char header[2048];

	snprintf(header, sizeof header, "Authorization: Bearer %s\r\n", text);
	get_is_refused(d, space, header, status, why);
	free(text);
}

static void http_says_what_is_wrong(void **state)
{
	const struct door *d = *state;
	const int64_t now = time(NULL);
	char *text;

	get_is_refused(d, SCENE_SPACE, "", 401, "missing authorization");
	get_is_refused(d, SCENE_SPACE, "Authorization: Basic eA==\r\n", 401, "invalid authorization header format");
	get_is_refused(d, SCENE_SPACE, "Authorization: Bearer nonsense\r\n", 401, "invalid token");
	text = issued(d, d->iss, now + 600, "files"); /* a connection waits for the issuer's keys, HTTP says 503 */
	token_is_refused(d, text, "sync scope required");
	free(text);
	token_is_no_bearer(d, issued(d, "https://other.example", now + 600, "sync files"), 401, SCENE_SPACE,
		"untrusted token issuer");
	token_is_no_bearer(d, issued(d, d->iss, now - 600, "sync files"), 401, SCENE_SPACE, "token has expired");
	token_is_no_bearer(d, issued(d, d->iss, now + 600, "sync"), 403, SCENE_SPACE, "files scope required");
	token_is_no_bearer(d, issued(d, d->iss, now + 600, "sync files"), 400, "x", "invalid space ID");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)
#define DOOR(f) cmocka_unit_test_setup_teardown(f, open_door, close_door)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(methods_say_what_is_wrong),
		TEST(a_space_is_made_once),
		DOOR(whoever_is_not_let_in_hears_why),
		DOOR(what_is_no_frame_ends_a_connection_with_its_reason),
		DOOR(http_says_what_is_wrong),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
