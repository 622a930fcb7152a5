/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcbor as the judge: it must understand what we write, and write again byte for byte what our strict check accepts.
 * Seeds are fixed; COUNT_FACTOR=n in the environment makes n times as many rounds.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "tests/lib/cbor_oracle.h"
#include "tests/lib/unit.h"
#include "wire/cbor.h"

enum { ITEMS = 3000, MUTATIONS = 40, MAX_BYTES = 1 << 20 };

static unsigned rounds(unsigned n)
{
	const char *factor = getenv("COUNT_FACTOR");
	return factor ? n * (unsigned)strtoul(factor, NULL, 10) : n;
}

static uint64_t random_number(uint64_t *seed)
{
	return unit_random(seed) >> (unit_random(seed) % 64);
}

static void put_random_string(struct cbor_enc *e, uint64_t *seed, bool text)
{
	static const char *const pieces[] = { "a", "Z9", "\xc3\xa4", "\xe6\xb0\xb4", "\xf0\x90\x85\x91" };
	CLEANUP(buf_release) struct buf b = BUF_INIT(MAX_BYTES);
	size_t n = random_number(seed) % 300;
	while (b.len < n) {
		const char *piece = pieces[unit_random(seed) % COUNT(pieces)];
		uint8_t byte = (uint8_t)unit_random(seed);
		assert_int_equal(text ? buf_put(&b, piece, strlen(piece)) : buf_put_u8(&b, byte), OK);
	}
	if (text)
		cbor_put_text_n(e, (const char *)b.data, b.len);
	else
		cbor_put_bytes(e, b.data, b.len);
}

static void put_random_item(struct cbor_enc *e, uint64_t *seed, unsigned depth);

/* Keys ascend: numbers by doubling steps, then texts by length. */
static void put_random_map(struct cbor_enc *e, uint64_t *seed, unsigned depth)
{
	static const char letters[] = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
	size_t numbers = unit_random(seed) % 6, texts = unit_random(seed) % 30;
	uint64_t key = unit_random(seed) % 20;
	cbor_put_map(e, numbers + texts);
	for (size_t i = 0; i < numbers; i++) {
		cbor_put_uint(e, key);
		key = key * 2 + 1 + unit_random(seed) % 1000;
		put_random_item(e, seed, depth + 1);
	}
	for (size_t i = 0; i < texts; i++) {
		cbor_put_text_n(e, letters, i);
		put_random_item(e, seed, depth + 1);
	}
}

static void put_random_item(struct cbor_enc *e, uint64_t *seed, unsigned depth)
{
	unsigned kinds = depth < 4 ? 8 : 6;
	switch (unit_random(seed) % kinds) {
	case 0:
		cbor_put_uint(e, random_number(seed));
		break;
	case 1:
		cbor_put_int(e, -(int64_t)(random_number(seed) >> 1));
		break;
	case 2:
	case 3:
		put_random_string(e, seed, unit_random(seed) & 1);
		break;
	case 4:
		cbor_put_bool(e, unit_random(seed) & 1);
		break;
	case 5:
		cbor_put_null(e);
		break;
	case 6: {
		size_t n = unit_random(seed) % 30;
		cbor_put_array(e, n);
		while (n-- > 0)
			put_random_item(e, seed, depth + 1);
		break;
	}
	default:
		put_random_map(e, seed, depth);
	}
}

/* Both judges read all of `in` and write the same again. */
static void assert_agreed(struct bytes in)
{
	CLEANUP(buf_release) struct buf copy = BUF_INIT(2 * MAX_BYTES);
	CLEANUP(buf_release) struct buf canonical = BUF_INIT(2 * MAX_BYTES);
	assert_int_equal(cbor_oracle_copy(in, &copy), OK);
	unit_assert_bytes(buf_bytes(&copy), in);
	assert_int_equal(cbor_oracle_canonical(in, &canonical), OK);
	unit_assert_bytes(buf_bytes(&canonical), in);
}

static void random_item(struct buf *b, uint64_t *seed)
{
	struct cbor_enc e = cbor_enc_init(b);
	put_random_item(&e, seed, 0);
	assert_int_equal(cbor_enc_end(&e), OK);
}

static void libcbor_reads_what_we_write(void **state)
{
	(void)state;
	uint64_t seed = 2024;
	for (unsigned i = 0; i < rounds(ITEMS); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(MAX_BYTES);
		random_item(&b, &seed);
		assert_int_equal(cbor_check(buf_bytes(&b), CBOR_STRICT, SIZE_MAX), OK);
		assert_agreed(buf_bytes(&b));
	}
}

/* Flips bits, overwrites, inserts, removes or repeats a few bytes; mostly near the front, where heads are. */
static void mutate(struct buf *b, uint64_t *seed)
{
	for (uint64_t n = unit_random(seed) % 3 + 1; n > 0 && b->len > 0; n--) {
		size_t at = random_number(seed) % b->len;
		switch (unit_random(seed) % 5) {
		case 0:
			b->data[at] ^= (uint8_t)(1u << unit_random(seed) % 8);
			break;
		case 1:
			b->data[at] = (uint8_t)unit_random(seed);
			break;
		case 2:
			b->data[at] = (uint8_t)((b->data[at] & 0xe0) | unit_random(seed) % 32);
			break;
		case 3:
			memmove(b->data + at, b->data + at + 1, b->len - at - 1);
			b->len--;
			break;
		default:
			assert_int_equal(buf_put_u8(b, 0), OK);
			memmove(b->data + at + 1, b->data + at, b->len - at - 1);
			b->data[at] = (uint8_t)unit_random(seed);
		}
	}
}

static void what_strict_accepts_of_mutated_items_libcbor_writes_identically(void **state)
{
	(void)state;
	uint64_t seed = 7;
	unsigned accepted = 0, refused = 0;
	for (unsigned i = 0; i < rounds(ITEMS) / 4; i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(MAX_BYTES);
		random_item(&b, &seed);
		if (b.len > 2000)
			continue;
		for (unsigned j = 0; j < MUTATIONS; j++) {
			CLEANUP(buf_release) struct buf m = BUF_INIT(MAX_BYTES);
			assert_int_equal(buf_put(&m, b.data, b.len), OK);
			mutate(&m, &seed);
			if (cbor_check(buf_bytes(&m), CBOR_STRICT, SIZE_MAX) == OK) {
				assert_agreed(buf_bytes(&m));
				accepted++;
			} else {
				refused++;
			}
		}
	}
	assert_true(accepted > 100 && refused > 1000);
}

/* The other way round: of short inputs, each that libcbor reads as canonical passes the strict check too. */
static void what_is_canonical_to_libcbor_strict_accepts(void **state)
{
	(void)state;
	uint64_t seed = 99;
	unsigned accepted = 0;
	for (unsigned i = 0; i < rounds(ITEMS) * 30; i++) {
		uint8_t p[12];
		size_t n = unit_random(&seed) % sizeof p + 1;
		/* No 4- and 8-byte arguments: libcbor allocates whatever count it reads. */
		for (size_t j = 0; j < n; j++)
			p[j] = (uint8_t)(unit_random(&seed) & (unit_random(&seed) % 2 ? 0xf9 : 0xe3));
		CLEANUP(buf_release) struct buf out = BUF_INIT(MAX_BYTES);
		int judge = cbor_oracle_canonical(bytes_of(p, n), &out);
		bool same = judge == OK && bytes_equal(buf_bytes(&out), bytes_of(p, n));
		int err = cbor_check(bytes_of(p, n), CBOR_STRICT, SIZE_MAX);
		if (err == OK && !same)
			fail_msg("round %u: accepted, but not canonical", i);
		/* Not for us to accept: broken UTF-8, undefined and other simple values (both are ERR_INVALID). */
		if (same && err != OK && err != ERR_INVALID)
			fail_msg("round %u: canonical, but %s", i, err_name(err));
		accepted += err == OK;
	}
	assert_true(accepted > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(libcbor_reads_what_we_write),
		cmocka_unit_test(what_strict_accepts_of_mutated_items_libcbor_writes_identically),
		cmocka_unit_test(what_is_canonical_to_libcbor_strict_accepts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
