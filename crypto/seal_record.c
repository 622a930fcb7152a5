/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/seal.h"

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/padme.h"
#include "crypto/seal_core.h"
#include "crypto/sign.h"

/* Seals the encoded body; the additional data is the header without the hash that this makes. */
static int seal_body(
	const uint8_t epoch_key[KEY_SIZE], const struct record_header *h, struct bytes plain, struct buf *sealed)
{
	CLEANUP(buf_release) struct buf aad = BUF_INIT(RECORD_MAX_BLOB);
	uint8_t key[KEY_SIZE];
	struct seal_job job = { .label = RECORD_LABEL, .key = key, .squeeze = true };
	int err = record_put_header(&aad, h, 0);

	if (err < 0)
		return err;
	job.aad = buf_bytes(&aad);
	seal_node_key(epoch_key, &h->space, &h->id, key);
	err = seal_core(&job, plain, sealed);
	secret_wipe(key, sizeof key);
	return err;
}

static int sign_record(
	const struct record_header *h, struct bytes sealed, const struct secret *sign_key, struct buf *ret_blob)
{
	CLEANUP(buf_release) struct buf header = BUF_INIT(RECORD_MAX_BLOB);
	uint8_t signature[64];
	int err = record_put_header(&header, h, 1);

	if (err < 0)
		return err;
	if ((err = sign_detached(RECORD_LABEL, buf_bytes(&header), sign_key, signature)) < 0)
		return err;
	return record_put(ret_blob, buf_bytes(&header), sealed, signature);
}

int seal_record(const uint8_t epoch_key[KEY_SIZE], const struct record_header *h, const struct node_body *body,
	const struct secret *sign_key, struct buf *ret_blob, struct id32 *ret_hash)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT_SECRET(RECORD_MAX_BODY);
	CLEANUP(buf_release) struct buf named = BUF_INIT(RECORD_MAX_CHUNKS * sizeof(struct id16));
	CLEANUP(buf_release) struct buf sealed = BUF_INIT(SEAL_OVERHEAD + padme_size(RECORD_MAX_BODY));
	struct record_header full = *h;
	size_t start = ret_blob->len;
	struct id32 author;
	int err = sign_public(sign_key, &author);

	if (err < 0)
		return err;
	if (!id32_equal(&author, &h->author))
		return ERR_INVALID;
	if ((err = node_body_put(&plain, body)) < 0)
		return err;
	if ((err = seal_named(body->slices, body->n_slices, &named)) < 0)
		return err;
	full.chunks = buf_bytes(&named);
	if ((err = seal_body(epoch_key, &full, buf_bytes(&plain), &sealed)) < 0)
		return err;
	hash_sha256(buf_bytes(&sealed), &full.sealed_hash);
	err = sign_record(&full, buf_bytes(&sealed), sign_key, ret_blob);
	if (err == 0 && ret_blob->len - start > RECORD_MAX_BLOB)
		err = ERR_RANGE;
	if (err < 0)
		ret_blob->len = start;
	else if (ret_hash)
		hash_sha256(bytes_of(ret_blob->data + start, ret_blob->len - start), ret_hash);
	return err;
}
