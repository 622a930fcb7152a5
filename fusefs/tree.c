/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names are settled one group (shown parent, name) at a time, from a worklist. A group looks at all registers that claim the name in
 * any directory united with the parent, so its result does not depend on the order in which records came.
 */
#include "fusefs/tree.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "fusefs/tree_inner.h"

#define TOUCHED_KEEP 4096     /* names done with that are kept before the rest moves up */
#define SETTLE_MAX (1u << 22) /* groups of one settle: a bound against a defect, not a limit of use */

int tree_rank(const struct node *a, const struct node *b, const struct id32 *device)
{
	uint64_t va = a->version + (a->change != 0), vb = b->version + (b->change != 0);

	if (va != vb)
		return va < vb ? -1 : 1;
	int c = id32_compare(a->change ? device : &a->author, b->change ? device : &b->author);
	if (c != 0)
		return c;
	static const struct id32 none;
	c = id32_compare(a->change ? &none : &a->base, b->change ? &none : &b->base);
	return c != 0 ? c : id16_compare(&a->id, &b->id);
}

void tree_other_name(
	struct bytes name, const struct id16 *link, unsigned digits, char out[NODE_MAX_NAME + 1], uint8_t *ret_len)
{
	char hex[33];
	size_t dot = name.len;

	for (size_t i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", link->b[i]);
	/* The extension: what follows the last dot, if it is short and not the whole name. */
	for (size_t i = name.len; i-- > 1;) {
		if (name.p[i] == '.' && name.len - i <= 16) {
			dot = i;
			break;
		}
	}
	size_t ext = name.len - dot, stem = dot, room = NODE_MAX_NAME - ext - digits - 3;
	if (stem > room) {
		stem = room;
		while (stem > 0 && (name.p[stem] & 0xc0) == 0x80)
			stem--;
	}
	int n = snprintf(out, NODE_MAX_NAME + 1, "%.*s (%.*s)%.*s", (int)stem, (const char *)name.p, (int)digits, hex,
		(int)ext, (const char *)name.p + dot);
	*ret_len = (uint8_t)n;
}

void tree_release(struct tree *tr)
{
	free(tr->touched);
	free(tr->inv);
	free(tr->moved);
	tr->moved = NULL;
	tr->n_moved = tr->alloc_moved = 0;
	tr->touched = NULL;
	tr->inv = NULL;
	tr->n_touched = tr->settled = tr->n_inv = tr->alloc_touched = tr->alloc_inv = 0;
}

int tree_invalidate(struct tree *tr, uint64_t ino, uint64_t child, struct bytes name)
{
	if (ino == 0)
		return OK;
	struct invalidation *more = array_room(tr->inv, &tr->alloc_inv, tr->n_inv + 1, sizeof *more);

	if (!more)
		return ERR_NOMEM;
	tr->inv = more;
	struct invalidation *i = &tr->inv[tr->n_inv++];
	*i = (struct invalidation){ .ino = ino, .child = child, .name_len = (uint8_t)name.len };
	if (name.len > 0)
		memcpy(i->name, name.p, name.len);
	return OK;
}

/* ---- registers ---- */

uint64_t tree_rep(const struct tree *tr, uint64_t dir)
{
	for (size_t i = 0; i < tr->state->n_unions; i++) {
		if (tr->state->unions[i].dir == dir)
			return tr->state->unions[i].rep;
	}
	return dir;
}

uint64_t tree_parent_of(const struct tree *tr, const struct link *l)
{
	for (size_t i = 0; i < tr->state->n_broken; i++) {
		if (id16_equal(&tr->state->broken[i].link, &l->id))
			return tr->state->broken[i].parent;
	}
	return l->parent;
}

int tree_node_of(struct tree *tr, const struct id16 *id, struct node *ret_node)
{
	int err = txn_node_find(tr->t, tr->state->space, id, ret_node);

	if (err != ERR_NOT_FOUND)
		return err;
	*ret_node = (struct node){ .space = tr->state->space, .id = *id, .kind = NODE_DIR, .flags = NODE_UNKNOWN };
	return txn_node_add(tr->t, ret_node, bytes_of(NULL, 0));
}

static int add_touched(struct tree *tr, uint64_t parent, struct bytes name)
{
	size_t recent = tr->n_touched > 8 ? tr->n_touched - 8 : 0;

	for (size_t i = recent > tr->settled ? recent : tr->settled; i < tr->n_touched; i++) {
		const struct tree_name *o = &tr->touched[i];

		if (o->parent == parent && bytes_equal(bytes_of(o->name, o->len), name))
			return OK;
	}
	struct tree_name *more = array_room(tr->touched, &tr->alloc_touched, tr->n_touched + 1, sizeof *more);

	if (!more)
		return ERR_NOMEM;
	tr->touched = more;
	struct tree_name *n = &tr->touched[tr->n_touched++];
	n->parent = parent;
	n->len = (uint8_t)name.len;
	memcpy(n->name, name.p, name.len);
	n->name[name.len] = 0;
	return OK;
}

/* The node's rank or life changed: its names are looked at again. */
static int touch_node(struct tree *tr, const struct node *node);

/* A deleted directory's place depends on what is in it: its own name is touched too. */
static int touch_up(struct tree *tr, uint64_t dir)
{
	struct node n;

	if (dir == tr->root || dir == 0)
		return OK;
	int err = txn_node_get(tr->t, dir, &n);
	if (err < 0)
		return err == ERR_NOT_FOUND ? OK : err;
	if (!(n.flags & (NODE_DELETED | NODE_TOMBSTONE)) || n.kind != NODE_DIR || tr->depth > TREE_MAX_DEPTH)
		return OK;
	tr->depth++;
	FREE_AFTER struct link *links = NULL;
	size_t n_links = 0;
	err = txn_links_of(tr->t, dir, &links, &n_links);
	if (err == OK && n_links == 0 && tr->last_links)
		err = tr->last_links(tr->ctx, tr, &n);
	else if (err == OK)
		err = touch_node(tr, &n);
	tr->depth--;
	return err;
}

int tree_touch(struct tree *tr, uint64_t parent, struct bytes name)
{
	int err = add_touched(tr, tree_rep(tr, parent), name);
	return err < 0 ? err : touch_up(tr, parent);
}

static int touch_node(struct tree *tr, const struct node *node)
{
	FREE_AFTER struct link *links = NULL;
	size_t n = 0;
	int err = txn_links_of(tr->t, node->ino, &links, &n);

	for (size_t i = 0; i < n && err == OK; i++)
		err = tree_touch(tr, tree_parent_of(tr, &links[i]), bytes_of(links[i].name, links[i].name_len));
	return err;
}

int tree_touch_contested(struct tree *tr, uint64_t ino)
{
	FREE_AFTER struct link *links = NULL;
	size_t n = 0;
	int err = txn_links_of(tr->t, ino, &links, &n);

	if (err == OK && tr->state->n_broken > 0)
		err = tree_dir_moved(tr, ino);
	for (size_t i = 0; i < n && err == OK; i++) {
		FREE_AFTER struct link *claims = NULL;
		struct bytes name = bytes_of(links[i].name, links[i].name_len);
		bool plain = links[i].shown_parent == links[i].parent &&
			     bytes_equal(bytes_of(links[i].shown, links[i].shown_len), name);
		size_t n_claims = 0;

		err = txn_links_named(tr->t, links[i].parent, name, &claims, &n_claims);
		if (err == OK && (!plain || n_claims > 1 || tr->state->n_unions + tr->state->n_broken > 0))
			err = tree_touch(tr, tree_parent_of(tr, &links[i]), name);
	}
	return err;
}

int tree_arrived(struct tree *tr, const struct node *node)
{
	return node->kind == NODE_DIR ? OK : tree_touch_children(tr, node->ino, node->ino);
}

/* Writes a link row and notes what mounts must forget. */
int tree_put_link(struct tree *tr, const struct link *was, const struct link *now)
{
	bool moved = was->shown_parent != now->shown_parent || was->shown_len != now->shown_len ||
		     memcmp(was->shown, now->shown, now->shown_len) != 0;
	int err = txn_link_put(tr->t, now);

	if (err == OK && moved && was->shown_parent)
		err = tree_invalidate(tr, was->shown_parent, was->ino, bytes_of(was->shown, was->shown_len));
	if (err == OK && moved && now->shown_parent)
		err = tree_invalidate(tr, now->shown_parent, 0, bytes_of(now->shown, now->shown_len));
	return err;
}

static const struct node_link *wanted(const struct node_link *links, size_t n, const struct id16 *id)
{
	for (size_t i = 0; i < n; i++) {
		if (id16_equal(&links[i].id, id))
			return &links[i];
	}
	return NULL;
}

/* Takes a link row away or off the tree, its old name touched. */
static int unlink_row(struct tree *tr, const struct link *was)
{
	int err = tree_touch(tr, tree_parent_of(tr, was), bytes_of(was->name, was->name_len));

	if (err == OK && was->shown_parent)
		err = tree_invalidate(tr, was->shown_parent, was->ino, bytes_of(was->shown, was->shown_len));
	return err < 0 ? err : txn_link_del(tr->t, &was->id);
}

static int set_link(struct tree *tr, const struct node *node, const struct node_link *want)
{
	struct link was = { .ino = 0 }, now;
	struct node parent;
	int err = txn_link_get(tr->t, &want->id, &was);
	bool fresh = err == ERR_NOT_FOUND;

	if (err < 0 && !fresh)
		return err;
	if (!fresh && was.ino != node->ino)
		return ERR_INVALID; /* another node's link id: no honest writer makes that */
	if ((err = tree_node_of(tr, &want->parent, &parent)) < 0)
		return err;
	now = was;
	now.id = want->id;
	now.ino = node->ino;
	now.parent = parent.ino;
	now.synced_parent = want->synced_parent;
	now.name_len = (uint8_t)want->name.len;
	memcpy(now.name, want->name.p, want->name.len);
	now.name[want->name.len] = 0;
	bool moved = fresh || was.parent != now.parent || was.name_len != now.name_len ||
		     memcmp(was.name, now.name, now.name_len) != 0;
	if (moved && !fresh)
		err = tree_touch(tr, tree_parent_of(tr, &was), bytes_of(was.name, was.name_len));
	if (err == OK && moved) {
		now.shown_parent = 0;
		now.shown_len = 0;
	}
	if (err == OK && (moved || !id16_equal(&was.synced_parent, &now.synced_parent)))
		err = tree_put_link(tr, &was, &now);
	/* Its rank may decide a cycle, moved or not. */
	if (err == OK && node->kind == NODE_DIR && (moved || tr->state->n_broken > 0))
		err = tree_dir_moved(tr, node->ino);
	if (err == OK)
		err = tree_touch(tr, tree_parent_of(tr, &now), want->name);
	return err;
}

int tree_set_links(struct tree *tr, const struct node *node, const struct node_link *links, size_t n)
{
	FREE_AFTER struct link *rows = NULL;
	size_t n_rows = 0;
	int err = txn_links_of(tr->t, node->ino, &rows, &n_rows);

	for (size_t i = 0; i < n_rows && err == OK; i++) {
		if (!wanted(links, n, &rows[i].id))
			err = unlink_row(tr, &rows[i]);
	}
	for (size_t i = 0; i < n && err == OK; i++)
		err = set_link(tr, node, &links[i]);
	return err;
}

int tree_settle(struct tree *tr)
{
	size_t done = 0;

	/* First in, first out: a name that touches itself again must not keep others from mending what makes it do so. */
	while (tr->settled < tr->n_touched) {
		struct tree_name n = tr->touched[tr->settled++];

		if (tr->settled == TOUCHED_KEEP) {
			tr->n_touched -= tr->settled;
			memmove(tr->touched, tr->touched + tr->settled, tr->n_touched * sizeof *tr->touched);
			tr->settled = 0;
		}
		/* The directory may have been united since it was touched. */
		n.parent = tree_rep(tr, n.parent);
		int err = tree_settle_name(tr, &n);

		if (err < 0)
			return err;
		if (++done > SETTLE_MAX)
			return ERR_INTERNAL;
	}
	tr->n_touched = tr->settled = 0;
	if (!tr->state_changed)
		return OK;
	tr->state_changed = false;
	return tree_state_put(tr->t, tr->state);
}
