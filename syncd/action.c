/* SPDX-License-Identifier: Apache-2.0 */
#include "syncd/action.h"

#include <stdlib.h>
#include "base/array.h"

void engine_actions_clear(struct engine_actions *a)
{
	for (size_t i = 0; i < a->n; i++)
		buf_release(&a->v[i].buf);
	a->n = 0;
}

void engine_actions_release(struct engine_actions *a)
{
	engine_actions_clear(a);
	free(a->v);
	*a = (struct engine_actions){ .v = NULL };
}

int action_add(struct engine_actions *out, enum engine_action_kind kind, struct engine_action **ret_a)
{
	struct engine_action *v = array_room(out->v, &out->alloc, out->n + 1, sizeof *v);

	if (!v)
		return ERR_NOMEM;
	out->v = v;
	out->v[out->n] = (struct engine_action){ .kind = kind };
	*ret_a = &out->v[out->n++];
	return OK;
}

int action_plain(struct engine_actions *out, enum engine_action_kind kind)
{
	struct engine_action *a;

	return action_add(out, kind, &a);
}

int action_tell(struct engine_actions *out, const struct msg *m)
{
	struct engine_action *a;
	int err = action_add(out, ENGINE_TELL, &a);

	if (err < 0)
		return err;
	a->msg = *m;
	return OK;
}

int action_tell_code(struct engine_actions *out, uint64_t num, const char *code)
{
	const struct msg m = { .type = MSG_RESULT, .num = num, .text = bytes_str(code) };

	return action_tell(out, &m);
}

int action_send(struct engine_actions *out, struct buf *frame)
{
	struct engine_action *a;
	int err = action_add(out, ENGINE_SEND, &a);

	if (err < 0)
		return err;
	a->buf = *frame;
	*frame = (struct buf){ .cap = frame->cap };
	return OK;
}
