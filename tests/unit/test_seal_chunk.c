/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"
#include "tests/lib/mutate.h"

#include <pthread.h>

#include "crypto/hash.h"
#include "crypto/open_chunk.h"
#include "crypto/seal.h"

struct fixture {
	struct id16 space;
	uint8_t hash_key[32];
	struct slice slice;
	struct buf blob;
	struct chunk parts;
};

static void fixture_init(struct fixture *f, struct bytes plain)
{
	*f = (struct fixture){ .space = { { 1 } }, .hash_key = { 9 }, .blob = BUF_INIT(CHUNK_MAX_BLOB) };
	f->slice.chunk.b[0] = 2;
	f->slice.key[5] = 7;
	assert_int_equal(seal_chunk(&f->space, f->hash_key, plain, &f->slice, &f->blob), 0);
	assert_int_equal(chunk_decode(buf_bytes(&f->blob), &f->parts), 0);
}

static int open_with(const struct fixture *f, const struct id16 *space, const struct slice *s, struct bytes blob)
{
	struct buf out = BUF_INIT(CHUNK_MAX_PLAIN);
	int err = open_chunk(space, s, f->hash_key, blob, &out);

	if (err < 0)
		assert_int_equal(out.len, 0);
	buf_release(&out);
	return err;
}

static int open_changed(struct bytes changed, size_t at, void *arg)
{
	const struct fixture *f = arg;
	size_t sealed = (size_t)(f->parts.sealed.p - f->blob.data);
	int err = open_with(f, &f->space, &f->slice, changed);

	if (changed.len == f->blob.len && at >= sealed)
		assert_int_equal(
			err, at < sealed + SEAL_NONCE_SIZE + SEAL_COMMITMENT_SIZE ? ERR_COMMITMENT : ERR_TAMPERED);
	return err;
}

static void refuses_every_change(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, bytes_str("the content of a chunk, somewhat longer than its overhead"));
	assert_int_equal(open_changed(buf_bytes(&f.blob), 0, &f), 0);
	mutate_flips(buf_bytes(&f.blob), open_changed, &f);
	mutate_lengths(buf_bytes(&f.blob), open_changed, &f);
	buf_release(&f.blob);
}

static void refuses_every_other_context(void **state)
{
	struct fixture f;
	struct id16 space;
	struct slice s;

	(void)state;
	fixture_init(&f, bytes_str("content"));
	space = f.space;
	space.b[3] = 1;
	assert_int_equal(open_with(&f, &space, &f.slice, buf_bytes(&f.blob)), ERR_CONTEXT);
	s = f.slice;
	s.chunk.b[3] = 1;
	assert_int_equal(open_with(&f, &f.space, &s, buf_bytes(&f.blob)), ERR_CONTEXT);
	s = f.slice;
	s.key[0] = 1;
	assert_int_equal(open_with(&f, &f.space, &s, buf_bytes(&f.blob)), ERR_COMMITMENT);
	s = f.slice;
	s.hash.b[0] ^= 1;
	assert_int_equal(open_with(&f, &f.space, &s, buf_bytes(&f.blob)), ERR_TAMPERED);
	s = f.slice;
	s.chunk_len++;
	assert_int_equal(open_with(&f, &f.space, &s, buf_bytes(&f.blob)), ERR_INVALID);
	s.chunk_len -= 2;
	assert_int_equal(open_with(&f, &f.space, &s, buf_bytes(&f.blob)), ERR_INVALID);
	f.hash_key[0] = 8;
	assert_int_equal(open_with(&f, &f.space, &f.slice, buf_bytes(&f.blob)), ERR_TAMPERED);
	buf_release(&f.blob);
}

static void every_size_comes_back(void **state)
{
	static const size_t sizes[] = { 1, 2, 31, 32, 33, 1024, 1025, 4096, 65535, 65536, 100000, CHUNK_MAX_PLAIN - 1,
		CHUNK_MAX_PLAIN };
	uint8_t *p = malloc(CHUNK_MAX_PLAIN);
	uint64_t seed = 1;

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		for (int random = 0; random < 2; random++) {
			struct buf out = BUF_INIT(CHUNK_MAX_PLAIN);
			struct fixture f;

			for (size_t k = 0; k < sizes[i]; k++)
				p[k] = random ? (uint8_t)unit_random(&seed) : (uint8_t) "coffer "[k % 7];
			fixture_init(&f, bytes_of(p, sizes[i]));
			assert_int_equal(open_chunk(&f.space, &f.slice, f.hash_key, buf_bytes(&f.blob), &out), 0);
			unit_assert_bytes(buf_bytes(&out), bytes_of(p, sizes[i]));
			buf_release(&out);
			buf_release(&f.blob);
		}
	}
	free(p);
}

static void sealing_again_gives_the_same_bytes(void **state)
{
	struct fixture a, b;

	(void)state;
	fixture_init(&a, bytes_str("same"));
	fixture_init(&b, bytes_str("same"));
	unit_assert_bytes(buf_bytes(&a.blob), buf_bytes(&b.blob));
	buf_release(&b.blob);
	fixture_init(&b, bytes_str("sama"));
	assert_memory_not_equal(a.parts.sealed.p, b.parts.sealed.p, SEAL_NONCE_SIZE);
	buf_release(&a.blob);
	buf_release(&b.blob);
}

/* Bytes that do and do not shrink, and of the length that the slice says. */
static void sealing_by_a_known_hash_gives_the_same_bytes(void **state)
{
	static uint8_t plain[CHUNK_MAX_PLAIN];
	static const size_t sizes[] = { 1, 1000, 65537, CHUNK_MAX_PLAIN };
	uint64_t seed = 11;

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(sizes); i++) {
		struct bytes b = bytes_of(plain, sizes[i / 2]);
		struct buf again = BUF_INIT(CHUNK_MAX_BLOB);
		struct fixture f;

		for (size_t k = 0; k < b.len; k++)
			plain[k] = i % 2 ? (uint8_t)unit_random(&seed) : 'x';
		fixture_init(&f, b);
		assert_int_equal(seal_chunk_again(&f.space, b, &f.slice, &again), 0);
		assert_true(bytes_equal(buf_bytes(&again), buf_bytes(&f.blob)));
		assert_int_equal(seal_chunk_again(&f.space, bytes_of(plain, b.len - 1), &f.slice, &again), ERR_RANGE);
		buf_release(&again);
		buf_release(&f.blob);
	}
}

static void too_large_or_empty(void **state)
{
	struct buf b = BUF_INIT(CHUNK_MAX_BLOB);
	uint8_t *p = calloc(1, CHUNK_MAX_PLAIN + 1);
	struct id16 id = { { 1 } };
	struct slice s = { .chunk = id };

	(void)state;
	assert_non_null(p);
	assert_int_equal(seal_chunk(&id, p, bytes_of(p, CHUNK_MAX_PLAIN + 1), &s, &b), ERR_RANGE);
	assert_int_equal(seal_chunk(&id, p, bytes_of(p, 0), &s, &b), ERR_RANGE);
	assert_int_equal(b.len, 0);
	free(p);
	buf_release(&b);
}

/* ---- index chunks ---- */

static void fill_slices(struct slice *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		s[i] = (struct slice){ .at = i * 100, .len = 100, .chunk_len = 100 };
		s[i].chunk.b[0] = (uint8_t)(200 - i % 3); /* not ascending, and each thrice */
	}
}

static int open_index_with(const struct fixture *f, struct bytes blob)
{
	struct slice *got;
	size_t n;
	int err = open_index(&f->space, &f->slice, f->hash_key, blob, &got, &n);

	if (err == 0) {
		assert_int_equal(n, 9);
		assert_int_equal(got[8].at, 800);
		free(got);
	}
	return err;
}

static int open_changed_index(struct bytes changed, size_t at, void *arg)
{
	(void)at;
	return open_index_with(arg, changed);
}

static void index_names_its_chunks(void **state)
{
	struct fixture f = { .space = { { 1 } }, .hash_key = { 9 }, .blob = BUF_INIT(CHUNK_MAX_BLOB) };
	struct buf out = BUF_INIT(CHUNK_MAX_PLAIN);
	struct slice s[9];

	(void)state;
	fill_slices(s, 9);
	f.slice.chunk.b[0] = 3;
	assert_int_equal(seal_index(&f.space, f.hash_key, s, 9, &f.slice, &f.blob), 0);
	assert_int_equal(chunk_decode(buf_bytes(&f.blob), &f.parts), 0);
	assert_int_equal(f.parts.named.len, 48);
	assert_int_equal(f.parts.named.p[0], 198);
	assert_int_equal(open_index_with(&f, buf_bytes(&f.blob)), 0);
	mutate_flips(buf_bytes(&f.blob), open_changed_index, &f);
	mutate_lengths(buf_bytes(&f.blob), open_changed_index, &f);
	/* an index chunk is no content chunk, nor the other way */
	assert_int_equal(open_chunk(&f.space, &f.slice, f.hash_key, buf_bytes(&f.blob), &out), ERR_CONTEXT);
	assert_int_equal(out.len, 0);
	buf_release(&f.blob);
	buf_release(&out);
}

static void index_with_a_false_clear_list(void **state)
{
	struct fixture f = { .space = { { 1 } }, .hash_key = { 9 }, .blob = BUF_INIT(CHUNK_MAX_BLOB) };
	struct buf plain = BUF_INIT(CHUNK_MAX_PLAIN);
	struct slice s[9];

	(void)state;
	fill_slices(s, 9);
	assert_int_equal(index_put(&plain, s, 9), 0);
	/* a malicious writer seals an index as content: its clear list is empty */
	assert_int_equal(seal_chunk(&f.space, f.hash_key, buf_bytes(&plain), &f.slice, &f.blob), 0);
	assert_int_equal(open_index_with(&f, buf_bytes(&f.blob)), ERR_TAMPERED);
	buf_release(&f.blob);
	buf_release(&plain);
}

/* ---- threads ---- */

static void *seal_many(void *arg)
{
	uint8_t plain[3000];
	uintptr_t bad = 0;

	for (unsigned i = 0; i < 50; i++) {
		struct buf b = BUF_INIT(CHUNK_MAX_BLOB), out = BUF_INIT(CHUNK_MAX_PLAIN);
		struct slice s = { .key = { (uint8_t)i } };
		const struct id16 space = { { 1 } };

		memset(plain, (int)((uintptr_t)arg + i), sizeof plain);
		if (seal_chunk(&space, s.key, bytes_of(plain, sizeof plain), &s, &b) < 0 ||
			open_chunk(&space, &s, s.key, buf_bytes(&b), &out) < 0 ||
			!bytes_equal(buf_bytes(&out), bytes_of(plain, sizeof plain)))
			bad++;
		buf_release(&b);
		buf_release(&out);
	}
	return (void *)bad;
}

static void threads_seal_at_once(void **state)
{
	pthread_t thread[4];

	(void)state;
	for (uintptr_t i = 0; i < COUNT(thread); i++)
		assert_int_equal(pthread_create(&thread[i], NULL, seal_many, (void *)i), 0);
	for (size_t i = 0; i < COUNT(thread); i++) {
		void *bad;

		assert_int_equal(pthread_join(thread[i], &bad), 0);
		assert_null(bad);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_every_change),
		cmocka_unit_test(refuses_every_other_context),
		cmocka_unit_test(every_size_comes_back),
		cmocka_unit_test(sealing_again_gives_the_same_bytes),
		cmocka_unit_test(sealing_by_a_known_hash_gives_the_same_bytes),
		cmocka_unit_test(too_large_or_empty),
		cmocka_unit_test(index_names_its_chunks),
		cmocka_unit_test(index_with_a_false_clear_list),
		cmocka_unit_test(threads_seal_at_once),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
