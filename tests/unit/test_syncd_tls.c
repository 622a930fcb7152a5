/* SPDX-License-Identifier: Apache-2.0 */
/* coffer-syncd and the real relay with TLS between them: the certificate decides. */
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/relay_process.h"
#include "tests/lib/syncd_driver.h"
#include "tests/lib/unit.h"

struct proxy {
	pid_t pid;
	int in; /* its standard input: it ends with it */
	unsigned port;
};

struct scene {
	struct relay_process relay;
	struct proxy proxy;
	char cert[PATH_MAX + 16], key[PATH_MAX + 16];
	char url[64];
};

static void run(const char *const argv[])
{
	int status = -1, null;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		null = open("/dev/null", O_RDWR);
		if (null < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
			_exit(126);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("%s failed", argv[0]);
}

/* A self-signed certificate for `name` next to the relay's data. */
static void make_certificate(struct scene *s, const char *name)
{
	char subject[128], alternative[128];

	snprintf(s->cert, sizeof s->cert, "%s/cert.pem", s->relay.dir);
	snprintf(s->key, sizeof s->key, "%s/key.pem", s->relay.dir);
	snprintf(subject, sizeof subject, "/CN=%s", name);
	snprintf(alternative, sizeof alternative, "subjectAltName=DNS:%s", name);
	const char *const argv[] = { "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
		"-nodes", "-days", "2", "-subj", subject, "-addext", alternative, "-out", s->cert, "-keyout", s->key,
		NULL };
	run(argv);
}

static void run_proxy(const struct scene *s, int in, int out)
{
	char exe[PATH_MAX], script[PATH_MAX + 64], target[16];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (n <= 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0)
		_exit(126);
	exe[n] = '\0';
	snprintf(script, sizeof script, "%s/../../tests/lib/tls_proxy.py", dirname(exe));
	snprintf(target, sizeof target, "%u", s->relay.port);
	execlp("python3", "python3", script, s->cert, s->key, target, (char *)NULL);
	_exit(127);
}

static void start_proxy(struct scene *s)
{
	char text[16] = "";
	int in[2], out[2];
	FILE *f;

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	s->proxy.pid = fork();
	assert_true(s->proxy.pid >= 0);
	if (s->proxy.pid == 0)
		run_proxy(s, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	s->proxy.in = in[1];
	f = fdopen(out[0], "r");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof text, f));
	fclose(f);
	s->proxy.port = (unsigned)strtoul(text, NULL, 10);
	snprintf(s->url, sizeof s->url, "https://localhost:%u", s->proxy.port);
}

/* The relay must know the address that clients use, which is known only once the proxy listens: so it starts twice. */
static void open_scene(struct scene *s, const char *name)
{
	*s = (struct scene){ .relay = { .pid = 0 } };
	relay_process_start(&s->relay);
	make_certificate(s, name);
	start_proxy(s);
	relay_process_kill(&s->relay, SIGTERM);
	snprintf(s->relay.origin, sizeof s->relay.origin, "%s", s->url);
	relay_process_start(&s->relay);
}

static void close_scene(struct scene *s)
{
	int status;

	close(s->proxy.in);
	assert_int_equal(waitpid(s->proxy.pid, &status, 0), s->proxy.pid);
	relay_process_remove(&s->relay);
	unsetenv("SSL_CERT_FILE");
}

static void goes_online_with_a_certificate_that_it_trusts(void **state)
{
	const struct id16 space = { { 1 } }, chunk = { { 2 } };
	struct scene s;
	struct syncd d;

	(void)state;
	open_scene(&s, "localhost");
	setenv("SSL_CERT_FILE", s.cert, 1);
	syncd_start(&d);
	syncd_delegate(&d, s.url, 3600);
	syncd_configure(&d, s.url);
	syncd_expect_state(&d, MSG_ONLINE, "");
	syncd_get(&d, &space, &chunk);
	syncd_expect_result(&d, d.num, "not_found"); /* an answer of the relay: HTTP trusts the same */
	syncd_end(&d);
	close_scene(&s);
}

static void refuses_a_certificate_of_nobody_it_knows(void **state)
{
	struct scene s;
	struct syncd d;

	(void)state;
	open_scene(&s, "localhost");
	syncd_start(&d);
	syncd_delegate(&d, s.url, 3600);
	syncd_configure(&d, s.url);
	syncd_expect_state(&d, MSG_OFFLINE, "tls");
	syncd_end(&d);
	close_scene(&s);
}

static void refuses_a_certificate_of_another_name(void **state)
{
	struct scene s;
	struct syncd d;

	(void)state;
	open_scene(&s, "relay.example.org");
	setenv("SSL_CERT_FILE", s.cert, 1);
	syncd_start(&d);
	syncd_delegate(&d, s.url, 3600);
	syncd_configure(&d, s.url);
	syncd_expect_state(&d, MSG_OFFLINE, "tls");
	syncd_end(&d);
	close_scene(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_online_with_a_certificate_that_it_trusts),
		cmocka_unit_test(refuses_a_certificate_of_nobody_it_knows),
		cmocka_unit_test(refuses_a_certificate_of_another_name),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
