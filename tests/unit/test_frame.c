/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of betterbase-rpc-v1 as its other implementations send them, byte for byte (docs/PROTOCOL.md, frames).
 */
#include "base/cleanup.h"
#include "tests/lib/heap.h"
#include "tests/lib/unit.h"
#include "wire/frame.h"

#define SPACE_TEXT "da29e793-3f05-51c3-9f72-63cc953f9c05"
#define SPACE \
	"7824" \
	"64613239653739332d336630352d353163332d396637322d363363633935336639633035"

static const char auth[] = "a3647479706502666d6574686f64646175746866706172616d73a165746f6b656e6765794a2e612e62";
static const char subscribe[] = "a4626964677270632d312d78647479706500666d6574686f646973756273637269626566706172616d73a1"
				"6673706163657381a4626964" SPACE "647563616ef76573696e6365006870726573656e6365f5";
static const char subscribed[] = "a3647479706501626964677270632d312d7866726573756c74a16673706163657381a3626964" SPACE
				 "66637572736f72006e6b65795f67656e65726174696f6e01";
static const char pushed[] = "a3647479706501626964677270632d322d7866726573756c74a2626f6bf566637572736f7201";
static const char conflict[] =
	"a3647479706501626964677270632d332d7866726573756c74a2626f6bf4656572726f7268636f6e666c696374";
static const char forbidden[] = "a3647479706501626964677270632d342d78656572726f72a264636f646569666f7262696464656e676d65"
				"737361676569666f7262696464"
				"656e";
static const char pull_begin[] =
	"a4647479706503626964677270632d352d78646e616d656a70756c6c2e626567696e6464617461a4657370616365" SPACE
	"64707265760066637572736f72016e6b65795f67656e65726174696f6e01";
static const char pull_done[] = "a3647479706501626964677270632d352d7866726573756c74a1675f6368756e6b7303";
static const char invitation[] = "a3647479706502666d6574686f646a696e7669746174696f6e66706172616d73a0";
static const char empty_result[] = "a3647479706501626964677270632d362d7866726573756c74a0";

static const char *const all[] = { auth, subscribe, subscribed, pushed, conflict, forbidden, pull_begin, pull_done,
	invitation, empty_result };

static void put_pair_text(struct cbor_enc *e, const char *key, const char *value)
{
	cbor_put_text(e, key);
	cbor_put_text(e, value);
}

static void put_pair_uint(struct cbor_enc *e, const char *key, uint64_t value)
{
	cbor_put_text(e, key);
	cbor_put_uint(e, value);
}

static void put_auth(struct cbor_enc *e)
{
	frame_begin_notification(e, bytes_str("auth"));
	cbor_put_map(e, 1);
	put_pair_text(e, "token", "eyJ.a.b");
}

static void put_subscribed(struct cbor_enc *e)
{
	frame_begin_response(e, bytes_str("rpc-1-x"));
	cbor_put_map(e, 1);
	cbor_put_text(e, "spaces");
	cbor_put_array(e, 1);
	cbor_put_map(e, 3);
	put_pair_text(e, "id", SPACE_TEXT);
	put_pair_uint(e, "cursor", 0);
	put_pair_uint(e, "key_generation", 1);
}

static void put_pushed(struct cbor_enc *e)
{
	frame_begin_response(e, bytes_str("rpc-2-x"));
	cbor_put_map(e, 2);
	cbor_put_text(e, "ok");
	cbor_put_bool(e, true);
	put_pair_uint(e, "cursor", 1);
}

static void put_conflict(struct cbor_enc *e)
{
	frame_begin_response(e, bytes_str("rpc-3-x"));
	cbor_put_map(e, 2);
	cbor_put_text(e, "ok");
	cbor_put_bool(e, false);
	put_pair_text(e, "error", "conflict");
}

static void put_forbidden(struct cbor_enc *e)
{
	frame_put_error(e, bytes_str("rpc-4-x"), "forbidden", "forbidden");
}

static void put_pull_begin(struct cbor_enc *e)
{
	frame_begin_chunk(e, bytes_str("rpc-5-x"), bytes_str("pull.begin"));
	cbor_put_map(e, 4);
	put_pair_text(e, "space", SPACE_TEXT);
	put_pair_uint(e, "prev", 0);
	put_pair_uint(e, "cursor", 1);
	put_pair_uint(e, "key_generation", 1);
}

static void put_pull_done(struct cbor_enc *e)
{
	frame_begin_response(e, bytes_str("rpc-5-x"));
	cbor_put_map(e, 1);
	put_pair_uint(e, "_chunks", 3);
}

static void put_invitation(struct cbor_enc *e)
{
	frame_begin_notification(e, bytes_str("invitation"));
	cbor_put_map(e, 0);
}

static void put_empty_result(struct cbor_enc *e)
{
	frame_begin_response(e, bytes_str("rpc-6-x"));
	cbor_put_map(e, 0);
}

/* The subscription, as our own side sends it: the same pairs, without the undefined one. */
static void put_subscribe(struct cbor_enc *e)
{
	frame_begin_request(e, bytes_str("rpc-1-x"), bytes_str("subscribe"));
	cbor_put_map(e, 1);
	cbor_put_text(e, "spaces");
	cbor_put_array(e, 0);
}

static void frames_are_written_byte_for_byte(void **state)
{
	(void)state;
	static const struct {
		void (*put)(struct cbor_enc *e);
		const char *hex;
	} cases[] = {
		{ put_auth, auth },
		{ put_subscribed, subscribed },
		{ put_pushed, pushed },
		{ put_conflict, conflict },
		{ put_forbidden, forbidden },
		{ put_pull_begin, pull_begin },
		{ put_pull_done, pull_done },
		{ put_invitation, invitation },
		{ put_empty_result, empty_result },
		{ put_subscribe, "a4626964677270632d312d78647479706500666d6574686f646973756273637269626566706172616d73"
				 "a16673706163657380" },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(4096);
		struct cbor_enc e = cbor_enc_init(&b);
		cases[i].put(&e);
		assert_int_equal(cbor_enc_end(&e), OK);
		unit_assert_hex(buf_bytes(&b), cases[i].hex);
	}
}

static int decode_hex(struct buf *b, const char *hex, struct frame *ret_f)
{
	buf_clear(b);
	unit_put_hex(b, hex);
	return frame_decode(buf_bytes(b), ret_f);
}

static void frames_are_read(void **state)
{
	(void)state;
	static const struct {
		const char *hex;
		enum frame_type type;
		const char *id, *name, *value; /* value: hex */
	} cases[] = {
		{ auth, FRAME_NOTIFICATION, "", "auth", "a165746f6b656e6765794a2e612e62" },
		{ pushed, FRAME_RESPONSE, "rpc-2-x", "", "a2626f6bf566637572736f7201" },
		{ pull_done, FRAME_RESPONSE, "rpc-5-x", "", "a1675f6368756e6b7303" },
		{ invitation, FRAME_NOTIFICATION, "", "invitation", "a0" },
		{ empty_result, FRAME_RESPONSE, "rpc-6-x", "", "a0" },
		{ pull_begin, FRAME_CHUNK, "rpc-5-x", "pull.begin",
			"a4657370616365" SPACE "64707265760066637572736f72016e6b65795f67656e65726174696f6e01" },
		{ subscribe, FRAME_REQUEST, "rpc-1-x", "subscribe",
			"a16673706163657381a4626964" SPACE "647563616ef76573696e6365006870726573656e6365f5" },
	};
	CLEANUP(buf_release) struct buf b = BUF_INIT(4096);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct frame f;
		assert_int_equal(decode_hex(&b, cases[i].hex, &f), OK);
		assert_int_equal(f.type, cases[i].type);
		unit_assert_bytes(f.id, bytes_str(cases[i].id));
		unit_assert_bytes(f.name, bytes_str(cases[i].name));
		unit_assert_hex(f.value, cases[i].value);
		assert_false(f.is_error);
	}
}

static void an_error_has_code_and_message(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT(4096);
	struct frame f;
	assert_int_equal(decode_hex(&b, forbidden, &f), OK);
	assert_int_equal(f.type, FRAME_RESPONSE);
	assert_true(f.is_error);
	unit_assert_bytes(f.id, bytes_str("rpc-4-x"));
	unit_assert_bytes(f.code, bytes_str("forbidden"));
	unit_assert_bytes(f.message, bytes_str("forbidden"));
	assert_int_equal(f.value.len, 0);
}

static void what_another_client_may_send_is_tolerated(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT(4096);
	struct frame f;
	/* unknown key; keys unsorted; id and method absent; params absent, null, undefined; a longer integer than needed */
	assert_int_equal(decode_hex(&b, "a2 6378797a 8101 6474797065 00", &f), OK);
	assert_int_equal(f.type, FRAME_REQUEST);
	assert_int_equal(f.id.len + f.name.len + f.value.len, 0);
	assert_int_equal(decode_hex(&b, "a2 66706172616d73f6 6474797065 1802", &f), OK);
	assert_int_equal(f.type, FRAME_NOTIFICATION);
	assert_int_equal(f.value.len, 0);
	assert_int_equal(decode_hex(&b, "a2 66706172616d73f7 6474797065 00", &f), OK);
	assert_int_equal(f.value.len, 0);
	/* a type of tomorrow */
	assert_int_equal(decode_hex(&b, "a1 6474797065 04", &f), OK);
	assert_int_equal(f.type, FRAME_OTHER);
	assert_int_equal(decode_hex(&b, "a1 6474797065 1bffffffffffffffff", &f), OK);
	assert_int_equal(f.type, FRAME_OTHER);
}

static void what_is_no_frame_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *hex;
		int err;
	} cases[] = {
		{ "", ERR_TRUNCATED }, { "80", ERR_INVALID }, { "00", ERR_INVALID }, { "f6", ERR_INVALID },
		{ "a0", ERR_INVALID },                                                      /* no type */
		{ "a1 6474797065 6130", ERR_INVALID }, { "a1 6474797065 f6", ERR_INVALID }, /* type of another kind */
		{ "a2 6474797065 00 6474797065 00", ERR_INVALID },                          /* twice */
		{ "a2 6474797065 00 626964 01", ERR_INVALID }, { "a2 6474797065 00 666d6574686f64 80", ERR_INVALID },
		{ "a2 6474797065 01 656572726f72 6178", ERR_INVALID }, /* error is no map */
		{ "bf ff", ERR_INVALID }, { "a1 6474797065 c100", ERR_INVALID },
		{ "a1 6474797065 00 00", ERR_INVALID }, /* bytes behind */
	};
	CLEANUP(buf_release) struct buf b = BUF_INIT(4096);
	struct frame f;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int err = decode_hex(&b, cases[i].hex, &f);
		if (err != cases[i].err)
			fail_msg("%s: %s", cases[i].hex, err_name(err));
	}
}

static void every_truncation_is_refused(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT(4096);
	for (size_t i = 0; i < COUNT(all); i++) {
		struct frame f;
		assert_int_equal(decode_hex(&b, all[i], &f), OK);
		for (size_t n = 0; n < b.len; n++)
			assert_int_equal(frame_decode(bytes_of(b.data, n), &f), ERR_TRUNCATED);
	}
}

static void texts_and_messages_have_caps(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT(FRAME_MAX + 100);
	char text[FRAME_MAX_NAME + 1];
	struct frame f;
	memset(text, 'x', sizeof text);
	for (size_t over = 0; over < 2; over++) {
		buf_clear(&b);
		struct cbor_enc e = cbor_enc_init(&b);
		frame_begin_request(&e, bytes_of(text, FRAME_MAX_ID + over), bytes_of(text, FRAME_MAX_NAME));
		cbor_put_null(&e);
		assert_int_equal(cbor_enc_end(&e), OK);
		assert_int_equal(frame_decode(buf_bytes(&b), &f), over ? ERR_RANGE : OK);
		buf_clear(&b);
		e = cbor_enc_init(&b);
		frame_begin_request(&e, bytes_str("1"), bytes_of(text, FRAME_MAX_NAME + over));
		cbor_put_null(&e);
		assert_int_equal(cbor_enc_end(&e), OK);
		assert_int_equal(frame_decode(buf_bytes(&b), &f), over ? ERR_RANGE : OK);
	}
	buf_clear(&b);
	uint8_t *p;
	assert_int_equal(buf_grow(&b, FRAME_MAX + 1, &p), OK);
	memset(p, 0, FRAME_MAX + 1);
	assert_int_equal(frame_decode(buf_bytes(&b), &f), ERR_RANGE);
}

static void the_keepalive_is_one_byte(void **state)
{
	(void)state;
	assert_true(frame_is_keepalive(bytes_of("\xf6", 1)));
	assert_false(frame_is_keepalive(bytes_of("\xf7", 1)));
	assert_false(frame_is_keepalive(bytes_of("\xf6\xf6", 2)));
	assert_false(frame_is_keepalive(bytes_of(NULL, 0)));
}

static void decoding_allocates_nothing(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_INIT(4096);
	struct frame f;
	unit_put_hex(&b, subscribe);
	heap_fail_from(1);
	assert_int_equal(frame_decode(buf_bytes(&b), &f), OK);
	assert_int_equal(heap_count(), 0);
	heap_fail_at(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_written_byte_for_byte),
		cmocka_unit_test(frames_are_read),
		cmocka_unit_test(an_error_has_code_and_message),
		cmocka_unit_test(what_another_client_may_send_is_tolerated),
		cmocka_unit_test(what_is_no_frame_is_refused),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(texts_and_messages_have_caps),
		cmocka_unit_test(the_keepalive_is_one_byte),
		cmocka_unit_test(decoding_allocates_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
