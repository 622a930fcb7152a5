/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One name in one shown directory: all links that claim it, which unite, which keeps the name, and what the others are shown as.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/table.h"
#include "fusefs/tree_inner.h"

/* Two files are compared by opening their records, while everybody waits; somebody may give one name to very many. */
#define UNITE_FILES 64 /* of one name, the lowest in rank: the others are shown apart */
#define UNITE_UNITS 8  /* and these are compared with so many different ones */

struct claim {
	struct link link;
	struct node node;
	size_t unit; /* index of the claim that stands for its unit */
	bool alive;
};

struct claims {
	struct claim *c;
	size_t n;
};

/* 1 if the node counts: not deleted, or a deleted directory with something live below it. Negative: an error. */
static int is_alive(struct tree *tr, const struct node *n, unsigned depth)
{
	FREE_AFTER struct link *links = NULL;
	size_t n_links = 0;

	if (n->flags & NODE_UNKNOWN)
		return 0;
	if (!(n->flags & (NODE_DELETED | NODE_TOMBSTONE)))
		return 1;
	if (n->kind != NODE_DIR || depth > TREE_MAX_DEPTH)
		return 0;
	int err = txn_links_in(tr->t, n->ino, false, &links, &n_links);
	if (err < 0)
		return err;
	for (size_t i = 0; i < n_links; i++) {
		struct node child;

		if (tree_parent_of(tr, &links[i]) != n->ino)
			continue;
		err = txn_node_get(tr->t, links[i].ino, &child);
		if (err == OK)
			err = is_alive(tr, &child, depth + 1);
		if (err != 0)
			return err;
	}
	for (size_t i = 0; i < tr->state->n_broken; i++) {
		struct node child;

		if (tr->state->broken[i].parent != n->ino)
			continue;
		err = txn_node_get(tr->t, tr->state->broken[i].dir, &child);
		if (err == OK)
			err = is_alive(tr, &child, depth + 1);
		if (err != 0)
			return err;
	}
	return 0;
}

static int add_claim(struct tree *tr, struct claims *cs, const struct link *l)
{
	struct claim *more = realloc(cs->c, (cs->n + 1) * sizeof *more);

	if (!more)
		return ERR_NOMEM;
	cs->c = more;
	struct claim *c = &cs->c[cs->n];
	*c = (struct claim){ .link = *l, .unit = cs->n };
	int err = txn_node_get(tr->t, l->ino, &c->node);
	if (err < 0)
		return err;
	cs->n++;
	int alive = is_alive(tr, &c->node, 0);
	c->alive = alive == 1;
	return alive < 0 ? alive : OK;
}

/* Claims of `name` in one directory (not those united with it). */
static int claims_in(struct tree *tr, uint64_t dir, struct bytes name, struct claims *cs)
{
	FREE_AFTER struct link *links = NULL;
	size_t n = 0;
	int err = txn_links_named(tr->t, dir, name, &links, &n);

	for (size_t i = 0; i < n && err == OK; i++) {
		if (tree_parent_of(tr, &links[i]) == dir)
			err = add_claim(tr, cs, &links[i]);
	}
	for (size_t i = 0; i < tr->state->n_broken && err == OK; i++) {
		const struct tree_broken *b = &tr->state->broken[i];
		struct link l;

		if (b->parent != dir)
			continue;
		err = txn_link_get(tr->t, &b->link, &l);
		if (err == ERR_NOT_FOUND)
			err = OK; /* deleted, and nothing lives in it */
		else if (err == OK && l.parent != dir && bytes_equal(bytes_of(l.name, l.name_len), name))
			err = add_claim(tr, cs, &l);
	}
	return err;
}

static int gather(struct tree *tr, uint64_t rep, struct bytes name, struct claims *cs)
{
	int err = claims_in(tr, rep, name, cs);

	for (size_t i = 0; i < tr->state->n_unions && err == OK; i++) {
		if (tr->state->unions[i].rep == rep)
			err = claims_in(tr, tr->state->unions[i].dir, name, cs);
	}
	return err;
}

/* 1 if two files hold the same by their records. Local changes are in no record: they differ from everything. */
static int same_file(struct tree *tr, const struct node *a, const struct node *b)
{
	if (a->kind != b->kind || a->mode != b->mode || a->size != b->size || a->rdev != b->rdev)
		return 0;
	if (a->ino == b->ino)
		return 1;
	if (a->kind == NODE_SYMLINK) {
		CLEANUP(buf_release) struct buf ta = BUF_INIT(NODE_MAX_TARGET), tb = BUF_INIT(NODE_MAX_TARGET);
		int err = txn_node_target(tr->t, a->ino, &ta);

		if (err == OK)
			err = txn_node_target(tr->t, b->ino, &tb);
		return err < 0 ? err : bytes_equal(buf_bytes(&ta), buf_bytes(&tb));
	}
	if (a->kind != NODE_FILE || a->size == 0)
		return 1;
	if (a->change || b->change || !tr->same_content)
		return 0;
	return tr->same_content(tr->ctx, tr->t, a, b);
}

/* Living before dead, directories by id, then the others by rank. */
static int compare_claims(const void *pa, const void *pb, void *ctx)
{
	const struct claim *a = pa, *b = pb;
	const struct tree *tr = ctx;
	bool a_dir = a->node.kind == NODE_DIR, b_dir = b->node.kind == NODE_DIR;

	if (a->alive != b->alive)
		return a->alive ? -1 : 1;
	if (a_dir != b_dir)
		return a_dir ? -1 : 1;
	int c = a_dir ? id16_compare(&a->node.id, &b->node.id) : tree_rank(&a->node, &b->node, &tr->device);
	return c != 0 ? c : id16_compare(&a->link.id, &b->link.id);
}

/* Finds a unit before claim i that it belongs to, of files among the first that there are. */
static int unite_one(struct tree *tr, struct claims *cs, size_t i)
{
	struct claim *c = &cs->c[i];
	size_t files = 0;

	for (size_t k = 0; k < i; k++) {
		struct claim *o = &cs->c[k];
		int same = 1;

		if (o->unit != k || !o->alive || (o->node.kind == NODE_DIR) != (c->node.kind == NODE_DIR))
			continue;
		if (c->node.kind != NODE_DIR && ++files > UNITE_UNITS)
			break;
		if (c->node.kind != NODE_DIR)
			same = same_file(tr, &o->node, &c->node);
		if (same < 0)
			return same;
		if (same) {
			c->unit = k;
			break;
		}
	}
	return OK;
}

/* Units: claims are sorted so that the one that stands for a unit comes before the others of it. */
static int unite(struct tree *tr, struct claims *cs)
{
	size_t files = 0;
	int err = OK;

	for (size_t i = 0; i < cs->n && err == OK; i++) {
		struct claim *c = &cs->c[i];

		c->unit = i;
		if (c->alive && (c->node.kind == NODE_DIR || ++files <= UNITE_FILES))
			err = unite_one(tr, cs, i);
	}
	return err;
}

int tree_touch_children(struct tree *tr, uint64_t dir, uint64_t rep)
{
	FREE_AFTER struct link *links = NULL;
	size_t n = 0;
	int err = txn_links_in(tr->t, dir, false, &links, &n);

	for (size_t i = 0; i < n && err == OK; i++) {
		if (tree_parent_of(tr, &links[i]) == dir)
			err = tree_touch(tr, rep, bytes_of(links[i].name, links[i].name_len));
	}
	for (size_t i = 0; i < tr->state->n_broken && err == OK; i++) {
		struct link l;

		if (tr->state->broken[i].parent != dir)
			continue;
		err = txn_link_get(tr->t, &tr->state->broken[i].link, &l);
		if (err == ERR_NOT_FOUND)
			err = OK;
		else if (err == OK)
			err = tree_touch(tr, rep, bytes_of(l.name, l.name_len));
	}
	return err;
}

static int set_rep(struct tree *tr, uint64_t dir, uint64_t rep)
{
	uint64_t was = tree_rep(tr, dir);

	if (was == rep)
		return OK;
	int err = tree_touch_children(tr, dir, was); /* while it counts there: the names it leaves */
	if (err == OK)
		err = tree_state_unite(tr->state, dir, rep);
	tr->state_changed = true;
	if (err == OK)
		err = tree_touch_children(tr, dir, rep);
	return err;
}

/* The nodes that claim the name -> 1, those alive -> 2. */
static int nodes_of(const struct claims *cs, struct table *ret)
{
	int err = OK;

	for (size_t i = 0; i < cs->n && err == OK; i++)
		err = table_put(ret, cs->c[i].node.ino, cs->c[i].alive ? 2 : 1);
	return err;
}

/* Unions that this name made and that hold no more: where the directory left it, and is not a claim here, and where what stands for it
 * left it or died. These are on their own again until their own name is settled. */
static int end_unions(struct tree *tr, const struct table *here, bool of_dirs)
{
	for (size_t k = 0; k < tr->state->n_unions;) {
		const struct tree_union u = tr->state->unions[k];
		uint64_t rep = 0;
		bool rep_here = table_get(here, u.rep, &rep), dir_here = table_get(here, u.dir, NULL);

		if (of_dirs ? !dir_here || rep == 2 : !rep_here || dir_here) {
			k++;
			continue;
		}
		int err = set_rep(tr, u.dir, u.dir); /* another is at k then */
		if (err < 0)
			return err;
	}
	return OK;
}

/* Which directory shows whose children. */
static int set_reps(struct tree *tr, const struct claims *cs)
{
	CLEANUP(table_release) struct table here = { .n = 0 }, united = { .n = 0 };
	int err = nodes_of(cs, &here);

	if (err == OK && tr->state->n_unions > 0)
		err = end_unions(tr, &here, true);
	for (size_t i = 0; i < tr->state->n_unions && err == OK; i++)
		err = table_put(&united, tr->state->unions[i].dir, tr->state->unions[i].rep);
	for (size_t i = 0; i < cs->n && err == OK; i++) {
		const struct claim *c = &cs->c[i];
		uint64_t rep = c->alive ? cs->c[c->unit].node.ino : c->node.ino, was = c->node.ino;

		(void)table_get(&united, c->node.ino, &was);
		if (c->node.kind == NODE_DIR && was != rep)
			err = set_rep(tr, c->node.ino, rep);
	}
	return err < 0 ? err : end_unions(tr, &here, false);
}

static int show(struct tree *tr, struct claim *c, uint64_t parent, struct bytes name)
{
	struct link was = c->link;

	c->link.shown_parent = parent;
	c->link.shown_len = (uint8_t)name.len;
	if (name.len)
		memcpy(c->link.shown, name.p, name.len);
	c->link.shown[name.len] = 0;
	if (was.shown_parent == parent && was.shown_len == name.len && memcmp(was.shown, c->link.shown, name.len) == 0)
		return OK;
	return tree_put_link(tr, &was, &c->link);
}

/* A name for a loser: free of registers and of others' shown names. */
static int other_name(
	struct tree *tr, uint64_t rep, const struct claim *c, char out[NODE_MAX_NAME + 1], uint8_t *ret_len)
{
	static const unsigned digits[] = { 8, 16, 32 };

	for (size_t i = 0; i < sizeof digits / sizeof *digits; i++) {
		struct claims taken = { .c = NULL };
		struct link shown;

		tree_other_name(bytes_of(c->link.name, c->link.name_len), &c->link.id, digits[i], out, ret_len);
		int err = gather(tr, rep, bytes_of(out, *ret_len), &taken);
		CLEANUP(cleanup_free_pointer) struct claim *held = taken.c;
		if (err < 0)
			return err;
		bool free_ = true;
		for (size_t k = 0; k < taken.n; k++)
			free_ = free_ && !held[k].alive;
		err = txn_link_shown(tr->t, rep, bytes_of(out, *ret_len), &shown);
		if (err == OK && !id16_equal(&shown.id, &c->link.id))
			free_ = false;
		if (err < 0 && err != ERR_NOT_FOUND)
			return err;
		if (free_)
			return OK;
	}
	*ret_len = 0;
	return OK;
}

/* A link that stands at this name by another register must make room. */
static int make_room(struct tree *tr, const struct tree_name *n, const struct claims *cs)
{
	struct claim c = { .alive = false };
	int err = txn_link_shown(tr->t, n->parent, bytes_of(n->name, n->len), &c.link);

	if (err < 0)
		return err == ERR_NOT_FOUND ? OK : err;
	bool any = false;
	for (size_t i = 0; i < cs->n; i++) {
		if (id16_equal(&cs->c[i].link.id, &c.link.id))
			return OK;
		any = any || cs->c[i].alive;
	}
	uint64_t parent = tree_parent_of(tr, &c.link);
	bool stays = tree_rep(tr, parent) == n->parent && !any;
	if (stays)
		return OK;
	if ((err = show(tr, &c, 0, bytes_of(NULL, 0))) < 0)
		return err;
	return tree_touch(tr, parent, bytes_of(c.link.name, c.link.name_len));
}

/* A deleted directory that is shown counts as there for the file system; one that is not, as gone. */
static int set_life(struct tree *tr, struct claim *c)
{
	uint32_t flags = c->node.flags;

	if (c->node.kind != NODE_DIR || !(flags & (NODE_DELETED | NODE_TOMBSTONE)))
		return OK;
	flags = c->alive ? flags & ~(uint32_t)(NODE_DELETED | NODE_ORPHAN) : flags | NODE_DELETED | NODE_ORPHAN;
	if (flags == c->node.flags)
		return OK;
	c->node.flags = flags;
	int err = txn_node_put(tr->t, &c->node);
	return err < 0 ? err : tree_invalidate(tr, c->node.ino, 0, bytes_of(NULL, 0));
}

static bool is_dead(const struct claim *c)
{
	return !c->alive && c->node.kind == NODE_DIR && (c->node.flags & (NODE_DELETED | NODE_TOMBSTONE));
}

/* A deleted directory that nothing lives in leaves no row: last_links brings it back when something does. */
static int drop_row(struct tree *tr, const struct claim *c)
{
	int err = OK;

	if (c->link.shown_parent)
		err = tree_invalidate(
			tr, c->link.shown_parent, c->link.ino, bytes_of(c->link.shown, c->link.shown_len));
	return err < 0 ? err : txn_link_del(tr->t, &c->link.id);
}

static int place(struct tree *tr, const struct tree_name *n, struct claims *cs)
{
	/* Of the units' heads, the lowest keeps the name. A directory unit's rank is its head's. */
	size_t winner = cs->n;
	int err = OK;

	for (size_t i = 0; i < cs->n && err == OK; i++)
		err = set_life(tr, &cs->c[i]);
	for (size_t i = 0; i < cs->n; i++) {
		const struct claim *c = &cs->c[i];

		if (!c->alive || c->unit != i)
			continue;
		if (winner == cs->n || tree_rank(&c->node, &cs->c[winner].node, &tr->device) < 0)
			winner = i;
	}
	for (size_t i = 0; i < cs->n && err == OK; i++) {
		struct claim *c = &cs->c[i];

		if (is_dead(c))
			err = drop_row(tr, c);
		else if (i != winner && (!c->alive || c->unit != i ||
						(c->link.shown_parent == n->parent && c->link.shown_len == n->len &&
							memcmp(c->link.shown, n->name, n->len) == 0)))
			err = show(tr, c, 0, bytes_of(NULL, 0));
	}
	if (err == OK && winner < cs->n)
		err = show(tr, &cs->c[winner], n->parent, bytes_of(n->name, n->len));
	for (size_t i = 0; i < cs->n && err == OK; i++) {
		struct claim *c = &cs->c[i];
		char other[NODE_MAX_NAME + 1];
		uint8_t len = 0;

		if (i == winner || !c->alive || c->unit != i)
			continue;
		err = other_name(tr, n->parent, c, other, &len);
		if (err == OK)
			err = show(tr, c, len ? n->parent : 0, bytes_of(other, len));
	}
	return err;
}

/* If the name has the form of a loser's, `stem (hex).ext`, those who claim `stem.ext` may want it, or must leave it. */
static int touch_wanters(struct tree *tr, const struct tree_name *n)
{
	char name[NODE_MAX_NAME + 1];
	const char *open = NULL, *close;

	for (const char *p = n->name; (p = strstr(p, " (")) != NULL; p += 2)
		open = p;
	if (!open || !(close = strchr(open, ')')))
		return OK;
	size_t digits = (size_t)(close - open) - 2, stem = (size_t)(open - n->name),
	       ext = n->len - (size_t)(close + 1 - n->name);
	if ((digits != 8 && digits != 16 && digits != 32) || strspn(open + 2, "0123456789abcdef") != digits ||
		stem + ext == 0)
		return OK;
	memcpy(name, n->name, stem);
	memcpy(name + stem, close + 1, ext);
	return tree_touch(tr, n->parent, bytes_of(name, stem + ext));
}

int tree_settle_name(struct tree *tr, const struct tree_name *n)
{
	struct claims cs = { .c = NULL };
	struct node parent;
	int err = txn_node_get(tr->t, n->parent, &parent);

	if (err < 0)
		return err == ERR_NOT_FOUND ? OK : err;
	if ((err = touch_wanters(tr, n)) < 0)
		return err;
	err = gather(tr, n->parent, bytes_of(n->name, n->len), &cs);
	if (parent.kind != NODE_DIR) {
		for (size_t i = 0; i < cs.n; i++)
			cs.c[i].alive = false;
	}
	if (err == OK && cs.n > 1)
		qsort_r(cs.c, cs.n, sizeof *cs.c, compare_claims, tr);
	if (err == OK)
		err = unite(tr, &cs);
	if (err == OK)
		err = make_room(tr, n, &cs);
	if (err == OK)
		err = set_reps(tr, &cs);
	if (err == OK)
		err = place(tr, n, &cs);
	free(cs.c);
	return err;
}
