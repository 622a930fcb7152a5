/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/env.h"
#include "tests/lib/fake_env.h"
#include "tests/lib/heap.h"
#include "tests/lib/unit.h"

static int temp_dir(void)
{
	char path[256];
	const char *top = getenv("TMPDIR");
	assert_true(snprintf(path, sizeof path, "%s/env-XXXXXX", top ? top : "/tmp") < (int)sizeof path);
	assert_non_null(mkdtemp(path));
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void assert_file(const struct env *env, int dirfd, const char *name, const char *want)
{
	FREE_AFTER uint8_t *p = NULL;
	size_t n = 0;
	assert_int_equal(env_read_file(env, dirfd, name, 100000, &p, &n), OK);
	unit_assert_bytes(bytes_of(p, n), bytes_str(want));
}

static void a_file_is_written_read_and_replaced(void **state)
{
	(void)state;
	const struct env *env = env_system();
	CLOSE_AFTER int dir = temp_dir();
	struct stat st;
	assert_int_equal(env_write_file(env, dir, "x", "one", 3, 0600), OK);
	assert_file(env, dir, "x", "one");
	assert_int_equal(env_write_file(env, dir, "x", "", 0, 0640), OK);
	assert_file(env, dir, "x", "");
	assert_int_equal(fstatat(dir, "x", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777 & ~0077, 0600);
	assert_int_equal(env->unlink(env->ctx, dir, "x"), OK);
}

static void reading_has_a_cap_and_knows_absence(void **state)
{
	(void)state;
	const struct env *env = env_system();
	CLOSE_AFTER int dir = temp_dir();
	uint8_t *p = NULL;
	size_t n = 0;
	assert_int_equal(env_read_file(env, dir, "x", 10, &p, &n), ERR_NOT_FOUND);
	assert_int_equal(env_write_file(env, dir, "x", "0123456789a", 11, 0600), OK);
	assert_int_equal(env_read_file(env, dir, "x", 10, &p, &n), ERR_RANGE);
	assert_null(p);
	assert_int_equal(env_read_file(env, dir, "x", 11, &p, &n), OK);
	assert_int_equal(n, 11);
	free(p);
	assert_int_equal(env_read_file(env, AT_FDCWD, "/", SIZE_MAX, &p, &n), ERR_IS_DIR);
	assert_int_equal(env->unlink(env->ctx, dir, "x"), OK);
}

static void disk_calls_reach_the_kernel(void **state)
{
	(void)state;
	const struct env *env = env_system();
	CLOSE_AFTER int dir = temp_dir();
	char text[16];
	int fd = env->open(env->ctx, dir, "f", O_RDWR | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(env->open(env->ctx, dir, "f", O_RDWR | O_CREAT | O_EXCL, 0600), ERR_EXISTS);
	assert_int_equal(env->pwrite(env->ctx, fd, "hello", 5, 3), OK);
	assert_int_equal(env->fsize(env->ctx, fd), 8);
	assert_int_equal(env->pread(env->ctx, fd, text, sizeof text, 0), 8);
	assert_memory_equal(text, "\0\0\0hello", 8);
	assert_int_equal(env->ftruncate(env->ctx, fd, 4), OK);
	assert_int_equal(env->fallocate(env->ctx, fd, 0, 0, 100), OK);
	assert_int_equal(env->fsize(env->ctx, fd), 100);
	assert_int_equal(env->fdatasync(env->ctx, fd), OK);
	assert_int_equal(env->fsync(env->ctx, fd), OK);
	assert_int_equal(env->rename(env->ctx, dir, "f", "g"), OK);
	assert_int_equal(env->rename(env->ctx, dir, "f", "g"), ERR_NOT_FOUND);
	assert_int_equal(env->unlink(env->ctx, dir, "g"), OK);
	assert_int_equal(env->close(env->ctx, fd), OK);
	assert_true(env->close(env->ctx, fd) < 0);
	assert_true(env->pread(env->ctx, -1, text, 1, 0) < 0);
}

static void clocks_run_and_random_differs(void **state)
{
	(void)state;
	const struct env *env = env_system();
	uint8_t a[300] = { 0 }, b[300] = { 0 };
	int64_t before = env->mono_ns(env->ctx);
	env->random(env->ctx, a, sizeof a);
	env->random(env->ctx, b, sizeof b);
	env->random(env->ctx, NULL, 0);
	assert_memory_not_equal(a, b, sizeof a);
	assert_memory_not_equal(a + 200, b + 200, 100);
	assert_true(env->mono_ns(env->ctx) >= before);
	assert_true(env->wall_ns(env->ctx) > INT64_C(1600000000) * 1000000000);
}

/* Fails call n for every n; whatever happens, old or new content is there whole and nothing else is left. */
static void a_failing_call_leaves_the_old_file_or_the_new_one(void **state)
{
	(void)state;
	bool more = true;
	for (unsigned long n = 1; more; n++) {
		struct fake_env *f = fake_env_new(FAKE_MEMORY, n);
		const struct env *env = fake_env_get(f);
		assert_int_equal(env_write_file(env, FAKE_DIR, "x", "old", 3, 0600), OK);
		fake_env_fail(f, FAKE_ANY, n, ERR_IO, false);
		int err = env_write_file(env, FAKE_DIR, "x", "newer", 5, 0600);
		more = fake_env_failed(f);
		fake_env_fail(f, FAKE_ANY, 0, 0, false);
		assert_int_equal(err, more ? ERR_IO : OK);
		assert_int_equal(fake_env_open_files(f), 0);
		/* open, pwrite, fsync, close, rename; then the sync of the directory. */
		assert_file(env, FAKE_DIR, "x", err == OK || n > 5 ? "newer" : "old");
		fake_env_free(f);
	}
}

/* Power cut at every call, in three manners: the file is whole, and new if success was reported. */
static void a_power_cut_leaves_the_old_file_or_the_new_one(void **state)
{
	(void)state;
	static const char old[] = "old", newer[] = "a newer and longer content";
	for (unsigned round = 0; round < 3 * 40; round++) {
		unsigned long n = round / 3 % 10 + 1;
		struct fake_env *f = fake_env_new(FAKE_MEMORY, round);
		const struct env *env = fake_env_get(f);
		assert_int_equal(env_write_file(env, FAKE_DIR, "x", old, strlen(old), 0600), OK);
		fake_env_fail(f, FAKE_ANY, n, ERR_IO, true);
		int err = env_write_file(env, FAKE_DIR, "x", newer, strlen(newer), 0600);
		fake_env_crash(f, (enum fake_crash)(round % 3));
		FREE_AFTER uint8_t *p = NULL;
		size_t len = 0;
		assert_int_equal(env_read_file(env, FAKE_DIR, "x", 1000, &p, &len), OK);
		if (err == OK || len != strlen(old))
			unit_assert_bytes(bytes_of(p, len), bytes_str(newer));
		else
			unit_assert_bytes(bytes_of(p, len), bytes_str(old));
		fake_env_free(f);
	}
}

static void reading_survives_every_failing_call_and_allocation(void **state)
{
	(void)state;
	struct fake_env *f = fake_env_new(FAKE_MEMORY, 1);
	const struct env *env = fake_env_get(f);
	uint8_t *p = NULL;
	size_t len;
	assert_int_equal(env_write_file(env, FAKE_DIR, "x", "text", 4, 0600), OK);
	for (unsigned long n = 1; n <= 3; n++) {
		fake_env_fail(f, FAKE_ANY, n, ERR_CORRUPT, false);
		assert_int_equal(env_read_file(env, FAKE_DIR, "x", 100, &p, &len), ERR_CORRUPT);
		assert_int_equal(fake_env_open_files(f), 0);
	}
	fake_env_fail(f, FAKE_ANY, 0, 0, false);
	heap_fail_at(1);
	assert_int_equal(env_read_file(env, FAKE_DIR, "x", 100, &p, &len), ERR_NOMEM);
	heap_fail_at(0);
	assert_null(p);
	assert_int_equal(fake_env_open_files(f), 0);
	fake_env_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_written_read_and_replaced),
		cmocka_unit_test(reading_has_a_cap_and_knows_absence),
		cmocka_unit_test(disk_calls_reach_the_kernel),
		cmocka_unit_test(clocks_run_and_random_differs),
		cmocka_unit_test(a_failing_call_leaves_the_old_file_or_the_new_one),
		cmocka_unit_test(a_power_cut_leaves_the_old_file_or_the_new_one),
		cmocka_unit_test(reading_survives_every_failing_call_and_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
