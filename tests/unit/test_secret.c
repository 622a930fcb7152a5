/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/hash.h"
#include "crypto/secret.h"

static void holds_and_compares(void **state)
{
	struct secret *a, *b, *c;

	(void)state;
	assert_int_equal(secret_from(bytes_str("sixteen letters!"), &a), 0);
	assert_int_equal(secret_from(bytes_str("sixteen letters!"), &b), 0);
	assert_int_equal(secret_from(bytes_str("sixteen letters?"), &c), 0);
	assert_int_equal(secret_len(a), 16);
	assert_true(secret_equal(a, b));
	assert_false(secret_equal(a, c));
	secret_data(b)[15] = '?';
	assert_true(secret_equal(b, c));
	secret_free(a);
	secret_free(b);
	secret_free(c);
	secret_free(NULL);
}

static void bounds(void **state)
{
	struct secret *s = NULL;

	(void)state;
	assert_int_equal(secret_new(0, &s), ERR_RANGE);
	assert_int_equal(secret_new(SECRET_MAX + 1, &s), ERR_RANGE);
	assert_null(s);
	assert_int_equal(secret_new(SECRET_MAX, &s), 0);
	for (size_t i = 0; i < SECRET_MAX; i++)
		assert_int_equal(secret_data(s)[i], 0);
	secret_freep(&s);
	assert_null(s);
}

static void random_differs(void **state)
{
	struct secret *a, *b;

	(void)state;
	assert_int_equal(secret_random(32, &a), 0);
	assert_int_equal(secret_random(32, &b), 0);
	assert_false(secret_equal(a, b));
	assert_ptr_equal(secret_key(a), secret_bytes(a).p);
	secret_free(a);
	secret_free(b);
}

/* One byte past a secret stands a guard page. */
static void reading_past_the_end_stops_the_process(void **state)
{
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct secret *s;

		(void)signal(SIGSEGV, SIG_DFL);
		if (secret_new(32, &s) < 0)
			_exit(2);
		_exit(((volatile uint8_t *)secret_data(s))[32] ? 0 : 1);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_and_compares),
		cmocka_unit_test(bounds),
		cmocka_unit_test(random_differs),
		cmocka_unit_test(reading_past_the_end_stops_the_process),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
