/* SPDX-License-Identifier: Apache-2.0 */
/* What coffer-syncd cannot do any more once it is in its sandbox. Each check runs in a child, which the sandbox stays with. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "syncd/sandbox.h"
#include "tests/lib/unit.h"

static int landlock_version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

/* Exit code of a child that enters the sandbox and then runs `check` (0: as it should be). */
static int inside(int (*check)(void))
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(sandbox_enter() < 0 ? 100 : check());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int refused(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == EACCES ? 0 : 1;
}

static int files_are_out_of_reach(void)
{
	const char *home = getenv("HOME");

	if (refused("/etc/passwd", O_RDONLY) || refused("/", O_RDONLY) || refused("/proc/self/maps", O_RDONLY))
		return 1;
	if (refused("/tmp/coffer-sandbox-test", O_RDWR | O_CREAT) || refused("/dev/shm/x", O_RDWR | O_CREAT))
		return 2;
	if (home && refused(home, O_RDONLY))
		return 3;
	if (refused("/etc/hosts", O_WRONLY))
		return 4;
	return 0;
}

static int names_and_certificates_are_readable(void)
{
	struct addrinfo *found = NULL;
	int fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || getaddrinfo("localhost", NULL, NULL, &found) != 0)
		return 1;
	freeaddrinfo(found);
	fd = open("/etc/ssl", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? 2 : 0;
}

static int no_core_no_trace_no_privileges(void)
{
	struct rlimit core;

	if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
		return 1;
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 2;
	return 0;
}

static int inherited_descriptors_are_closed(void)
{
	return fcntl(200, F_GETFD) < 0 && fcntl(4, F_GETFD) < 0 && fcntl(2, F_GETFD) >= 0 ? 0 : 1;
}

static int it_listens_nowhere(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return bind(fd, (struct sockaddr *)&a, sizeof a) < 0 && errno == EACCES ? 0 : 1;
}

static void takes_what_is_not_needed(void **state)
{
	(void)state;
	assert_int_equal(inside(no_core_no_trace_no_privileges), 0);
	assert_int_equal(dup2(2, 200), 200);
	assert_int_equal(inside(inherited_descriptors_are_closed), 0);
	close(200);
}

static void reaches_no_file_but_those_it_needs(void **state)
{
	(void)state;
	if (landlock_version() < 1)
		skip();
	assert_int_equal(inside(files_are_out_of_reach), 0);
	assert_int_equal(inside(names_and_certificates_are_readable), 0);
}

static void opens_no_port(void **state)
{
	(void)state;
	if (landlock_version() < 4)
		skip();
	assert_int_equal(inside(it_listens_nowhere), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_is_not_needed),
		cmocka_unit_test(reaches_no_file_but_those_it_needs),
		cmocka_unit_test(opens_no_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
