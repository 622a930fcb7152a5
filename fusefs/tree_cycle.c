/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cycles of directories, which concurrent renames can make. By registers alone each directory has one parent, so a cycle is found by
 * walking up. Every change of a directory looks again at all cycles that were broken, of which there are almost never any.
 */
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "fusefs/tree_inner.h"

struct broken_list {
	struct tree_broken *b;
	size_t n;
};

/* The one link of a directory. ERR_NOT_FOUND: it has none (the root, a placeholder), or is no directory. */
static int link_of(struct tree *tr, uint64_t dir, struct link *ret_l, struct node *ret_n)
{
	FREE_AFTER struct link *links = NULL;
	size_t n = 0;
	int err = txn_node_get(tr->t, dir, ret_n);

	if (err == OK)
		err = txn_links_of(tr->t, dir, &links, &n);
	if (err == OK && n == 0 && (ret_n->flags & (NODE_DELETED | NODE_TOMBSTONE)) && ret_n->kind == NODE_DIR &&
		tr->last_links) {
		/* Its row was dropped as nothing was in it: where it stood still counts. */
		free(links);
		links = NULL;
		err = tr->last_links(tr->ctx, tr, ret_n);
		if (err == OK)
			err = txn_links_of(tr->t, dir, &links, &n);
	}
	if (err < 0)
		return err;
	if (n == 0 || ret_n->kind != NODE_DIR)
		return ERR_NOT_FOUND;
	*ret_l = links[0];
	return OK;
}

/* Notices that a walk goes round in a cycle (Brent's algorithm): asked at every step, true at the latest after three rounds. */
struct turtle {
	uint64_t at;
	unsigned steps, limit;
};

static bool goes_round(struct turtle *t, uint64_t at)
{
	if (at == t->at)
		return true;
	if (t->steps++ >= t->limit) {
		t->at = at;
		t->limit = 2 * t->limit + 1;
		t->steps = 0;
	}
	return false;
}

/* 1: registers lead from `dir` to the root; 0: they do not. */
static int leads_to_root(struct tree *tr, uint64_t dir)
{
	struct turtle turtle = { .at = 0 };

	for (unsigned i = 0; i < TREE_MAX_DEPTH; i++) {
		struct link l;
		struct node n;

		if (dir == tr->root)
			return 1;
		int err = link_of(tr, dir, &l, &n);
		if (err < 0)
			return err == ERR_NOT_FOUND ? 0 : err;
		dir = l.parent;
		if (goes_round(&turtle, dir))
			return 0;
	}
	return 0;
}

static bool known(const struct broken_list *list, uint64_t dir)
{
	for (size_t i = 0; i < list->n; i++) {
		if (list->b[i].dir == dir)
			return true;
	}
	return false;
}

static int fall_back(struct tree *tr, const struct link *l, uint64_t *ret_parent)
{
	struct node parent;

	*ret_parent = tr->root;
	if (id16_is_zero(&l->synced_parent))
		return OK;
	int err = txn_node_find(tr->t, tr->state->space, &l->synced_parent, &parent);
	if (err == ERR_NOT_FOUND)
		return OK;
	if (err < 0 || parent.kind != NODE_DIR)
		return err;
	int leads = leads_to_root(tr, parent.ino);
	if (leads == 1)
		*ret_parent = parent.ino;
	return leads < 0 ? leads : OK;
}

/* If `dir` is in a cycle, adds the link that gives way, unless it stands in the list. */
static int break_cycle_of(struct tree *tr, uint64_t dir, struct broken_list *list)
{
	struct link lowest = { .ino = 0 }, l;
	struct node lowest_node, n;
	struct turtle turtle = { .at = 0 };
	uint64_t at = dir;

	for (unsigned i = 0; i < TREE_MAX_DEPTH; i++) {
		int err = link_of(tr, at, &l, &n);
		if (err < 0)
			return err == ERR_NOT_FOUND ? OK : err;
		if (lowest.ino == 0 || tree_rank(&n, &lowest_node, &tr->device) < 0) {
			lowest = l;
			lowest_node = n;
		}
		at = l.parent;
		if (at == dir)
			break;
		/* Into a cycle that `dir` is not in, or to the end: none of its own. */
		if (at == tr->root || goes_round(&turtle, at) || i + 1 == TREE_MAX_DEPTH)
			return OK;
	}
	if (known(list, lowest.ino))
		return OK;
	struct tree_broken b = { .link = lowest.id, .dir = lowest.ino };
	int err = fall_back(tr, &lowest, &b.parent);
	if (err < 0)
		return err;
	struct tree_broken *more = realloc(list->b, (list->n + 1) * sizeof *more);
	if (!more)
		return ERR_NOMEM;
	list->b = more;
	list->b[list->n++] = b;
	return OK;
}

/* Touches the names of a link whose place is another now. */
static int touch_moved(struct tree *tr, const struct tree_broken *b)
{
	struct link l;
	int err = txn_link_get(tr->t, &b->link, &l);

	if (err < 0)
		return err == ERR_NOT_FOUND ? OK : err;
	struct bytes name = bytes_of(l.name, l.name_len);
	if ((err = tree_touch(tr, l.parent, name)) == OK)
		err = tree_touch(tr, b->parent, name);
	return err;
}

static bool stands(const struct broken_list *list, const struct tree_broken *b)
{
	for (size_t i = 0; i < list->n; i++) {
		if (id16_equal(&list->b[i].link, &b->link) && list->b[i].parent == b->parent)
			return true;
	}
	return false;
}

/* Looks at all cycles again, those that were broken and the one that `dir` may be in. */
static int look_again(struct tree *tr, uint64_t dir)
{
	struct broken_list list = { .b = NULL };
	struct tree_state *s = tr->state;
	int err = break_cycle_of(tr, dir, &list);

	for (size_t i = 0; i < s->n_broken && err == OK; i++)
		err = break_cycle_of(tr, s->broken[i].dir, &list);
	if (err < 0 || (list.n == 0 && s->n_broken == 0)) {
		free(list.b);
		return err;
	}
	struct broken_list old = { .b = s->broken, .n = s->n_broken };
	s->broken = list.b;
	s->n_broken = list.n;
	tr->state_changed = true;
	/* touch_moved may put other directories on the list of those to look at, but looks at none itself. */
	for (size_t i = 0; i < old.n && err == OK; i++)
		err = stands(&list, &old.b[i]) ? OK : touch_moved(tr, &old.b[i]);
	for (size_t i = 0; i < list.n && err == OK; i++)
		err = stands(&old, &list.b[i]) ? OK : touch_moved(tr, &list.b[i]);
	free(old.b);
	return err;
}

int tree_dir_moved(struct tree *tr, uint64_t dir)
{
	uint64_t *more = array_room(tr->moved, &tr->alloc_moved, tr->n_moved + 1, sizeof *more);

	if (!more)
		return ERR_NOMEM;
	tr->moved = more;
	tr->moved[tr->n_moved++] = dir;
	/* Walking up may bring back rows of deleted directories, which are moved by that: they wait for their turn. */
	if (tr->walking)
		return OK;
	int err = OK;
	tr->walking = true;
	while (tr->n_moved > 0 && err == OK)
		err = look_again(tr, tr->moved[--tr->n_moved]);
	tr->walking = false;
	tr->n_moved = 0;
	return err;
}
