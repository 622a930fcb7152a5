/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No key and nonce come together twice: in 10^4 and more writes of a store that is killed and opened again, in what the seals make.
 * Each write to the disk is looked at as it is made, so that what is overwritten later counts too.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "cache/segment.h"
#include "crypto/page.h"
#include "crypto/seal.h"
#include "crypto/sign.h"
#include "tests/lib/seen.h"
#include "tests/lib/segment_head.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum {
	WRITES = 11000,
	KILL_EVERY = 1500,
	FILES = 40,
	FDS = 4096,
	PAGE = 4096,
	LOG_HEAD = 32,
	FRAME = 24 + PAGE,
	SEAL = PAGE_NONCE_SIZE + PAGE_TAG_SIZE
};

/* What stands between the store and its disk. */
static struct watch {
	const struct env *below;
	uint8_t key[32];
	char name[FDS][32];            /* by descriptor */
	struct segment_head head[FDS]; /* of journal files; number 0: none read yet */
	struct seen journal, journal_keys, pages;
	size_t entries;
} watch;

static void see_page_nonce(const uint8_t *nonce)
{
	assert_true(seen_add(&watch.pages, nonce, PAGE_NONCE_SIZE));
}

static void see_journal_nonce(void *ctx, const struct segment_head *h, struct journal_nonce n)
{
	uint8_t id[32 + 4 + 8];

	(void)ctx;
	memcpy(id, h->key, 32);
	memcpy(id + 32, &n.stream, 4);
	memcpy(id + 36, &n.counter, 8);
	assert_true(seen_add(&watch.journal, id, sizeof id));
}

static void see_segment(int fd, const uint8_t *p, size_t n, uint64_t off)
{
	struct segment_head *h = &watch.head[fd % FDS];
	size_t len = 0;

	if (off == 0) {
		assert_int_equal(segment_head_open(watch.key, bytes_of(p, n), h), 0);
		assert_true(seen_add(&watch.journal_keys, h->key, sizeof h->key));
		see_page_nonce(p + 24);
		return;
	}
	assert_true(h->number > 0); /* no run appends to a file that it did not begin */
	if (off < SEGMENT_HEAD) {
		see_journal_nonce(NULL, h, (struct journal_nonce){ STREAM_MARK, bytes_get_le(p, 8) });
		return;
	}
	assert_int_equal(segment_entry_nonces(h, off, bytes_of(p, n), see_journal_nonce, NULL, &len), 0);
	assert_int_equal(len, n);
	watch.entries++;
}

static void see_log(const uint8_t *p, size_t n, uint64_t off)
{
	if (off == 0) {
		see_page_nonce(p + LOG_HEAD);
		assert_true(n == LOG_HEAD + SEAL);
		return;
	}
	assert_int_equal((off - LOG_HEAD - SEAL) % (FRAME + SEAL), 0);
	assert_int_equal(n % (FRAME + SEAL), 0);
	for (; n > 0; n -= FRAME + SEAL, p += FRAME + SEAL)
		see_page_nonce(p + FRAME);
}

static int watch_open(void *ctx, int dirfd, const char *path, int flags, mode_t mode)
{
	int fd = watch.below->open(ctx, dirfd, path, flags, mode);

	if (fd >= 0) {
		snprintf(watch.name[fd % FDS], sizeof watch.name[0], "%s", path);
		watch.head[fd % FDS].number = 0;
	}
	return fd;
}

/* A start writes what it replayed again: the very bytes that are there, so nothing is sealed. */
static bool is_there(void *ctx, int fd, const void *p, size_t n, off_t off)
{
	FREE_AFTER uint8_t *had = malloc(n);

	assert_non_null(had);
	return watch.below->pread(ctx, fd, had, n, off) == (ssize_t)n && memcmp(had, p, n) == 0;
}

static int watch_pwrite(void *ctx, int fd, const void *p, size_t n, off_t off)
{
	const char *name = watch.name[fd % FDS];

	if (strncmp(name, "seg-", 4) == 0 && !is_there(ctx, fd, p, n, off)) {
		see_segment(fd, p, n, (uint64_t)off);
	} else if (strcmp(name, "index") == 0) {
		assert_true(n == PAGE && off % PAGE == 0);
		see_page_nonce((const uint8_t *)p + PAGE - SEAL);
	} else if (strcmp(name, "index-wal") == 0) {
		see_log(p, n, (uint64_t)off);
	}
	return watch.below->pwrite(ctx, fd, p, n, off);
}

static void churn(struct store_fixture *f, uint64_t *seed, uint64_t *ino, size_t i)
{
	static uint8_t data[20000];
	size_t file = unit_random(seed) % FILES;

	data[i % sizeof data]++;
	store_fixture_write(
		f, ino[file], unit_random(seed) % 50000, data, 1 + unit_random(seed) % (i % 7 ? 200 : sizeof data));
	if (i % 200 == 0)
		assert_int_equal(store_sync(f->store), 0);
	if (i % 97 == 0) {
		fake_env_advance(f->env, 1100000000);
		assert_int_equal(store_tend(f->store), 0);
	}
}

static void no_nonce_of_the_cache_comes_twice(void **state)
{
	const enum fake_crash how[] = { FAKE_KEEP_ALL, FAKE_LOSE_ALL, FAKE_RANDOM };
	struct store_fixture *f =
		store_fixture_new(1); /* small segments, so that many are freed and their files used again */
	uint64_t ino[FILES], seed = 5;
	struct env env = *fake_env_get(f->env);
	char name[16];
	struct node n;

	(void)state;
	watch.below = fake_env_get(f->env);
	memcpy(watch.key, f->key, sizeof watch.key);
	env.open = watch_open;
	env.pwrite = watch_pwrite;
	f->config.env = &env;
	store_fixture_reopen(f);
	for (size_t i = 0; i < FILES; i++) {
		snprintf(name, sizeof name, "f%zu", i);
		ino[i] = store_fixture_make(f, f->root, name, NODE_FILE);
	}
	assert_int_equal(store_sync(f->store), 0);
	for (size_t i = 0; i < WRITES; i++) {
		churn(f, &seed, ino, i);
		if (i % KILL_EVERY == KILL_EVERY - 1)
			store_fixture_crash(f, how[i / KILL_EVERY % COUNT(how)]);
	}
	assert_int_equal(store_getattr(f->store, ino[0], &n), 0);
	store_fixture_free(f);
	assert_true(watch.entries >= WRITES);
	assert_true(watch.journal.n >= 2 * watch.entries);
	assert_true(watch.journal_keys.n > WRITES / KILL_EVERY);
	assert_true(watch.pages.n > WRITES / KILL_EVERY);
	seen_release(&watch.journal);
	seen_release(&watch.journal_keys);
	seen_release(&watch.pages);
}

static void no_nonce_of_the_seals_comes_twice(void **state)
{
	struct seen nonces = SEEN_INIT;
	uint8_t key[KEY_SIZE] = { 9 };
	const struct id16 space = { { 1 } };

	(void)state;
	for (uint32_t i = 0; i < WRITES; i++) {
		struct slice s = { .chunk = { { 2 } }, .key = { 9 } };
		CLEANUP(buf_release) struct buf chunk = BUF_INIT(CHUNK_MAX_BLOB);
		CLEANUP(buf_release) struct buf small = BUF_INIT(1024);
		struct chunk c;

		/* The worst case: one key and id for all of them, which no program uses twice. */
		assert_int_equal(seal_chunk(&space, key, bytes_of(&i, sizeof i), &s, &chunk), 0);
		assert_int_equal(chunk_decode(buf_bytes(&chunk), &c), 0);
		assert_true(seen_add(&nonces, c.sealed.p, SEAL_NONCE_SIZE));
		assert_int_equal(seal_small("coffer/test/1", key, bytes_of(NULL, 0), bytes_str("the same"), &small), 0);
		assert_true(seen_add(&nonces, small.data, SEAL_NONCE_SIZE));
	}
	assert_int_equal(nonces.n, 2 * WRITES);
	seen_release(&nonces);
}

static void no_nonce_of_a_record_comes_twice(void **state)
{
	CLEANUP(secret_freep) struct secret *sign_key = NULL;
	struct seen nonces = SEEN_INIT;
	const uint8_t key[KEY_SIZE] = { 9 };
	const struct node_body body = { .kind = NODE_FILE, .mode = 0644 };
	struct record_header h = { .space = { { 1 } }, .id = { { 2 } }, .version = 1, .epoch = 1 };

	(void)state;
	assert_int_equal(sign_keypair_new(&sign_key, &h.author), 0);
	for (int i = 0; i < WRITES; i++) { /* the same state of the same node */
		CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
		struct record r;

		assert_int_equal(seal_record(key, &h, &body, sign_key, &blob, NULL), 0);
		assert_int_equal(record_decode(buf_bytes(&blob), &r), 0);
		assert_true(seen_add(&nonces, r.sealed.p, SEAL_NONCE_SIZE));
	}
	seen_release(&nonces);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_nonce_of_the_cache_comes_twice),
		cmocka_unit_test(no_nonce_of_the_seals_comes_twice),
		cmocka_unit_test(no_nonce_of_a_record_comes_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
