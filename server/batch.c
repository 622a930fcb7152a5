/* SPDX-License-Identifier: Apache-2.0 */
#include "server/batch.h"

#include "server/relay.h"

int batch_begin(struct relay *r)
{
	return depot_begin(r->store);
}

static void end(struct relay *r, void (*what)(struct space *))
{
	struct space *sp;

	while ((sp = r->touched)) {
		r->touched = sp->next_writing;
		sp->next_writing = NULL;
		what(sp);
		spaces_put(r->spaces, sp);
	}
}

int batch_commit(struct relay *r)
{
	int err = depot_commit(r->store);

	end(r, err < 0 ? space_reset : space_publish);
	return err;
}

void batch_rollback(struct relay *r)
{
	depot_rollback(r->store);
	end(r, space_reset);
}

struct space_state *batch_state(struct relay *r, struct space *sp)
{
	if (!sp->in_writing) {
		spaces_ref(r->spaces, sp);
		sp->next_writing = r->touched;
		r->touched = sp;
	}
	return space_writing(sp);
}

void batch_accept(struct job *j, uint64_t number)
{
	if (number_set_has(&j->caller->accepted, number))
		return;
	number_set_add(&j->caller->accepted, number);
	j->accepts = true;
	j->accepted = number;
}

void batch_unaccept(struct job *j)
{
	if (j->accepts)
		number_set_remove(&j->caller->accepted, j->accepted);
	j->accepts = false;
}
