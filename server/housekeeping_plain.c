/* SPDX-License-Identifier: Apache-2.0 */
#include "server/housekeeping_plain.h"

#include "server/depot_plain.h"
#include "server/relay.h"

#define HOUR 3600

struct garbage {
	struct {
		struct id16 space, object;
	} list[HOUSEKEEPING_OBJECTS];
	size_t n;
};

static int collect(void *ctx, const struct id16 *space, const struct id16 *object)
{
	struct garbage *g = ctx;

	g->list[g->n].space = *space;
	g->list[g->n++].object = *object;
	return OK;
}

/* The object first: a crash between leaves a row whose object is gone, which is removed again without harm. */
static int remove_garbage(struct relay *r, struct garbage *g)
{
	int err = depot_garbage(r->store, relay_now(r) - HOUR, HOUSEKEEPING_OBJECTS, collect, g);

	for (size_t i = 0; i < g->n && err == OK; i++) {
		err = blob_remove(r->blobs, &g->list[i].space, &g->list[i].object);
		if (err == OK)
			err = depot_garbage_remove(r->store, &g->list[i].space, &g->list[i].object);
	}
	return err;
}

int housekeeping_plain(struct relay *r, size_t *ret_n)
{
	struct garbage g = { .n = 0 };
	int err = depot_mail_expire(r->store, relay_now(r));

	if (err >= 0)
		err = depot_deed_expire(r->store, relay_now(r) - HOUR);
	if (err >= 0)
		err = remove_garbage(r, &g);
	*ret_n = g.n;
	return err < 0 ? err : OK;
}
