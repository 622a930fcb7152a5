/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names: looking up, making, linking, renaming and removing. The directory that lists spaces has rules of its own:
 * mkdir makes a space, rename gives one another local name, everything else is refused with EPERM.
 */
#include "fusefs/ops.h"
#include <errno.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "fusefs/acl.h"

/* "." and "..": the kernel has a file handle of a node that it has forgotten (open_by_handle_at(2), a server of
 * files), or of a directory whose place it does not know. Nothing outside of what is mounted can be named so. */
static int lookup_handle(struct ops *o, uint64_t ino, bool parent, struct node *n)
{
	uint64_t dir = ino;
	struct node root;
	int err = store_getattr(o->config.store, o->config.root_ino, &root);

	if (err == 0 && parent)
		err = ino == o->config.root_ino ? ERR_NOT_FOUND : store_parent(o->config.store, ino, &dir);
	if (err == 0 && parent && dir == ino) /* of a space */
		dir = STORE_ROOT_INO;
	if (err == 0)
		err = store_getattr(o->config.store, dir, n);
	if (err < 0)
		return err;
	if (n->flags & (NODE_DELETED | NODE_ORPHAN) || (!ops_is_top(root.ino) && n->space != root.space))
		return ERR_NOT_FOUND;
	return 0;
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct ops *o = ops_of(req);
	bool self = strcmp(name, ".") == 0, up = strcmp(name, "..") == 0;
	struct bytes view;
	struct node n;

	if (self || up) {
		ops_reply_entry(req, lookup_handle(o, ops_ino(o, parent), up, &n), &n);
		return;
	}
	int err = ops_name(name, &view);
	if (err == 0)
		err = store_lookup(o->config.store, ops_ino(o, parent), view, &n);
	if (err == ERR_NOT_FOUND) { /* the kernel may remember that there is nothing */
		struct fuse_entry_param none = { .entry_timeout = OPS_CACHE_SECONDS };
		fuse_reply_entry(req, &none);
		return;
	}
	ops_reply_entry(req, err, &n);
}

/* In a set-group-ID directory what is made belongs to the directory's group, and directories pass the bit on. */
static void inherit_group(const struct ops *o, const struct node *dir, struct node_new *n)
{
	if (!(dir->mode & S_ISGID) || !owners_trusted(&o->owners, dir))
		return;
	n->gid = dir->gid;
	if (n->kind == NODE_DIR)
		n->mode |= S_ISGID;
}

int ops_make(fuse_req_t req, uint64_t parent, const char *name, struct node_new *n, struct node *ret)
{
	struct ops *o = ops_of(req);
	const struct fuse_ctx *caller = fuse_req_ctx(req);
	CLEANUP(buf_release) struct buf list = BUF_INIT(ACL_MAX);
	struct node_xattr x[2];
	struct bytes view;
	struct node dir;
	int err = store_getattr(o->config.store, parent, &dir);

	if (err < 0)
		return err;
	n->owner = o->config.person;
	n->uid = caller->uid;
	n->gid = caller->gid;
	n->mode &= 07777;
	inherit_group(o, &dir, n);
	err = ops_acl_inherit(o, &dir, caller->umask, n, x, &list);
	if (err < 0)
		return err;
	if (name[0] == '/') /* serve.c: a file without a name */
		return store_create_unnamed(o->config.store, parent, n, ret);
	err = ops_name(name, &view);
	if (err < 0)
		return err;
	return store_create(o->config.store, parent, view, n, ret);
}

static int kind_of(mode_t mode, enum node_kind *ret_kind)
{
	switch (mode & S_IFMT) {
	case 0:
	case S_IFREG:
		*ret_kind = NODE_FILE;
		return 0;
	case S_IFIFO:
		*ret_kind = NODE_FIFO;
		return 0;
	case S_IFSOCK:
		*ret_kind = NODE_SOCKET;
		return 0;
	case S_IFCHR:
		*ret_kind = NODE_CHAR;
		return 0;
	case S_IFBLK:
		*ret_kind = NODE_BLOCK;
		return 0;
	default:
		return ERR_INVALID;
	}
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	uint64_t dir = ops_ino(ops_of(req), parent);
	struct node_new new = { .mode = mode };
	struct node n;
	int err = ops_is_top(dir) ? ERR_PERMISSION : kind_of(mode, &new.kind);

	if (new.kind == NODE_CHAR || new.kind == NODE_BLOCK)
		new.rdev = rdev;
	if (err == 0)
		err = ops_make(req, dir, name, &new, &n);
	ops_reply_entry(req, err, &n);
}

static int make_space(struct ops *o, const char *name, struct node *ret)
{
	struct bytes view;
	uint64_t ino;
	int err = ops_name(name, &view);

	if (err < 0)
		return err;
	if (!o->config.space_create)
		return ERR_PERMISSION;
	err = o->config.space_create(o->config.ctx, view, &ino);
	if (err < 0)
		return err;
	return store_getattr(o->config.store, ino, ret);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct ops *o = ops_of(req);
	uint64_t dir = ops_ino(o, parent);
	struct node_new new = { .kind = NODE_DIR, .mode = mode };
	struct node n;
	int err = ops_is_top(dir) ? make_space(o, name, &n) : ops_make(req, dir, name, &new, &n);

	ops_reply_entry(req, err, &n);
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name, bool dir)
{
	struct ops *o = ops_of(req);
	uint64_t ino, from = ops_ino(o, parent);
	struct bytes view;
	int err = ops_is_top(from) ? ERR_PERMISSION : ops_name(name, &view);

	if (err == 0)
		err = store_unlink(o->config.store, from, view, dir, &ino);
	ops_reply_err(req, err);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, false);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, true);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	uint64_t dir = ops_ino(ops_of(req), parent);
	struct node_new new = { .kind = NODE_SYMLINK, .mode = 0777, .target = bytes_str(target) };
	struct node n;
	int err = 0;

	if (ops_is_top(dir))
		err = ERR_PERMISSION;
	else if (new.target.len > NODE_MAX_TARGET)
		err = ERR_NAME_TOO_LONG;
	if (err == 0)
		err = ops_make(req, dir, name, &new, &n);
	ops_reply_entry(req, err, &n);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct ops *o = ops_of(req);
	struct buf target = BUF_INIT(NODE_MAX_TARGET + 1);
	int err = store_readlink(o->config.store, ops_ino(o, ino), &target);

	if (err == 0)
		err = buf_put_u8(&target, 0);
	if (err < 0)
		ops_reply_err(req, err);
	else
		fuse_reply_readlink(req, (const char *)target.data);
	buf_release(&target);
}

static int rename_space(struct ops *o, uint64_t p1, struct bytes n1, uint64_t p2, struct bytes n2, unsigned flags)
{
	struct node there;
	int err;

	if (p1 != p2)
		return ERR_CROSS_SPACE;
	if (flags & ~(unsigned)RENAME_NOREPLACE)
		return ERR_INVALID;
	err = store_lookup(o->config.store, p2, n2, &there);
	if (err == 0)
		return ERR_EXISTS;
	if (err != ERR_NOT_FOUND)
		return err;
	if (!o->config.space_rename)
		return ERR_PERMISSION;
	return o->config.space_rename(o->config.ctx, n1, n2);
}

/* What overlayfs takes for "nothing here": a character device 0:0 of the caller's. */
static int rename_whiteout(fuse_req_t req, uint64_t p1, struct bytes n1, uint64_t p2, struct bytes n2, unsigned flags)
{
	struct ops *o = ops_of(req);
	const struct node_new whiteout = { .kind = NODE_CHAR,
		.owner = o->config.person,
		.uid = fuse_req_ctx(req)->uid,
		.gid = fuse_req_ctx(req)->gid };

	return store_rename_whiteout(o->config.store, p1, n1, p2, n2, flags & ~(unsigned)RENAME_WHITEOUT, &whiteout);
}

static int do_rename(fuse_req_t req, uint64_t p1, const char *name1, uint64_t p2, const char *name2, unsigned flags)
{
	struct ops *o = ops_of(req);
	struct bytes n1, n2;
	uint64_t replaced;
	int err = ops_name(name1, &n1);

	if (err == 0)
		err = ops_name(name2, &n2);
	if (err < 0)
		return err;
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return ERR_INVALID;
	if (ops_is_top(p1) || ops_is_top(p2))
		return rename_space(o, p1, n1, p2, n2, flags);
	if (flags & RENAME_WHITEOUT)
		return rename_whiteout(req, p1, n1, p2, n2, flags);
	return store_rename(o->config.store, p1, n1, p2, n2, flags, &replaced);
}

void op_rename(fuse_req_t req, fuse_ino_t p1, const char *n1, fuse_ino_t p2, const char *n2, unsigned flags)
{
	struct ops *o = ops_of(req);

	ops_reply_err(req, do_rename(req, ops_ino(o, p1), n1, ops_ino(o, p2), n2, flags));
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct ops *o = ops_of(req);
	uint64_t dir = ops_ino(o, parent);
	struct bytes view;
	struct node n;
	int err = ops_is_top(dir) ? ERR_CROSS_SPACE : ops_name(name, &view);

	if (err == 0)
		err = store_link(o->config.store, ops_ino(o, ino), dir, view, &n);
	ops_reply_entry(req, err, &n);
}
