/* SPDX-License-Identifier: Apache-2.0 */
#include "server/chunks.h"

#include <xxhash.h>
#include "base/cleanup.h"
#include "server/relay.h"
#include "wire/chunk.h"

struct id16 chunk_sum(struct bytes blob)
{
	XXH128_canonical_t c;
	struct id16 sum;

	XXH128_canonicalFromHash(&c, XXH3_128bits(blob.p, blob.len));
	memcpy(sum.b, c.digest, sizeof sum.b);
	return sum;
}

int chunk_read(struct relay *r, struct depot *store, const struct id16 *space, const struct depot_chunk *c,
	uint64_t from, size_t n, struct buf *ret)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CHUNK_MAX_BLOB);
	int err;

	if (from > c->size || n > c->size - from)
		return ERR_RANGE;
	metrics_add(&r->metrics, chunks_out, 1);
	metrics_add(&r->metrics, chunk_bytes_out, n);
	if (!c->row)
		return blob_get(r->blobs, space, &c->id, from, n, ret);
	if ((err = depot_chunk_blob(store, c->row, &b)) < 0)
		return err;
	return b.len < from + n ? ERR_CORRUPT : buf_put(ret, b.data + from, n);
}

int chunk_same(
	struct relay *r, struct depot *store, const struct id16 *space, const struct depot_chunk *c, struct bytes blob)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CHUNK_MAX_BLOB);
	int err;

	if (c->size != blob.len)
		return 0;
	err = c->row ? depot_chunk_blob(store, c->row, &b) : blob_get(r->blobs, space, &c->id, 0, c->size, &b);
	return err < 0 ? err : bytes_equal(buf_bytes(&b), blob);
}

int chunk_store(struct relay *r, uint64_t no, const struct id16 *space, const struct id16 *id, struct bytes blob,
	struct bytes named)
{
	struct depot_chunk c;
	int err = depot_chunk_find(r->store, no, id, &c);

	if (err == OK) {
		if ((err = chunk_same(r, r->store, space, &c, blob)) < 0)
			return err;
		metrics_add(&r->metrics, chunks_again, err);
		return err ? 0 : ERR_CONFLICT;
	}
	if (err != ERR_NOT_FOUND)
		return err;
	c = (struct depot_chunk){
		.id = *id, .size = blob.len, .uploaded = relay_now(r), .summed = true, .sum = chunk_sum(blob)
	};
	if (blob.len > CHUNK_SMALL_BLOB) {
		err = blob_put(r->blobs, space, id, blob);
		if (err == ERR_CONFLICT) {
			/* A file without a row: left by a removal or an upload that a crash cut off. */
			err = blob_remove(r->blobs, space, id);
			if (err == OK)
				err = blob_put(r->blobs, space, id, blob);
		}
		if (err < 0 && err != ERR_EXISTS)
			return err;
		blob = bytes_of(NULL, 0);
	}
	if ((err = depot_chunk_put(r->store, no, &c, blob, named)) < 0)
		return err;
	metrics_add(&r->metrics, chunks_in, 1);
	metrics_add(&r->metrics, chunk_bytes_in, c.size);
	return 1;
}
