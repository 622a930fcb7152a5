/* SPDX-License-Identifier: Apache-2.0 */
/* The examples of docs/PROTOCOL.md are what the code writes. With PROTOCOL_SHOW set they are printed instead of compared. */
#include <ctype.h>
#include <libgen.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "crypto/delegation.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "crypto/token.h"
#include "syncd/engine.h"
#include "tests/lib/unit.h"
#include "wire/frame.h"
#include "wire/map.h"

#define DOC_MAX (1u << 20)
#define ORIGIN "http://127.0.0.1:5379"
#define ISSUED 1900000000

static char doc[DOC_MAX];
static unsigned examples, checked;

static int read_doc(void **state)
{
	char exe[PATH_MAX], path[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	FILE *f = fopen("docs/PROTOCOL.md", "r");

	(void)state;
	if (!f && n > 0) {
		exe[n] = '\0';
		snprintf(path, sizeof path, "%s/../../docs/PROTOCOL.md", dirname(exe));
		f = fopen(path, "r");
	}
	if (!f)
		return -1;
	doc[fread(doc, 1, sizeof doc - 1, f)] = '\0';
	fclose(f);
	for (const char *p = doc; (p = strstr(p, "\n```hex ")); p++)
		examples++;
	for (const char *p = doc; (p = strstr(p, "\n```text ")); p++)
		examples++;
	return crypto_init() < 0 ? -1 : 0;
}

/* Between the fences, without white space. */
static void example(const char *kind, const char *name, struct buf *ret)
{
	char fence[128];
	const char *p, *end;

	snprintf(fence, sizeof fence, "\n```%s %s\n", kind, name);
	p = strstr(doc, fence);
	if (!p)
		fail_msg("no example %s", name);
	p += strlen(fence);
	end = strstr(p, "\n```");
	assert_non_null(end);
	for (; p < end; p++)
		if (!isspace((unsigned char)*p))
			assert_int_equal(buf_put(ret, p, 1), OK);
	assert_int_equal(buf_put_u8(ret, 0), OK);
	checked++;
}

static void is_documented(const char *name, struct bytes got)
{
	struct buf text = BUF_INIT(DOC_MAX);

	example("hex", name, &text);
	if (getenv("PROTOCOL_SHOW")) {
		printf("%s: ", name);
		for (size_t i = 0; i < got.len; i++)
			printf("%02x", got.p[i]);
		printf("\n");
	} else {
		unit_assert_hex(got, (const char *)text.data);
	}
	buf_release(&text);
}

static void is_documented_text(const char *name, struct bytes got)
{
	struct buf text = BUF_INIT(DOC_MAX);

	example("text", name, &text);
	if (getenv("PROTOCOL_SHOW"))
		printf("%s: %.*s\n", name, (int)got.len, (const char *)got.p);
	else
		unit_assert_bytes(got, bytes_of(text.data, text.len - 1));
	buf_release(&text);
}

/* --- frames: as the engine sends them ----------------------------------------------------------------------------- */

static void step(struct engine *e, struct engine_actions *out, struct engine_event ev)
{
	engine_actions_clear(out);
	assert_int_equal(engine_step(e, &ev, out), OK);
}

static struct bytes sent(const struct engine_actions *out, size_t i)
{
	assert_true(i < out->n && out->v[i].kind == ENGINE_SEND);
	return bytes_of(out->v[i].buf.data + ENGINE_HEADROOM, out->v[i].buf.len - ENGINE_HEADROOM);
}

static void frames_are_as_documented(void **state)
{
	struct engine_actions out = { .v = NULL };
	struct buf b = BUF_INIT(256);
	struct cbor_enc enc = cbor_enc_init(&b);
	struct engine *e = NULL;

	(void)state;
	assert_int_equal(engine_new(&e), OK);
	step(e, &out, (struct engine_event){ .kind = ENGINE_CONFIG, .changed = true });
	step(e, &out,
		(struct engine_event){ .kind = ENGINE_DELEGATION, .data = bytes_str("eyJ.a.b"), .life_ms = 1000 });
	step(e, &out, (struct engine_event){ .kind = ENGINE_OPENED });
	is_documented("frame.auth", sent(&out, 0));
	is_documented("frame.probe", sent(&out, 1));
	frame_begin_response(&enc, bytes_str("p1"));
	cbor_put_map(&enc, 1);
	cbor_put_text(&enc, "spaces");
	cbor_put_array(&enc, 0);
	is_documented("frame.probed", buf_bytes(&b));
	step(e, &out, (struct engine_event){ .kind = ENGINE_MESSAGE, .data = buf_bytes(&b) });
	assert_true(engine_online(e));
	buf_release(&b);
	engine_actions_release(&out);
	engine_free(e);
}

/* --- delegation and token ----------------------------------------------------------------------------------------- */

static void keys(uint8_t n, struct secret **ret_key, struct id32 *ret_public)
{
	uint8_t seed[SIGN_SEED_SIZE];

	memset(seed, n, sizeof seed);
	assert_int_equal(sign_keypair_from_seed(seed, ret_key, ret_public), OK);
}

static void put_base64(struct buf *b, struct bytes in)
{
	char text[4096];

	assert_non_null(sodium_bin2base64(text, sizeof text, in.p, in.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING));
	assert_int_equal(buf_put(b, text, strlen(text)), OK);
}

static void put_claims(struct buf *b, const struct delegation *d, struct bytes delegation)
{
	char person[DID_KEY_TEXT_SIZE], device[DID_KEY_TEXT_SIZE], session[DID_KEY_TEXT_SIZE];

	id32_format_did(&d->person, person);
	id32_format_did(&d->device, device);
	id32_format_did(&d->session, session);
	assert_int_equal(buf_printf(b,
				 "{\"iss\":\"%s\",\"sub\":\"%s\",\"client_id\":\"%s\",\"aud\":\"%s\",\"iat\":%d,"
				 "\"exp\":%d,\"scope\":\"sync files\",\"cnf\":\"%s\",\"dlg\":\"",
				 person, person, device, ORIGIN, ISSUED, ISSUED + 3600, session),
		OK);
	put_base64(b, delegation);
	assert_int_equal(buf_put(b, "\"}", 2), OK);
}

/* The token is put together here by the page's words alone, and the relay's check takes it. */
static void delegation_and_token_are_as_documented(void **state)
{
	struct secret *person = NULL, *device = NULL, *session = NULL;
	struct delegation d = { .aud = bytes_str(ORIGIN), .not_after = ISSUED + 3600 };
	struct buf blob = BUF_INIT(DELEGATION_MAX), claims = BUF_INIT(4096), token = BUF_INIT(4096);
	uint8_t signature[64];
	struct token t;

	(void)state;
	keys(1, &person, &d.person);
	keys(2, &device, &d.device);
	keys(3, &session, &d.session);
	assert_int_equal(delegation_make(&d, device, &blob), OK);
	is_documented("delegation", buf_bytes(&blob));
	put_base64(&token, bytes_str("{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}"));
	assert_int_equal(buf_put(&token, ".", 1), OK);
	put_claims(&claims, &d, buf_bytes(&blob));
	put_base64(&token, buf_bytes(&claims));
	assert_int_equal(sign_detached("", buf_bytes(&token), session, signature), OK);
	assert_int_equal(buf_put(&token, ".", 1), OK);
	put_base64(&token, bytes_of(signature, sizeof signature));
	is_documented_text("token", buf_bytes(&token));
	assert_int_equal(token_verify(buf_bytes(&token), ORIGIN, ISSUED + 1, &t), OK);
	assert_true(id32_equal(&t.person, &d.person) && id32_equal(&t.device, &d.device));
	buf_release(&blob);
	buf_release(&claims);
	buf_release(&token);
	secret_free(person);
	secret_free(device);
	secret_free(session);
}

/* --- results; tests/unit/test_syncd_relay.c sees the real relay give them ------------------------------------------- */

static void results_are_as_documented(void **state)
{
	struct buf b = BUF_INIT(256);
	struct cbor_enc e = cbor_enc_init(&b);

	(void)state;
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, true);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, 2);
	is_documented("push.accepted", buf_bytes(&b));
	buf_clear(&b);
	e = cbor_enc_init(&b);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, false);
	cbor_put_text(&e, "error");
	cbor_put_text(&e, "order");
	is_documented("push.order", buf_bytes(&b));
	buf_release(&b);
}

/* An array of one id's text. */
static void put_one(struct map *m, const char *key, const struct id16 *id, struct buf *memory)
{
	struct cbor_enc e = cbor_enc_init(memory);
	char text[ID16_TEXT_SIZE];

	id16_format(id, text);
	cbor_put_array(&e, 1);
	cbor_put_text(&e, text);
	assert_int_equal(cbor_enc_end(&e), OK);
	map_raw(m, key, buf_bytes(memory));
}

static void map_is_documented(const char *name, struct map *m)
{
	struct buf b = BUF_INIT(4096);

	assert_int_equal(map_put(m, &b), OK);
	is_documented(name, buf_bytes(&b));
	buf_release(&b);
	map_release(m);
}

static void history_is_as_documented(void **state)
{
	struct id16 space = { { 0x11 } }, id = { { 0x22 } };
	struct buf list = BUF_INIT(4096), conflict = BUF_INIT(4096);
	struct cbor_enc e = cbor_enc_init(&conflict);
	struct map m = MAP_INIT;

	(void)state;
	map_uuid(&m, "space", &space);
	put_one(&m, "ids", &id, &list);
	map_uint(&m, "limit", 2);
	map_is_documented("history.request", &m);
	map_uuid(&m, "id", &id);
	map_uint(&m, "cursor", 3);
	map_uint(&m, "time", ISSUED);
	map_uint(&m, "expires", ISSUED + 2592000);
	map_bytes(&m, "blob", "\xff", 1);
	map_is_documented("history.version", &m);
	map_uuid(&m, "space", &space);
	map_uint(&m, "cursor", 3);
	map_uint(&m, "from", 7);
	map_is_documented("at.request", &m);
	cbor_put_array(&e, 1);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "id");
	char text[ID16_TEXT_SIZE];
	id16_format(&id, text);
	cbor_put_text(&e, text);
	cbor_put_text(&e, "hash");
	cbor_put_null(&e);
	map_bool(&m, "ok", false);
	map_text(&m, "error", "conflict");
	map_raw(&m, "conflicts", buf_bytes(&conflict));
	map_is_documented("heal.refused", &m);
	buf_release(&list);
	buf_release(&conflict);
}

static void message_is_documented(const char *name, struct msg m)
{
	struct buf b = BUF_INIT(1024);

	assert_int_equal(msg_put(&b, &m), OK);
	is_documented(name, buf_bytes(&b));
	buf_release(&b);
}

static void messages_are_as_documented(void **state)
{
	static const uint8_t empty_map[] = { 0xa0 };
	struct msg m = { .type = MSG_CONFIG, .text = bytes_str(ORIGIN) };

	(void)state;
	message_is_documented("ipc.config", m);
	m = (struct msg){
		.type = MSG_CALL, .num = 7, .text = bytes_str("coffer.head"), .item = bytes_of(empty_map, 1)
	};
	message_is_documented("ipc.call", m);
	m = (struct msg){
		.type = MSG_PUT, .num = 8, .space = { { 0x11 } }, .chunk = { { 0x22 } }, .blob = bytes_of("\xff", 1)
	};
	message_is_documented("ipc.put", m);
	message_is_documented("ipc.hello", (struct msg){ .type = MSG_HELLO, .version = 1, .key = { { 0xaa } } });
	m = (struct msg){ .type = MSG_STATE, .state = MSG_REFUSED, .connection = 2, .text = bytes_str("auth") };
	m.retry_ms = 60000;
	message_is_documented("ipc.state", m);
	message_is_documented(
		"ipc.offline", (struct msg){ .type = MSG_RESULT, .num = 7, .text = bytes_str("offline") });
}

static void no_example_is_left_out(void **state)
{
	(void)state;
	assert_int_equal(checked, examples);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_as_documented),
		cmocka_unit_test(delegation_and_token_are_as_documented),
		cmocka_unit_test(results_are_as_documented),
		cmocka_unit_test(history_is_as_documented),
		cmocka_unit_test(messages_are_as_documented),
		cmocka_unit_test(no_example_is_left_out),
	};

	return cmocka_run_group_tests(tests, read_doc, NULL);
}
