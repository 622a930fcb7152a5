/* SPDX-License-Identifier: Apache-2.0 */
/* pin and evict. */
#include <stdlib.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "fusefs/path.h"
#include "fusefs/verb.h"
#include "wire/cbor.h"

#define MAX_PATHS 4096

struct keeping {
	struct store *store;
	uint64_t top; /* what was named: the mark of a folder is for all in it */
	uint64_t nodes, freed, busy;
};

/* Below what was named only marks of its own are in the way. */
static int set_pin(const struct keeping *k, const struct node *node, bool on)
{
	bool own = node->flags & (uint32_t)(NODE_PINNED | NODE_UNPINNED);

	return node->ino == k->top || own ? store_pin(k->store, node->ino, on) : OK;
}

static int pin_node(void *ctx, const struct node *node)
{
	struct keeping *k = ctx;

	k->nodes++;
	return node->kind == NODE_FILE || node->kind == NODE_DIR ? set_pin(k, node, true) : OK;
}

static int evict_node(void *ctx, const struct node *node)
{
	struct keeping *k = ctx;
	uint64_t freed = 0;

	if (node->kind == NODE_DIR)
		return set_pin(k, node, false);
	if (node->kind != NODE_FILE)
		return OK;
	int err = set_pin(k, node, false);
	if (err >= 0 &&
		(node->size > NODE_INLINE_MAX || node->change != 0)) /* less stands in the record and cannot go */
		err = store_evict(k->store, node->ino, &freed);
	k->nodes++;
	k->freed += freed;
	if (err == ERR_BUSY) {
		k->busy++;
		return OK;
	}
	return err;
}

static int each_path(struct call *c, int (*fn)(void *ctx, const struct node *node), struct keeping *k)
{
	struct cbor_dec d = cbor_dec_init(map_get_item(c->args, "paths"));
	size_t n = cbor_get_array(&d, MAX_PATHS);

	for (size_t i = 0; i < n; i++) {
		struct bytes path = cbor_get_bytes(&d, 65536);
		struct node node;
		int err = call_path(c, path, &node);
		if (err < 0)
			return err;
		k->top = node.ino;
		if ((err = path_walk(k->store, &node, fn, k)) < 0)
			return call_fail_err(c, err, "the content cannot be kept or dropped");
	}
	return cbor_dec_end(&d);
}

int verb_pin(struct call *c)
{
	struct keeping k = { .store = c->agent->store };

	int err = each_path(c, pin_node, &k);
	if (err < 0)
		return err;
	sync_pinned(c->agent->sync);
	map_uint(&c->result, "nodes", k.nodes);
	return OK;
}

int verb_evict(struct call *c)
{
	struct keeping k = { .store = c->agent->store };
	uint64_t limit = map_get_uint(c->args, "limit", UINT64_MAX);

	int err = limit == UINT64_MAX ? OK : store_set_limit(k.store, limit);
	if (err < 0)
		return call_fail_err(c, err, "the limit cannot be kept");
	err = each_path(c, evict_node, &k);
	sync_pinned(c->agent->sync); /* what was to come for it is forgotten */
	if (err < 0)
		return err;
	if (k.busy)
		return call_fail(c, ERR_BUSY, 0, "run `coffer wait`, close them, and try again",
			"%llu of the %llu files are open or not yet at the relay; the others were dropped",
			(unsigned long long)k.busy, (unsigned long long)k.nodes);
	map_uint(&c->result, "nodes", k.nodes);
	map_uint(&c->result, "freed", k.freed);
	return OK;
}
