/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/s3_endpoint.h"

#include <arpa/inet.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/lib/unit.h"

static struct s3_options options(const char *url)
{
	return (struct s3_options){
		.endpoint = url,
		.bucket = "coffer",
		.region = "us-east-1",
		.access_key = "test:tester",
		.secret_key = "testing",
		.prefix = "",
		.timeout_seconds = 60,
	};
}

static void run_child(const char *dir, int out)
{
	char exe[PATH_MAX], script[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (n <= 0 || dup2(out, STDOUT_FILENO) < 0)
		_exit(127);
	exe[n] = '\0';
	snprintf(script, sizeof script, "%s/../../tests/tools/swift.py", dirname(exe));
	execlp("python3", "python3", script, dir, NULL);
	_exit(127);
}

void s3_endpoint_start(struct s3_endpoint *e)
{
	const char *tmp = getenv("TMPDIR");
	int out[2];
	FILE *f;

	*e = (struct s3_endpoint){ 0 };
	snprintf(e->dir, sizeof e->dir, "%.80s/swift.XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(e->dir));
	assert_int_equal(pipe(out), 0);
	e->pid = fork();
	assert_true(e->pid >= 0);
	if (!e->pid)
		run_child(e->dir, out[1]);
	close(out[1]);
	assert_non_null(f = fdopen(out[0], "r"));
	if (!fgets(e->url, sizeof e->url, f))
		fail_msg("no S3 endpoint; what is missing stands above");
	fclose(f);
	e->url[strcspn(e->url, "\n")] = '\0';
	e->options = options(e->url);
}

void s3_endpoint_stop(struct s3_endpoint *e)
{
	char command[256];

	kill(e->pid, SIGKILL);
	waitpid(e->pid, NULL, 0);
	snprintf(command, sizeof command, "rm -rf '%s'", e->dir);
	assert_int_equal(system(command), 0);
}

static void read_request(int fd)
{
	char text[65536];
	size_t n = 0;

	while (n < sizeof text - 1) {
		ssize_t got = read(fd, text + n, sizeof text - 1 - n);

		if (got <= 0)
			return;
		n += (size_t)got;
		text[n] = '\0';
		if (strstr(text, "\r\n\r\n"))
			return;
	}
}

static void *serve(void *arg)
{
	struct s3_script *s = arg;

	for (;;) {
		const char *answer;
		int fd = accept(s->fd, NULL, NULL);
		char c;

		if (fd < 0)
			return NULL;
		answer = s->script[s->served < s->n ? s->served : s->n - 1];
		s->served++;
		read_request(fd);
		if (*answer && write(fd, answer, strlen(answer)) < 0)
			perror("write");
		/* Bodies are read to their end, so that closing does not take the answer back. */
		if (*answer)
			shutdown(fd, SHUT_WR);
		while (read(fd, &c, 1) > 0)
			;
		close(fd);
	}
}

void s3_script_start(struct s3_script *s, const char *const *script, size_t n)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof addr;

	*s = (struct s3_script){ .script = script, .n = n };
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&addr, sizeof addr), 0);
	assert_int_equal(listen(s->fd, 16), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&addr, &len), 0);
	snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u", ntohs(addr.sin_port));
	s->options = options(s->url);
	s->options.timeout_seconds = 1;
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

void s3_script_stop(struct s3_script *s)
{
	shutdown(s->fd, SHUT_RDWR); /* ends accept */
	pthread_join(s->thread, NULL);
	close(s->fd);
}
