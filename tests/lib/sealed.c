/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/sealed.h"

#include <stdlib.h>
#include "base/env.h"
#include "crypto/seal.h"
#include "crypto/secret.h"

static void fill(void *p, size_t n)
{
	env_system()->random(env_system()->ctx, p, n);
}

struct id16 sealed_id(void)
{
	struct id16 id;

	fill(id.b, sizeof id.b);
	return id;
}

static struct slice *slices_of(const struct id16 *chunks, size_t n)
{
	struct slice *s = calloc(n + 1, sizeof *s);

	assert_non_null(s);
	for (size_t i = 0; i < n; i++) {
		s[i] = (struct slice){ .at = i * 4096, .len = 4096, .chunk_len = 4096, .chunk = chunks[i] };
		fill(s[i].key, sizeof s[i].key);
		fill(s[i].hash.b, sizeof s[i].hash.b);
	}
	return s;
}

void sealed_record(const struct party *p, const struct new_space *s, struct sealed_params params, struct sealed *ret)
{
	struct slice *slices = slices_of(params.chunks, params.n_chunks);
	struct node_link link = { .id = sealed_id(), .name = bytes_str("file") };
	struct node_body body = {
		.kind = NODE_FILE, .mode = 0644, .owner = *identity_person(p->id), .links = &link, .n_links = 1
	};
	uint64_t epoch = params.epoch ? params.epoch : log_epoch_number(s->log);
	struct record_header h = { .space = *log_space(s->log),
		.version = params.version ? params.version : 1,
		.epoch = epoch,
		.log_head = *log_head(s->log),
		.author = *identity_device(p->id),
		.flags = params.flags };

	if (params.n_chunks) {
		body.form = CONTENT_SLICES;
		body.slices = slices;
		body.n_slices = params.n_chunks;
		body.size = params.n_chunks * 4096;
	}
	if (params.prev)
		h.prev = bytes_of(params.prev->b, sizeof params.prev->b);
	h.id = params.id ? *params.id : sealed_id();
	ret->id = h.id;
	ret->blob = (struct buf)BUF_INIT(RECORD_MAX_BLOB);
	assert_int_equal(seal_record(secret_bytes(epoch_ring_get(s->ring, epoch)).p, &h, &body,
				 identity_sign_secret(p->id), &ret->blob, &ret->hash),
		0);
	free(slices);
}

void sealed_chunk(const struct new_space *s, const struct id16 *id, size_t size, struct sealed *ret)
{
	struct slice slice = { .chunk = id ? *id : sealed_id() };
	uint8_t *plain = malloc(size);

	assert_non_null(plain);
	fill(plain, size);
	fill(slice.key, sizeof slice.key);
	ret->id = slice.chunk;
	ret->blob = (struct buf)BUF_INIT(CHUNK_MAX_BLOB);
	assert_int_equal(seal_chunk(log_space(s->log), slice.key, bytes_of(plain, size), &slice, &ret->blob), 0);
	free(plain);
}

void sealed_index(const struct new_space *s, const struct id16 *chunks, size_t n, struct sealed *ret)
{
	struct slice *slices = slices_of(chunks, n), self = { .chunk = sealed_id() };
	uint8_t hash_key[32];

	fill(hash_key, sizeof hash_key);
	fill(self.key, sizeof self.key);
	ret->id = self.chunk;
	ret->blob = (struct buf)BUF_INIT(CHUNK_MAX_BLOB);
	assert_int_equal(seal_index(log_space(s->log), hash_key, slices, n, &self, &ret->blob), 0);
	free(slices);
}

void sealed_release(struct sealed *x)
{
	buf_release(&x->blob);
}

static void put_id(struct cbor_enc *e, const struct id16 *id)
{
	char text[ID16_TEXT_SIZE];

	id16_format(id, text);
	cbor_put_text(e, text);
}

static void put_objects(struct cbor_enc *e, const char *key, const struct sealed *x, size_t n)
{
	cbor_put_text(e, key);
	cbor_put_array(e, n);
	for (size_t i = 0; i < n; i++) {
		cbor_put_map(e, 2);
		cbor_put_text(e, "id");
		put_id(e, &x[i].id);
		cbor_put_text(e, "blob");
		cbor_put_bytes(e, x[i].blob.data, x[i].blob.len);
	}
}

void params_push(struct buf *b, const struct id16 *space, uint64_t number, int64_t after, const struct sealed *records,
	size_t n_records, const struct sealed *chunks, size_t n_chunks, struct bytes head)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 4 + (after >= 0) + (head.len > 0));
	cbor_put_text(&e, "space");
	put_id(&e, space);
	cbor_put_text(&e, "number");
	cbor_put_uint(&e, number);
	if (after >= 0) {
		cbor_put_text(&e, "after");
		cbor_put_uint(&e, (uint64_t)after);
	}
	if (head.len) {
		cbor_put_text(&e, "head");
		cbor_put_bytes(&e, head.p, head.len);
	}
	put_objects(&e, "records", records, n_records);
	put_objects(&e, "chunks", chunks, n_chunks);
	assert_int_equal(cbor_enc_end(&e), 0);
}

void params_append(struct buf *b, const struct id16 *space, const struct buf *entries, size_t n)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 2);
	cbor_put_text(&e, "space");
	put_id(&e, space);
	cbor_put_text(&e, "entries");
	cbor_put_array(&e, n);
	for (size_t i = 0; i < n; i++)
		cbor_put_bytes(&e, entries[i].data, entries[i].len);
	assert_int_equal(cbor_enc_end(&e), 0);
}

void params_pull(struct buf *b, const struct id16 *space, uint64_t since, const char *with, int64_t limit)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 3 + (limit >= 0));
	cbor_put_text(&e, "space");
	put_id(&e, space);
	cbor_put_text(&e, "since");
	cbor_put_uint(&e, since);
	cbor_put_text(&e, "with");
	cbor_put_text(&e, with);
	if (limit >= 0) {
		cbor_put_text(&e, "limit");
		cbor_put_uint(&e, (uint64_t)limit);
	}
	assert_int_equal(cbor_enc_end(&e), 0);
}

void params_get(struct buf *b, const struct id16 *space, const struct id16 *ids, size_t n)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 2);
	cbor_put_text(&e, "space");
	put_id(&e, space);
	cbor_put_text(&e, "ids");
	cbor_put_array(&e, n);
	for (size_t i = 0; i < n; i++)
		put_id(&e, &ids[i]);
	assert_int_equal(cbor_enc_end(&e), 0);
}

void params_space(struct buf *b, const char *key, const struct id16 *space)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 2);
	cbor_put_text(&e, key);
	put_id(&e, space);
	cbor_put_text(&e, "since");
	cbor_put_uint(&e, 0);
	assert_int_equal(cbor_enc_end(&e), 0);
}

void params_subscribe(struct buf *b, const struct id16 *space)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 1);
	cbor_put_text(&e, "spaces");
	cbor_put_array(&e, 1);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "id");
	put_id(&e, space);
	cbor_put_text(&e, "since");
	cbor_put_uint(&e, 0);
	assert_int_equal(cbor_enc_end(&e), 0);
}
