/* SPDX-License-Identifier: Apache-2.0 */
#include "server/txn.h"

#include "server/relay.h"

int txn_begin(struct relay *r)
{
	return store_begin(r->store);
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

int txn_commit(struct relay *r)
{
	int err = store_commit(r->store);

	end(r, err < 0 ? space_reset : space_publish);
	return err;
}

void txn_rollback(struct relay *r)
{
	store_rollback(r->store);
	end(r, space_reset);
}

struct space_state *txn_state(struct relay *r, struct space *sp)
{
	if (!sp->in_writing) {
		spaces_ref(r->spaces, sp);
		sp->next_writing = r->touched;
		r->touched = sp;
	}
	return space_writing(sp);
}

void txn_accept(struct job *j, uint64_t number)
{
	if (number_set_has(&j->session->accepted, number))
		return;
	number_set_add(&j->session->accepted, number);
	j->accepts = true;
	j->accepted = number;
}

void txn_unaccept(struct job *j)
{
	if (j->accepts)
		number_set_remove(&j->session->accepted, j->accepted);
	j->accepts = false;
}
