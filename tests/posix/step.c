/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/posix/step.h"
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

void scene_open(struct scene *scene)
{
	memset(scene, 0, sizeof *scene);
	for (int i = 0; i < STEP_FDS; i++)
		scene->fd[i] = -1;
}

void scene_close(struct scene *scene)
{
	for (int i = 0; i < STEP_FDS; i++) {
		if (scene->map[i])
			munmap(scene->map[i], scene->map_len[i]);
		if (scene->fd[i] >= 0)
			close(scene->fd[i]);
	}
}

/* One word with {n}, \xHH and \s replaced. */
static char *expand(const char *p, size_t len)
{
	char *out = malloc(STEP_TEXT), *to = out;

	for (const char *end = p + len; p < end && to < out + STEP_TEXT / 2;) {
		if (*p == '{') {
			size_t n = strtoul(p + 1, (char **)&p, 10);
			n = n < STEP_TEXT / 2 ? n : STEP_TEXT / 2;
			memset(to, 'n', n);
			to += n;
			p++;
		} else if (p[0] == '\\' && p[1] == 'x') {
			char hex[3] = { p[2], p[3], 0 };
			*to++ = (char)strtoul(hex, NULL, 16);
			p += 4;
		} else if (p[0] == '\\' && p[1] == 's') {
			*to++ = ' ';
			p += 2;
		} else {
			*to++ = *p++;
		}
	}
	*to = 0;
	return out;
}

struct parsed {
	struct step step;
	char *expect; /* with its '=' or '!', or NULL */
	long uid;     /* -1: as we are */
	gid_t groups[4];
	size_t n_groups;
	bool child;
};

static void parse_user(struct parsed *p, const char *word)
{
	char *at;

	p->child = true;
	p->uid = strtol(word, &at, 10);
	while ((*at == ':' || *at == ',') && p->n_groups < 4)
		p->groups[p->n_groups++] = (gid_t)strtoul(at + 1, &at, 10);
}

static void parse(struct parsed *p, const char *text)
{
	while (*text) {
		text += strspn(text, " ");
		size_t len = strcspn(text, " ");
		if (len == 0)
			break;
		if (p->step.n == 0 && *text == '@')
			parse_user(p, text + 1);
		else if (p->step.n == 0 && *text == '&' && len == 1)
			p->child = true;
		else if (p->step.n > 0 && (*text == '!' || *text == '=') && !p->expect)
			p->expect = expand(text, len);
		else if (p->step.n < STEP_WORDS)
			p->step.word[p->step.n++] = expand(text, len);
		text += len;
	}
}

static bool become(const struct parsed *p)
{
	gid_t gid = (gid_t)p->uid;
	uid_t uid = (uid_t)p->uid;

	if (p->uid < 0)
		return true;
	return setgroups(p->n_groups, p->groups) == 0 && setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0;
}

/* Compares what came with what was to come. */
static enum step_end judge(struct parsed *p, int err, char *why)
{
	if (err == -1) {
		snprintf(why, STEP_TEXT, "no such step");
		return STEP_FAILED;
	}
	if (p->expect && *p->expect == '!') {
		if (err != 0 && strcmp(strerrorname_np(err), p->expect + 1) == 0)
			return STEP_OK;
		snprintf(why, STEP_TEXT, "%s", err ? strerrorname_np(err) : "success");
		return err == EOPNOTSUPP ? STEP_UNSUPPORTED : STEP_FAILED;
	}
	if (err != 0) {
		snprintf(why, STEP_TEXT, "%s", strerrorname_np(err));
		return err == EOPNOTSUPP ? STEP_UNSUPPORTED : STEP_FAILED;
	}
	if (!p->expect || strcmp(p->expect + 1, p->step.result) == 0)
		return STEP_OK;
	snprintf(why, STEP_TEXT, "\"%.200s\"", p->step.result);
	return STEP_FAILED;
}

static enum step_end run_child(struct parsed *p, char *why)
{
	int fds[2], status = 0;

	if (pipe(fds) < 0)
		return STEP_FAILED;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		enum step_end end = STEP_FAILED;
		snprintf(why, STEP_TEXT, "another user cannot be had");
		if (become(p))
			end = judge(p, step_verb(&p->step), why);
		(void)!write(fds[1], why, strlen(why) + 1);
		_exit((int)end);
	}
	close(fds[1]);
	ssize_t n = read(fds[0], why, STEP_TEXT - 1);
	why[n > 0 ? n : 0] = 0;
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status)) {
		snprintf(why, STEP_TEXT, "the child was killed");
		return STEP_FAILED;
	}
	return (enum step_end)WEXITSTATUS(status);
}

enum step_end step_run(struct scene *scene, const char *text, char *why)
{
	struct parsed p = { .uid = -1, .step.scene = scene };
	enum step_end end;

	*why = 0;
	parse(&p, text);
	if (p.step.n == 0)
		return STEP_OK;
	end = p.child ? run_child(&p, why) : judge(&p, step_verb(&p.step), why);
	for (int i = 0; i < p.step.n; i++)
		free(p.step.word[i]);
	free(p.expect);
	return end;
}
