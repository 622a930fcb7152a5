/* SPDX-License-Identifier: Apache-2.0 */
#include "server/batch.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "server/relay.h"

static int hold_spaces(struct relay *r, struct job *const *jobs, size_t n)
{
	FREE_AFTER struct id16 *ids = calloc(n, sizeof *ids);
	int err = OK;

	if (!ids)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		ids[i] = jobs[i]->space;
	qsort(ids, n, sizeof *ids, id16_order);
	for (size_t i = 0; i < n && err == OK; i++)
		if (!i || !id16_equal(&ids[i], &ids[i - 1]))
			err = depot_hold(r->store, &ids[i]);
	return err;
}

int batch_begin(struct relay *r, struct job *const *jobs, size_t n)
{
	int err = depot_begin(r->store);

	if (err < 0 || n < 2 || !depot_is_shared(r->store))
		return err;
	if ((err = hold_spaces(r, jobs, n)) < 0)
		depot_rollback(r->store);
	return err;
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
