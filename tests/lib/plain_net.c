/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/plain_net.h"
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include "crypto/hash.h"

char *net_token_of_mailbox(const struct plain_net *x, const struct plain_party *p, const char *name, const char *kid,
	const char *mailbox_name)
{
	struct id32 mailbox;
	char box[ID32_TEXT_SIZE], header[64], claims[1024];

	hash_sha256(bytes_str(mailbox_name), &mailbox);
	id32_format(&mailbox, box);
	snprintf(header, sizeof header, "{\"alg\":\"ES256\",\"kid\":\"%s\"}", kid);
	snprintf(claims, sizeof claims,
		"{\"iss\":\"%s\",\"sub\":\"%s\",\"client_id\":\"app\",\"exp\":%lld,\"scope\":\"sync "
		"files\",\"did\":\"%s\","
		"\"mailbox_id\":\"%s\"}",
		x->iss, name, (long long)time(NULL) + 600, p->did, box);
	return plain_party_sign(&x->issuer, header, claims);
}

char *net_token(const struct plain_net *x, const struct plain_party *p, const char *name, const char *kid)
{
	return net_token_of_mailbox(x, p, name, kid, name);
}

void net_authenticate(struct rpc_client *c, const char *text)
{
	struct buf b = BUF_INIT(65536);
	struct cbor_enc e = cbor_enc_init(&b);

	frame_begin_notification(&e, bytes_str("auth"));
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "token");
	cbor_put_text(&e, text);
	assert_int_equal(cbor_enc_end(&e), 0);
	rpc_send(c, buf_bytes(&b), true);
	buf_release(&b);
}

void net_come(struct plain_net *x, struct rpc_client *c, const struct plain_party *p, const char *name)
{
	char *text = net_token(x, p, name, "k");

	rpc_open(c, x->relay.port);
	net_authenticate(c, text);
	free(text);
}

void net_begin(struct buf *b, struct cbor_enc *e, const char *ucan, size_t n)
{
	*b = (struct buf)BUF_INIT(FRAME_MAX);
	*e = cbor_enc_init(b);
	cbor_put_map(e, 2 + n);
	cbor_put_text(e, "space");
	cbor_put_text(e, NET_SPACE);
	cbor_put_text(e, "ucan");
	cbor_put_text(e, ucan);
}

void net_call_ok(struct rpc_client *c, const char *method, struct buf *params, struct cbor_enc *e)
{
	struct reply r;

	assert_int_equal(cbor_enc_end(e), 0);
	r = rpc_call(c, method, params);
	if (r.f.is_error)
		fail_msg("%s: %.*s", method, (int)r.f.message.len, (const char *)r.f.message.p);
	reply_release(&r);
}

void net_make_named_space(struct plain_net *x, struct rpc_client *c, const char *id)
{
	struct buf b = BUF_INIT(1024);
	struct cbor_enc e = cbor_enc_init(&b);

	cbor_put_map(&e, 2);
	cbor_put_text(&e, "id");
	cbor_put_text(&e, id);
	cbor_put_text(&e, "root_public_key");
	cbor_put_bytes(&e, x->root.point, 33);
	net_call_ok(c, "space.create", &b, &e);
}

void net_make_space(struct plain_net *x, struct rpc_client *c)
{
	net_make_named_space(x, c, NET_SPACE);
}

void net_begin_push(struct buf *b, struct cbor_enc *ret_e, const char *ucan, const char *blob, uint64_t expected)
{
	struct cbor_enc e;

	net_begin(b, &e, ucan, 1);
	cbor_put_text(&e, "changes");
	cbor_put_array(&e, 1);
	cbor_put_map(&e, blob ? 3 : 2);
	cbor_put_text(&e, "id");
	cbor_put_text(&e, NET_R1);
	cbor_put_text(&e, "expected_cursor");
	cbor_put_uint(&e, expected);
	if (blob) {
		cbor_put_text(&e, "blob");
		cbor_put_bytes(&e, blob, strlen(blob));
	}
	*ret_e = e;
}

void net_push(struct rpc_client *c, const char *ucan, const char *blob, uint64_t expected)
{
	struct buf b;
	struct cbor_enc e;

	net_begin_push(&b, &e, ucan, blob, expected);
	net_call_ok(c, "push", &b, &e);
}

static void put_one_space(struct cbor_enc *e, const char *ucan, const char *id)
{
	cbor_put_map(e, 1);
	cbor_put_text(e, "spaces");
	cbor_put_array(e, 1);
	cbor_put_map(e, 3);
	cbor_put_text(e, "id");
	cbor_put_text(e, id);
	cbor_put_text(e, "ucan");
	cbor_put_text(e, ucan);
	cbor_put_text(e, "since");
	cbor_put_uint(e, 0);
}

void net_put_spaces(struct cbor_enc *e, const char *ucan)
{
	put_one_space(e, ucan, NET_SPACE);
}

void net_subscribe_to(struct rpc_client *c, const char *ucan, const char *id)
{
	struct buf b = BUF_INIT(FRAME_MAX);
	struct cbor_enc e = cbor_enc_init(&b);

	put_one_space(&e, ucan, id);
	net_call_ok(c, "subscribe", &b, &e);
}

void net_subscribe(struct rpc_client *c, const char *ucan)
{
	net_subscribe_to(c, ucan, NET_SPACE);
}

int net_setup(void **state)
{
	struct plain_net *x = calloc(1, sizeof *x);
	struct id16 space;
	char keys[512];
	int64_t exp = time(NULL) + 600;

	assert_non_null(x);
	plain_party_init(&x->issuer, 9);
	plain_party_init(&x->root, 1);
	plain_party_init(&x->alice, 2);
	plain_party_init(&x->bob, 3);
	key_server_start(&x->keys);
	snprintf(keys, sizeof keys,
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"x\":\"%s\",\"y\":\"%s\"}]}", x->issuer.x,
		x->issuer.y);
	key_server_say(&x->keys, 200, keys);
	snprintf(x->iss, sizeof x->iss, "http://127.0.0.1:%u", x->keys.port);
	setenv("TRUSTED_ISSUERS", x->iss, 1);
	relay_process_start(&x->relay);
	unsetenv("TRUSTED_ISSUERS");
	assert_int_equal(id16_parse(NET_SPACE, 36, &space), 0);
	x->ua = plain_party_ucan(&x->root, x->alice.did, &space, "/space/admin", exp, NULL);
	x->ub = plain_party_ucan(&x->alice, x->bob.did, &space, "/space/write", exp, x->ua);
	assert_int_equal(id16_parse(NET_OTHER_SPACE, 36, &space), 0);
	x->ua_other = plain_party_ucan(&x->root, x->alice.did, &space, "/space/admin", exp, NULL);
	x->ub_other = plain_party_ucan(&x->alice, x->bob.did, &space, "/space/write", exp, x->ua_other);
	*state = x;
	return 0;
}

int net_teardown(void **state)
{
	struct plain_net *x = *state;

	relay_process_remove(&x->relay);
	key_server_stop(&x->keys);
	plain_party_release(&x->issuer);
	plain_party_release(&x->root);
	plain_party_release(&x->alice);
	plain_party_release(&x->bob);
	free(x->ua);
	free(x->ub);
	free(x->ua_other);
	free(x->ub_other);
	free(x);
	return 0;
}

struct frame net_expect_notice(struct rpc_client *c, const char *name)
{
	struct frame f = rpc_notice(c);

	if (!cbor_text_is(f.name, name))
		fail_msg("%.*s instead of %s", (int)f.name.len, (const char *)f.name.p, name);
	return f;
}

void net_send_live_to(struct rpc_client *c, const char *space, const char *name, const char *data)
{
	struct buf b = BUF_INIT(65536);
	struct cbor_enc e = cbor_enc_init(&b);

	frame_begin_notification(&e, bytes_str(name));
	cbor_put_map(&e, data ? 2 : 1);
	cbor_put_text(&e, "space");
	cbor_put_text(&e, space);
	if (data) {
		cbor_put_text(&e, "data");
		cbor_put_bytes(&e, data, strlen(data));
	}
	assert_int_equal(cbor_enc_end(&e), 0);
	rpc_send(c, buf_bytes(&b), true);
	buf_release(&b);
}

void net_send_live(struct rpc_client *c, const char *name, const char *data)
{
	net_send_live_to(c, NET_SPACE, name, data);
}

struct reply net_refresh(struct rpc_client *c, const char *text)
{
	struct buf params = BUF_INIT(8192);
	struct cbor_enc e = cbor_enc_init(&params);

	cbor_put_map(&e, 1);
	cbor_put_text(&e, "token");
	cbor_put_text(&e, text);
	assert_int_equal(cbor_enc_end(&e), 0);
	return rpc_call(c, "token.refresh", &params);
}

int net_file(struct plain_net *x, const char *verb, const char *id, const struct plain_party *p, const char *ucan,
	const char *more, struct bytes body, struct buf *answer)
{
	struct buf b = BUF_INIT(8u << 20);
	char *text = p ? net_token(x, p, p == &x->alice ? "alice" : "bob", "k") : NULL;
	int status;

	buf_clear(answer);
	assert_int_equal(
		buf_printf(&b,
			"%s /api/v1/spaces/" NET_SPACE "/files/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s", verb,
			id, more),
		0);
	if (text)
		assert_int_equal(buf_printf(&b, "Authorization: Bearer %s\r\n", text), 0);
	if (ucan)
		assert_int_equal(buf_printf(&b, "X-UCAN: %s\r\n", ucan), 0);
	if (verb[0] == 'P')
		assert_int_equal(buf_printf(&b, "Content-Length: %zu\r\n", body.len), 0);
	assert_int_equal(buf_put(&b, "\r\n", 2), 0);
	assert_int_equal(buf_put(&b, body.p, body.len), 0);
	status = http_raw(x->relay.port, buf_bytes(&b), answer);
	buf_release(&b);
	free(text);
	return status;
}

void net_expect_file(struct plain_net *x, int status, const char *text, const char *verb, const char *id,
	const struct plain_party *p, const char *ucan, const char *more)
{
	struct buf answer = BUF_INIT(8u << 20);
	int got = net_file(x, verb, id, p, ucan, more, verb[0] == 'P' ? bytes_str("body") : bytes_of(NULL, 0), &answer);

	if (got != status)
		fail_msg("%d instead of %d: %.*s", got, status, (int)answer.len, (const char *)answer.data);
	if (text && !memmem(answer.data, answer.len, text, strlen(text)))
		fail_msg("%.*s", (int)answer.len, (const char *)answer.data);
	buf_release(&answer);
}

void net_start_with(struct plain_net *x, const char *name, const char *value)
{
	relay_process_kill(&x->relay, SIGTERM);
	setenv("TRUSTED_ISSUERS", x->iss, 1);
	setenv(name, value, 1);
	relay_process_start(&x->relay);
	unsetenv("TRUSTED_ISSUERS");
}
