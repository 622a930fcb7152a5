/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"
#include <stdio.h>
#include "base/cleanup.h"
#include "tests/lib/heap.h"

static void put(struct buf *b, uint8_t v)
{
	heap_suspend();
	int err = buf_put_u8(b, v);
	heap_resume();
	assert_int_equal(err, OK);
}

void unit_put_hex(struct buf *b, const char *hex)
{
	static const char digits[] = "0123456789abcdef";
	int high = -1;
	for (; *hex; hex++) {
		if (*hex == ' ' || *hex == '\n')
			continue;
		const char *at = strchr(digits, *hex);
		if (!at)
			fail_msg("no hex digit: '%c'", *hex);
		int v = (int)(at - digits);
		if (high < 0) {
			high = v;
		} else {
			put(b, (uint8_t)(high << 4 | v));
			high = -1;
		}
	}
	assert_int_equal(high, -1);
}

static void print(const char *what, struct bytes b)
{
	(void)fprintf(stderr, "%s (%zu bytes): ", what, b.len);
	for (size_t i = 0; i < b.len && i < 512; i++)
		(void)fprintf(stderr, "%02x", b.p[i]);
	(void)fprintf(stderr, "\n");
}

void unit_assert_bytes(struct bytes got, struct bytes want)
{
	if (bytes_equal(got, want))
		return;
	print("got", got);
	print("want", want);
	fail_msg("bytes differ");
}

void unit_assert_hex(struct bytes got, const char *want)
{
	struct buf b = BUF_INIT(1u << 20);
	unit_put_hex(&b, want);
	if (bytes_equal(got, buf_bytes(&b))) {
		buf_release(&b);
		return;
	}
	unit_assert_bytes(got, buf_bytes(&b));
	buf_release(&b);
}

uint64_t unit_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}
