/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/open_chunk.h"

#include <sodium.h>

#include "base/cleanup.h"
#include "crypto/seal.h"
#include "crypto/seal_core.h"

/* Opens and checks length and hash; *ret_named is the clear list, a view into blob. */
static int open_any(const struct id16 *space, const struct slice *s, const uint8_t hash_key[KEY_SIZE],
	struct bytes blob, struct bytes *ret_named, struct buf *ret_plain)
{
	CLEANUP(buf_release) struct buf aad = BUF_INIT(CHUNK_MAX_BLOB);
	struct seal_job job = { .label = CHUNK_LABEL, .key = s->key, .derived = &s->chunk, .squeeze = true };
	size_t start = ret_plain->len;
	struct chunk c;
	struct id32 hash;
	int err;

	if (s->chunk_len == 0 || s->chunk_len > CHUNK_MAX_PLAIN)
		return ERR_INVALID;
	if ((err = chunk_decode(blob, &c)) < 0)
		return err;
	if (!id16_equal(&c.space, space) || !id16_equal(&c.id, &s->chunk))
		return ERR_CONTEXT;
	if ((err = buf_put(&aad, CHUNK_LABEL, strlen(CHUNK_LABEL))) < 0)
		return err;
	if ((err = buf_put(&aad, c.header.p, c.header.len)) < 0)
		return err;
	job.aad = buf_bytes(&aad);
	err = open_core(&job, c.sealed, s->chunk_len, ret_plain);
	if (err < 0)
		return err == ERR_RANGE ? ERR_INVALID : err;
	if (ret_plain->len - start != s->chunk_len) {
		err = ERR_INVALID;
	} else {
		chunk_hash(hash_key, bytes_of(ret_plain->data + start, s->chunk_len), &hash);
		err = sodium_memcmp(hash.b, s->hash.b, sizeof hash.b) == 0 ? 0 : ERR_TAMPERED;
	}
	if (err < 0) {
		sodium_memzero(ret_plain->data + start, ret_plain->len - start);
		ret_plain->len = start;
		return err;
	}
	*ret_named = c.named;
	return 0;
}

int open_chunk(const struct id16 *space, const struct slice *s, const uint8_t hash_key[KEY_SIZE], struct bytes blob,
	struct buf *ret_plain)
{
	size_t start = ret_plain->len;
	struct bytes named;
	int err = open_any(space, s, hash_key, blob, &named, ret_plain);

	if (err < 0)
		return err;
	if (named.len != 0) {
		sodium_memzero(ret_plain->data + start, ret_plain->len - start);
		ret_plain->len = start;
		return ERR_CONTEXT;
	}
	return 0;
}

int open_index(const struct id16 *space, const struct slice *s, const uint8_t hash_key[KEY_SIZE], struct bytes blob,
	struct slice **ret_slices, size_t *ret_n)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT_SECRET(CHUNK_MAX_PLAIN);
	CLEANUP(buf_release) struct buf want = BUF_INIT(CHUNK_MAX_NAMED * sizeof(struct id16));
	struct slice *slices = NULL;
	struct bytes named;
	size_t n = 0;
	int err = open_any(space, s, hash_key, blob, &named, &plain);

	if (err < 0)
		return err;
	if ((err = index_decode(buf_bytes(&plain), &slices, &n)) < 0)
		return err;
	err = seal_named(slices, n, &want);
	if (err == 0 && !bytes_equal(buf_bytes(&want), named))
		err = ERR_TAMPERED;
	if (err < 0) {
		sodium_memzero(slices, n * sizeof *slices);
		free(slices);
		return err;
	}
	*ret_slices = slices;
	*ret_n = n;
	return 0;
}
