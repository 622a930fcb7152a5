/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File-system calls on names: link, unlink, rename. Only link and unlink change a node's set of links; rename edits one link.
 *
 * Names that merge must look at again, because another link claims them, go to the touched list.
 */
#include <linux/fs.h>
#include "cache/txn.h"

static int check_name(struct bytes name)
{
	if (name.len > NODE_MAX_NAME)
		return ERR_NAME_TOO_LONG;
	return node_name_valid(name) ? 0 : ERR_INVALID;
}

/* Who claims it may do so from a directory that is united with this one: merge knows, and there are hardly ever any claims. */
static int touched(struct store_txn *t, uint64_t parent, struct bytes name)
{
	if (index_state(t->s->index)->claims == 0)
		return 0;
	return txn_stage(t, &(struct op){ .type = OP_TOUCHED_PUT, .ino = parent, .key = name });
}

/* A removed directory that is shown because something lives in it: when the last of that goes, merge must look at it again. */
static int touch_removed(struct store_txn *t, uint64_t parent, struct bytes name)
{
	struct node dir;
	int err = index_node_get(t->s->index, parent, &dir);
	if (err < 0 || !(dir.flags & NODE_TOMBSTONE))
		return err;
	t->changed = dir.space;
	return txn_stage(t, &(struct op){ .type = OP_TOUCHED_PUT, .ino = parent, .key = name });
}

static void set_name(struct link *l, const struct node *dir, struct bytes name)
{
	l->parent = l->shown_parent = dir->ino;
	l->name_len = l->shown_len = (uint8_t)name.len;
	memset(l->name, 0, sizeof l->name);
	memset(l->shown, 0, sizeof l->shown);
	memcpy(l->name, name.p, name.len);
	memcpy(l->shown, name.p, name.len);
}

int txn_add_name(struct store_txn *t, const struct node *n, const struct node *dir, struct bytes name)
{
	struct link l = { .ino = n->ino, .synced_parent = dir->id };
	store_random(t->s, l.id.b, sizeof l.id.b);
	set_name(&l, dir, name);
	int err = txn_stage(t, &(struct op){ .type = OP_LINK_NEW, .link = &l });
	return err < 0 ? err : touched(t, dir->ino, name);
}

/* A directory's times follow its entries; that is not an edit of the directory. */
int txn_put_dir(struct store_txn *t, struct node *dir, const struct node *before)
{
	dir->mtime = dir->ctime = store_now(t->s);
	return txn_put_node(t, dir, before);
}

/* The link's name will stand for something else or nothing. */
static int vacate(struct store_txn *t, const struct link *l)
{
	struct bytes name = bytes_of(l->shown, l->shown_len);
	int err = touched(t, l->shown_parent, name);
	return err < 0 ? err : touch_removed(t, l->shown_parent, name);
}

static int is_empty(struct store *s, uint64_t dir)
{
	struct link l;
	uint64_t cookie = 0;
	int err = index_link_next(s->index, dir, &cookie, &l);
	return err == ERR_NOT_FOUND ? 0 : err < 0 ? err : ERR_NOT_EMPTY;
}

/* Takes a link off a node, and the node away with its last. */
static int remove_link(struct store_txn *t, const struct link *l, const struct node *before)
{
	struct node n = *before;
	int err = vacate(t, l);
	if (err == 0)
		err = txn_stage(t, &(struct op){ .type = OP_LINK_DEL, .id = l->id });
	if (err < 0)
		return err;
	n.nlink = n.kind == NODE_DIR ? 0 : n.nlink - 1;
	n.ctime = store_now(t->s);
	if (n.nlink == 0)
		return txn_drop_node(t, &n, before);
	txn_touch(t, &n, CHANGE_LINKS);
	return txn_put_node(t, &n, before);
}

static int unlink_name(struct store_txn *t, uint64_t parent, struct bytes name, bool dir, uint64_t *ret_ino)
{
	struct node d, n;
	struct link l;
	int err = store_get_dir(t->s, parent, &d);
	if (err == 0)
		err = index_link_shown(t->s->index, parent, name, &l);
	if (err == 0)
		err = index_node_get(t->s->index, l.ino, &n);
	if (err < 0)
		return err;
	if (d.space == 0)
		return ERR_PERMISSION;
	if (dir != (n.kind == NODE_DIR))
		return dir ? ERR_NOT_DIR : ERR_IS_DIR;
	err = dir ? is_empty(t->s, n.ino) : 0;
	if (err == 0)
		err = remove_link(t, &l, &n);
	*ret_ino = n.ino;
	struct node before = d;
	d.nlink -= dir;
	return err < 0 ? err : txn_put_dir(t, &d, &before);
}

int store_unlink(struct store *s, uint64_t parent, struct bytes name, bool dir, uint64_t *ret_ino)
{
	struct store_txn *t;
	uint64_t ino = 0;
	int err = check_name(name);
	if (err == 0)
		err = txn_call_freeing(s, &t);
	if (err < 0)
		return err;
	err = txn_end(t, unlink_name(t, parent, name, dir, &ino));
	if (err == 0)
		*ret_ino = ino;
	return err;
}

static int link_name(struct store_txn *t, uint64_t ino, uint64_t parent, struct bytes name, struct node *n)
{
	struct node dir, before_dir, before;
	struct link l;
	int err = store_get_dir(t->s, parent, &dir);
	if (err == 0)
		err = index_node_get(t->s->index, ino, &before);
	if (err < 0)
		return err;
	*n = before;
	if (n->kind == NODE_DIR || dir.space == 0)
		return ERR_PERMISSION;
	if (n->space != dir.space)
		return ERR_CROSS_SPACE;
	if (n->flags & NODE_DELETED)
		return ERR_NOT_FOUND;
	if (n->nlink >= NODE_MAX_LINKS)
		return ERR_TOO_MANY_LINKS;
	err = index_link_shown(t->s->index, parent, name, &l);
	if (err != ERR_NOT_FOUND)
		return err < 0 ? err : ERR_EXISTS;
	n->nlink++;
	n->flags &= ~(uint32_t)NODE_ORPHAN;
	n->ctime = store_now(t->s);
	txn_touch(t, n, CHANGE_LINKS);
	before_dir = dir;
	err = txn_put_node(t, n, &before);
	if (err == 0)
		err = txn_add_name(t, n, &dir, name);
	return err < 0 ? err : txn_put_dir(t, &dir, &before_dir);
}

int store_link(struct store *s, uint64_t ino, uint64_t parent, struct bytes name, struct node *ret)
{
	struct store_txn *t;
	struct node n;
	int err = check_name(name);
	if (err == 0)
		err = txn_call(s, &t);
	if (err < 0)
		return err;
	err = txn_end(t, link_name(t, ino, parent, name, &n));
	if (err == 0)
		store_show_node(s, &n, ret);
	return err;
}

/* ---- rename ---- */

struct move {
	struct node from_dir, to_dir; /* as they were */
	struct link from, to;
	struct node node, target;
	bool has_target;
};

static int load_move(struct store *s, uint64_t p1, struct bytes n1, uint64_t p2, struct bytes n2, struct move *m)
{
	int err = store_get_dir(s, p1, &m->from_dir);
	if (err == 0)
		err = store_get_dir(s, p2, &m->to_dir);
	if (err == 0)
		err = index_link_shown(s->index, p1, n1, &m->from);
	if (err == 0)
		err = index_node_get(s->index, m->from.ino, &m->node);
	if (err < 0)
		return err;
	err = index_link_shown(s->index, p2, n2, &m->to);
	m->has_target = err == 0;
	if (err == 0)
		err = index_node_get(s->index, m->to.ino, &m->target);
	return err == ERR_NOT_FOUND && !m->has_target ? 0 : err;
}

/* ERR_INVALID if `dir` is `ino` or lies below it. */
static int check_below(struct store *s, uint64_t ino, uint64_t dir)
{
	for (unsigned depth = 0; depth < 1u << 20; depth++) {
		struct link_at at = { 0, 0 };
		struct link l;
		int err;
		if (dir == ino)
			return ERR_INVALID;
		do {
			err = index_link_of_next(s->index, dir, &at, &l);
		} while (err == 0 && l.shown_parent == 0);
		if (err == ERR_NOT_FOUND)
			return 0;
		if (err < 0)
			return err;
		dir = l.shown_parent;
	}
	return ERR_CORRUPT;
}

static int check_move(struct store *s, const struct move *m, unsigned flags)
{
	if (m->from_dir.space != m->to_dir.space)
		return ERR_CROSS_SPACE;
	if ((flags & RENAME_NOREPLACE) && m->has_target)
		return ERR_EXISTS;
	if ((flags & RENAME_EXCHANGE) && !m->has_target)
		return ERR_NOT_FOUND;
	if (m->has_target && m->from_dir.space == 0 && m->target.ino != m->node.ino)
		return ERR_PERMISSION;
	int err = m->node.kind == NODE_DIR ? check_below(s, m->node.ino, m->to_dir.ino) : 0;
	if (err == 0 && (flags & RENAME_EXCHANGE) && m->target.kind == NODE_DIR)
		err = check_below(s, m->target.ino, m->from_dir.ino);
	if (err < 0 || !m->has_target || (flags & RENAME_EXCHANGE) || m->target.ino == m->node.ino)
		return err;
	if (m->target.kind == NODE_DIR && m->node.kind != NODE_DIR)
		return ERR_IS_DIR;
	if (m->target.kind != NODE_DIR && m->node.kind == NODE_DIR)
		return ERR_NOT_DIR;
	return m->target.kind == NODE_DIR ? is_empty(s, m->target.ino) : 0;
}

/* Gives a link its new place. The parent at the last synced state is the one before the first move since. */
static int move_link(struct store_txn *t, struct link l, const struct node *before, const struct node *from_dir,
	const struct node *to_dir, struct bytes name)
{
	struct node n = *before;
	if (!(n.change_bits & CHANGE_LINKS))
		l.synced_parent = from_dir->id;
	set_name(&l, to_dir, name);
	n.ctime = store_now(t->s);
	if (to_dir->space != 0)
		txn_touch(t, &n, CHANGE_LINKS);
	int err = txn_stage(t, &(struct op){ .type = OP_LINK_PUT, .link = &l });
	if (err == 0)
		err = txn_put_node(t, &n, before);
	return err < 0 ? err : touched(t, to_dir->ino, name);
}

static int put_dirs(struct store_txn *t, const struct move *m, int from_nlink, int to_nlink)
{
	struct node from = m->from_dir, to = m->to_dir;
	if (from.ino == to.ino) {
		from.nlink += (uint32_t)(from_nlink + to_nlink);
		return txn_put_dir(t, &from, &m->from_dir);
	}
	from.nlink += (uint32_t)from_nlink;
	to.nlink += (uint32_t)to_nlink;
	int err = txn_put_dir(t, &from, &m->from_dir);
	return err < 0 ? err : txn_put_dir(t, &to, &m->to_dir);
}

/* The two links stand aside first, as no two may have one shown name. */
static int exchange(struct store_txn *t, const struct move *m, struct bytes n1, struct bytes n2)
{
	struct link aside = m->to;
	aside.shown_parent = 0;
	int delta = (m->target.kind == NODE_DIR) - (m->node.kind == NODE_DIR);
	int err = vacate(t, &m->from);
	if (err == 0)
		err = vacate(t, &m->to);
	if (err == 0)
		err = txn_stage(t, &(struct op){ .type = OP_LINK_PUT, .link = &aside });
	if (err == 0)
		err = move_link(t, m->from, &m->node, &m->from_dir, &m->to_dir, n2);
	if (err == 0)
		err = move_link(t, m->to, &m->target, &m->to_dir, &m->from_dir, n1);
	return err < 0 ? err : put_dirs(t, m, delta, -delta);
}

static int rename_space(struct store_txn *t, const struct node *root, struct bytes name)
{
	struct space_row r;
	int err = index_space_get(t->s->index, root->space, &r);
	if (err < 0)
		return err;
	memset(r.name, 0, sizeof r.name);
	memcpy(r.name, name.p, name.len);
	return txn_stage(t, &(struct op){ .type = OP_SPACE_PUT, .space = &r });
}

/* Puts a new node where the link was that moves away. */
static int leave(struct store_txn *t, const struct move *m, struct bytes n1, const struct node_new *whiteout)
{
	struct node n;
	int err = m->from_dir.space == 0 ? ERR_INVALID : txn_make_node(t, whiteout, m->from_dir.space, &n);
	return err < 0 ? err : txn_add_name(t, &n, &m->from_dir, n1);
}

static int move(struct store_txn *t, const struct move *m, struct bytes n2)
{
	bool dir = m->node.kind == NODE_DIR;
	int err = vacate(t, &m->from);
	if (err == 0 && m->has_target)
		err = remove_link(t, &m->to, &m->target);
	if (err == 0)
		err = move_link(t, m->from, &m->node, &m->from_dir, &m->to_dir, n2);
	if (err == 0 && m->from_dir.space == 0)
		err = rename_space(t, &m->node, n2);
	return err < 0 ? err : put_dirs(t, m, -dir, dir - (m->has_target && m->target.kind == NODE_DIR));
}

static int rename_name(struct store *s, uint64_t p1, struct bytes n1, uint64_t p2, struct bytes n2, unsigned flags,
	const struct node_new *whiteout, uint64_t *ret_replaced_ino)
{
	struct store_txn *t;
	struct move m;
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) || flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return ERR_INVALID;
	int err = check_name(n1);
	if (err == 0)
		err = check_name(n2);
	if (err == 0)
		err = txn_call(s, &t);
	if (err < 0)
		return err;
	m.has_target = false;
	err = load_move(s, p1, n1, p2, n2, &m);
	if (err == 0)
		err = check_move(s, &m, flags);
	bool same = err == 0 && m.has_target && m.target.ino == m.node.ino; /* two names of one node: nothing happens */
	if (err == 0 && !same)
		err = flags & RENAME_EXCHANGE ? exchange(t, &m, n1, n2) : move(t, &m, n2);
	if (err == 0 && !same && whiteout)
		err = leave(t, &m, n1, whiteout);
	bool replaced = m.has_target && !same && !(flags & RENAME_EXCHANGE);
	err = txn_end(t, err);
	if (err == 0)
		*ret_replaced_ino = replaced ? m.target.ino : 0;
	return err;
}

int store_rename(struct store *s, uint64_t p1, struct bytes n1, uint64_t p2, struct bytes n2, unsigned flags,
	uint64_t *ret_replaced_ino)
{
	return rename_name(s, p1, n1, p2, n2, flags, NULL, ret_replaced_ino);
}

int store_rename_whiteout(struct store *s, uint64_t p1, struct bytes n1, uint64_t p2, struct bytes n2, unsigned flags,
	const struct node_new *whiteout)
{
	uint64_t replaced;
	return flags & RENAME_EXCHANGE ? ERR_INVALID : rename_name(s, p1, n1, p2, n2, flags, whiteout, &replaced);
}
