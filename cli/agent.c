/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/print.h"
#include "cli/prompt.h"
#include "wire/ctl.h"
#include "wire/ctl_socket.h"
#include "wire/msg.h"

#define AGENT_WENT (-1)
#define READY_FD 3 /* coffer-fs writes "ready\n" or one line of error there, then closes it */

void reply_release(struct reply *r)
{
	buf_release(&r->memory);
}

int agent_fail(int code, const char *message, const char *next)
{
	if (next && next[0])
		fprintf(stderr, "coffer: %s; %s\n", message, next);
	else
		fprintf(stderr, "coffer: %s\n", message);
	return code;
}

static bool has_profile(const char *home)
{
	CLOSE_AFTER int dir = open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return dir >= 0 && faccessat(dir, "key", F_OK, 0) == 0;
}

int agent_runs(const struct context *ctx)
{
	CLOSE_AFTER int fd = -1;
	return ctl_socket_connect(ctx->home, &fd) == OK;
}

/* coffer-fs beside this program, else from PATH. Does not return. */
static void exec_agent(const char *home, int ready)
{
	char self[PATH_MAX], path[PATH_MAX + 16];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (ready != READY_FD && dup2(ready, READY_FD) < 0)
		_exit(EX_OSERR);
	if (ready == READY_FD)
		fcntl(READY_FD, F_SETFD, 0);
	(void)close_range(READY_FD + 1, ~0u, 0); /* an agent lives on: it must not hold a script's files and locks */
	if (n > 0) {
		self[n] = 0;
		snprintf(path, sizeof path, "%s/coffer-fs", dirname(self));
		execl(path, "coffer-fs", "--home", home, (char *)NULL);
	}
	execlp("coffer-fs", "coffer-fs", "--home", home, (char *)NULL);
	_exit(EX_UNAVAILABLE);
}

/* Starts coffer-fs, which puts itself into the background, and waits until it answers or says why not. */
static int start_agent(const struct context *ctx)
{
	int ends[2];
	char line[512];
	size_t n = 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return agent_fail(EX_OSERR, "cannot make a pipe", strerror(errno));
	pid_t pid = fork();
	if (pid < 0) {
		close(ends[0]);
		close(ends[1]);
		return agent_fail(EX_OSERR, "cannot start coffer-fs", strerror(errno));
	}
	if (pid == 0)
		exec_agent(ctx->home, ends[1]);
	close(ends[1]);
	for (ssize_t got; n < sizeof line - 1 &&
			  ((got = read(ends[0], line + n, sizeof line - 1 - n)) > 0 || (got < 0 && errno == EINTR));)
		n += got > 0 ? (size_t)got : 0;
	close(ends[0]);
	line[n] = 0;
	line[strcspn(line, "\n")] = 0;
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (strcmp(line, "ready") == 0)
		return EX_OK;
	if (n == 0)
		return agent_fail(EX_UNAVAILABLE, "coffer-fs did not start", "is it installed beside coffer?");
	fprintf(stderr, "coffer: %s\n", line);
	return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EX_UNAVAILABLE;
}

static int send_all(int fd, struct bytes b)
{
	while (b.len > 0) {
		ssize_t n = send(fd, b.p, b.len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		b.p += n;
		b.len -= (size_t)n;
	}
	return 0;
}

/* Reads until memory holds one whole frame. ERR_CLOSED; ERR_CANCELLED: the request was not even read. */
static int read_frame(int fd, struct buf *memory, struct bytes *ret_item)
{
	size_t used;

	for (;;) {
		int err = msg_take_frame(buf_bytes(memory), ret_item, &used);
		if (err != ERR_AGAIN)
			return err;
		uint8_t piece[16384];
		ssize_t n = recv(fd, piece, sizeof piece, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ECONNRESET && memory->len == 0)
			return ERR_CANCELLED;
		if (n <= 0)
			return ERR_CLOSED;
		err = buf_put(memory, piece, (size_t)n);
		if (err < 0)
			return err;
	}
}

static int print_error(const struct ctl_error *e)
{
	fprintf(stderr, "coffer: %.*s", (int)e->message.len, (const char *)e->message.p);
	if (e->next.len)
		fprintf(stderr, "; %.*s", (int)e->next.len, (const char *)e->next.p);
	fputc('\n', stderr);
	return e->exit > 0 && e->exit < 256 ? (int)e->exit : EX_SOFTWARE;
}

/* One request and its answer on a fresh connection. AGENT_WENT: nothing of it has happened, nothing was said. */
static int exchange(int fd, const char *verb, struct bytes args, struct reply *r)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT_SECRET(CTL_MAX);
	struct ctl_answer answer;
	struct bytes item;
	int err;

	if (ctl_put_request(&out, verb, args) < 0)
		return agent_fail(EX_DATAERR, "the request is too long", "shorten its arguments");
	if (send_all(fd, buf_bytes(&out)) < 0) /* not whole: nobody acts on it */
		return AGENT_WENT;
	buf_clear(&r->memory);
	err = read_frame(fd, &r->memory, &item);
	if (err == ERR_CANCELLED)
		return AGENT_WENT;
	if (err < 0)
		return agent_fail(EX_UNAVAILABLE, "the agent ended before it answered", "run the command again");
	if (ctl_decode_answer(item, &answer) < 0)
		return agent_fail(
			EX_PROTOCOL, "the agent's answer is not understood", "is coffer-fs of the same version?");
	if (answer.kind == CTL_ERROR)
		return print_error(&answer.error);
	r->result = answer.result;
	return EX_OK;
}

static int call_once(const struct context *ctx, const char *verb, struct bytes args, struct reply *r)
{
	CLOSE_AFTER int fd = -1;
	int err = ctl_socket_connect(ctx->home, &fd);

	if (err < 0 && strncmp(verb, "init", 4) != 0 && !has_profile(ctx->home))
		return agent_fail(EX_CONFIG, "there is no profile here yet", "make one with `coffer init --relay URL`");
	if (err < 0) {
		int code = start_agent(ctx);
		if (code)
			return code;
		if (ctl_socket_connect(ctx->home, &fd) < 0)
			return agent_fail(EX_UNAVAILABLE, "the agent started but cannot be reached",
				"its messages are in agent.log of the profile");
	}
	return exchange(fd, verb, args, r);
}

/* An agent that is just ending may take a connection and not serve it: the next one does. */
static int call(const struct context *ctx, const char *verb, struct bytes args, struct reply *r)
{
	int code = AGENT_WENT;

	for (int i = 0; i < 3 && code == AGENT_WENT; i++)
		code = call_once(ctx, verb, args, r);
	return code == AGENT_WENT
		       ? agent_fail(EX_UNAVAILABLE, "the agent ended before it answered", "run the command again")
		       : code;
}

static int encode_args(struct map *args, struct buf *out)
{
	if (!args)
		return OK;
	return map_put(args, out);
}

int agent_call_locked(const struct context *ctx, const char *verb, struct map *args, struct reply *ret_r)
{
	CLEANUP(buf_release) struct buf encoded = BUF_INIT_SECRET(CTL_MAX);

	if (encode_args(args, &encoded) < 0)
		return agent_fail(EX_DATAERR, "an argument is too long, or not UTF-8 text", "shorten or rename it");
	return call(ctx, verb, buf_bytes(&encoded), ret_r);
}

int agent_unlock(const struct context *ctx, const char *passphrase_file)
{
	CLEANUP(reply_release) struct reply hello = REPLY_INIT;
	int code = call(ctx, "hello", bytes_of(NULL, 0), &hello);

	if (code)
		return code;
	struct bytes state = map_get_text(hello.result, "state");
	if (bytes_equal(state, bytes_str("empty")))
		return agent_fail(EX_CONFIG, "there is no profile here yet", "make one with `coffer init --relay URL`");
	if (!bytes_equal(state, bytes_str("locked")))
		return EX_OK;
	CLEANUP(map_release) struct map args = MAP_INIT_SECRET;
	CLEANUP(buf_release) struct buf passphrase = BUF_INIT_SECRET(PROMPT_MAX);
	code = prompt_passphrase(passphrase_file, false, &passphrase);
	if (code)
		return code;
	map_bytes(&args, "passphrase", passphrase.data, passphrase.len);
	CLEANUP(reply_release) struct reply r = REPLY_INIT;
	return agent_call_locked(ctx, "unlock", &args, &r);
}

int agent_call(const struct context *ctx, const char *verb, struct map *args, struct reply *ret_r)
{
	int code = agent_unlock(ctx, NULL);

	return code ? code : agent_call_locked(ctx, verb, args, ret_r);
}

int agent_do(const struct context *ctx, const char *verb, struct map *args, bool keys)
{
	CLEANUP(reply_release) struct reply r = REPLY_INIT;
	int code = keys ? agent_call(ctx, verb, args, &r) : agent_call_locked(ctx, verb, args, &r);

	return code || !ctx->json ? code : print_json(r.result);
}
