/* SPDX-License-Identifier: Apache-2.0 */
/* Records, chunks, heads and lines as bytes: what is written is read back, and only what would be written is read. */
#include <stdlib.h>
#include "base/cleanup.h"
#include "tests/lib/mutate.h"
#include "tests/lib/unit.h"
#include "wire/chunk.h"
#include "wire/head.h"
#include "wire/record.h"

static struct record_header a_header(const uint8_t *prev, size_t n_prev, const uint8_t *chunks, size_t n_chunks)
{
	struct record_header h = { .space = { { 1 } },
		.id = { { 2 } },
		.version = 3,
		.epoch = 4,
		.log_head = { { 5 } },
		.author = { { 6 } },
		.sealed_hash = { { 7 } },
		.flags = RECORD_PASSING };

	h.prev = bytes_of(prev, n_prev * 32);
	h.chunks = bytes_of(chunks, n_chunks * 16);
	return h;
}

static int put(struct buf *b, const struct record_header *h)
{
	CLEANUP(buf_release) struct buf header = BUF_INIT(8192);
	uint8_t signature[64] = { 9 };
	int err = record_put_header(&header, h, 1);

	return err < 0 ? err : record_put(b, buf_bytes(&header), bytes_str("sealed"), signature);
}

static int decode_record(struct bytes changed, size_t at, void *arg)
{
	CLEANUP(buf_release) struct buf again = BUF_INIT(RECORD_MAX_BLOB);
	struct record r;

	(void)at;
	(void)arg;
	if (record_decode(changed, &r) < 0)
		return ERR_INVALID;
	/* What a flipped bit leaves valid is another record, in its one encoding. */
	assert_int_equal(put(&again, &r.h), 0);
	again.len = 0;
	CLEANUP(buf_release) struct buf header = BUF_INIT(8192);
	assert_int_equal(record_put_header(&header, &r.h, 1), 0);
	assert_int_equal(record_put(&again, buf_bytes(&header), r.sealed, r.signature), 0);
	unit_assert_bytes(buf_bytes(&again), changed);
	return ERR_INVALID;
}

static void a_record_reads_back(void **state)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(RECORD_MAX_BLOB);
	uint8_t prev[64] = { 1 }, chunks[48] = { 1 };
	struct record r;

	(void)state;
	prev[32] = 2;
	chunks[16] = 2;
	chunks[32] = 3;
	struct record_header h = a_header(prev, 2, chunks, 3);
	assert_int_equal(put(&b, &h), 0);
	assert_int_equal(record_decode(buf_bytes(&b), &r), 0);
	assert_int_equal(r.h.version, 3);
	assert_int_equal(r.h.epoch, 4);
	unit_assert_bytes(r.h.prev, h.prev);
	unit_assert_bytes(r.h.chunks, h.chunks);
	assert_true(id32_equal(&r.h.author, &h.author));
	unit_assert_bytes(r.sealed, bytes_str("sealed"));
	assert_int_equal(r.signature[0], 9);
	mutate_flips(buf_bytes(&b), decode_record, NULL);
	mutate_lengths(buf_bytes(&b), decode_record, NULL);
}

static void lists_in_clear_headers_are_ascending_and_bounded(void **state)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(RECORD_MAX_BLOB);
	uint8_t prev[32 * 17] = { 0 }, chunks[16 * 65] = { 0 };

	(void)state;
	for (size_t i = 0; i < 17; i++)
		prev[32 * i] = (uint8_t)i;
	for (size_t i = 0; i < 65; i++)
		chunks[16 * i] = (uint8_t)i;
	struct record_header h = a_header(prev, 17, NULL, 0);
	assert_int_equal(put(&b, &h), ERR_RANGE);
	h = a_header(prev, 16, chunks, 64);
	assert_int_equal(put(&b, &h), 0);
	h = a_header(NULL, 0, chunks, 65);
	assert_int_equal(put(&b, &h), ERR_RANGE);
	chunks[16] = 0; /* twice the same */
	h = a_header(NULL, 0, chunks, 2);
	assert_int_equal(put(&b, &h), ERR_NONCANONICAL);
	prev[0] = 5;
	h = a_header(prev, 2, NULL, 0);
	assert_int_equal(put(&b, &h), ERR_NONCANONICAL);
	h = a_header(NULL, 0, NULL, 0);
	h.version = 0;
	assert_int_equal(put(&b, &h), ERR_INVALID);
	h.version = 1;
	h.flags = 2;
	assert_int_equal(put(&b, &h), ERR_INVALID);
}

static int decode_chunk(struct bytes changed, size_t at, void *arg)
{
	CLEANUP(buf_release) struct buf header = BUF_INIT(16384);
	struct chunk c;

	(void)at;
	(void)arg;
	if (chunk_decode(changed, &c) == 0) {
		assert_int_equal(chunk_put_header(&header, &c.space, &c.id, c.named), 0);
		unit_assert_bytes(buf_bytes(&header), c.header);
	}
	return ERR_INVALID;
}

static void a_chunk_reads_back(void **state)
{
	CLEANUP(buf_release) struct buf header = BUF_INIT(16384), b = BUF_INIT(CHUNK_MAX_BLOB);
	struct id16 space = { { 1 } }, id = { { 2 } };
	uint8_t named[32] = { 1 };
	struct chunk c;

	(void)state;
	assert_int_equal(chunk_put_header(&header, &space, &id, bytes_of(named, 16)), 0);
	assert_int_equal(chunk_put(&b, buf_bytes(&header), bytes_str("sealed")), 0);
	assert_int_equal(chunk_decode(buf_bytes(&b), &c), 0);
	assert_true(id16_equal(&c.id, &id));
	assert_int_equal(c.named.len, 16);
	unit_assert_bytes(c.sealed, bytes_str("sealed"));
	mutate_flips(buf_bytes(&b), decode_chunk, NULL);
	mutate_lengths(buf_bytes(&b), decode_chunk, NULL);
	assert_int_equal(chunk_put_header(&header, &space, &id, bytes_of(named, 32)), ERR_NONCANONICAL);
	assert_int_equal(chunk_put_header(&header, &space, &id, bytes_of(named, 15)), ERR_INVALID);
}

static int decode_head(struct bytes changed, size_t at, void *arg)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(HEAD_MAX_BLOB);
	uint8_t signature[64];
	struct bytes view;
	struct head h;

	(void)at;
	(void)arg;
	if (head_decode(changed, &h, &view, signature) == 0) {
		assert_int_equal(head_put_body(&body, &h), 0);
		unit_assert_bytes(buf_bytes(&body), view);
	}
	return ERR_INVALID;
}

static void a_head_reads_back_with_and_without_live(void **state)
{
	(void)state;
	for (int live = 0; live < 2; live++) {
		CLEANUP(buf_release) struct buf body = BUF_INIT(HEAD_MAX_BLOB), b = BUF_INIT(HEAD_MAX_BLOB);
		struct head h = { .space = { { 1 } },
			.device = { { 2 } },
			.cursor = 1u << 20,
			.chain = { { 3 } },
			.log_head = { { 4 } },
			.has_live = live,
			.live = { { (uint8_t)(5 * live) } },
			.time = 1700000000 },
			    back;
		uint8_t signature[64] = { 6 };
		struct bytes view;

		assert_int_equal(head_put_body(&body, &h), 0);
		assert_int_equal(head_put(&b, buf_bytes(&body), signature), 0);
		assert_int_equal(head_decode(buf_bytes(&b), &back, &view, signature), 0);
		assert_memory_equal(&h, &back, sizeof h);
		unit_assert_bytes(view, buf_bytes(&body));
		mutate_flips(buf_bytes(&b), decode_head, NULL);
		mutate_lengths(buf_bytes(&b), decode_head, NULL);
	}
}

static void lines_read_back_and_are_bounded(void **state)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1u << 20);
	FREE_AFTER struct line *many = calloc(LINES_MAX + 1, sizeof *many);
	struct line *back = NULL;
	size_t n;

	(void)state;
	assert_non_null(many);
	for (size_t i = 0; i < LINES_MAX; i++)
		many[i] = (struct line){ .kind = i % 2 ? LINE_ENTRY : LINE_RECORD,
			.id = { { (uint8_t)i } },
			.hash = { { (uint8_t)(i >> 8) } } };
	assert_int_equal(lines_put(&b, many, LINES_MAX + 1), ERR_RANGE);
	assert_int_equal(lines_put(&b, many, LINES_MAX), 0);
	assert_int_equal(lines_decode(buf_bytes(&b), &back, &n), 0);
	assert_int_equal(n, LINES_MAX);
	assert_memory_equal(back, many, LINES_MAX * sizeof *many);
	free(back);
	b.data[b.len - 51 - 1] ^= 0xff; /* not an array of three any more, or another kind */
	assert_true(lines_decode(buf_bytes(&b), &back, &n) < 0);
	buf_clear(&b);
	assert_int_equal(lines_put(&b, NULL, 0), 0);
	assert_int_equal(lines_decode(buf_bytes(&b), &back, &n), 0);
	assert_int_equal(n, 0);
	free(back);
}

static void slices_must_lie_in_order_within_their_bounds(void **state)
{
	struct slice s[2] = { { .at = 0, .len = 10, .from = 5, .chunk_len = 15 },
		{ .at = 10, .len = 1, .chunk_len = 1 } };

	(void)state;
	assert_int_equal(slices_check(s, 2, 0, 0, 11), 0);
	assert_int_equal(slices_check(s, 2, 0, 0, 10), ERR_INVALID);
	assert_int_equal(slices_check(s, 2, 0, 1, 11), ERR_INVALID);
	assert_int_equal(slices_check(s, 2, 1, 0, 11), ERR_INVALID); /* an index entry begins at 0 of its chunk */
	s[0].from = 6;
	assert_int_equal(slices_check(s, 2, 0, 0, 11), ERR_INVALID);
	s[0].from = 0;
	assert_int_equal(slices_check(s, 2, 1, 0, 11), 0);
	s[1].at = 9;
	assert_int_equal(slices_check(s, 2, 0, 0, 11), ERR_INVALID);
	s[1].at = UINT64_MAX;
	s[1].len = 2;
	assert_int_equal(slices_check(s, 2, 0, 0, INT64_MAX), ERR_INVALID);
	s[0].len = 0;
	assert_int_equal(slices_check(s, 1, 0, 0, 11), ERR_INVALID);
	assert_int_equal(slices_check(s, 1, INDEX_MAX_DEPTH + 1, 0, 11), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_reads_back),
		cmocka_unit_test(lists_in_clear_headers_are_ascending_and_bounded),
		cmocka_unit_test(a_chunk_reads_back),
		cmocka_unit_test(a_head_reads_back_with_and_without_live),
		cmocka_unit_test(lines_read_back_and_are_bounded),
		cmocka_unit_test(slices_must_lie_in_order_within_their_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
