/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/seal.h"

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/seal_core.h"

void chunk_hash(const uint8_t hash_key[KEY_SIZE], struct bytes plain, struct id32 *ret_hash)
{
	hash_keyed(hash_key, HASH_CHUNK_LABEL, plain, ret_hash);
}

static int compare_id(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct id16));
}

int seal_named(const struct slice *slices, size_t n, struct buf *b)
{
	FREE_AFTER struct id16 *ids = NULL;
	size_t unique = 0;

	if (n == 0)
		return 0;
	ids = calloc(n, sizeof *ids);
	if (!ids)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		ids[i] = slices[i].chunk;
	qsort(ids, n, sizeof *ids, compare_id);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || !id16_equal(&ids[i], &ids[i - 1]))
			ids[unique++] = ids[i];
	return buf_put(b, ids, unique * sizeof *ids);
}

static int put_chunk(
	const struct id16 *space, const struct slice *s, struct bytes named, struct bytes plain, struct buf *ret_blob)
{
	CLEANUP(buf_release) struct buf aad = BUF_INIT(CHUNK_MAX_BLOB);
	CLEANUP(buf_release) struct buf sealed = BUF_INIT(CHUNK_MAX_BLOB);
	struct seal_job job = {
		.label = CHUNK_LABEL, .key = s->key, .derived = &s->chunk, .plain_hash = &s->hash, .squeeze = true
	};
	size_t start = ret_blob->len, head = strlen(CHUNK_LABEL);
	struct bytes header;
	int err;

	if ((err = buf_put(&aad, CHUNK_LABEL, head)) < 0)
		return err;
	if ((err = chunk_put_header(&aad, space, &s->chunk, named)) < 0)
		return err;
	job.aad = buf_bytes(&aad);
	header = bytes_of(aad.data + head, aad.len - head);
	if ((err = seal_core(&job, plain, &sealed)) < 0)
		return err;
	if ((err = chunk_put(ret_blob, header, buf_bytes(&sealed))) < 0)
		ret_blob->len = start;
	return err;
}

int seal_chunk(const struct id16 *space, const uint8_t hash_key[KEY_SIZE], struct bytes plain, struct slice *ret_slice,
	struct buf *ret_blob)
{
	if (plain.len == 0 || plain.len > CHUNK_MAX_PLAIN)
		return ERR_RANGE;
	ret_slice->chunk_len = (uint32_t)plain.len;
	chunk_hash(hash_key, plain, &ret_slice->hash);
	return put_chunk(space, ret_slice, bytes_of(NULL, 0), plain, ret_blob);
}

int seal_chunk_again(const struct id16 *space, struct bytes plain, const struct slice *s, struct buf *ret_blob)
{
	if (plain.len == 0 || plain.len > CHUNK_MAX_PLAIN || plain.len != s->chunk_len)
		return ERR_RANGE;
	return put_chunk(space, s, bytes_of(NULL, 0), plain, ret_blob);
}

int seal_index(const struct id16 *space, const uint8_t hash_key[KEY_SIZE], const struct slice *slices, size_t n,
	struct slice *ret_slice, struct buf *ret_blob)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT_SECRET(CHUNK_MAX_PLAIN);
	CLEANUP(buf_release) struct buf named = BUF_INIT(CHUNK_MAX_NAMED * sizeof(struct id16));
	int err;

	if (n == 0 || n > INDEX_MAX_SLICES)
		return ERR_RANGE;
	if ((err = index_put(&plain, slices, n)) < 0)
		return err;
	if ((err = seal_named(slices, n, &named)) < 0)
		return err;
	ret_slice->chunk_len = (uint32_t)plain.len;
	chunk_hash(hash_key, buf_bytes(&plain), &ret_slice->hash);
	return put_chunk(space, ret_slice, buf_bytes(&named), buf_bytes(&plain), ret_blob);
}
