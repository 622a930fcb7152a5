/* SPDX-License-Identifier: Apache-2.0 */
/* What is the same for both engines: choosing one, sums. */
#include "server/blob_engine.h"

#include <stdlib.h>
#include <xxhash.h>
#include "base/cleanup.h"

#define PIECE (1u << 20)

int blob_open(const struct env *env, const struct blob_place *place, struct blobs **ret_b)
{
	return place->s3 ? blob_s3_open(env, place, false, ret_b) : blob_dir_open(env, place->dir, false, ret_b);
}

int blob_open_beside(const struct env *env, const struct blob_place *place, struct blobs **ret_b)
{
	return place->s3 ? blob_s3_open(env, place, true, ret_b) : blob_dir_open(env, place->dir, true, ret_b);
}

void blob_close(struct blobs *b)
{
	if (b)
		b->engine->close(b);
}

void blob_give_up(struct blobs *b)
{
	b->engine->give_up(b);
}

bool blob_is_remote(const struct blobs *b)
{
	return b->engine->remote;
}

int blob_put(struct blobs *b, const struct id16 *space, const struct id16 *object, struct bytes data)
{
	return b->engine->put(b, space, object, data);
}

int blob_sync(struct blobs *b, const struct id16 *space, const struct id16 *objects, size_t n)
{
	return b->engine->sync(b, space, objects, n);
}

int blob_get(
	struct blobs *b, const struct id16 *space, const struct id16 *object, uint64_t from, size_t n, struct buf *ret)
{
	return n ? b->engine->get(b, space, object, from, n, ret) : OK;
}

int blob_remove(struct blobs *b, const struct id16 *space, const struct id16 *object)
{
	return b->engine->remove(b, space, object);
}

int64_t blob_size(struct blobs *b, const struct id16 *space, const struct id16 *object)
{
	return b->engine->size(b, space, object);
}

int blob_list(struct blobs *b, const struct blob_seen *after, blob_each *each, void *ctx)
{
	return b->engine->list(b, after, each, ctx);
}

int blob_tidy(struct blobs *b, int64_t before)
{
	return b->engine->tidy(b, before);
}

static struct id16 canonical(XXH128_hash_t hash)
{
	XXH128_canonical_t c;
	struct id16 sum;

	XXH128_canonicalFromHash(&c, hash);
	memcpy(sum.b, c.digest, sizeof sum.b);
	return sum;
}

struct id16 blob_sum_digest(const struct XXH3_state_s *state)
{
	return canonical(XXH3_128bits_digest(state));
}

struct id16 blob_sum(struct bytes data)
{
	return canonical(XXH3_128bits(data.p, data.len));
}

int blob_sum_stored(
	struct blobs *b, const struct id16 *space, const struct id16 *object, uint64_t size, struct id16 *ret_sum)
{
	CLEANUP(buf_release) struct buf piece = BUF_INIT(PIECE);
	XXH3_state_t *state = XXH3_createState();
	int err = state ? OK : ERR_NOMEM;

	if (state)
		XXH3_128bits_reset(state);
	for (uint64_t at = 0; at < size && err == OK; at += piece.len) {
		buf_clear(&piece);
		err = blob_get(b, space, object, at, size - at < PIECE ? (size_t)(size - at) : PIECE, &piece);
		if (err == OK)
			XXH3_128bits_update(state, piece.data, piece.len);
	}
	if (err == OK)
		*ret_sum = blob_sum_digest(state);
	XXH3_freeState(state);
	return err;
}
