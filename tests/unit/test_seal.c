/* SPDX-License-Identifier: Apache-2.0 */
/* The construction of crypto/seal.h: fixed objects of a second implementation, small seals, chunks, key commitment. */
#include "tests/lib/unit.h"
#include "tests/lib/mutate.h"
#include "tests/lib/vectors.h"

#include <sodium.h>

#include "crypto/chain.h"
#include "crypto/hash.h"
#include "crypto/open_chunk.h"
#include "crypto/open_record.h"
#include "crypto/open_small.h"
#include "crypto/padme.h"
#include "crypto/seal.h"
#include "crypto/seal_core.h"

#define LABEL "coffer/test/1"

/* ---- fixed objects ---- */

static void check_small(const struct vector *v)
{
	struct bytes sealed = vector_get(v, "sealed");
	struct secret *plain;
	uint8_t key[32];

	vector_copy(v, "key", key, sizeof key);
	assert_int_equal(open_small(LABEL, key, vector_get(v, "aad"), sealed, &plain), 0);
	unit_assert_bytes(secret_bytes(plain), vector_get(v, "plain"));
	secret_free(plain);
}

static void check_chunk(const struct vector *v)
{
	struct buf b = BUF_INIT(CHUNK_MAX_BLOB), out = BUF_INIT(CHUNK_MAX_PLAIN);
	struct bytes plain = vector_get(v, "plain"), blob = vector_get(v, "blob");
	struct slice s = { .at = 0 };
	uint8_t hash_key[32];
	struct id16 space;

	vector_copy(v, "space", space.b, 16);
	vector_copy(v, "id", s.chunk.b, 16);
	vector_copy(v, "key", s.key, 32);
	vector_copy(v, "hashkey", hash_key, 32);
	assert_int_equal(seal_chunk(&space, hash_key, plain, &s, &b), 0);
	unit_assert_bytes(bytes_of(s.hash.b, 32), vector_get(v, "hash"));
	if (vector_is(v, "kind", "chunk"))
		unit_assert_bytes(buf_bytes(&b), blob);
	else
		assert_false(bytes_equal(buf_bytes(&b), blob));
	assert_int_equal(open_chunk(&space, &s, hash_key, blob, &out), 0);
	unit_assert_bytes(buf_bytes(&out), plain);
	buf_release(&b);
	buf_release(&out);
}

static void check_record(const struct vector *v)
{
	struct opened_record o = OPENED_RECORD_INIT;
	struct bytes blob = vector_get(v, "blob");
	struct id16 space, id;
	struct id32 hash;
	uint8_t key[32];

	vector_copy(v, "epochkey", key, 32);
	vector_copy(v, "space", space.b, 16);
	vector_copy(v, "id", id.b, 16);
	assert_int_equal(open_record(key, blob, &space, &id, &o), 0);
	assert_int_equal(o.r.h.version, 7);
	assert_int_equal(o.body.kind, NODE_FILE);
	unit_assert_bytes(o.body.inline_data, bytes_str("hello"));
	unit_assert_bytes(o.body.links[0].name, bytes_str("a"));
	hash_sha256(blob, &hash);
	unit_assert_bytes(bytes_of(hash.b, 32), vector_get(v, "hash"));
	opened_record_release(&o);
}

static void check_chain(const struct vector *v, struct id32 *h)
{
	struct bytes be = vector_get(v, "cursor");
	uint64_t cursor = 0;

	for (size_t i = 0; i < be.len; i++)
		cursor = cursor << 8 | be.p[i];
	chain_next(h, cursor, vector_get(v, "lines"));
	unit_assert_bytes(bytes_of(h->b, 32), vector_get(v, "hash"));
}

static void check_fixed(const struct vector *v, void *arg)
{
	if (vector_is(v, "kind", "small"))
		check_small(v);
	else if (vector_is(v, "kind", "chunk") || vector_is(v, "kind", "chunk-other-nonce"))
		check_chunk(v);
	else if (vector_is(v, "kind", "record"))
		check_record(v);
	else
		check_chain(v, arg);
}

static void fixed_objects_of_a_second_implementation(void **state)
{
	struct id32 h = { { 0 } };

	(void)state;
	assert_int_equal(vectors_each("sealed.txt", check_fixed, &h), 6);
}

/* ---- small ---- */

static const uint8_t KEY[32] = { 1, 2, 3 };

static int open_it(struct bytes changed, size_t at, void *arg)
{
	struct secret *plain;
	int err = open_small(LABEL, KEY, bytes_str("aad"), changed, &plain);
	size_t whole = *(size_t *)arg;

	if (err == 0)
		secret_free(plain);
	else if (changed.len == whole)
		assert_int_equal(err, at < SEAL_NONCE_SIZE + SEAL_COMMITMENT_SIZE ? ERR_COMMITMENT : ERR_TAMPERED);
	else if (changed.len < SEAL_OVERHEAD + SEAL_SMALL_MIN)
		assert_int_equal(err, ERR_TRUNCATED);
	else
		assert_int_equal(err, ERR_TAMPERED);
	return err;
}

static void small_refuses_every_change(void **state)
{
	struct buf b = BUF_INIT(1024);
	struct secret *plain;
	uint8_t other[32];
	size_t whole;

	(void)state;
	assert_int_equal(
		seal_small(LABEL, KEY, bytes_str("aad"), bytes_str("a plaintext longer than thirty-two bytes"), &b), 0);
	whole = b.len;
	assert_int_equal(open_it(buf_bytes(&b), 0, &whole), 0);
	mutate_flips(buf_bytes(&b), open_it, &whole);
	mutate_lengths(buf_bytes(&b), open_it, &whole);
	memcpy(other, KEY, 32);
	other[31] ^= 1;
	assert_int_equal(open_small(LABEL, other, bytes_str("aad"), buf_bytes(&b), &plain), ERR_COMMITMENT);
	assert_int_equal(open_small("coffer/other/1", KEY, bytes_str("aad"), buf_bytes(&b), &plain), ERR_COMMITMENT);
	assert_int_equal(open_small(LABEL, KEY, bytes_str("aae"), buf_bytes(&b), &plain), ERR_TAMPERED);
	assert_int_equal(open_small(LABEL, KEY, bytes_str(""), buf_bytes(&b), &plain), ERR_TAMPERED);
	buf_release(&b);
}

static void small_hides_short_lengths(void **state)
{
	struct buf b = BUF_INIT(1024);
	char text[40] = "";

	(void)state;
	for (size_t n = 1; n <= 32; n++) {
		struct secret *plain;

		text[n - 1] = 'x';
		buf_clear(&b);
		assert_int_equal(seal_small(LABEL, KEY, bytes_str(""), bytes_of(text, n), &b), 0);
		assert_int_equal(b.len, SEAL_OVERHEAD + SEAL_SMALL_MIN);
		assert_int_equal(open_small(LABEL, KEY, bytes_str(""), buf_bytes(&b), &plain), 0);
		unit_assert_bytes(secret_bytes(plain), bytes_of(text, n));
		secret_free(plain);
	}
	buf_release(&b);
}

static int compare_nonce(const void *a, const void *b)
{
	return memcmp(a, b, SEAL_NONCE_SIZE);
}

static void random_nonces_are_unique(void **state)
{
	enum { N = 10000 };
	uint8_t *all = malloc((size_t)N * SEAL_NONCE_SIZE);
	struct buf b = BUF_INIT(1024);

	(void)state;
	assert_non_null(all);
	for (size_t i = 0; i < N; i++) {
		buf_clear(&b);
		assert_int_equal(seal_small(LABEL, KEY, bytes_str(""), bytes_str("same"), &b), 0);
		memcpy(all + i * SEAL_NONCE_SIZE, b.data, SEAL_NONCE_SIZE);
	}
	qsort(all, N, SEAL_NONCE_SIZE, compare_nonce);
	for (size_t i = 1; i < N; i++)
		assert_memory_not_equal(all + (i - 1) * SEAL_NONCE_SIZE, all + i * SEAL_NONCE_SIZE, SEAL_NONCE_SIZE);
	free(all);
	buf_release(&b);
}

/* What an honest sealer never makes, sealed by one who has the key. */
static void seal_inner(struct bytes inner, struct buf *b)
{
	struct seal_job job = { .label = LABEL, .key = KEY };
	uint8_t keys[64], *p;

	assert_int_equal(buf_grow(b, 24 + 32 + inner.len + 16, &p), 0);
	randombytes_buf(p, 24);
	seal_split_key(&job, p, keys);
	memcpy(p + 24, keys, 32);
	crypto_aead_xchacha20poly1305_ietf_encrypt(p + 56, NULL, inner.p, inner.len, NULL, 0, NULL, p, keys + 32);
}

static int open_inner(struct bytes inner, bool squeeze)
{
	struct seal_job job = { .label = LABEL, .key = KEY, .squeeze = squeeze };
	struct buf b = BUF_INIT(4096), out = BUF_INIT(4096);
	int err;

	seal_inner(inner, &b);
	err = open_core(&job, buf_bytes(&b), 1000, &out);
	if (err < 0)
		assert_int_equal(out.len, 0);
	buf_release(&b);
	buf_release(&out);
	return err;
}

static void refuses_what_sealing_never_makes(void **state)
{
	/* 8 bytes of body, of which `len` count, then flag and length */
	uint8_t inner[13] = { 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 0, 0, 0, 0, 8 };

	(void)state;
	assert_int_equal(open_inner(bytes_of(inner, 13), true), 0);
	inner[8] = 2;
	assert_int_equal(open_inner(bytes_of(inner, 13), true), ERR_INVALID); /* flag */
	inner[8] = 1;
	assert_int_equal(open_inner(bytes_of(inner, 13), true), ERR_INVALID);  /* no zstd frame */
	assert_int_equal(open_inner(bytes_of(inner, 13), false), ERR_INVALID); /* zstd not allowed */
	inner[8] = 0;
	inner[12] = 9;
	assert_int_equal(open_inner(bytes_of(inner, 13), true), ERR_INVALID); /* longer than it is */
	inner[9] = 0xff;
	assert_int_equal(open_inner(bytes_of(inner, 13), true), ERR_INVALID);
	inner[9] = 0;
	inner[12] = 7;
	assert_int_equal(open_inner(bytes_of(inner, 13), true), ERR_INVALID); /* other padding than PADMÉ's */
	inner[12] = 8;
	assert_int_equal(open_inner(bytes_of(inner, 4), true), ERR_TRUNCATED); /* shorter than a trailer */
	uint8_t nine[15] = { 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 1, 0, 0, 0, 0, 9 };
	assert_int_equal(open_inner(bytes_of(nine, 15), true), ERR_INVALID); /* padding that is not zero */
	nine[9] = 0;
	assert_int_equal(open_inner(bytes_of(nine, 15), true), 0);
}

static void bombs_stay_small(void **state)
{
	struct seal_job job = { .label = LABEL, .key = KEY, .squeeze = true };
	struct buf b = BUF_INIT(1u << 21), out = BUF_INIT(1u << 21);
	uint8_t *zeros = calloc(1, 1u << 20);

	(void)state;
	assert_non_null(zeros);
	assert_int_equal(seal_core(&job, bytes_of(zeros, 1u << 20), &b), 0);
	assert_true(b.len < 300);
	assert_int_equal(open_core(&job, buf_bytes(&b), (1u << 20) - 1, &out), ERR_RANGE);
	assert_int_equal(out.len, 0);
	assert_true(out.alloc < 1u << 20);
	assert_int_equal(open_core(&job, buf_bytes(&b), 1u << 20, &out), 0);
	unit_assert_bytes(buf_bytes(&out), bytes_of(zeros, 1u << 20));
	free(zeros);
	buf_release(&b);
	buf_release(&out);
}

/* ---- two keys, one ciphertext ---- */

/* XChaCha20-Poly1305 alone accepts this under key 00..1f and key 20..3f (nonce 00..17, no additional data). */
static const char TWO_KEYS[] =
	"e12f23eb137130d04f5bd698420204b4f68a05b2e0087d937a5299bafa510d7d0fa13b0c3c6b41ad05159b8ec174df9d"
	"e897b344366130ef0808fbde4cf4f5d8305491c388ff739385267c4968b3ee11";

static void no_ciphertext_opens_under_two_keys(void **state)
{
	struct buf ct = BUF_INIT(256), sealed = BUF_INIT(256), out = BUF_INIT(256);
	struct seal_job job = { .label = LABEL };
	uint8_t key[2][32], nonce[24], split[64], plain[2][128];
	unsigned long long len;

	(void)state;
	unit_put_hex(&ct, TWO_KEYS);
	for (unsigned i = 0; i < 24; i++)
		nonce[i] = (uint8_t)i;
	for (unsigned k = 0; k < 2; k++) {
		for (unsigned i = 0; i < 32; i++)
			key[k][i] = (uint8_t)(32 * k + i);
		assert_int_equal(crypto_aead_xchacha20poly1305_ietf_decrypt(
					 plain[k], &len, NULL, ct.data, ct.len, NULL, 0, nonce, key[k]),
			0);
	}
	assert_memory_not_equal(plain[0], plain[1], (size_t)len);
	/* With either key's own commitment in front, the other key is refused before anything is decrypted; and even the
	 * key whose commitment it is derives another AEAD key, so the crafted pair is lost altogether. */
	for (unsigned k = 0; k < 2; k++) {
		buf_clear(&sealed);
		job.key = key[k];
		seal_split_key(&job, nonce, split);
		assert_int_equal(buf_put(&sealed, nonce, 24), 0);
		assert_int_equal(buf_put(&sealed, split, 32), 0);
		assert_int_equal(buf_put(&sealed, ct.data, ct.len), 0);
		assert_int_equal(open_core(&job, buf_bytes(&sealed), 128, &out), ERR_TAMPERED);
		job.key = key[1 - k];
		assert_int_equal(open_core(&job, buf_bytes(&sealed), 128, &out), ERR_COMMITMENT);
	}
	buf_release(&ct);
	buf_release(&sealed);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_objects_of_a_second_implementation),
		cmocka_unit_test(small_refuses_every_change),
		cmocka_unit_test(small_hides_short_lengths),
		cmocka_unit_test(random_nonces_are_unique),
		cmocka_unit_test(refuses_what_sealing_never_makes),
		cmocka_unit_test(bombs_stay_small),
		cmocka_unit_test(no_ciphertext_opens_under_two_keys),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
