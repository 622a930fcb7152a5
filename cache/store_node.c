/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File-system calls on one node: look-up, attributes, creation, listing, open handles.
 */
#include "cache/txn.h"

int store_get_dir(struct store *s, uint64_t ino, struct node *ret)
{
	int err = index_node_get(s->index, ino, ret);
	if (err < 0)
		return err;
	if (ret->kind != NODE_DIR)
		return ERR_NOT_DIR;
	return ret->flags & (NODE_DELETED | NODE_ORPHAN) ? ERR_NOT_FOUND : 0;
}

/* Completes a node that is returned. */
static int show(struct store *s, struct node *n)
{
	n->allocated = n->size;
	if (!(n->flags & NODE_HOLES))
		return 0;
	uint64_t target = aside_target(s, n->ino);
	int err = index_extent_sum(s->index, n->ino, &n->allocated);
	n->allocated = target > n->allocated ? target : n->allocated;
	return err;
}

static int get_shown(struct store *s, uint64_t ino, struct node *ret)
{
	int err = index_node_get(s->index, ino, ret);
	return err < 0 ? err : show(s, ret);
}

void store_show_node(struct store *s, const struct node *n, struct node *ret)
{
	struct node now;
	*ret = *n;
	ret->allocated = n->size;
	if ((n->flags & NODE_HOLES) && store_getattr(s, n->ino, &now) == 0)
		*ret = now;
}

int store_lookup(struct store *s, uint64_t parent, struct bytes name, struct node *ret)
{
	if (name.len > NODE_MAX_NAME)
		return ERR_NAME_TOO_LONG;
	struct link l;
	int err = store_lock(s);
	if (err < 0)
		return err;
	err = index_link_shown(s->index, parent, name, &l);
	if (err == 0)
		err = get_shown(s, l.ino, ret);
	store_unlock(s);
	return err;
}

int store_getattr(struct store *s, uint64_t ino, struct node *ret)
{
	int err = store_lock(s);
	if (err < 0)
		return err;
	err = get_shown(s, ino, ret);
	store_unlock(s);
	return err;
}

static int set_size(struct store_txn *t, struct node *n, uint64_t size)
{
	if (n->kind != NODE_FILE)
		return n->kind == NODE_DIR ? ERR_IS_DIR : ERR_INVALID;
	if (size > INT64_MAX)
		return ERR_FILE_TOO_BIG;
	if (size < n->size) {
		int err = txn_stage(
			t, &(struct op){ .type = OP_EXTENT_CLEAR, .ino = n->ino, .off = size, .len = INT64_MAX });
		if (err == 0)
			err = aside_cut(t, n->ino, size);
		if (err < 0)
			return err;
	}
	if (size > n->size)
		n->flags |= NODE_HOLES;
	else if (size == 0)
		n->flags &= ~(uint32_t)NODE_HOLES;
	n->size = size;
	txn_touch(t, n, CHANGE_CONTENT);
	return 0;
}

/* atime and ctime are local; everything else is a change to be sent. */
static void set_fields(struct store_txn *t, struct node *n, unsigned mask, const struct node *attr)
{
	int64_t now = store_now(t->s);
	if (mask & ATTR_MODE)
		n->mode = attr->mode & 07777;
	if (mask & ATTR_UID)
		n->uid = attr->uid;
	if (mask & ATTR_GID)
		n->gid = attr->gid;
	if (mask & ATTR_ATIME)
		n->atime = attr->atime;
	if (mask & ATTR_SIZE)
		n->mtime = now;
	if (mask & ATTR_MTIME)
		n->mtime = attr->mtime;
	n->ctime = mask & ATTR_CTIME ? attr->ctime : now;
	if (mask & (ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_MTIME))
		txn_touch(t, n, CHANGE_ATTR);
}

/* Whether the file becomes smaller. Another thread may change that at any time: it decides about waiting alone. */
static bool cuts(struct store *s, uint64_t ino, unsigned mask, const struct node *attr)
{
	struct node n;
	if (!(mask & ATTR_SIZE) || store_lock(s) < 0)
		return false;
	int err = index_node_get(s->index, ino, &n);
	store_unlock(s);
	return err == 0 && attr->size < n.size;
}

int store_setattr(struct store *s, uint64_t ino, unsigned mask, const struct node *attr, struct node *ret)
{
	struct store_txn *t;
	struct node before, n;
	int err = cuts(s, ino, mask, attr) ? txn_call_freeing(s, &t) : txn_call(s, &t);
	if (err < 0)
		return err;
	err = index_node_get(s->index, ino, &before);
	n = before;
	t->frees = err == 0 && (mask & ATTR_SIZE) && attr->size < before.size;
	if (err == 0 && (mask & ATTR_SIZE))
		err = set_size(t, &n, attr->size);
	if (err == 0 && mask != 0) {
		set_fields(t, &n, mask, attr);
		err = txn_put_node(t, &n, &before);
	}
	err = txn_end(t, err);
	if (err == 0)
		store_show_node(s, &n, ret);
	return err;
}

/* ---- creation ---- */

static int make_node(struct store_txn *t, const struct node_new *new, uint32_t space, struct node *n)
{
	int64_t now = store_now(t->s);
	*n = (struct node){ .ino = txn_new_row(t),
		.space = space,
		.kind = new->kind,
		.mode = new->mode & 07777,
		.uid = new->uid,
		.gid = new->gid,
		.rdev = new->rdev,
		.owner = new->owner,
		.atime = now,
		.mtime = now,
		.ctime = now,
		.btime = now,
		.nlink = new->kind == NODE_DIR ? 2 : 1 };
	store_random(t->s, n->id.b, sizeof n->id.b);
	if (new->kind == NODE_SYMLINK)
		n->size = new->target.len;
	for (size_t i = 0; i < new->n_xattrs; i++)
		n->flags |= txn_is_acl(new->xattrs[i].name) ? NODE_ACL : 0;
	txn_touch(t, n, CHANGE_NEW | CHANGE_ATTR | CHANGE_LINKS | CHANGE_CONTENT);
	return 0;
}

static int check_new(const struct node_new *new)
{
	if (new->kind < NODE_FILE || new->kind > NODE_BLOCK)
		return ERR_INVALID;
	if (new->kind == NODE_SYMLINK && (new->target.len == 0 || new->target.len > NODE_MAX_TARGET))
		return new->target.len == 0 ? ERR_INVALID : ERR_NAME_TOO_LONG;
	return 0;
}

static int stage_new(struct store_txn *t, const struct node_new *new, const struct node *n)
{
	int err = txn_stage(t, &(struct op){ .type = OP_NODE_ADD, .node = n });
	if (err == 0 && n->kind == NODE_SYMLINK)
		err = txn_stage(t, &(struct op){ .type = OP_TARGET_PUT, .ino = n->ino, .value = new->target });
	for (size_t i = 0; err == 0 && i < new->n_xattrs; i++)
		err = txn_stage(t, &(struct op){ .type = OP_XATTR_PUT,
					   .ino = n->ino,
					   .key = new->xattrs[i].name,
					   .value = new->xattrs[i].value });
	return err;
}

int txn_make_node(struct store_txn *t, const struct node_new *new, uint32_t space, struct node *ret_node)
{
	int err = make_node(t, new, space, ret_node);
	return err < 0 ? err : stage_new(t, new, ret_node);
}

static int create(struct store_txn *t, uint64_t parent, struct bytes name, const struct node_new *new, struct node *n)
{
	struct node dir, before;
	struct link l;
	int err = store_get_dir(t->s, parent, &dir);
	if (err < 0)
		return err;
	if (dir.space == 0)
		return ERR_PERMISSION;
	err = index_link_shown(t->s->index, parent, name, &l);
	if (err != ERR_NOT_FOUND)
		return err < 0 ? err : ERR_EXISTS;
	before = dir;
	err = txn_make_node(t, new, dir.space, n);
	if (err == 0)
		err = txn_add_name(t, n, &dir, name);
	dir.nlink += n->kind == NODE_DIR;
	return err < 0 ? err : txn_put_dir(t, &dir, &before);
}

int store_create(struct store *s, uint64_t parent, struct bytes name, const struct node_new *new, struct node *ret)
{
	struct store_txn *t;
	struct node n;
	int err = name.len > NODE_MAX_NAME ? ERR_NAME_TOO_LONG : node_name_valid(name) ? check_new(new) : ERR_INVALID;
	if (err == 0)
		err = txn_call(s, &t);
	if (err < 0)
		return err;
	err = txn_end(t, create(t, parent, name, new, &n));
	if (err == 0)
		store_show_node(s, &n, ret);
	return err;
}

int store_create_unnamed(struct store *s, uint64_t dir, const struct node_new *new, struct node *ret)
{
	struct store_txn *t;
	struct node parent, n;
	int err = check_new(new);
	if (err == 0)
		err = txn_call(s, &t);
	if (err < 0)
		return err;
	err = store_get_dir(s, dir, &parent);
	if (err == 0 && parent.space == 0)
		err = ERR_PERMISSION;
	if (err == 0)
		err = make_node(t, new, parent.space, &n);
	if (err == 0) {
		n.nlink = 0;
		n.flags |= NODE_ORPHAN;
		n.change = 0; /* nothing to send until it has a name */
		err = stage_new(t, new, &n);
	}
	err = txn_end(t, err);
	if (err == 0)
		store_show_node(s, &n, ret);
	return err;
}

int store_readlink(struct store *s, uint64_t ino, struct buf *out)
{
	struct node n;
	int err = store_lock(s);
	if (err < 0)
		return err;
	err = index_node_get(s->index, ino, &n);
	if (err == 0)
		err = n.kind == NODE_SYMLINK ? index_target_get(s->index, ino, out) : ERR_INVALID;
	store_unlock(s);
	return err;
}

/* ---- listing ---- */

int store_readdir(struct store *s, uint64_t dir, uint64_t cookie, store_dirent_fn fn, void *ctx)
{
	struct node n;
	struct link l;
	int err = store_lock(s);
	if (err < 0)
		return err;
	err = index_node_get(s->index, dir, &n);
	if (err == 0 && n.kind != NODE_DIR)
		err = ERR_NOT_DIR;
	while (err == 0 && (err = index_link_next(s->index, dir, &cookie, &l)) == 0) {
		err = get_shown(s, l.ino, &n);
		if (err == 0 && fn(ctx, bytes_of(l.shown, l.shown_len), cookie, &n) == 0)
			break;
	}
	store_unlock(s);
	return err == ERR_NOT_FOUND ? 0 : err;
}

int store_parent(struct store *s, uint64_t dir, uint64_t *ret_parent)
{
	struct link_at at = { 0, 0 };
	struct link l;
	int err = store_lock(s);
	if (err < 0)
		return err;
	do {
		err = index_link_of_next(s->index, dir, &at, &l);
	} while (err == 0 && l.shown_parent == 0);
	store_unlock(s);
	if (err == 0)
		*ret_parent = l.shown_parent == STORE_ROOT_INO ? dir : l.shown_parent;
	else if (err == ERR_NOT_FOUND && dir == STORE_ROOT_INO) {
		*ret_parent = dir;
		err = 0;
	}
	return err;
}

/* ---- handles, marks ---- */

/* Without memory for the count the node is not held: it may vanish under the handle, and nothing else goes wrong. */
void store_hold_open(struct store *s, uint64_t ino)
{
	pthread_mutex_lock(&s->lock);
	(void)!holds_add(&s->holds, ino);
	use_note(s, ino);
	pthread_mutex_unlock(&s->lock);
}

bool store_open_shared(struct store *s, uint64_t ino)
{
	pthread_mutex_lock(&s->lock);
	bool shared = holds_shared(&s->holds, ino);
	pthread_mutex_unlock(&s->lock);
	return shared;
}

/* What the kernel opens by itself is held from its removal on, by nothing else. */
static bool waits_to_be_forgotten(enum node_kind kind)
{
	return kind != NODE_FILE && kind != NODE_SYMLINK;
}

/* The last handle of an unlinked node is gone: so is its content. */
static int release_orphan(struct store_txn *t, uint64_t ino)
{
	struct node n;
	int err = index_node_get(t->s->index, ino, &n);
	if (err < 0 || !(n.flags & NODE_ORPHAN))
		return err;
	if (n.version == 0)
		return txn_stage(t, &(struct op){ .type = OP_NODE_DEL, .ino = ino });
	return txn_stage(t, &(struct op){ .type = OP_EXTENT_CLEAR, .ino = ino, .off = 0, .len = INT64_MAX });
}

void store_release_open(struct store *s, uint64_t ino)
{
	struct store_txn *t;
	struct node n;
	pthread_mutex_lock(&s->lock);
	bool last = holds_drop(&s->holds, ino);
	bool orphan = last && txn_refresh(s) == 0 && index_node_get(s->index, ino, &n) == 0 && (n.flags & NODE_ORPHAN);
	pthread_mutex_unlock(&s->lock);
	if (!orphan || txn_call_freeing(s, &t) < 0)
		return; /* the next start purges it */
	t->local = false;
	int err = holds_has(&s->holds, ino) ? 0 : release_orphan(t, ino);
	(void)!txn_end(t, err);
}

void store_forget(struct store *s, uint64_t ino)
{
	struct node n;

	pthread_mutex_lock(&s->lock);
	bool drop = holds_has(&s->holds, ino) && txn_refresh(s) == 0 && index_node_get(s->index, ino, &n) == 0 &&
		    waits_to_be_forgotten(n.kind);
	pthread_mutex_unlock(&s->lock);
	if (drop)
		store_release_open(s, ino);
}

/* Whether the node stays without a name, because somebody may still use it. */
static bool stays(struct store_txn *t, const struct node *n)
{
	struct holds *h = &t->s->holds;

	return holds_has(h, n->ino) || (n->version == 0 && waits_to_be_forgotten(n->kind) && holds_add(h, n->ino) == 0);
}

int txn_drop_node(struct store_txn *t, struct node *n, const struct node *before)
{
	bool held = stays(t, n);
	int err = 0;
	if (n->version == 0 && !held)
		return txn_stage(t, &(struct op){ .type = OP_NODE_DEL, .ino = n->ino });
	n->flags |= NODE_ORPHAN;
	if (n->version > 0) {
		n->flags |= NODE_DELETED;
		txn_touch(t, n, CHANGE_DELETED);
		if (!held)
			err = txn_stage(
				t, &(struct op){ .type = OP_EXTENT_CLEAR, .ino = n->ino, .off = 0, .len = INT64_MAX });
	} else {
		n->change = 0; /* it never left and never will */
	}
	return err < 0 ? err : txn_put_node(t, n, before);
}

int store_mark_fsynced(struct store *s, uint64_t ino)
{
	struct store_txn *t;
	struct node before, n;
	int err = txn_call(s, &t);
	if (err < 0)
		return err;
	err = index_node_get(s->index, ino, &before);
	if (err == 0 && before.change != 0 && !(before.change_bits & CHANGE_FSYNCED)) {
		n = before;
		n.change_bits |= CHANGE_FSYNCED;
		err = txn_put_node(t, &n, &before);
	}
	return txn_end(t, err);
}
