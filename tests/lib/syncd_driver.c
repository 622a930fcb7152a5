/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/syncd_driver.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/delegation.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "tests/lib/unit.h"

#define DEADLINE_MS 20000
#define READ_SIZE 65536

/* build/tests/test_x -> build/coffer-syncd */
static void program_path(char out[PATH_MAX + 32])
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

	assert_true(n > 0);
	exe[n] = '\0';
	snprintf(out, PATH_MAX + 32, "%s/../coffer-syncd", dirname(exe));
}

static void run_child(const char *program, int fd)
{
	char *argv[] = { (char *)"coffer-syncd", NULL };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a stopped one would not see the socket close */
	if (fd == 3)
		(void)!fcntl(fd, F_SETFD, 0);
	else if (dup2(fd, 3) < 0)
		_exit(127);
	execv(program, argv);
	_exit(127);
}

void syncd_start_as(
	struct syncd *s, const struct id32 *person, const struct id32 *device, const struct secret *device_key)
{
	char program[PATH_MAX + 32];
	struct msg hello;
	int pair[2];

	*s = (struct syncd){
		.in = BUF_INIT(2 * MSG_MAX), .person = *person, .device = *device, .device_key = device_key
	};
	program_path(program);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0)
		run_child(program, pair[1]);
	close(pair[1]);
	s->fd = pair[0];
	hello = syncd_expect(s, MSG_HELLO);
	assert_int_equal(hello.version, MSG_VERSION);
	s->session = hello.key;
}

void syncd_start(struct syncd *s)
{
	struct secret *person_key = NULL, *device_key = NULL;
	struct id32 person, device;

	assert_int_equal(crypto_init(), OK);
	assert_int_equal(sign_keypair_new(&person_key, &person), OK);
	assert_int_equal(sign_keypair_new(&device_key, &device), OK);
	secret_free(person_key);
	syncd_start_as(s, &person, &device, device_key);
	s->own_key = device_key;
}

void syncd_release(struct syncd *s)
{
	secret_free(s->own_key);
	buf_release(&s->in);
}

void syncd_end(struct syncd *s)
{
	int status = -1;

	close(s->fd);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	syncd_release(s);
}

void syncd_send(struct syncd *s, const struct msg *m)
{
	struct buf b = BUF_INIT(MSG_MAX + 4);

	assert_int_equal(msg_put(&b, m), OK);
	for (size_t at = 0; at < b.len;) {
		ssize_t n = send(s->fd, b.data + at, b.len - at, MSG_NOSIGNAL);

		assert_true(n > 0);
		at += (size_t)n;
	}
	buf_release(&b);
}

void syncd_configure(struct syncd *s, const char *url)
{
	syncd_send(s, &(struct msg){ .type = MSG_CONFIG, .text = bytes_str(url) });
}

void syncd_delegate(struct syncd *s, const char *aud, int64_t life_s)
{
	const struct delegation d = {
		.person = s->person,
		.device = s->device,
		.session = s->session,
		.aud = bytes_str(aud),
		.not_after = (int64_t)time(NULL) + life_s,
	};
	struct buf b = BUF_INIT(DELEGATION_MAX);

	assert_int_equal(delegation_make(&d, s->device_key, &b), OK);
	syncd_send(s, &(struct msg){ .type = MSG_DELEGATE, .blob = buf_bytes(&b) });
	buf_release(&b);
}

uint64_t syncd_call(struct syncd *s, const char *method, struct bytes params)
{
	syncd_send(s, &(struct msg){ .type = MSG_CALL, .num = ++s->num, .text = bytes_str(method), .item = params });
	return s->num;
}

uint64_t syncd_put(struct syncd *s, const struct id16 *space, const struct id16 *chunk, struct bytes blob)
{
	syncd_send(
		s, &(struct msg){ .type = MSG_PUT, .num = ++s->num, .space = *space, .chunk = *chunk, .blob = blob });
	return s->num;
}

uint64_t syncd_get(struct syncd *s, const struct id16 *space, const struct id16 *chunk)
{
	syncd_send(s, &(struct msg){ .type = MSG_GET, .num = ++s->num, .space = *space, .chunk = *chunk });
	return s->num;
}

struct msg syncd_any(struct syncd *s)
{
	struct msg m;
	size_t used;

	buf_consume(&s->in, s->taken);
	s->taken = 0;
	for (;;) {
		struct pollfd p = { .fd = s->fd, .events = POLLIN };
		int err = msg_take(buf_bytes(&s->in), &m, &used);
		uint8_t *room;
		ssize_t n;

		if (err == OK)
			break;
		assert_int_equal(err, ERR_AGAIN);
		if (poll(&p, 1, DEADLINE_MS) != 1)
			fail_msg("coffer-syncd says nothing");
		assert_int_equal(buf_grow(&s->in, READ_SIZE, &room), OK);
		n = recv(s->fd, room, READ_SIZE, 0);
		if (n <= 0)
			fail_msg("coffer-syncd ended");
		s->in.len -= READ_SIZE - (size_t)n;
	}
	s->taken = used;
	return m;
}

struct msg syncd_next(struct syncd *s)
{
	struct msg m = syncd_any(s);

	while (m.type == MSG_RATE)
		m = syncd_any(s);
	return m;
}

struct msg syncd_expect(struct syncd *s, enum msg_type type)
{
	struct msg m = syncd_next(s);

	assert_int_equal(m.type, type);
	return m;
}

struct msg syncd_expect_state(struct syncd *s, enum msg_state state, const char *reason)
{
	for (;;) {
		struct msg m = syncd_expect(s, MSG_STATE);

		if (m.state != state)
			continue;
		unit_assert_bytes(m.text, bytes_str(reason));
		return m;
	}
}

struct msg syncd_expect_result(struct syncd *s, uint64_t num, const char *code)
{
	struct msg m = syncd_expect(s, MSG_RESULT);

	assert_int_equal(m.num, num);
	unit_assert_bytes(m.text, bytes_str(code));
	return m;
}
