/* SPDX-License-Identifier: Apache-2.0 */
#include "server/sweep.h"

#include "server/blob.h"
#include "server/depot_plain.h"
#include "server/relay.h"

static int collect(void *ctx, const struct id16 *space, const struct id16 *object)
{
	struct sweep_list *l = ctx;

	l->items[l->n].space = *space;
	l->items[l->n++].object = *object;
	return OK;
}

static int remove_unowned(struct relay *r, struct depot *store, const struct id16 *space, const struct id16 *object)
{
	int err = depot_object_owned(store, space, object);

	return err ? (err < 0 ? err : OK) : blob_remove(r->blobs, space, object);
}

/* The object first: a crash between leaves a row whose object is gone, which is removed again without harm. What a chunk or a file
 * names is no garbage, whoever listed it: the row alone goes. */
int sweep_garbage(struct relay *r, struct depot *store, struct sweep_list *ret_l)
{
	int first, err;

	*ret_l = (struct sweep_list){ 0 };
	first = depot_garbage(store, relay_now(r) - SWEEP_GARBAGE_SECONDS, SWEEP_MANY, collect, ret_l);
	for (size_t i = 0; i < ret_l->n; i++) {
		err = remove_unowned(r, store, &ret_l->items[i].space, &ret_l->items[i].object);
		if (err == ERR_OFFLINE || err == ERR_CANCELLED)
			ret_l->n = i;
		ret_l->gone += err == OK;
		ret_l->items[i].later = err < 0;
		if (first == OK)
			first = err;
	}
	return first;
}

struct page {
	struct depot *store;
	struct sweep_list *list;
	struct blob_seen last;
	int64_t before;
	int err;
};

static int look_at_object(void *ctx, const struct blob_seen *seen)
{
	struct page *p = ctx;

	if (p->list->n == SWEEP_MANY)
		return 1;
	if (!id16_is_zero(&seen->space) && seen->modified < p->before) {
		p->err = depot_object_named(p->store, &seen->space, &seen->object);
		if (p->err < 0)
			return p->err;
		if (!p->err && (p->err = collect(p->list, &seen->space, &seen->object)) < 0)
			return p->err;
	}
	p->last = *seen;
	return 0;
}

int sweep_orphans(struct relay *r, struct depot *store, struct blob_seen *at, struct sweep_list *ret_l)
{
	struct page p = {
		.store = store,
		.list = ret_l,
		.last = *at,
		.before = relay_now(r) - SWEEP_ORPHAN_SECONDS,
	};
	int n;

	*ret_l = (struct sweep_list){ .add = true };
	n = blob_list(r->blobs, at, look_at_object, &p);
	*at = p.last;
	return n < 0 ? n : n > 0;
}

struct owners {
	struct id16 own;
	bool is_own, is_other;
};

static int look_at_owner(void *ctx, const struct blob_seen *seen)
{
	struct owners *o = ctx;

	if (!id16_is_zero(&seen->space))
		return 1;
	if (id16_equal(&seen->object, &o->own))
		o->is_own = true;
	else
		o->is_other = true;
	return 0;
}

int sweep_owns_objects(struct relay *r)
{
	const struct config *c = relay_config(r);
	const struct id16 nobody = { { 0 } };
	struct owners o = { .own = *depot_id(r->store) };
	int err;

	if (!blob_is_remote(r->blobs) && !*c->storage.folder)
		return 1; /* in its own directory, which it has locked */
	err = blob_list(r->blobs, &(struct blob_seen){ 0 }, look_at_owner, &o);
	if (err < 0 || o.is_own || o.is_other)
		return err < 0 ? err : !o.is_other;
	err = blob_put(r->blobs, &nobody, &o.own, bytes_str("coffer-relay"));
	return err < 0 ? err : 1;
}

int sweep_apply(struct relay *r, const struct sweep_list *l)
{
	const int64_t now = relay_now(r);
	int err = OK;

	for (size_t i = 0; i < l->n && err == OK; i++) {
		const struct id16 *space = &l->items[i].space, *object = &l->items[i].object;

		err = l->add              ? depot_garbage_put(r->store, space, object, now)
		      : l->items[i].later ? depot_garbage_later(r->store, space, object, now)
					  : depot_garbage_remove(r->store, space, object);
	}
	return err;
}
