/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "tests/lib/unit.h"

static char text[8192];

/* Standard error goes to a file in memory between start and stop; stop gives what was written. */
static int saved = -1, capture = -1;

static void start(void)
{
	saved = dup(STDERR_FILENO);
	capture = memfd_create("stderr", MFD_CLOEXEC);
	assert_true(saved >= 0 && capture >= 0 && dup2(capture, STDERR_FILENO) >= 0);
}

static const char *stop(void)
{
	ssize_t n = pread(capture, text, sizeof text - 1, 0);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	close(capture);
	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static void levels_above_the_highest_are_silent(void **state)
{
	(void)state;
	unsetenv("COFFER_LOG");
	start();
	log_init("prog", LOG_LEVEL_WARN);
	log_error("an error %d", 1);
	log_warn("a warning");
	log_info("an info");
	log_debug("a detail");
	assert_string_equal(stop(), "prog: error: an error 1\nprog: warn: a warning\n");
}

static void the_environment_sets_the_level(void **state)
{
	(void)state;
	setenv("COFFER_LOG", "debug", 1);
	start();
	log_init("prog", LOG_LEVEL_ERROR);
	log_debug("a detail");
	setenv("COFFER_LOG", "nonsense", 1);
	log_init("prog", LOG_LEVEL_ERROR);
	log_warn("a warning");
	assert_string_equal(stop(), "prog: debug: a detail\n");
	unsetenv("COFFER_LOG");
}

static void the_journal_gets_a_priority(void **state)
{
	(void)state;
	struct stat st;
	char stream[64];
	start();
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	assert_true(snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino) > 0);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init("prog", LOG_LEVEL_INFO);
	log_info("hello");
	unsetenv("JOURNAL_STREAM");
	log_init("prog", LOG_LEVEL_INFO);
	assert_string_equal(stop(), "<6>hello\n");
}

static void text_from_outside_cannot_forge_a_line(void **state)
{
	(void)state;
	start();
	log_init("prog", LOG_LEVEL_INFO);
	log_info("%s", "a\nprog: error: b\x1b[31m\r");
	assert_string_equal(stop(), "prog: info: a?prog: error: b?[31m?\n");
}

static void a_long_line_is_cut_and_errno_stays(void **state)
{
	(void)state;
	static char big[5000];
	memset(big, 'x', sizeof big - 1);
	start();
	log_init("prog", LOG_LEVEL_INFO);
	errno = ENOTTY;
	log_info("%s", big);
	assert_int_equal(errno, ENOTTY);
	const char *got = stop();
	assert_int_equal(strlen(got), 1024);
	assert_int_equal(got[1023], '\n');
}

static void ids_are_shortened(void **state)
{
	(void)state;
	static const struct id16 id = { { 0xab, 0xcd, 0x01, 0x02, 0x03 } };
	static const struct id32 key = { { 0x00, 0xff, 0x10, 0x01, 0x03 } };
	assert_string_equal(log_id16(&id).s, "abcd0102");
	assert_string_equal(log_id32(&key).s, "00ff1001");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_above_the_highest_are_silent),
		cmocka_unit_test(the_environment_sets_the_level),
		cmocka_unit_test(the_journal_gets_a_priority),
		cmocka_unit_test(text_from_outside_cannot_forge_a_line),
		cmocka_unit_test(a_long_line_is_cut_and_errno_stays),
		cmocka_unit_test(ids_are_shortened),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
