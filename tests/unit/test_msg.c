/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"
#include "wire/msg.h"

/* Known answers of docs/PROTOCOL.md "Messages between coffer-fs and coffer-syncd". */
static const struct {
	const char *hex;
	struct msg m;
} known[] = {
	{ "00000018 82 01 75 687474703a2f2f3132372e302e302e313a35333739",
		{ .type = MSG_CONFIG, .text = { (const uint8_t *)"http://127.0.0.1:5379", 21 } } },
	{ "00000006 82 02 43 010203", { .type = MSG_DELEGATE, .blob = { (const uint8_t *)"\1\2\3", 3 } } },
	{ "00000010 84 03 07 6b 636f666665722e68656164 a0", { .type = MSG_CALL,
								    .num = 7,
								    .text = { (const uint8_t *)"coffer.head", 11 },
								    .item = { (const uint8_t *)"\xa0", 1 } } },
	{ "00000027 85 04 08 50 11000000000000000000000000000000 50 22000000000000000000000000000000 41 ff",
		{ .type = MSG_PUT,
			.num = 8,
			.space = { { 0x11 } },
			.chunk = { { 0x22 } },
			.blob = { (const uint8_t *)"\xff", 1 } } },
	{ "00000026 84 05 1818 50 11000000000000000000000000000000 50 22000000000000000000000000000000",
		{ .type = MSG_GET, .num = 24, .space = { { 0x11 } }, .chunk = { { 0x22 } } } },
	{ "00000003 82 06 07", { .type = MSG_CANCEL, .num = 7 } },
	{ "00000025 83 10 01 5820 aa00000000000000000000000000000000000000000000000000000000000000",
		{ .type = MSG_HELLO, .version = 1, .key = { { 0xaa } } } },
	{ "0000000c 85 11 03 02 6461757468 19ea60", { .type = MSG_STATE,
							    .state = MSG_REFUSED,
							    .connection = 2,
							    .text = { (const uint8_t *)"auth", 4 },
							    .retry_ms = 60000 } },
	{ "00000006 85 12 07 60 60 a0", { .type = MSG_RESULT, .num = 7, .item = { (const uint8_t *)"\xa0", 1 } } },
	{ "0000000d 85 12 07 676f66666c696e65 60 f6",
		{ .type = MSG_RESULT, .num = 7, .text = { (const uint8_t *)"offline", 7 } } },
	{ "00000006 84 13 07 61 73 01", { .type = MSG_PART,
						.num = 7,
						.text = { (const uint8_t *)"s", 1 },
						.item = { (const uint8_t *)"\1", 1 } } },
	{ "00000005 83 14 07 41 ff", { .type = MSG_DATA, .num = 7, .blob = { (const uint8_t *)"\xff", 1 } } },
	{ "00000005 83 15 61 6e a0",
		{ .type = MSG_NOTIFY, .text = { (const uint8_t *)"n", 1 }, .item = { (const uint8_t *)"\xa0", 1 } } },
	{ "00000006 83 16 1903e8 02", { .type = MSG_RATE, .sent = 1000, .received = 2 } },
};

static void assert_same(const struct msg *a, const struct msg *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->num, b->num);
	unit_assert_bytes(a->text, b->text);
	unit_assert_bytes(a->message, b->message);
	unit_assert_bytes(a->item, b->item);
	unit_assert_bytes(a->blob, b->blob);
	assert_true(
		id16_equal(&a->space, &b->space) && id16_equal(&a->chunk, &b->chunk) && id32_equal(&a->key, &b->key));
	assert_int_equal(a->version, b->version);
	assert_int_equal(a->state, b->state);
	assert_int_equal(a->connection, b->connection);
	assert_int_equal(a->retry_ms, b->retry_ms);
	assert_int_equal(a->sent, b->sent);
	assert_int_equal(a->received, b->received);
}

/* The length in the table is written by hand for people; it is checked too. */
static void writes_and_reads_the_known_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(known); i++) {
		struct buf b = BUF_INIT(1024), want = BUF_INIT(1024);
		struct msg m;
		size_t used;

		unit_put_hex(&want, known[i].hex);
		assert_int_equal(msg_put(&b, &known[i].m), OK);
		unit_assert_bytes(buf_bytes(&b), buf_bytes(&want));
		assert_int_equal(msg_take(buf_bytes(&want), &m, &used), OK);
		assert_int_equal(used, want.len);
		assert_same(&m, &known[i].m);
		buf_release(&b);
		buf_release(&want);
	}
}

static void every_shorter_input_is_incomplete(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(known); i++) {
		struct buf b = BUF_INIT(1024);
		struct msg m;
		size_t used;

		assert_int_equal(msg_put(&b, &known[i].m), OK);
		for (size_t n = 0; n < b.len; n++)
			assert_int_equal(msg_take(bytes_of(b.data, n), &m, &used), ERR_AGAIN);
		buf_release(&b);
	}
}

static void takes_one_message_of_several(void **state)
{
	struct buf b = BUF_INIT(4096);
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(known); i++)
		assert_int_equal(msg_put(&b, &known[i].m), OK);
	for (size_t i = 0; i < COUNT(known); i++) {
		struct msg m;
		size_t used;

		assert_int_equal(msg_take(bytes_of(b.data + at, b.len - at), &m, &used), OK);
		assert_same(&m, &known[i].m);
		at += used;
	}
	assert_int_equal(at, b.len);
	buf_release(&b);
}

static void refuses_what_is_no_message(void **state)
{
	static const char *const bad[] = {
		"00000000",                           /* empty */
		"00600001",                           /* over MSG_MAX */
		"ffffffff 00", "00000001 a0",         /* no array */
		"00000001 80", "00000002 81 06",      /* too few items */
		"00000004 83 06 07 07",               /* too many */
		"00000003 82 07 07",                  /* no such type */
		"00000003 82 18 06",                  /* type not in its shortest form */
		"00000003 82 06 60",                  /* number is a text */
		"00000004 82 06 07 00",               /* bytes after the item */
		"00000004 82 06 18 07",               /* number not in its shortest form */
		"00000004 82 01 62 61",               /* text cut short inside the frame */
		"00000005 82 01 62 c328",             /* not UTF-8 */
		"00000005 84 03 07 60 1c",            /* params malformed */
		"00000006 84 05 07 41 00 40",         /* ids of another length */
		"00000009 85 11 04 02 60 1a00000001", /* retry not shortest */
		"00000006 85 11 04 02 60 00",         /* no such state */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct buf b = BUF_INIT(64);
		struct msg m;
		size_t used;
		int err;

		unit_put_hex(&b, bad[i]);
		err = msg_take(buf_bytes(&b), &m, &used);
		if (err == OK || err == ERR_AGAIN)
			fail_msg("row %zu: %d", i, err);
		buf_release(&b);
	}
}

static void an_item_passes_as_other_clients_write_it(void **state)
{
	/* A map with unsorted keys, a long integer and undefined: not strict, but what a relay may send. */
	static const uint8_t item[] = { 0xa2, 0x62, 'b', 'b', 0x18, 0x01, 0x61, 'a', 0xf7 };
	const struct msg m = { .type = MSG_NOTIFY, .text = { (const uint8_t *)"n", 1 }, .item = { item, sizeof item } };
	struct buf b = BUF_INIT(64);
	struct msg got;
	size_t used;

	(void)state;
	assert_int_equal(msg_put(&b, &m), OK);
	assert_int_equal(msg_take(buf_bytes(&b), &got, &used), OK);
	unit_assert_bytes(got.item, m.item);
	buf_release(&b);
}

static void keeps_the_buffer_when_a_message_does_not_fit(void **state)
{
	static uint8_t blob[MSG_MAX];
	const struct msg m = { .type = MSG_DATA, .num = 1, .blob = { blob, sizeof blob } };
	struct buf b = BUF_INIT(2 * MSG_MAX), small = BUF_INIT(10);

	(void)state;
	assert_int_equal(buf_put(&b, "x", 1), OK);
	assert_int_equal(msg_put(&b, &m), ERR_RANGE);
	assert_int_equal(b.len, 1);
	assert_int_equal(msg_put_frame(&b, bytes_of(blob, sizeof blob)), OK);
	assert_int_equal(b.len, 5 + sizeof blob);
	assert_int_equal(msg_put(&small, &known[0].m), ERR_RANGE);
	assert_int_equal(small.len, 0);
	assert_int_equal(msg_put(&small, &(struct msg){ .type = 9 }), ERR_INVALID);
	buf_release(&b);
	buf_release(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_and_reads_the_known_bytes),
		cmocka_unit_test(every_shorter_input_is_incomplete),
		cmocka_unit_test(takes_one_message_of_several),
		cmocka_unit_test(refuses_what_is_no_message),
		cmocka_unit_test(an_item_passes_as_other_clients_write_it),
		cmocka_unit_test(keeps_the_buffer_when_a_message_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
