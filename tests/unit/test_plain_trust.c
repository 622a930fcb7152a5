/* SPDX-License-Identifier: Apache-2.0 */
/* The plain protocol over a real relay's port: whose tokens let somebody in, for how long, and what a reload changes. */
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include "crypto/hash.h"
#include "tests/lib/plain_net.h"

static void refuse(struct plain_net *x, const char *text, int code)
{
	struct rpc_client c;

	rpc_open(&c, x->relay.port);
	net_authenticate(&c, text);
	assert_int_equal(rpc_wait_close(&c), code);
	rpc_close(&c);
}

static void tokens_open_and_close(void **state)
{
	struct plain_net *x = *state;
	struct rpc_client c[4];
	char *text = net_token(x, &x->alice, "alice", "unknown");

	refuse(x, text, 4000); /* after a fetch, if that is due; the issuer has no such key */
	free(text);
	text = plain_party_sign(&x->issuer, "{\"alg\":\"ES256\",\"kid\":\"k\"}",
		"{\"iss\":\"https://other.example\",\"sub\":\"u\",\"client_id\":\"c\",\"scope\":\"sync\"}");
	refuse(x, text, 4000);
	free(text);
	for (int i = 0; i < 3; i++) {
		net_come(x, &c[i], &x->alice, "alice");
		if (!i)
			net_make_space(x, &c[i]);
		net_subscribe(&c[i], x->ua);
	}
	net_come(x, &c[3], &x->alice, "alice");
	assert_int_equal(rpc_wait_close(&c[3]), 4003); /* the newest, not the oldest */
	net_subscribe(&c[0], x->ua);
	for (int i = 0; i < 4; i++)
		rpc_close(&c[i]);
}

/* The relay's settings from now on: issuer and origin it believes in. */
static void write_settings(const struct plain_net *x, const char *issuer, const char *origin)
{
	FILE *f = fopen(x->relay.config, "w");

	assert_non_null(f);
	fprintf(f, "[server]\nreturn_seconds = 0\norigins = ['%s']\n[auth]\ntrusted_issuers = ['%s']\n", origin,
		issuer);
	fprintf(f, "self_issued = 'open'\n");
	assert_int_equal(fclose(f), 0);
}

static void reload(const struct plain_net *x, const char *issuer, const char *origin)
{
	write_settings(x, issuer, origin);
	assert_int_equal(kill(x->relay.pid, SIGHUP), 0);
}

/* Until the relay lets alice in, as it will once it has read its settings. */
static void come_in_the_end(struct plain_net *x, struct rpc_client *c)
{
	const time_t until = time(NULL) + RPC_DEADLINE_S;
	char *text = net_token(x, &x->alice, "alice", "k");
	struct bytes answer;

	for (;;) {
		rpc_open(c, x->relay.port);
		net_authenticate(c, text);
		rpc_send_request(c, "no.such", bytes_of("\xa0", 1));
		if (!rpc_receive(c, &answer))
			break;
		rpc_close(c);
		assert_true(time(NULL) < until);
	}
	free(text);
}

static void who_is_not_trusted_any_more_is_shut_out(void **state)
{
	struct plain_net *x = *state;
	struct rpc_client a, d;
	struct party device;
	char *text = net_token(x, &x->alice, "alice", "k");
	struct buf b = BUF_INIT(65536);
	struct cbor_enc e = cbor_enc_init(&b);

	relay_process_kill(&x->relay, SIGTERM);
	snprintf(x->relay.config, sizeof x->relay.config, "%.4000s/relay.toml", x->relay.dir);
	write_settings(x, x->iss, x->relay.url);
	relay_process_start(&x->relay);
	party_init(&device, "laptop");
	net_come(x, &a, &x->alice, "alice");
	net_make_space(x, &a);
	rpc_open(&d, x->relay.port);
	rpc_auth(&d, &device, x->relay.url);
	cbor_put_map(&e, 0);
	net_call_ok(&d, "invitation.list", &b, &e);
	/* another name: devices come back, and are refused with tokens for the old one; issuers' clients stay */
	reload(x, x->iss, "https://relay.example.org");
	assert_int_equal(rpc_wait_close(&d), 4001);
	rpc_close(&d);
	rpc_open(&d, x->relay.port);
	rpc_auth(&d, &device, x->relay.url);
	assert_int_equal(rpc_wait_close(&d), 4000);
	rpc_close(&d);
	net_subscribe(&a, x->ua);
	/* another issuer */
	reload(x, "http://127.0.0.1:1", "https://relay.example.org");
	assert_int_equal(rpc_wait_close(&a), 4001);
	rpc_close(&a);
	refuse(x, text, 4000);
	net_expect_file(
		x, 401, "untrusted token issuer", "GET", "0f8fad5b-d9cb-469f-a165-70867728950e", &x->alice, x->ua, "");
	/* both again */
	reload(x, x->iss, x->relay.url);
	come_in_the_end(x, &a);
	net_subscribe(&a, x->ua);
	rpc_open(&d, x->relay.port);
	rpc_auth(&d, &device, x->relay.url);
	b = (struct buf)BUF_INIT(64);
	e = cbor_enc_init(&b);
	cbor_put_map(&e, 0);
	net_call_ok(&d, "invitation.list", &b, &e);
	rpc_close(&a);
	rpc_close(&d);
	party_release(&device);
	free(text);
}

/* The issuer has turned its key, and signs with one that the relay has to ask for. */
static void a_refresh_waits_for_a_new_key(void **state)
{
	struct plain_net *x = *state;
	const time_t until = time(NULL) + RPC_DEADLINE_S;
	struct plain_party next;
	struct rpc_client a;
	struct reply r;
	char keys[1024], header[] = "{\"alg\":\"ES256\",\"kid\":\"new\"}", claims[512], *text;
	bool ok = false;

	net_start_with(x, "COFFER_RELAY_AUTH_KEYS_RETRY_SECONDS", "1");
	unsetenv("COFFER_RELAY_AUTH_KEYS_RETRY_SECONDS");
	net_come(x, &a, &x->alice, "alice");
	net_make_space(x, &a);
	plain_party_init(&next, 12);
	snprintf(keys, sizeof keys,
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"new\",\"x\":\"%s\",\"y\":\"%s\"}]}", next.x,
		next.y);
	key_server_say(&x->keys, 200, keys);
	snprintf(claims, sizeof claims,
		"{\"iss\":\"%s\",\"sub\":\"alice\",\"client_id\":\"app\",\"exp\":%lld,\"scope\":\"sync\"}", x->iss,
		(long long)time(NULL) + 600);
	text = plain_party_sign(&next, header, claims);
	while (!ok) { /* for a second after it was asked the issuer is not asked again */
		r = net_refresh(&a, text);
		ok = reply_ok(&r);
		if (!ok && !reply_refused(&r, "invalid auth token"))
			fail_msg("%.*s", (int)r.f.value.len, (const char *)r.f.value.p);
		reply_release(&r);
		assert_true(time(NULL) < until);
	}
	net_subscribe(&a, x->ua); /* and the connection goes on */
	free(text);
	plain_party_release(&next);
	rpc_close(&a);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tokens_open_and_close),
		TEST(who_is_not_trusted_any_more_is_shut_out),
		TEST(a_refresh_waits_for_a_new_key),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
