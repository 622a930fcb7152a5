/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer.usage {space}: how much is stored for it, and how much of that is history. For who was refused for want of
 * room: what may be long in counting is counted here, beside the writer. coffer.push then tells it too (usage.h).
 */
#include "server/relay.h"
#include "server/rpc.h"
#include "server/usage.h"

static int answer(struct relay *relay, struct job *j, struct depot *store, uint64_t no)
{
	struct usage u;
	struct buf b;
	struct cbor_enc e;
	int err = depot_begin_read(store);

	if (err < 0)
		return err;
	err = history_look(&relay->history, relay->env, store, no);
	if (err == OK)
		err = usage_read(relay, store, no, &u);
	depot_end_read(store);
	if (err < 0)
		return err;
	job_begin_result(j, &b, &e);
	cbor_put_map(&e, usage_pairs(&u));
	usage_put(&e, &u);
	return job_send(j, &b, &e);
}

static int usage_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct space_view view;
	struct id16 space;
	int err;

	if (param_id(j->params, "space", &space) < 0)
		return job_error(j, "bad_request", "invalid params");
	err = spaces_view_for(relay->spaces, store, &space, &j->caller->device, &view);
	if (err == ERR_FORBIDDEN)
		return job_error(j, "forbidden", "forbidden");
	if (err < 0)
		return err;
	space_view_release(&view);
	return answer(relay, j, store, view.no);
}

const struct method method_usage = { "coffer.usage", LANE_BLOB, NULL, usage_run, NULL };
