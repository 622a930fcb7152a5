/* SPDX-License-Identifier: Apache-2.0 */
/* coffer-syncd and the real relay, with a test that plays coffer-fs. */
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/hash.h"
#include "crypto/log.h"
#include "crypto/open_record.h"
#include "crypto/seal.h"
#include "tests/lib/party.h"
#include "tests/lib/relay_process.h"
#include "tests/lib/syncd_driver.h"
#include "wire/cbor.h"

#define MAX (4u << 20)

struct scene {
	struct relay_process relay;
	struct party alice;
	struct new_space space;
	struct id16 id;
	struct syncd syncd;
};

static void start_online(struct scene *s, struct syncd *d)
{
	syncd_start_as(
		d, identity_person(s->alice.id), identity_device(s->alice.id), identity_sign_secret(s->alice.id));
	syncd_delegate(d, s->relay.url, 3600);
	syncd_configure(d, s->relay.url);
	syncd_expect_state(d, MSG_ONLINE, "");
}

static void put_space(struct cbor_enc *e, const struct scene *s)
{
	char text[ID16_TEXT_SIZE];

	id16_format(&s->id, text);
	cbor_put_text(e, "space");
	cbor_put_text(e, text);
}

static struct cbor_dec field(struct bytes map, const char *key)
{
	struct bytes item;

	assert_int_equal(cbor_map_find(map, CBOR_RPC, key, &item), OK);
	return cbor_dec_init_rpc(item);
}

static bool is_ok(struct bytes result)
{
	struct cbor_dec d = field(result, "ok");

	return cbor_get_bool(&d);
}

static uint64_t number(struct bytes map, const char *key)
{
	struct cbor_dec d = field(map, key);

	return cbor_get_uint(&d);
}

static void append_space(struct scene *s)
{
	struct buf b = BUF_INIT(MAX);
	struct cbor_enc e = cbor_enc_init(&b);
	struct msg m;

	cbor_put_map(&e, 2);
	put_space(&e, s);
	cbor_put_text(&e, "entries");
	cbor_put_array(&e, COUNT(s->space.blobs));
	for (size_t i = 0; i < COUNT(s->space.blobs); i++)
		cbor_put_bytes(&e, s->space.blobs[i].data, s->space.blobs[i].len);
	assert_int_equal(cbor_enc_end(&e), OK);
	syncd_call(&s->syncd, "coffer.append", buf_bytes(&b));
	m = syncd_expect_result(&s->syncd, s->syncd.num, "");
	assert_true(is_ok(m.item));
	buf_release(&b);
}

static void open_scene(struct scene *s)
{
	struct id32 genesis;

	*s = (struct scene){ .relay = { .pid = 0 } };
	party_init(&s->alice, "laptop");
	party_space(&s->alice, &s->space);
	hash_sha256(buf_bytes(&s->space.blobs[0]), &genesis);
	id16_from_hash(&genesis, &s->id);
	relay_process_start(&s->relay);
	start_online(s, &s->syncd);
	append_space(s);
}

static void close_scene(struct scene *s)
{
	syncd_end(&s->syncd);
	relay_process_remove(&s->relay);
	new_space_release(&s->space);
	party_release(&s->alice);
}

static void subscribe(const struct scene *s, struct syncd *d)
{
	struct buf b = BUF_INIT(MAX);
	struct cbor_enc e = cbor_enc_init(&b);
	char text[ID16_TEXT_SIZE];
	struct msg m;
	struct cbor_dec spaces;

	id16_format(&s->id, text);
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "spaces");
	cbor_put_array(&e, 1);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "id");
	cbor_put_text(&e, text);
	cbor_put_text(&e, "since");
	cbor_put_uint(&e, 0);
	syncd_call(d, "subscribe", buf_bytes(&b));
	m = syncd_expect_result(d, d->num, "");
	spaces = field(m.item, "spaces");
	assert_int_equal(cbor_get_array(&spaces, 1), 1);
	buf_release(&b);
}

/* A push of one new record without chunks. */
static void put_push(struct scene *s, uint64_t n, struct buf *ret_params, struct buf *ret_record)
{
	const uint8_t *key = secret_bytes(epoch_ring_get(s->space.ring, 1)).p;
	struct record_header h = {
		.space = s->id,
		.id = { { 0x40, (uint8_t)n } },
		.version = 1,
		.epoch = 1,
		.log_head = *log_head(s->space.log),
		.author = *identity_device(s->alice.id),
	};
	struct node_body body = { .kind = NODE_DIR, .mode = 0755 };
	struct cbor_enc e = cbor_enc_init(ret_params);
	char text[ID16_TEXT_SIZE];

	assert_int_equal(seal_record(key, &h, &body, identity_sign_secret(s->alice.id), ret_record, NULL), OK);
	id16_format(&h.id, text);
	cbor_put_map(&e, 3);
	put_space(&e, s);
	cbor_put_text(&e, "number");
	cbor_put_uint(&e, n);
	cbor_put_text(&e, "records");
	cbor_put_array(&e, 1);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "id");
	cbor_put_text(&e, text);
	cbor_put_text(&e, "blob");
	cbor_put_bytes(&e, ret_record->data, ret_record->len);
	assert_int_equal(cbor_enc_end(&e), OK);
}

static uint64_t push_one(struct scene *s, uint64_t n, struct buf *record)
{
	struct buf b = BUF_INIT(MAX);
	struct msg m;

	put_push(s, n, &b, record);
	syncd_call(&s->syncd, "coffer.push", buf_bytes(&b));
	m = syncd_expect_result(&s->syncd, s->syncd.num, "");
	assert_true(is_ok(m.item));
	buf_release(&b);
	if (number(m.item, "cursor") == 2) /* docs/PROTOCOL.md push.accepted */
		unit_assert_hex(m.item, "a2626f6bf566637572736f7202");
	return number(m.item, "cursor");
}

/* docs/PROTOCOL.md push.order; the record stays out. */
static void a_push_on_top_of_one_that_was_not_accepted_is_refused(void **state)
{
	struct scene s;
	struct buf b = BUF_INIT(MAX), record = BUF_INIT(RECORD_MAX_BLOB);
	struct msg m;

	(void)state;
	open_scene(&s);
	put_push(&s, 1, &b, &record);
	b.data[0] = 0xa4; /* one pair more */
	assert_int_equal(buf_put(&b,
				 "\x65"
				 "after\x09",
				 7),
		OK);
	syncd_call(&s.syncd, "coffer.push", buf_bytes(&b));
	m = syncd_expect_result(&s.syncd, s.syncd.num, "");
	unit_assert_hex(m.item, "a2626f6bf4656572726f72656f72646572");
	buf_clear(&record);
	assert_int_equal(push_one(&s, 1, &record), 2);
	buf_release(&b);
	buf_release(&record);
	close_scene(&s);
}

static void a_push_reaches_the_other_device_with_its_record(void **state)
{
	struct scene s;
	struct syncd other;
	struct buf record = BUF_INIT(RECORD_MAX_BLOB);
	struct cbor_dec records;
	struct msg m;
	uint64_t cursor;

	(void)state;
	open_scene(&s);
	start_online(&s, &other);
	subscribe(&s, &other);
	cursor = push_one(&s, 1, &record);
	m = syncd_expect(&other, MSG_NOTIFY);
	unit_assert_bytes(m.text, bytes_str("coffer.sync"));
	assert_int_equal(number(m.item, "cursor"), cursor);
	records = field(m.item, "records");
	assert_int_equal(cbor_get_array(&records, 1), 1);
	unit_assert_bytes(cbor_get_bytes(&records, RECORD_MAX_BLOB), buf_bytes(&record));
	buf_release(&record);
	syncd_end(&other);
	close_scene(&s);
}

static void make_chunk(const struct scene *s, uint8_t n, size_t size, struct id16 *ret_id, struct buf *ret_blob)
{
	struct slice slice = { .chunk = { { 0x50, n } }, .key = { n } };
	uint8_t *plain = malloc(size);
	uint64_t seed = n;

	assert_non_null(plain);
	for (size_t i = 0; i < size; i++)
		plain[i] = (uint8_t)unit_random(&seed);
	*ret_id = slice.chunk;
	assert_int_equal(seal_chunk(&s->id, slice.key, bytes_of(plain, size), &slice, ret_blob), OK);
	free(plain);
}

static void chunks_go_up_and_come_back(void **state)
{
	struct scene s;
	struct buf blob = BUF_INIT(CHUNK_MAX_BLOB), other = BUF_INIT(CHUNK_MAX_BLOB);
	struct id16 id, absent = { { 0x51 } };
	struct msg m;
	uint64_t num;

	(void)state;
	open_scene(&s);
	make_chunk(&s, 1, 1u << 20, &id, &blob);
	syncd_expect_result(&s.syncd, syncd_put(&s.syncd, &s.id, &id, buf_bytes(&blob)), "");
	syncd_expect_result(&s.syncd, syncd_put(&s.syncd, &s.id, &id, buf_bytes(&blob)), ""); /* the same again */
	make_chunk(&s, 1, 70000, &id, &other);
	syncd_expect_result(&s.syncd, syncd_put(&s.syncd, &s.id, &id, buf_bytes(&other)), "conflict");
	num = syncd_get(&s.syncd, &s.id, &id);
	m = syncd_expect(&s.syncd, MSG_DATA);
	assert_int_equal(m.num, num);
	unit_assert_bytes(m.blob, buf_bytes(&blob));
	syncd_expect_result(&s.syncd, num, "");
	num = syncd_get(&s.syncd, &s.id, &absent);
	syncd_expect_result(&s.syncd, num, "not_found");
	buf_release(&blob);
	buf_release(&other);
	close_scene(&s);
}

static void comes_back_by_itself_when_the_relay_does(void **state)
{
	struct scene s;
	struct buf record = BUF_INIT(RECORD_MAX_BLOB), again = BUF_INIT(RECORD_MAX_BLOB);
	struct msg m;
	uint64_t cursor;

	(void)state;
	open_scene(&s);
	cursor = push_one(&s, 1, &record);
	for (uint64_t i = 0; i < 3; i++) {
		relay_process_kill(&s.relay, i == 1 ? SIGTERM : SIGKILL);
		syncd_expect_state(&s.syncd, MSG_OFFLINE, "closed");
		relay_process_start(&s.relay);
		do {
			m = syncd_expect(&s.syncd, MSG_STATE);
		} while (m.state != MSG_ONLINE);
		assert_int_equal(m.connection, i + 2);
		buf_clear(&again);
		assert_int_equal(push_one(&s, 2 + i, &again), cursor + 1 + i);
	}
	buf_release(&record);
	buf_release(&again);
	close_scene(&s);
}

static void the_relay_takes_a_refreshed_token(void **state)
{
	struct scene s;
	struct buf record = BUF_INIT(RECORD_MAX_BLOB), blob = BUF_INIT(CHUNK_MAX_BLOB);
	struct id16 id;

	(void)state;
	open_scene(&s);
	syncd_delegate(&s.syncd, s.relay.url, 1800);
	push_one(&s, 1, &record);
	make_chunk(&s, 1, 70000, &id, &blob);
	syncd_expect_result(&s.syncd, syncd_put(&s.syncd, &s.id, &id, buf_bytes(&blob)), "");
	buf_clear(&record);
	push_one(&s, 2, &record); /* on the same connection: no STATE came between */
	buf_release(&record);
	buf_release(&blob);
	close_scene(&s);
}

static void a_token_for_another_relay_is_refused(void **state)
{
	struct scene s;
	struct syncd d;

	(void)state;
	open_scene(&s);
	syncd_start(&d);
	syncd_delegate(&d, "http://relay.example.org", 3600);
	syncd_configure(&d, s.relay.url);
	syncd_expect_state(&d, MSG_REFUSED, "auth");
	syncd_end(&d);
	close_scene(&s);
}

/* What a stranger learns of a space that exists is what it learns of one that does not. */
static void a_stranger_is_refused_as_if_there_were_no_space(void **state)
{
	static const char *const methods[] = { "coffer.pull", "coffer.head", "coffer.log" };
	struct scene s;
	struct syncd d;
	struct id16 chunk_id = { { 1 } }, no_space = { { 2 } };

	(void)state;
	open_scene(&s);
	syncd_start(&d);
	syncd_delegate(&d, s.relay.url, 3600);
	syncd_configure(&d, s.relay.url);
	syncd_expect_state(&d, MSG_ONLINE, "");
	for (size_t i = 0; i < COUNT(methods); i++) {
		for (int known = 0; known < 2; known++) {
			struct buf b = BUF_INIT(1024);
			struct cbor_enc e = cbor_enc_init(&b);
			struct scene other = { .id = no_space };

			cbor_put_map(&e, 3);
			put_space(&e, known ? &s : &other);
			cbor_put_text(&e, "since");
			cbor_put_uint(&e, 0);
			cbor_put_text(&e, "with");
			cbor_put_text(&e, "lines");
			syncd_expect_result(&d, syncd_call(&d, methods[i], buf_bytes(&b)), "forbidden");
			buf_release(&b);
		}
	}
	syncd_get(&d, &s.id, &chunk_id);
	syncd_expect_result(&d, d.num, "not_found");
	syncd_get(&d, &no_space, &chunk_id);
	syncd_expect_result(&d, d.num, "not_found");
	syncd_end(&d);
	close_scene(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_push_on_top_of_one_that_was_not_accepted_is_refused),
		cmocka_unit_test(a_push_reaches_the_other_device_with_its_record),
		cmocka_unit_test(chunks_go_up_and_come_back),
		cmocka_unit_test(comes_back_by_itself_when_the_relay_does),
		cmocka_unit_test(the_relay_takes_a_refreshed_token),
		cmocka_unit_test(a_token_for_another_relay_is_refused),
		cmocka_unit_test(a_stranger_is_refused_as_if_there_were_no_space),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
