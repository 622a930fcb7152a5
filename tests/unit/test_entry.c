/* SPDX-License-Identifier: Apache-2.0 */
/* Log entries as bytes: what is written is read back; nothing else is read. */
#include "tests/lib/mutate.h"
#include "tests/lib/unit.h"

#include "wire/entry.h"
#include "wire/field.h"

#define PAYLOAD_CAP 65536

static struct id32 key(uint8_t v)
{
	struct id32 k;

	memset(k.b, v, sizeof k.b);
	return k;
}

static void put_blob(enum entry_type type, struct bytes payload, struct buf *b)
{
	struct buf body = BUF_INIT(ENTRY_MAX_BLOB);
	struct entry e = { .type = type,
		.seq = type == ENTRY_GENESIS ? 0 : 5,
		.prev = key(3),
		.signer = key(4),
		.time = 77,
		.payload = payload };
	uint8_t signature[64] = { 9 };

	memset(e.space.b, 1, sizeof e.space.b);
	assert_int_equal(entry_put_body(&body, &e), 0);
	assert_int_equal(entry_put(b, buf_bytes(&body), signature), 0);
	buf_release(&body);
}

/* A small item that stands for a card or chain. */
static struct bytes item(void)
{
	static const uint8_t array[] = { 0x81, 0x01 };

	return bytes_of(array, sizeof array);
}

static void the_body_comes_back(void **state)
{
	static const uint8_t map[] = { 0xa0 };
	struct buf b = BUF_INIT(PAYLOAD_CAP);
	struct entry e;

	(void)state;
	put_blob(ENTRY_ROLE, bytes_of(map, 1), &b);
	assert_int_equal(entry_decode(buf_bytes(&b), &e), 0);
	assert_int_equal(e.seq, 5);
	assert_int_equal(e.type, ENTRY_ROLE);
	assert_int_equal(e.time, 77);
	assert_int_equal(e.prev.b[0], 3);
	assert_int_equal(e.signer.b[31], 4);
	assert_int_equal(e.space.b[15], 1);
	assert_int_equal(e.signature[0], 9);
	unit_assert_bytes(e.payload, bytes_of(map, 1));
	buf_clear(&b);
	put_blob(ENTRY_GENESIS, bytes_of(map, 1), &b);
	assert_int_equal(entry_decode(buf_bytes(&b), &e), 0);
	assert_true(id16_is_zero(&e.space) && id32_is_zero(&e.prev));
	buf_release(&b);
}

static int decode(struct bytes changed, size_t at, void *arg)
{
	struct entry e;

	(void)at;
	(void)arg;
	return entry_decode(changed, &e);
}

static void cut_entries_are_refused(void **state)
{
	static const uint8_t map[] = { 0xa0 };
	struct buf b = BUF_INIT(PAYLOAD_CAP);

	(void)state;
	put_blob(ENTRY_ROLE, bytes_of(map, 1), &b);
	mutate_lengths(buf_bytes(&b), decode, NULL);
	buf_release(&b);
}

static void wrong_shapes_are_refused(void **state)
{
	/* signature of 64 zeros is abbreviated: built below */
	static const struct {
		const char *body;
		int err;
	} rows[] = {
		{ "a6 0001 0200 0400 0558200000000000000000000000000000000000000000000000000000000000000000 0600 07a0",
			0 },
		{ "a6 0002 0200 0400 0558200000000000000000000000000000000000000000000000000000000000000000 0600 07a0",
			ERR_VERSION },
		{ "a6 0001 0200 040b 0558200000000000000000000000000000000000000000000000000000000000000000 0600 07a0",
			ERR_VERSION },
		{ "a6 0001 0201 0400 0558200000000000000000000000000000000000000000000000000000000000000000 0600 07a0",
			ERR_INVALID },
		{ "a6 0001 0200 0401 0558200000000000000000000000000000000000000000000000000000000000000000 0600 07a0",
			ERR_INVALID },
		{ "a6 0001 0200 0400 0558200000000000000000000000000000000000000000000000000000000000000000 0600 0780",
			ERR_INVALID },
		{ "a7 0001 0200 0400 0558200000000000000000000000000000000000000000000000000000000000000000 0600 07a0 "
		  "0800",
			ERR_INVALID },
		{ "a6 0001 0200 0400 0541ff 0600 07a0", ERR_INVALID },
		{ "a5 0001 0200 0400 0600 07a0", ERR_INVALID },
		{ "a6 0200 0001 0400 0558200000000000000000000000000000000000000000000000000000000000000000 0600 07a0",
			ERR_NONCANONICAL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf body = BUF_INIT(PAYLOAD_CAP), b = BUF_INIT(PAYLOAD_CAP);
		static const uint8_t signature[64];
		struct entry e;
		int err;

		unit_put_hex(&body, rows[i].body);
		assert_int_equal(entry_put(&b, buf_bytes(&body), signature), 0);
		err = entry_decode(buf_bytes(&b), &e);
		if (err != rows[i].err)
			fail_msg("row %zu: %s", i, err_str(err));
		buf_release(&body);
		buf_release(&b);
	}
}

static void an_entry_over_the_limit_is_refused(void **state)
{
	static uint8_t large[ENTRY_MAX_BLOB + 1];
	struct entry e;

	(void)state;
	assert_int_equal(entry_decode(bytes_of(large, sizeof large), &e), ERR_RANGE);
}

#define ROUND_TRIP(type, p) \
	do { \
		struct buf one = BUF_INIT(PAYLOAD_CAP), two = BUF_INIT(PAYLOAD_CAP); \
		struct entry_##type back; \
		assert_int_equal(entry_put_##type(&one, p), 0); \
		assert_int_equal(cbor_check(buf_bytes(&one), CBOR_STRICT, 1000), 0); \
		assert_int_equal(entry_get_##type(buf_bytes(&one), &back), 0); \
		assert_int_equal(entry_put_##type(&two, &back), 0); \
		unit_assert_bytes(buf_bytes(&two), buf_bytes(&one)); \
		buf_release(&one); \
		buf_release(&two); \
	} while (0)

static void every_payload_comes_back(void **state)
{
	struct device_keys device = { .ed = key(1), .x = key(2), .label = bytes_str("sealed") };
	struct entry_genesis personal = { .kind = SPACE_PERSONAL, .card = item() };
	struct entry_genesis shared = { .kind = SPACE_SHARED, .nonce = { { 5 } } };
	struct entry_member member = { .card = item(), .role = ROLE_WRITER, .device = device, .chain = item() };
	struct entry_device dev = { .person = key(3), .device = device, .chain = item() };
	struct entry_join join = { .invite = { { 7 } }, .card = item(), .device = device, .chain = item() };
	struct entry_invite invite = { .id = { { 1 } },
		.ed = key(1),
		.x = key(2),
		.role = ROLE_READER,
		.uses = 1000,
		.expires = 5,
		.has_wrap = true,
		.wrap_epoch = 3,
		.wrap_enc = key(4),
		.bundle = bytes_str("b") };
	struct entry_invite_close close = { .id = { { 1 } } };
	struct entry_role role = { .person = key(1), .role = ROLE_ADMIN };
	struct entry_remove removal = { .person = key(1) };
	struct entry_device_remove device_removal = { .person = key(1), .device = key(2), .cut = bytes_str("c") };
	struct entry_retention retention = { .seconds = 1u << 31 };

	(void)state;
	ROUND_TRIP(genesis, &personal);
	ROUND_TRIP(genesis, &shared);
	ROUND_TRIP(member, &member);
	ROUND_TRIP(device, &dev);
	ROUND_TRIP(join, &join);
	join.card = bytes_of(NULL, 0);
	join.device.label = join.card;
	ROUND_TRIP(join, &join);
	ROUND_TRIP(invite, &invite);
	invite.has_wrap = false;
	invite.ask = invite.has_grant = true;
	ROUND_TRIP(invite, &invite);
	ROUND_TRIP(invite_close, &close);
	ROUND_TRIP(role, &role);
	ROUND_TRIP(remove, &removal);
	ROUND_TRIP(device_remove, &device_removal);
	ROUND_TRIP(retention, &retention);
}

static void put_wraps(struct buf *b, const uint8_t *order, size_t n)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_array(&e, n);
	for (size_t i = 0; i < n; i++) {
		struct wrap w = { .recipient = key(order[i]), .enc = key(9) };

		w.ct[0] = order[i];
		wrap_put(&e, &w);
	}
	assert_int_equal(cbor_enc_end(&e), 0);
}

static int get_epoch(const struct entry_epoch *p, struct entry_epoch *ret_p)
{
	static uint8_t memory[PAYLOAD_CAP];
	struct buf b = BUF_INIT(PAYLOAD_CAP);
	int err;

	assert_int_equal(entry_put_epoch(&b, p), 0);
	memcpy(memory, b.data, b.len);
	err = entry_get_epoch(bytes_of(memory, b.len), ret_p);
	buf_release(&b);
	return err;
}

static void epochs_are_well_formed(void **state)
{
	struct buf good = BUF_INIT(PAYLOAD_CAP), twice = BUF_INIT(PAYLOAD_CAP), down = BUF_INIT(PAYLOAD_CAP);
	struct entry_epoch p = { .number = 1, .commitment = key(1), .minimum = 1 }, back;
	struct wrap w;

	(void)state;
	put_wraps(&good, (const uint8_t[]){ 1, 2, 7 }, 3);
	put_wraps(&twice, (const uint8_t[]){ 1, 2, 2 }, 3);
	put_wraps(&down, (const uint8_t[]){ 2, 1 }, 2);
	p.wraps = buf_bytes(&good);
	assert_int_equal(get_epoch(&p, &back), 0);
	assert_int_equal(back.n_wraps, 3);
	struct id32 seven = key(7), eight = key(8);
	assert_int_equal(wraps_find(back.wraps, &seven, &w), 0);
	assert_int_equal(w.ct[0], 7);
	assert_int_equal(wraps_find(back.wraps, &eight, &w), ERR_NOT_FOUND);
	p.wraps = buf_bytes(&twice);
	assert_int_equal(get_epoch(&p, &back), ERR_INVALID);
	p.wraps = buf_bytes(&down);
	assert_int_equal(get_epoch(&p, &back), ERR_INVALID);
	p.wraps = buf_bytes(&good);
	p.back = bytes_str("no epoch before the first");
	assert_int_equal(get_epoch(&p, &back), ERR_INVALID);
	p.number = 2;
	assert_int_equal(get_epoch(&p, &back), 0);
	p.minimum = 3;
	assert_int_equal(get_epoch(&p, &back), ERR_INVALID);
	p.minimum = 0;
	assert_int_equal(get_epoch(&p, &back), ERR_INVALID);
	p.minimum = 1;
	p.back = bytes_of(NULL, 0);
	assert_int_equal(get_epoch(&p, &back), ERR_INVALID);
	buf_release(&good);
	buf_release(&twice);
	buf_release(&down);
}

static void numbers_out_of_range_are_refused(void **state)
{
	struct buf b = BUF_INIT(PAYLOAD_CAP);
	struct entry_invite invite = { .role = ROLE_READER, .uses = 0, .ask = true, .bundle = bytes_str("b") }, back;
	struct entry_role role = { .role = (enum role)4 }, role_back;

	(void)state;
	assert_int_equal(entry_put_invite(&b, &invite), 0);
	assert_int_equal(entry_get_invite(buf_bytes(&b), &back), ERR_INVALID);
	buf_clear(&b);
	invite.uses = INVITE_MAX_USES + 1;
	assert_int_equal(entry_put_invite(&b, &invite), 0);
	assert_int_equal(entry_get_invite(buf_bytes(&b), &back), ERR_INVALID);
	buf_clear(&b);
	invite.uses = 1;
	invite.role = (enum role)5;
	assert_int_equal(entry_put_invite(&b, &invite), 0);
	assert_int_equal(entry_get_invite(buf_bytes(&b), &back), ERR_INVALID);
	buf_clear(&b);
	assert_int_equal(entry_put_role(&b, &role), 0); /* the pairing role is for invites alone */
	assert_int_equal(entry_get_role(buf_bytes(&b), &role_back), ERR_INVALID);
	buf_release(&b);
}

static void the_largest_epoch_fits(void **state)
{
	struct buf wraps = BUF_INIT(ENTRY_MAX_BLOB), payload = BUF_INIT(ENTRY_MAX_BLOB), b = BUF_INIT(ENTRY_MAX_BLOB);
	struct entry_epoch p = { .number = 1, .minimum = 1, .commitment = key(1) }, back;
	struct cbor_enc e = cbor_enc_init(&wraps);
	struct entry entry;

	(void)state;
	cbor_put_array(&e, WRAPS_MAX);
	for (size_t i = 0; i < WRAPS_MAX; i++) {
		struct wrap w = { .enc = key(9) };

		w.recipient.b[0] = (uint8_t)(i >> 8);
		w.recipient.b[1] = (uint8_t)i;
		wrap_put(&e, &w);
	}
	assert_int_equal(cbor_enc_end(&e), 0);
	p.wraps = buf_bytes(&wraps);
	assert_int_equal(entry_put_epoch(&payload, &p), 0);
	put_blob(ENTRY_EPOCH, buf_bytes(&payload), &b);
	assert_int_equal(entry_decode(buf_bytes(&b), &entry), 0);
	assert_int_equal(entry_get_epoch(entry.payload, &back), 0);
	assert_int_equal(back.n_wraps, WRAPS_MAX);
	buf_release(&wraps);
	buf_release(&payload);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_body_comes_back),
		cmocka_unit_test(cut_entries_are_refused),
		cmocka_unit_test(wrong_shapes_are_refused),
		cmocka_unit_test(an_entry_over_the_limit_is_refused),
		cmocka_unit_test(every_payload_comes_back),
		cmocka_unit_test(epochs_are_well_formed),
		cmocka_unit_test(numbers_out_of_range_are_refused),
		cmocka_unit_test(the_largest_epoch_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
