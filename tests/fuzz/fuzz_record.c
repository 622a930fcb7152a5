/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records, bodies, chunks, indexes, heads and lines: what a decoder accepts encodes to the same bytes again. The first byte says which.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "wire/chunk.h"
#include "wire/head.h"
#include "wire/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int record_again(struct bytes in, struct buf *out)
{
	CLEANUP(buf_release) struct buf header = BUF_INIT(RECORD_MAX_BLOB);
	struct record r;

	if (record_decode(in, &r) < 0)
		return 0;
	if (record_put_header(&header, &r.h, 1) < 0 || record_put(out, buf_bytes(&header), r.sealed, r.signature) < 0)
		abort();
	return 1;
}

static int body_again(struct bytes in, struct buf *out)
{
	CLEANUP(node_body_release) struct node_body body = { .kind = 0 };

	if (node_body_decode(in, &body) < 0)
		return 0;
	if (node_body_put(out, &body) < 0)
		abort();
	return 1;
}

static int chunk_again(struct bytes in, struct buf *out)
{
	CLEANUP(buf_release) struct buf header = BUF_INIT(CHUNK_MAX_BLOB);
	struct chunk c;

	if (chunk_decode(in, &c) < 0)
		return 0;
	if (chunk_put_header(&header, &c.space, &c.id, c.named) < 0 || chunk_put(out, buf_bytes(&header), c.sealed) < 0)
		abort();
	return 1;
}

static int index_again(struct bytes in, struct buf *out)
{
	FREE_AFTER struct slice *slices = NULL;
	size_t n;

	if (index_decode(in, &slices, &n) < 0)
		return 0;
	if (index_put(out, slices, n) < 0)
		abort();
	return 1;
}

static int head_again(struct bytes in, struct buf *out)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(HEAD_MAX_BLOB);
	uint8_t signature[64];
	struct bytes view;
	struct head h;

	if (head_decode(in, &h, &view, signature) < 0)
		return 0;
	if (head_put_body(&body, &h) < 0 || head_put(out, buf_bytes(&body), signature) < 0)
		abort();
	return 1;
}

static int lines_again(struct bytes in, struct buf *out)
{
	FREE_AFTER struct line *lines = NULL;
	size_t n;

	if (lines_decode(in, &lines, &n) < 0)
		return 0;
	if (lines_put(out, lines, n) < 0)
		abort();
	return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static int (*const again[])(struct bytes in, struct buf * out) = { record_again, body_again, chunk_again,
		index_again, head_again, lines_again };
	CLEANUP(buf_release) struct buf out = BUF_INIT(4u << 20);

	if (n == 0)
		return 0;
	struct bytes in = bytes_of(p + 1, n - 1);
	if (again[p[0] % (sizeof again / sizeof *again)](in, &out) && !bytes_equal(in, buf_bytes(&out)))
		abort();
	return 0;
}
