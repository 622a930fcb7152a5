/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/log_write.h"

#include "base/cleanup.h"
#include "wire/head.h"

#define NS 1000000000LL
#define TRIES 20

static int write_once(
	struct agent *a, struct space *s, log_build *build, void *arg, enum log_write how, int64_t deadline)
{
	CLEANUP(buf_release) struct buf entry = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf cut = BUF_INIT(HEAD_MAX_BLOB);

	int err = how == LOG_WRITE_CUT ? sync_make_head(a->sync, s, deadline, &cut) : OK;
	if (err < 0)
		return err;
	pthread_mutex_lock(&s->lock);
	struct entry_maker m = { .log = s->log, .id = a->who, .now = (uint64_t)(a->env->wall_ns(a->env->ctx) / NS) };
	err = build(&m, s, buf_bytes(&cut), arg, &entry);
	pthread_mutex_unlock(&s->lock);
	if (err != OK)
		return err < 0 ? err : OK;
	struct bytes one = buf_bytes(&entry);
	return sync_append(a->sync, s, &one, 1, deadline);
}

int log_write(struct agent *a, struct space *s, log_build *build, void *arg, enum log_write how, int64_t deadline)
{
	int err = ERR_CONFLICT;

	for (int i = 0; i < TRIES && err == ERR_CONFLICT; i++)
		err = write_once(a, s, build, arg, how, deadline);
	return err;
}
