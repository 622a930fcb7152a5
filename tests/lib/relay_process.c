/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/relay_process.h"

#include <ftw.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/unit.h"

static void run_child(const struct relay_process *r, int log)
{
	char exe[PATH_MAX], program[PATH_MAX + 32], listen[32];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	char *argv[] = { (char *)"coffer-relay", (char *)"--listen", listen, (char *)"--data", (char *)r->dir, NULL,
		NULL, NULL, NULL, NULL };
	char **more = argv + 5;

	/* A test that fails must not leave it behind. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (n <= 0 || dup2(log, STDERR_FILENO) < 0)
		_exit(127);
	exe[n] = '\0';
	snprintf(program, sizeof program, "%s/../coffer-relay", dirname(exe));
	snprintf(listen, sizeof listen, "127.0.0.1:%u", r->port);
	if (r->origin[0]) {
		*more++ = (char *)"--origin";
		*more++ = (char *)r->origin;
	}
	if (r->config[0]) {
		*more++ = (char *)"--config";
		*more++ = (char *)r->config;
	}
	unsetenv("COFFER_LOG");
	setenv("COFFER_RELAY_STORAGE_DATABASE", r->database, 1);
	execv(program, argv);
	_exit(127);
}

/* The port stands in the line "... listening on 127.0.0.1:PORT ...". */
static void read_port(struct relay_process *r, FILE *log)
{
	char line[1024];

	while (fgets(line, sizeof line, log)) {
		const char *at = strstr(line, "listening on 127.0.0.1:");

		if (!at)
			continue;
		uint16_t port = (uint16_t)strtoul(at + 23, NULL, 10);
		char url[sizeof r->url];

		snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
		if (port != r->port || strcmp(url, r->url) != 0) { /* else threads of the test may be reading both */
			r->port = port;
			memcpy(r->url, url, sizeof url);
		}
		return;
	}
	fail_msg("coffer-relay did not start");
}

void relay_process_start(struct relay_process *r)
{
	const char *tmp = getenv("TMPDIR");
	int log[2];
	FILE *f;

	if (!r->dir[0]) {
		snprintf(r->dir, sizeof r->dir, "%s/coffer-relay.XXXXXX", tmp ? tmp : "/tmp");
		assert_non_null(mkdtemp(r->dir));
		test_database_new(r->database);
	}
	assert_int_equal(pipe(log), 0);
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (r->pid == 0)
		run_child(r, log[1]);
	close(log[1]);
	f = fdopen(log[0], "r");
	assert_non_null(f);
	read_port(r, f);
	fclose(f); /* what it says later gets EPIPE, which it ignores */
}

void relay_process_start_beside(struct relay_process *r, const struct relay_process *first)
{
	*r = *first;
	r->pid = 0;
	r->port = 0;
	relay_process_start(r);
}

void relay_process_kill(struct relay_process *r, int signal)
{
	int status;

	if (r->pid <= 0)
		return;
	kill(r->pid, signal);
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	r->pid = 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void relay_process_remove(struct relay_process *r)
{
	relay_process_kill(r, SIGKILL);
	test_database_drop(r->database);
	assert_int_equal(nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}
