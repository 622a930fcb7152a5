/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes and the lists of those that are dirty or orphans. The nodes that were read or changed last are held in memory, each
 * in the one slot that its number gives; a change stays there until another node wants the slot or the tables must be
 * whole. So a directory is written once per commit, not once per name in it, and what a file that is made goes through
 * (content, mode, owner, times) is one row. Nothing is lost with it: the journal has every change that was made.
 *
 * A slot knows what the lists in the tables say of its node, so that they follow in one step however often it changed.
 */
#include "cache/query.h"
#include <stdlib.h>

enum { SLOTS = 1024 }; /* a power of two */

enum held_state {
	HELD_NONE,
	HELD_SAME,    /* as in the tables */
	HELD_CHANGED, /* the tables have an older one */
	HELD_NEW      /* the tables have none */
};

struct held_node {
	enum held_state state;
	uint64_t was_change; /* what the lists in the tables reflect */
	uint32_t was_flags;
	struct node node;
};

int held_init(struct index *ix)
{
	ix->held = calloc(SLOTS, sizeof *ix->held);
	return ix->held ? 0 : ERR_NOMEM;
}

void held_free(struct index *ix)
{
	free(ix->held);
	ix->held = NULL;
}

static struct held_node *slot_of(struct index *ix, uint64_t ino)
{
	return &ix->held[ino % SLOTS];
}

static bool is_unwritten(const struct held_node *h)
{
	return h->state == HELD_CHANGED || h->state == HELD_NEW;
}

static void set_state(struct index *ix, struct held_node *h, enum held_state state)
{
	ix->unwritten -= is_unwritten(h);
	h->state = state;
	ix->unwritten += is_unwritten(h);
}

/* The slot of a node that is held, or NULL. */
static struct held_node *find(struct index *ix, uint64_t ino)
{
	struct held_node *h = slot_of(ix, ino);
	return h->state != HELD_NONE && h->node.ino == ino ? h : NULL;
}

/* The list of orphans is walked at each start, so it has those alone of which something is left to be given back: of a tombstone that
 * is its content. */
static int orphan_put(struct index *ix, const struct node *n, uint32_t was_flags)
{
	struct piece p;
	bool listed = (n->flags & NODE_ORPHAN) && n->version == 0;
	if ((n->flags & NODE_ORPHAN) && n->version > 0) {
		int err = index_extent_next(ix, n->ino, 0, &p);
		if (err < 0 && err != ERR_NOT_FOUND)
			return err;
		listed = err == 0;
	}
	if (listed)
		return query_run(ix, Q_ORPHAN_PUT, "i", n->ino);
	return was_flags & NODE_ORPHAN ? query_run(ix, Q_ORPHAN_DEL, "i", n->ino) : 0;
}

static int lists_put(struct index *ix, const struct node *n, uint64_t was_change, uint32_t was_flags)
{
	int err = 0;
	if (was_change != n->change) {
		if (was_change != 0)
			err = query_run(ix, Q_DIRTY_DEL, "iii", (uint64_t)n->space, was_change, n->ino);
		if (err == 0 && n->change != 0)
			err = query_run(ix, Q_DIRTY_PUT, "iii", (uint64_t)n->space, n->change, n->ino);
	}
	return err < 0 ? err : orphan_put(ix, n, was_flags);
}

/* Every step may be done twice: after an error the slot is as it was. */
static int write_slot(struct index *ix, struct held_node *h)
{
	buf_clear(&ix->row);
	struct pack k = pack_init(&ix->row);
	row_put_node(&k, &h->node);
	int err = k.err < 0 ? k.err : query_run(ix, Q_NODE_PUT, "ib", h->node.ino, buf_bytes(&ix->row));
	if (err == 0)
		err = lists_put(ix, &h->node, h->was_change, h->was_flags);
	if (err < 0)
		return err;
	h->was_change = h->node.change;
	h->was_flags = h->node.flags;
	set_state(ix, h, HELD_SAME);
	return 0;
}

int held_write(struct index *ix)
{
	int err = 0;
	for (size_t i = 0; err == 0 && ix->unwritten > 0 && i < SLOTS; i++)
		if (is_unwritten(&ix->held[i]))
			err = write_slot(ix, &ix->held[i]);
	return err;
}

bool held_ends_by(struct index *ix, uint64_t ino, uint64_t off)
{
	const struct held_node *h = find(ix, ino);
	return h && h->node.size <= off;
}

void held_forget(struct index *ix)
{
	for (size_t i = 0; i < SLOTS; i++)
		ix->held[i].state = HELD_NONE;
	ix->unwritten = 0;
	ix->seen.what = SEEN_NOTHING;
}

/* Makes the slot of a node free for it. */
static int take_slot(struct index *ix, uint64_t ino, struct held_node **ret_h)
{
	struct held_node *h = slot_of(ix, ino);
	int err = is_unwritten(h) ? write_slot(ix, h) : 0;
	if (err < 0)
		return err;
	set_state(ix, h, HELD_NONE);
	*ret_h = h;
	return 0;
}

static void fill(struct index *ix, struct held_node *h, const struct node *n, enum held_state state)
{
	h->node = *n;
	h->node.allocated = 0; /* not of the row */
	set_state(ix, h, state);
}

/* Reading displaces nothing that is unwritten: it must not fail for want of room. */
int index_node_get(struct index *ix, uint64_t ino, struct node *ret)
{
	struct held_node *h = ix->lost ? NULL : find(ix, ino);
	if (h) {
		*ret = h->node;
		return 0;
	}
	int err = query_row(ix, Q_NODE_GET, "i", ino);
	if (err < 0)
		return err;
	struct unpack u = unpack_init(query_blob(ix, Q_NODE_GET, 0));
	row_get_node(&u, ret);
	ret->ino = ino;
	err = unpack_end(&u);
	query_done(ix, Q_NODE_GET);
	h = slot_of(ix, ino);
	if (err == 0 && !is_unwritten(h)) {
		fill(ix, h, ret, HELD_SAME);
		h->was_change = ret->change;
		h->was_flags = ret->flags;
	}
	return err;
}

int index_node_add(struct index *ix, const struct node *n)
{
	struct held_node *h;
	int err = query_run(ix, Q_NODE_ID_ADD, "ibi", (uint64_t)n->space, bytes_of(n->id.b, sizeof n->id.b), n->ino);
	if (err == 0)
		err = find(ix, n->ino) ? ERR_EXISTS : take_slot(ix, n->ino, &h);
	if (err < 0)
		return err;
	fill(ix, h, n, HELD_NEW);
	h->was_change = 0;
	h->was_flags = 0;
	ix->state.nodes++;
	if (ix->state.next_row <= n->ino)
		ix->state.next_row = n->ino + 1;
	return 0;
}

int index_node_put(struct index *ix, const struct node *n, uint64_t was_change, uint32_t was_flags)
{
	struct held_node *h = find(ix, n->ino);
	int err = ix->lost ? ERR_INTERNAL : 0;
	if (err == 0 && !h) {
		err = take_slot(ix, n->ino, &h);
		if (err == 0) {
			h->was_change = was_change;
			h->was_flags = was_flags;
		}
	}
	if (err < 0)
		return err;
	fill(ix, h, n, h->state == HELD_NEW ? HELD_NEW : HELD_CHANGED);
	return 0;
}

/* What the tables have of a node, if they have it. */
static int del_rows(struct index *ix, const struct held_node *h)
{
	struct node n = h->node;
	if (h->state == HELD_NEW)
		return 0;
	n.change = 0;
	n.flags = 0;
	int err = lists_put(ix, &n, h->was_change, h->was_flags);
	return err < 0 ? err : query_run(ix, Q_NODE_DEL, "i", n.ino);
}

int index_node_del(struct index *ix, uint64_t ino)
{
	struct node n;
	struct held_node *h = find(ix, ino);
	struct held_node read;
	int err = index_node_get(ix, ino, &n);
	if (err < 0)
		return err;
	if (!h) {
		read = (struct held_node){ HELD_SAME, n.change, n.flags, n };
		h = &read;
	}
	err = del_rows(ix, h);
	if (err == 0)
		err = query_run(ix, Q_NODE_ID_DEL, "ib", (uint64_t)n.space, bytes_of(n.id.b, sizeof n.id.b));
	if (err == 0 && ix->xattrs)
		err = query_run(ix, Q_XATTR_CLEAR, "i", ino);
	if (err == 0 && n.kind == NODE_SYMLINK)
		err = query_run(ix, Q_TARGET_DEL, "i", ino);
	if (err == 0)
		err = index_extent_clear(ix, ino, 0, INT64_MAX);
	if (err < 0)
		return err;
	h = find(ix, ino);
	if (h)
		set_state(ix, h, HELD_NONE);
	ix->state.nodes--;
	return 0;
}

/* ---- walks of the lists ---- */

int index_dirty_next(struct index *ix, uint32_t space, uint64_t *change, uint64_t *ino)
{
	int err = held_write(ix);
	if (err == 0)
		err = query_row(ix, Q_DIRTY_NEXT, "iii", (uint64_t)space, *change, *ino);
	if (err < 0)
		return err;
	*change = query_u64(ix, Q_DIRTY_NEXT, 0);
	*ino = query_u64(ix, Q_DIRTY_NEXT, 1);
	query_done(ix, Q_DIRTY_NEXT);
	return 0;
}

int index_orphan_next(struct index *ix, uint64_t *ino)
{
	int err = held_write(ix);
	if (err == 0)
		err = query_row(ix, Q_ORPHAN_NEXT, "i", *ino);
	if (err < 0)
		return err;
	*ino = query_u64(ix, Q_ORPHAN_NEXT, 0);
	query_done(ix, Q_ORPHAN_NEXT);
	return 0;
}

int index_orphan_del(struct index *ix, uint64_t ino)
{
	return query_run(ix, Q_ORPHAN_DEL, "i", ino);
}

int index_dirty_count(struct index *ix, uint64_t *ret)
{
	int err = held_write(ix);
	if (err == 0)
		err = query_row(ix, Q_DIRTY_COUNT, "");
	if (err < 0)
		return err;
	*ret = query_u64(ix, Q_DIRTY_COUNT, 0);
	query_done(ix, Q_DIRTY_COUNT);
	return 0;
}
