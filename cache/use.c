/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/txn.h"

#define AGAIN_NS (INT64_C(600) * 1000000000)

/* What cannot be saved is forgotten: it may go a little early. */
void use_note(struct store *s, uint64_t row)
{
	struct uses *u = s->uses;
	if (!u)
		return;
	size_t i = (size_t)(row * 0x9e3779b97f4a7c15ull >> 40) % USE_SLOTS;
	int64_t now = s->config.env->mono_ns(s->config.env->ctx);
	if (u->slot[i].row == row && now - u->slot[i].when < AGAIN_NS)
		return;
	if (u->n_waiting == USE_WAITING)
		(void)!use_save(s);
	u->slot[i].row = row;
	u->slot[i].when = now;
	u->waiting[u->n_waiting++] = row;
}

/* The newest stamp stands in the row of no chunk or file. Stamps of former versions were sequence numbers of the journal. */
static int newest_stamp(struct store *s, uint64_t *ret)
{
	int err = index_used_get(s->index, 0, ret);
	if (err == ERR_NOT_FOUND)
		*ret = s->at.seq + 1;
	return err == ERR_NOT_FOUND ? 0 : err;
}

int use_save(struct store *s)
{
	struct uses *u = s->uses;
	uint64_t stamp;
	if (!u || u->n_waiting == 0)
		return 0;
	size_t n = u->n_waiting;
	u->n_waiting = 0;
	int err = newest_stamp(s, &stamp);
	for (size_t i = 0; err == 0 && i < n; i++)
		err = index_used_put(s->index, u->waiting[i], ++stamp);
	if (err == 0)
		err = index_used_put(s->index, 0, stamp);
	s->uncommitted += s->uncommitted == 0; /* so that a commit takes them */
	return err;
}

int use_last(struct store *s, uint64_t row, uint64_t *ret_stamp)
{
	int err = index_used_get(s->index, row, ret_stamp);
	if (err == ERR_NOT_FOUND)
		*ret_stamp = 0;
	return err == ERR_NOT_FOUND ? 0 : err;
}
