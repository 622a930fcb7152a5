/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of a space's epoch keys, and what a new epoch's entry carries. Opening is in open_epoch.c. */
#include "crypto/epoch.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/hpke.h"
#include "crypto/kdf.h"
#include "crypto/seal.h"
#include "crypto/secret.h"
#include "wire/field.h"

struct epoch_key {
	uint64_t number;
	struct secret *key;
};

struct epoch_ring {
	struct epoch_key *keys; /* ascending */
	size_t n, alloc;
};

int epoch_ring_new(struct epoch_ring **ret_ring)
{
	struct epoch_ring *ring = calloc(1, sizeof *ring);

	if (!ring)
		return ERR_NOMEM;
	*ret_ring = ring;
	return 0;
}

void epoch_ring_free(struct epoch_ring *ring)
{
	if (!ring)
		return;
	for (size_t i = 0; i < ring->n; i++)
		secret_free(ring->keys[i].key);
	free(ring->keys);
	free(ring);
}

void epoch_ring_freep(struct epoch_ring **ring)
{
	epoch_ring_free(*ring);
}

int epoch_ring_clone(const struct epoch_ring *ring, struct epoch_ring **ret_ring)
{
	CLEANUP(epoch_ring_freep) struct epoch_ring *copy = NULL;
	int err;

	if ((err = epoch_ring_new(&copy)) < 0)
		return err;
	for (size_t i = 0; ring && i < ring->n; i++)
		if ((err = epoch_ring_add(copy, ring->keys[i].number, ring->keys[i].key)) < 0)
			return err;
	*ret_ring = STEAL(&copy);
	return 0;
}

static bool key_is_zero(const struct secret *key)
{
	const uint8_t *p = secret_key(key);
	uint8_t any = 0;

	for (size_t i = 0; i < KEY_SIZE; i++)
		any |= p[i];
	return any == 0;
}

/* Index of the first key with at least this number. */
static size_t find(const struct epoch_ring *ring, uint64_t number)
{
	size_t lo = 0, hi = ring->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (ring->keys[mid].number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int epoch_ring_add(struct epoch_ring *ring, uint64_t number, const struct secret *key)
{
	size_t at = find(ring, number);
	struct secret *copy;
	int err;

	if (number == 0 || secret_len(key) != KEY_SIZE || key_is_zero(key))
		return ERR_INVALID;
	if (at < ring->n && ring->keys[at].number == number)
		return secret_equal(ring->keys[at].key, key) ? 0 : ERR_CONFLICT;
	if (ring->n >= EPOCH_RING_MAX)
		return ERR_RANGE;
	if (ring->n == ring->alloc) {
		size_t alloc = ring->alloc ? ring->alloc * 2 : 4;
		struct epoch_key *p = reallocarray(ring->keys, alloc, sizeof *p);

		if (!p)
			return ERR_NOMEM;
		ring->keys = p;
		ring->alloc = alloc;
	}
	if ((err = secret_from(secret_bytes(key), &copy)) < 0)
		return err;
	memmove(&ring->keys[at + 1], &ring->keys[at], (ring->n - at) * sizeof *ring->keys);
	ring->keys[at] = (struct epoch_key){ .number = number, .key = copy };
	ring->n++;
	return 0;
}

const struct secret *epoch_ring_get(const struct epoch_ring *ring, uint64_t number)
{
	size_t at = find(ring, number);

	return at < ring->n && ring->keys[at].number == number ? ring->keys[at].key : NULL;
}

uint64_t epoch_ring_newest(const struct epoch_ring *ring)
{
	return ring->n ? ring->keys[ring->n - 1].number : 0;
}

int epoch_ring_encode(const struct epoch_ring *ring, struct buf *b)
{
	struct cbor_enc e = cbor_enc_init(b);
	const struct epoch_key *first = ring->keys, *newest = ring->n ? &ring->keys[ring->n - 1] : NULL;
	bool with_first = ring->n > 1 && first->number == 1;

	cbor_put_map(&e, newest ? (with_first ? 2 : 1) : 0);
	if (with_first)
		field_put_bytes(&e, first->number, secret_bytes(first->key));
	if (newest)
		field_put_bytes(&e, newest->number, secret_bytes(newest->key));
	return cbor_enc_end(&e);
}

int epoch_ring_decode(struct bytes in, struct epoch_ring **ret_ring)
{
	CLEANUP(epoch_ring_freep) struct epoch_ring *ring = NULL;
	struct cbor_dec d = cbor_dec_init(in);
	size_t n;
	int err;

	if ((err = cbor_check(in, CBOR_STRICT, 8)) < 0 || (err = epoch_ring_new(&ring)) < 0)
		return err;
	n = cbor_get_map(&d, 2);
	for (size_t i = 0; i < n; i++) {
		CLEANUP(secret_freep) struct secret *key = NULL;
		uint64_t number = cbor_get_uint(&d);
		struct bytes v = cbor_get_bytes(&d, KEY_SIZE);

		if (cbor_dec_error(&d) < 0)
			return cbor_dec_error(&d);
		if (v.len != KEY_SIZE)
			return ERR_INVALID;
		if ((err = secret_from(v, &key)) < 0 || (err = epoch_ring_add(ring, number, key)) < 0)
			return err;
	}
	if ((err = cbor_dec_end(&d)) < 0)
		return err;
	*ret_ring = STEAL(&ring);
	return 0;
}

int epoch_hash_key(const struct epoch_ring *ring, const struct id16 *space, struct secret **ret_key)
{
	const struct secret *first = epoch_ring_get(ring, 1);
	struct secret *key;
	int err;

	if (!first)
		return ERR_NOT_FOUND;
	if ((err = secret_new(KEY_SIZE, &key)) < 0)
		return err;
	kdf_subkey(secret_key(first), "cof-hash", space, secret_data(key));
	*ret_key = key;
	return 0;
}

int epoch_put_context(struct buf *b, const struct id16 *space, uint64_t number)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_array(&e, 2);
	cbor_put_bytes(&e, space->b, sizeof space->b);
	cbor_put_uint(&e, number);
	return cbor_enc_end(&e);
}

int epoch_put_info(struct buf *b, const char *label, const struct id16 *space, uint64_t number,
	const struct id32 *recipient, const struct id32 *head)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_array(&e, 5);
	cbor_put_text(&e, label);
	cbor_put_bytes(&e, space->b, sizeof space->b);
	cbor_put_uint(&e, number);
	cbor_put_bytes(&e, recipient->b, sizeof recipient->b);
	cbor_put_bytes(&e, head->b, sizeof head->b);
	return cbor_enc_end(&e);
}

int epoch_commitment(const struct secret *key, const struct id16 *space, uint64_t number, struct id32 *ret_c)
{
	CLEANUP(buf_release) struct buf context = BUF_INIT(64);
	int err;

	if ((err = epoch_put_context(&context, space, number)) < 0)
		return err;
	hash_keyed(secret_key(key), EPOCH_COMMIT_LABEL, buf_bytes(&context), ret_c);
	return 0;
}

int epoch_wrap(const char *label, const struct id16 *space, uint64_t number, const struct secret *key,
	const struct id32 *head, const struct id32 *recipient, struct wrap *ret_w)
{
	CLEANUP(buf_release) struct buf info = BUF_INIT(256);
	CLEANUP(buf_release) struct buf ct = BUF_INIT(WRAP_CT);
	int err;

	if ((err = epoch_put_info(&info, label, space, number, recipient, head)) < 0 ||
		(err = hpke_seal(
			 recipient, buf_bytes(&info), bytes_of(NULL, 0), secret_bytes(key), ret_w->enc.b, &ct)) < 0)
		return err;
	if (ct.len != WRAP_CT)
		return ERR_INTERNAL;
	ret_w->recipient = *recipient;
	memcpy(ret_w->ct, ct.data, WRAP_CT);
	return 0;
}

static int put_back(
	struct buf *b, const struct id16 *space, uint64_t number, const struct secret *key, const struct secret *prev)
{
	CLEANUP(buf_release) struct buf context = BUF_INIT(64);
	int err;

	if ((err = epoch_put_context(&context, space, number)) < 0)
		return err;
	return seal_small(EPOCH_BACK_LABEL, secret_key(key), buf_bytes(&context), secret_bytes(prev), b);
}

int epoch_put_payload(struct buf *b, const struct id16 *space, uint64_t number, const struct secret *key,
	const struct secret *prev, uint64_t minimum, const struct id32 *head, const struct id32 *recipients, size_t n)
{
	CLEANUP(buf_release) struct buf wraps = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf back = BUF_INIT(512);
	struct cbor_enc e = cbor_enc_init(&wraps);
	struct entry_epoch p = { .number = number, .minimum = minimum };
	int err;

	if (key_is_zero(key) || (number > 1) != (prev != NULL))
		return ERR_INVALID;
	cbor_put_array(&e, n);
	for (size_t i = 0; i < n; i++) {
		struct wrap w;

		if ((err = epoch_wrap(EPOCH_LABEL, space, number, key, head, &recipients[i], &w)) < 0)
			return err;
		wrap_put(&e, &w);
	}
	if ((err = cbor_enc_end(&e)) < 0 || (err = epoch_commitment(key, space, number, &p.commitment)) < 0)
		return err;
	if (prev && (err = put_back(&back, space, number, key, prev)) < 0)
		return err;
	p.wraps = buf_bytes(&wraps);
	p.back = buf_bytes(&back);
	return entry_put_epoch(b, &p);
}

int epoch_put_label_context(struct buf *b, const struct id16 *space, const struct id32 *device)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_array(&e, 2);
	cbor_put_bytes(&e, space->b, sizeof space->b);
	cbor_put_bytes(&e, device->b, sizeof device->b);
	return cbor_enc_end(&e);
}

int epoch_seal_label(const struct secret *key, const struct id16 *space, const struct id32 *device, struct bytes label,
	struct buf *ret_sealed)
{
	CLEANUP(buf_release) struct buf context = BUF_INIT(128);
	int err;

	if ((err = epoch_put_label_context(&context, space, device)) < 0)
		return err;
	return seal_small(EPOCH_DEVICE_LABEL, secret_key(key), buf_bytes(&context), label, ret_sealed);
}
