/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The examples of docs/PROTOCOL.md are what the code writes. Those of the relay's methods are what a relay takes and answers, from
 * the person, the device and the objects that are FORMAT.md's examples. With DOC_SHOW set they are printed instead of compared.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "crypto/chain.h"
#include "crypto/delegation.h"
#include "crypto/entry_sign.h"
#include "crypto/hash.h"
#include "crypto/seal.h"
#include "crypto/sign.h"
#include "crypto/token.h"
#include "server/rpc.h"
#include "syncd/engine.h"
#include "tests/lib/format_doc.h"
#include "tests/lib/format_world.h"
#include "tests/lib/relay_bench.h"
#include "wire/head.h"
#include "wire/map.h"

#define ORIGIN "http://127.0.0.1:5379"
#define ISSUED 1900000000

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
	doc_hex("frame.auth", sent(&out, 0));
	doc_hex("frame.probe", sent(&out, 1));
	frame_begin_response(&enc, bytes_str("p1"));
	cbor_put_map(&enc, 1);
	cbor_put_text(&enc, "spaces");
	cbor_put_array(&enc, 0);
	doc_hex("frame.probed", buf_bytes(&b));
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
	doc_hex("delegation", buf_bytes(&blob));
	put_base64(&token, bytes_str("{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}"));
	assert_int_equal(buf_put(&token, ".", 1), OK);
	put_claims(&claims, &d, buf_bytes(&blob));
	put_base64(&token, buf_bytes(&claims));
	assert_int_equal(sign_detached("", buf_bytes(&token), session, signature), OK);
	assert_int_equal(buf_put(&token, ".", 1), OK);
	put_base64(&token, bytes_of(signature, sizeof signature));
	assert_int_equal(buf_put_u8(&token, 0), OK);
	doc_text("token", (const char *)token.data);
	token.len--;
	assert_int_equal(token_verify(buf_bytes(&token), ORIGIN, ISSUED + 1, &t), OK);
	assert_true(id32_equal(&t.person, &d.person) && id32_equal(&t.device, &d.device));
	buf_release(&blob);
	buf_release(&claims);
	buf_release(&token);
	secret_free(person);
	secret_free(device);
	secret_free(session);
}

/* --- between coffer-fs and coffer-syncd --- */

static void message_is_documented(const char *name, struct msg m)
{
	struct buf b = BUF_INIT(1024);

	assert_int_equal(msg_put(&b, &m), OK);
	doc_hex(name, buf_bytes(&b));
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

/* --- what a relay answers --- */

#define SCRATCH CLEANUP(buf_release) struct buf
#define ok(call) assert_int_equal(call, OK)

struct relay_world {
	struct world w;
	struct relay_bench r;
	struct caller *who;
	struct id16 space, node, chunk;
	struct buf record, blob, head; /* of FORMAT.md */
	struct answer last;
};

/* A frame, with the store's random name as sixteen times aa. */
static void frame_is_documented(struct relay_world *x, const char *name, const struct message *m)
{
	SCRATCH b = BUF_INIT(FRAME_MAX);
	uint8_t *at;

	ok(buf_put(&b, message_bytes(m).p, message_bytes(m).len));
	at = memmem(b.data, b.len, depot_id(x->r.relay.store)->b, 16);
	if (at)
		memset(at, 0xaa, 16);
	doc_hex(name, buf_bytes(&b));
}

static const struct message *frame_at(const struct answer *a, size_t i)
{
	const struct message_node *n = a->frames.first;

	while (i--)
		n = n->next;
	return n->m;
}

/* Sends the request, whose id is "1", and keeps the answer. The map is released. */
static void ask(struct relay_world *x, const char *example, const char *method, struct map *m)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	SCRATCH frame = BUF_INIT(FRAME_MAX);
	struct cbor_enc e = cbor_enc_init(&frame);

	ok(map_put(m, &params));
	map_release(m);
	*m = (struct map)MAP_INIT;
	if (example) {
		frame_begin_request(&e, bytes_str("1"), bytes_str(method));
		cbor_put_raw(&e, buf_bytes(&params));
		ok(cbor_enc_end(&e));
		doc_hex(example, buf_bytes(&frame));
	}
	answer_release(&x->last);
	x->last = bench_call(&x->r, x->who, method, &params);
}

static void is_answered(struct relay_world *x, const char *example)
{
	frame_is_documented(x, example, x->last.message);
}

static void put_list(struct map *m, const char *key, struct bytes first)
{
	SCRATCH b = BUF_INIT(FRAME_MAX);
	struct cbor_enc e = cbor_enc_init(&b);

	cbor_put_array(&e, 1);
	cbor_put_raw(&e, first);
	ok(cbor_enc_end(&e));
	map_raw(m, key, buf_bytes(&b));
}

static void put_bytes_list(struct map *m, const char *key, struct bytes one)
{
	SCRATCH b = BUF_INIT(FRAME_MAX);
	struct cbor_enc e = cbor_enc_init(&b);

	cbor_put_bytes(&e, one.p, one.len);
	ok(cbor_enc_end(&e));
	put_list(m, key, buf_bytes(&b));
}

/* [{id, blob}] */
static void put_object(struct map *m, const char *key, const struct id16 *id, struct bytes blob)
{
	CLEANUP(map_release) struct map one = MAP_INIT;
	SCRATCH b = BUF_INIT(FRAME_MAX);

	map_uuid(&one, "id", id);
	map_bytes(&one, "blob", blob.p, blob.len);
	ok(map_put(&one, &b));
	put_list(m, key, buf_bytes(&b));
}

static void put_id_list(struct map *m, const char *key, const struct id16 *id)
{
	SCRATCH b = BUF_INIT(64);
	struct cbor_enc e = cbor_enc_init(&b);

	put_id(&e, id);
	ok(cbor_enc_end(&e));
	put_list(m, key, buf_bytes(&b));
}

/* FORMAT.md's record, chunk and head; test_format holds them against the document. */
static void seal_objects(struct relay_world *x)
{
	struct id32 prev = id32_from(0x40), hash;
	struct node_link link = { .id = id16_from(0x70),
		.parent = id16_from(0x80),
		.synced_parent = id16_from(0x90),
		.name = bytes_str("a.txt") };
	struct node_body body = { .kind = NODE_FILE,
		.mode = 0644,
		.owner = *person_root(x->w.person),
		.uid = 1000,
		.gid = 1000,
		.mtime_sec = WORLD_NOW,
		.mtime_nsec = 5,
		.size = 5,
		.form = CONTENT_INLINE,
		.inline_data = bytes_str("hello"),
		.links = &link,
		.n_links = 1 };
	struct record_header h = { .space = x->space,
		.id = x->node,
		.version = 2,
		.prev = bytes_of(prev.b, sizeof prev.b),
		.epoch = 1,
		.log_head = *log_hash_at(x->w.log, 2),
		.author = x->w.one.keys.ed };
	struct slice s = { .at = 4096, .len = 11, .chunk_len = 11, .chunk = x->chunk };
	struct secret *hash_key;

	world_random(0);
	ok(seal_record(secret_key(x->w.key[0]), &h, &body, x->w.one.ed, &x->record, &hash));
	counting(s.key, sizeof s.key, 0x60);
	ok(epoch_hash_key(x->w.ring, &x->space, &hash_key));
	ok(seal_chunk(&x->space, secret_key(hash_key), bytes_str("hello chunk"), &s, &x->blob));
	secret_free(hash_key);
}

static void append(struct relay_world *x, const char *example, struct bytes entry)
{
	struct map m = MAP_INIT;

	map_uuid(&m, "space", &x->space);
	put_bytes_list(&m, "entries", entry);
	ask(x, example, "coffer.append", &m);
}

/* The log's last entry, made again. */
static void append_epoch(struct relay_world *x)
{
	SCRATCH entry = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(log_freep) struct log *log = NULL;

	ok(log_new(person_genesis_hash(x->w.person), &log));
	ok(log_apply(log, person_genesis(x->w.person), LOG_VERIFY));
	ok(log_apply(log, buf_bytes(&x->w.entry), LOG_VERIFY));
	ok(entry_sign(log, ENTRY_EPOCH, buf_bytes(&x->w.epoch), x->w.one.ed, WORLD_NOW, &entry));
	append(x, NULL, buf_bytes(&entry));
	assert_true(answer_ok(&x->last));
}

static int open_world(void **state)
{
	struct relay_world *x = calloc(1, sizeof *x);

	assert_non_null(x);
	world_init(&x->w);
	relay_bench_open(&x->r);
	x->who = bench_caller(&(struct party){ .id = x->w.id });
	x->space = *log_space(x->w.log);
	x->node = id16_from(0x30);
	x->chunk = id16_from(0x50);
	x->record = (struct buf)BUF_INIT(RECORD_MAX_BLOB);
	x->blob = (struct buf)BUF_INIT(CHUNK_MAX_BLOB);
	x->head = (struct buf)BUF_INIT(HEAD_MAX_BLOB);
	seal_objects(x);
	*state = x;
	return 0;
}

static int close_world(void **state)
{
	struct relay_world *x = *state;

	answer_release(&x->last);
	buf_release(&x->record);
	buf_release(&x->blob);
	buf_release(&x->head);
	caller_unref(x->who);
	relay_bench_close(&x->r);
	world_release(&x->w);
	free(x);
	return 0;
}

static void the_log_is_as_documented(void **state)
{
	struct relay_world *x = *state;
	SCRATCH other = BUF_INIT(ENTRY_MAX_BLOB);
	struct map m = MAP_INIT;

	append(x, "append.request", person_genesis(x->w.person));
	is_answered(x, "append.accepted");
	frame_is_documented(x, "append.notice", x->last.notice);
	append(x, NULL, buf_bytes(&x->w.entry));
	map_uuid(&m, "space", &x->space);
	map_uint(&m, "since", 1);
	ask(x, "log.request", "coffer.log", &m);
	assert_int_equal(x->last.chunks, 1);
	frame_is_documented(x, "log.entry", frame_at(&x->last, 0));
	is_answered(x, "log.answer");
	map_uuid(&m, "invite", &x->chunk); /* no open invite's */
	ask(x, "log.invite.request", "coffer.log", &m);
	is_answered(x, "log.invite.refused");
	append_epoch(x);
	ok(buf_put(&other, x->w.entry.data, x->w.entry.len));
	other.data[other.len - 1] ^= 1; /* it is not looked at: its number is taken */
	append(x, NULL, buf_bytes(&other));
	is_answered(x, "append.conflict");
	map_text(&m, "code", "0123-4567-89ab-cdef-0123");
	ask(x, "claim.request", "coffer.claim", &m);
	is_answered(x, "claim.accepted");
}

/* A space with its three entries. */
static void begin_space(struct relay_world *x)
{
	append(x, NULL, person_genesis(x->w.person));
	append(x, NULL, buf_bytes(&x->w.entry));
	append_epoch(x);
}

static void push(struct relay_world *x, const char *example, struct map *m, uint64_t number)
{
	map_uuid(m, "space", &x->space);
	map_uint(m, "number", number);
	ask(x, example, "coffer.push", m);
}

static void heal(struct relay_world *x, const char *example)
{
	struct map m = MAP_INIT;

	map_uuid(&m, "space", &x->space);
	map_uint(&m, "number", 4);
	map_uint(&m, "common", 3);
	put_object(&m, "records", &x->node, buf_bytes(&x->record));
	ask(x, example, "coffer.heal", &m);
}

static void pushes_are_as_documented(void **state)
{
	struct relay_world *x = *state;
	struct map m = MAP_INIT;

	begin_space(x);
	put_object(&m, "chunks", &x->chunk, buf_bytes(&x->blob));
	push(x, "push.request", &m, 1);
	is_answered(x, "push.accepted");
	map_uint(&m, "after", 9);
	push(x, NULL, &m, 2);
	is_answered(x, "push.order");
	put_object(&m, "records", &x->node, buf_bytes(&x->record));
	push(x, NULL, &m, 3); /* it follows a version that is not there */
	is_answered(x, "push.conflict");
	heal(x, "heal.request");
	is_answered(x, "heal.accepted");
	frame_is_documented(x, "sync.notice", x->last.notice);
}

static void put_head(struct relay_world *x)
{
	struct line line[2] = { { LINE_ENTRY, { { 0 } }, *log_hash_at(x->w.log, 2) },
		{ LINE_RECORD, x->node, id32_from(0x40) } };
	struct head h = { .space = x->space,
		.device = x->w.one.keys.ed,
		.cursor = 1,
		.log_head = *log_hash_at(x->w.log, 2),
		.time = WORLD_NOW };
	SCRATCH lines = BUF_INIT(1024);

	line[0].id.b[15] = 2;
	ok(lines_put(&lines, line, COUNT(line)));
	chain_next(&h.chain, h.cursor, buf_bytes(&lines));
	ok(sign_head(&h, x->w.one.ed, &x->head));
}

static void reads_are_as_documented(void **state)
{
	struct relay_world *x = *state;
	struct map m = MAP_INIT;

	begin_space(x);
	put_object(&m, "chunks", &x->chunk, buf_bytes(&x->blob));
	push(x, NULL, &m, 1);
	heal(x, NULL);
	map_uuid(&m, "space", &x->space);
	map_uint(&m, "since", 3);
	ask(x, "pull.request", "coffer.pull", &m);
	assert_int_equal(x->last.chunks, 3);
	frame_is_documented(x, "pull.begin", frame_at(&x->last, 0));
	frame_is_documented(x, "pull.step", frame_at(&x->last, 1));
	frame_is_documented(x, "pull.commit", frame_at(&x->last, 2));
	is_answered(x, "pull.answer");
	map_uuid(&m, "space", &x->space);
	put_id_list(&m, "ids", &x->chunk);
	ask(x, "get.request", "coffer.get", &m);
	frame_is_documented(x, "get.chunk", frame_at(&x->last, 0));
	is_answered(x, "get.answer");
	put_head(x);
	map_uuid(&m, "space", &x->space);
	map_bytes(&m, "head", x->head.data, x->head.len);
	ask(x, "head.request", "coffer.head", &m);
	is_answered(x, "head.answer");
	map_uuid(&m, "space", &x->space);
	put_id_list(&m, "ids", &x->node);
	map_uint(&m, "limit", 2);
	ask(x, "history.request", "coffer.history", &m);
	frame_is_documented(x, "history.version", frame_at(&x->last, 0));
	is_answered(x, "history.answer");
	map_uuid(&m, "space", &x->space);
	map_uint(&m, "cursor", 3);
	ask(x, "at.request", "coffer.at", &m);
	frame_is_documented(x, "at.begin", frame_at(&x->last, 0));
	is_answered(x, "at.answer");
	map_uuid(&m, "space", &x->space);
	ask(x, "usage.request", "coffer.usage", &m);
	is_answered(x, "usage.answer");
}

static void id_is_documented(const char *name, const struct id16 *id)
{
	SCRATCH b = BUF_INIT(64);
	struct cbor_enc e = cbor_enc_init(&b);

	put_id(&e, id);
	ok(cbor_enc_end(&e));
	doc_hex(name, buf_bytes(&b));
}

static void subscribing_is_as_documented(void **state)
{
	struct relay_world *x = *state;
	CLEANUP(map_release) struct map one = MAP_INIT;
	SCRATCH b = BUF_INIT(256);
	struct map m = MAP_INIT;

	id_is_documented("space", &x->space);
	id_is_documented("node", &x->node);
	id_is_documented("chunk", &x->chunk);
	begin_space(x);
	map_uuid(&one, "id", &x->space);
	map_uint(&one, "since", 3);
	ok(map_put(&one, &b));
	put_list(&m, "spaces", buf_bytes(&b));
	ask(x, "subscribe.request", "subscribe", &m);
	is_answered(x, "subscribe.answer");
}

static int open_doc(void **state)
{
	(void)state;
	doc_open(DOC_PROTOCOL);
	return crypto_init() < 0 ? -1 : 0;
}

static int close_doc(void **state)
{
	(void)state;
	doc_close();
	return 0;
}

static void no_example_is_left_out(void **state)
{
	(void)state;
	doc_all_checked();
}

#define WORLD(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_as_documented),
		cmocka_unit_test(delegation_and_token_are_as_documented),
		cmocka_unit_test(messages_are_as_documented),
		WORLD(the_log_is_as_documented),
		WORLD(pushes_are_as_documented),
		WORLD(reads_are_as_documented),
		WORLD(subscribing_is_as_documented),
		cmocka_unit_test(no_example_is_left_out),
	};

	return cmocka_run_group_tests(tests, open_doc, close_doc);
}
