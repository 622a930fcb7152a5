/* SPDX-License-Identifier: Apache-2.0 */
#include "syncd/jobs.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "syncd/action.h"

struct job {
	uint64_t num;
	bool put, running;
	struct id16 space, chunk;
	struct buf blob; /* of a PUT, while it waits */
};

struct jobs {
	struct job v[ENGINE_MAX_OPEN];
	size_t n, running, puts, held; /* puts: of the running */
};

int jobs_new(struct jobs **ret_j)
{
	*ret_j = calloc(1, sizeof **ret_j);
	return *ret_j ? OK : ERR_NOMEM;
}

void jobs_free(struct jobs *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->n; i++)
		buf_release(&j->v[i].blob);
	free(j);
}

static size_t find(const struct jobs *j, uint64_t num)
{
	size_t i = 0;

	while (i < j->n && j->v[i].num != num)
		i++;
	return i;
}

bool jobs_has(const struct jobs *j, uint64_t num)
{
	return find(j, num) < j->n;
}

static void remove_at(struct jobs *j, size_t i)
{
	struct job *job = &j->v[i];

	j->held -= job->blob.len;
	if (job->running) {
		j->running--;
		if (job->put)
			j->puts--;
	}
	buf_release(&job->blob);
	memmove(job, job + 1, (j->n - i - 1) * sizeof *job);
	j->n--;
}

static int start(struct jobs *j, struct job *job, struct bytes token, struct engine_actions *out)
{
	struct engine_action *a;
	int err = action_add(out, job->put ? ENGINE_PUT : ENGINE_GET, &a);

	if (err < 0)
		return err;
	a->num = job->num;
	a->space = job->space;
	a->chunk = job->chunk;
	a->token = token;
	a->buf = job->blob;
	j->held -= job->blob.len;
	job->blob = (struct buf){ .cap = 0 };
	job->running = true;
	j->running++;
	if (job->put)
		j->puts++;
	return OK;
}

static int start_waiting(struct jobs *j, struct bytes token, struct engine_actions *out)
{
	for (size_t i = 0; i < j->n && j->running < ENGINE_MAX_HTTP; i++) {
		struct job *job = &j->v[i];
		int err;

		if (job->running || (job->put && j->puts == ENGINE_MAX_PUTS))
			continue;
		err = start(j, job, token, out);
		if (err < 0)
			return err;
	}
	return OK;
}

int jobs_add(struct jobs *j, const struct msg *m, struct bytes token, struct engine_actions *out)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(MSG_MAX);
	int err;

	if (jobs_has(j, m->num))
		return ERR_INVALID;
	if (j->n == ENGINE_MAX_OPEN)
		return action_tell_code(out, m->num, "busy");
	if (m->type == MSG_PUT) {
		err = buf_put(&blob, m->blob.p, m->blob.len);
		if (err < 0)
			return err;
	}
	j->v[j->n++] = (struct job){
		.num = m->num,
		.put = m->type == MSG_PUT,
		.space = m->space,
		.chunk = m->chunk,
		.blob = blob,
	};
	j->held += blob.len;
	blob = (struct buf){ .cap = 0 };
	return start_waiting(j, token, out);
}

static int add_abort(uint64_t num, struct engine_actions *out)
{
	struct engine_action *a;
	int err = action_add(out, ENGINE_ABORT, &a);

	if (err < 0)
		return err;
	a->num = num;
	return OK;
}

int jobs_cancel(struct jobs *j, uint64_t num, struct bytes token, struct engine_actions *out)
{
	size_t i = find(j, num);
	int err;

	if (i == j->n)
		return OK;
	if (j->v[i].running) {
		err = add_abort(num, out);
		if (err < 0)
			return err;
	}
	remove_at(j, i);
	return start_waiting(j, token, out);
}

int jobs_done(struct jobs *j, uint64_t num, const char *code, struct bytes data, struct bytes token,
	struct engine_actions *out)
{
	size_t i = find(j, num);
	int err = OK;

	if (i == j->n || !j->v[i].running)
		return OK;
	if (!j->v[i].put && code[0] == '\0') {
		const struct msg m = { .type = MSG_DATA, .num = num, .blob = data };

		err = action_tell(out, &m);
	}
	if (err == OK)
		err = action_tell_code(out, num, code);
	if (err < 0)
		return err;
	remove_at(j, i);
	return start_waiting(j, token, out);
}

int jobs_drop(struct jobs *j, const char *code, struct engine_actions *out)
{
	int err = OK;

	for (size_t i = 0; i < j->n; i++) {
		if (j->v[i].running && err == OK)
			err = add_abort(j->v[i].num, out);
		if (err == OK)
			err = action_tell_code(out, j->v[i].num, code);
		buf_release(&j->v[i].blob);
	}
	j->n = j->running = j->puts = j->held = 0;
	return err;
}

size_t jobs_held(const struct jobs *j)
{
	return j->held;
}
