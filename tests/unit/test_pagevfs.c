/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sealed VFS: nothing of the log reaches the disk before a flush, nothing readable ever does, damage is told, and a power
 * cut leaves a commit that was flushed, or a later one.
 */
#include <sqlite3.h>
#include <stdlib.h>
#include "cache/pagevfs.h"
#include "crypto/hash.h"
#include "tests/lib/fake_env.h"
#include "tests/lib/unit.h"

static const uint8_t key[32] = { 5 };

struct db {
	struct fake_env *env;
	struct pagevfs *v;
	sqlite3 *sql;
};

static int try_exec(struct db *d, const char *text)
{
	return sqlite3_exec(d->sql, text, NULL, NULL, NULL);
}

static void exec(struct db *d, const char *text)
{
	int rc = try_exec(d, text);
	if (rc != SQLITE_OK)
		print_error("%s: %s\n", text, sqlite3_errmsg(d->sql));
	assert_int_equal(rc, SQLITE_OK);
}

static void open_db(struct db *d, const uint8_t *with, bool fresh)
{
	int reserved = 40;
	assert_int_equal(pagevfs_open(fake_env_get(d->env), FAKE_DIR, with, &d->v), 0);
	assert_int_equal(
		sqlite3_open_v2("index", &d->sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, pagevfs_name(d->v)),
		SQLITE_OK);
	sqlite3_file_control(d->sql, NULL, SQLITE_FCNTL_RESERVE_BYTES, &reserved);
	sqlite3_db_config(d->sql, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
	exec(d, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA temp_store=MEMORY; PRAGMA cache_size=10; PRAGMA "
		"wal_autocheckpoint=0");
	if (fresh)
		exec(d, "PRAGMA journal_mode=OFF");
}

static void close_db(struct db *d)
{
	sqlite3_close(d->sql);
	pagevfs_close(d->v);
}

static void flush(struct db *d)
{
	assert_int_equal(pagevfs_flush(d->v, pagevfs_mark(d->v)), 0);
}

static struct db make_db(uint64_t seed)
{
	struct db d = { .env = fake_env_new(FAKE_MEMORY, seed) };
	assert_int_equal(crypto_init(), 0);
	open_db(&d, key, true);
	exec(&d, "PRAGMA journal_mode=WAL; CREATE TABLE t(k INTEGER PRIMARY KEY, v BLOB)");
	flush(&d);
	const struct env *env = fake_env_get(d.env);
	assert_int_equal(env->fsync(env->ctx, FAKE_DIR), 0);
	return d;
}

static void free_db(struct db *d)
{
	close_db(d);
	fake_env_free(d->env);
}

/* k runs from 1 to the count without a gap, and each v is what it must be. */
static int count_rows(struct db *d, int64_t *ret)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(d->sql, "SELECT count(*), max(k), sum(length(v)<>200) FROM t", -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		*ret = sqlite3_column_int64(st, 0);
		assert_int_equal(*ret, sqlite3_column_int64(st, 1));
		assert_int_equal(sqlite3_column_int64(st, 2), 0);
	}
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static void insert(struct db *d, int n)
{
	exec(d, "BEGIN");
	for (int i = 0; i < n; i++)
		exec(d, "INSERT INTO t(v) VALUES(CAST(printf('%0200d', 123456789) AS BLOB))");
	exec(d, "COMMIT");
}

static void what_was_flushed_is_there_and_what_was_not_is_gone(void **state)
{
	(void)state;
	struct db d = make_db(1);
	int64_t n;
	insert(&d, 500);
	assert_true(pagevfs_pending(d.v) > 10);
	assert_int_equal(count_rows(&d, &n), SQLITE_OK);
	assert_int_equal(n, 500);
	fake_env_crash(d.env, FAKE_KEEP_ALL);
	close_db(&d);
	open_db(&d, key, false);
	assert_int_equal(count_rows(&d, &n), SQLITE_OK);
	assert_int_equal(n, 0);
	insert(&d, 300);
	flush(&d);
	assert_int_equal(pagevfs_pending(d.v), 0);
	fake_env_crash(d.env, FAKE_LOSE_ALL);
	close_db(&d);
	open_db(&d, key, false);
	assert_int_equal(count_rows(&d, &n), SQLITE_OK);
	assert_int_equal(n, 300);
	free_db(&d);
}

static void checkpoint(struct db *d)
{
	flush(d);
	assert_int_equal(sqlite3_wal_checkpoint_v2(d->sql, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL), SQLITE_OK);
}

static void power_cuts_leave_a_flushed_commit_or_a_later_one(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 40; seed++) {
		struct db d = make_db(seed);
		int64_t done = 0, flushed = 0, n;
		uint64_t random = seed;
		for (int i = 0; i < 12; i++) {
			insert(&d, 1 + (int)(unit_random(&random) % 60));
			assert_int_equal(count_rows(&d, &done), SQLITE_OK);
			switch (unit_random(&random) % 4) {
			case 0:
				checkpoint(&d);
				flushed = done;
				break;
			case 1:
				flush(&d);
				flushed = done;
				break;
			default:
				break;
			}
		}
		fake_env_crash(d.env, FAKE_RANDOM);
		close_db(&d);
		open_db(&d, key, false);
		assert_int_equal(count_rows(&d, &n), SQLITE_OK);
		assert_true(n >= flushed && n <= done);
		free_db(&d);
	}
}

static int open_files(struct db *d, const char *name)
{
	const struct env *env = fake_env_get(d->env);
	int fd = env->open(env->ctx, FAKE_DIR, name, 2 /* O_RDWR */, 0);
	assert_true(fd >= 0);
	return fd;
}

static bool holds(struct db *d, const char *name, const char *what)
{
	const struct env *env = fake_env_get(d->env);
	int fd = open_files(d, name);
	size_t size = (size_t)env->fsize(env->ctx, fd), len = strlen(what);
	uint8_t *p = malloc(size + 1);
	bool found = false;
	assert_int_equal(env->pread(env->ctx, fd, p, size, 0), size);
	for (size_t i = 0; i + len <= size; i++)
		found |= memcmp(p + i, what, len) == 0;
	free(p);
	env->close(env->ctx, fd);
	return found;
}

static void nothing_on_disk_is_readable(void **state)
{
	(void)state;
	struct db d = make_db(1);
	exec(&d, "CREATE TABLE hidden_name(v); INSERT INTO hidden_name VALUES('a secret value')");
	insert(&d, 100);
	flush(&d);
	static const char *const words[] = { "hidden_name", "secret value", "SQLite format", "CREATE TABLE",
		"000123456789" };
	for (size_t i = 0; i < COUNT(words); i++)
		assert_false(holds(&d, "index-wal", words[i]));
	checkpoint(&d);
	for (size_t i = 0; i < COUNT(words); i++) {
		assert_false(holds(&d, "index", words[i]));
		assert_false(holds(&d, "index-wal", words[i]));
	}
	free_db(&d);
}

static void flip(struct db *d, const char *name, off_t at)
{
	const struct env *env = fake_env_get(d->env);
	int fd = open_files(d, name);
	uint8_t byte;
	assert_int_equal(env->pread(env->ctx, fd, &byte, 1, at), 1);
	byte ^= 0x10;
	assert_int_equal(env->pwrite(env->ctx, fd, &byte, 1, at), 0);
	env->close(env->ctx, fd);
}

static void a_flipped_byte_of_a_page_is_an_error(void **state)
{
	(void)state;
	static const off_t places[] = { 0, 30, 4050, 4056, 4080, 4095, 4096, 8191, 4096 * 9 + 77 };
	for (size_t i = 0; i < COUNT(places); i++) {
		struct db d = make_db(1);
		int64_t n;
		insert(&d, 500);
		checkpoint(&d);
		insert(&d, 1); /* a new log: the old frames do not hide the pages */
		flush(&d);
		close_db(&d);
		flip(&d, "index", places[i]);
		assert_int_equal(pagevfs_open(fake_env_get(d.env), FAKE_DIR, key, &d.v), 0);
		int rc = sqlite3_open_v2("index", &d.sql, SQLITE_OPEN_READWRITE, pagevfs_name(d.v));
		sqlite3_db_config(d.sql, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
		if (rc == SQLITE_OK)
			rc = try_exec(&d, "PRAGMA locking_mode=EXCLUSIVE");
		if (rc == SQLITE_OK)
			rc = count_rows(&d, &n);
		assert_true(rc != SQLITE_OK || n == 501); /* the page may stand in the log */
		assert_true(rc != SQLITE_OK || places[i] < 4096);
		free_db(&d);
	}
}

static void a_flipped_byte_of_the_log_ends_it(void **state)
{
	(void)state;
	for (off_t at = 0; at < 4160 * 12; at += 911) {
		struct db d = make_db(1);
		int64_t n;
		for (int i = 0; i < 5; i++) {
			insert(&d, 20);
			flush(&d);
		}
		close_db(&d);
		flip(&d, "index-wal", at);
		open_db(&d, key, false);
		int rc = count_rows(&d, &n);
		/* Without the log's first commit there is no table. */
		assert_true(rc == SQLITE_ERROR || (rc == SQLITE_OK && n % 20 == 0 && n <= 100));
		free_db(&d);
	}
}

static void another_key_opens_nothing(void **state)
{
	static const uint8_t other[32] = { 6 };
	(void)state;
	struct db d = make_db(1);
	insert(&d, 10);
	checkpoint(&d);
	close_db(&d);
	assert_int_equal(pagevfs_open(fake_env_get(d.env), FAKE_DIR, other, &d.v), 0);
	if (sqlite3_open_v2("index", &d.sql, SQLITE_OPEN_READWRITE, pagevfs_name(d.v)) == SQLITE_OK)
		assert_int_not_equal(try_exec(&d, "PRAGMA locking_mode=EXCLUSIVE; SELECT * FROM t"), SQLITE_OK);
	free_db(&d);
}

static void a_full_disk_keeps_the_log_in_memory(void **state)
{
	(void)state;
	struct db d = make_db(1);
	int64_t n;
	insert(&d, 100);
	fake_env_fail(d.env, FAKE_PWRITE, 1, ERR_NO_SPACE, true);
	assert_int_equal(pagevfs_flush(d.v, pagevfs_mark(d.v)), ERR_NO_SPACE);
	insert(&d, 100);
	assert_int_equal(count_rows(&d, &n), SQLITE_OK);
	assert_int_equal(n, 200);
	fake_env_fail(d.env, FAKE_PWRITE, 0, 0, false);
	flush(&d);
	fake_env_crash(d.env, FAKE_LOSE_ALL);
	close_db(&d);
	open_db(&d, key, false);
	assert_int_equal(count_rows(&d, &n), SQLITE_OK);
	assert_int_equal(n, 200);
	free_db(&d);
}

static void check_rows(struct db *d, int64_t want)
{
	sqlite3_stmt *st;
	int64_t n;
	assert_int_equal(count_rows(d, &n), SQLITE_OK);
	assert_int_equal(n, want);
	assert_int_equal(sqlite3_prepare_v2(d->sql, "PRAGMA integrity_check", -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
	sqlite3_finalize(st);
}

static void fail_sync(struct db *d)
{
	fake_env_fail(d->env, FAKE_FDATASYNC, 1, ERR_IO, false);
	assert_int_equal(pagevfs_flush(d->v, pagevfs_mark(d->v)), ERR_IO);
}

static void lose_power(struct db *d)
{
	fake_env_crash(d->env, FAKE_LOSE_ALL);
	close_db(d);
	open_db(d, key, false);
}

/* The kernel takes what it could not write for written. */
static void a_failed_sync_of_the_log_is_made_good_by_the_next(void **state)
{
	struct db d = make_db(1);
	(void)state;
	insert(&d, 300);
	flush(&d);
	insert(&d, 300);
	fail_sync(&d);
	insert(&d, 50);
	flush(&d);
	lose_power(&d);
	check_rows(&d, 650);
	insert(&d, 50);
	fail_sync(&d);
	lose_power(&d); /* before it was made good */
	check_rows(&d, 650);
	free_db(&d);
}

/* Also when SQLite has begun its log anew, or cut it. */
static void a_failed_sync_of_the_database_is_made_good_by_the_next(void **state)
{
	(void)state;
	for (int how = 0; how < 6; how++) {
		struct db d = make_db(1);
		int mode = how % 2 ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
		insert(&d, 300);
		checkpoint(&d);
		insert(&d, 300);
		flush(&d);
		assert_int_equal(sqlite3_wal_checkpoint_v2(d.sql, NULL, mode, NULL, NULL), SQLITE_OK);
		fail_sync(&d);
		int64_t more = how >= 2 ? 100 : 0;
		insert(&d, (int)more);
		if (how >= 4) {
			fail_sync(&d);
			lose_power(&d); /* before it was made good */
			check_rows(&d, 600);
			free_db(&d);
			continue;
		}
		flush(&d);
		lose_power(&d);
		check_rows(&d, 600 + more);
		free_db(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_was_flushed_is_there_and_what_was_not_is_gone),
		cmocka_unit_test(power_cuts_leave_a_flushed_commit_or_a_later_one),
		cmocka_unit_test(nothing_on_disk_is_readable), cmocka_unit_test(a_flipped_byte_of_a_page_is_an_error),
		cmocka_unit_test(a_flipped_byte_of_the_log_ends_it), cmocka_unit_test(another_key_opens_nothing),
		cmocka_unit_test(a_full_disk_keeps_the_log_in_memory),
		cmocka_unit_test(a_failed_sync_of_the_log_is_made_good_by_the_next),
		cmocka_unit_test(a_failed_sync_of_the_database_is_made_good_by_the_next) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
