/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes. user.coffer.* are the file system's own: state that is shown, not stored. They are read by
 * name; of them only `pinned` is listed, where it is set: listed state would travel with cp -a and tar --xattrs, and
 * rsync -X would see differences for ever. Setting or removing one that cannot be set is accepted without effect,
 * for what was copied nevertheless. What could raise rights is stored, and shown only where it is the own person's
 * (owners.h).
 * Names outside of user., trusted. and security. are "not supported" but for access control lists (ops_acl.c), as is
 * security.selinux where SELinux is not: ls -l then asks once per file system instead of once per file.
 */
#include "fusefs/ops.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define OWN_PREFIX "user.coffer."
#define LIST_MAX (NODE_MAX_XATTR_BYTES + 4096u)

/* What follows user.coffer., or NULL. */
static const char *own_name(const char *name)
{
	size_t n = sizeof OWN_PREFIX - 1;

	return strncmp(name, OWN_PREFIX, n) == 0 ? name + n : NULL;
}

static bool is_trusted(const char *name)
{
	return strncmp(name, "trusted.", 8) == 0;
}

/* Whether it lies in a namespace that is kept. */
static bool is_known(const char *name)
{
	return strncmp(name, "user.", 5) == 0 || is_trusted(name) || strncmp(name, "security.", 9) == 0;
}

/* ERR_UNSUPPORTED if the node cannot have an xattr of this name; NODE is asked for only where it matters. */
static int check_name(struct ops *o, uint64_t ino, const char *name)
{
	struct node n;
	int err;

	if (!is_known(name))
		return ERR_UNSUPPORTED;
	if (strncmp(name, "user.", 5) == 0 && !ops_is_top(ino))
		return 0;
	err = store_getattr(o->config.store, ino, &n);
	if (err < 0)
		return err;
	return !ops_is_top(ino) && owners_xattr(&o->owners, &n, name) ? 0 : ERR_UNSUPPORTED;
}

static int get_own(struct ops *o, uint64_t ino, const char *name, struct buf *out)
{
	struct node n;
	int err;

	if (!o->config.state_get)
		return ERR_NO_DATA;
	err = store_getattr(o->config.store, ino, &n);
	if (err < 0)
		return err;
	return o->config.state_get(o->config.ctx, &n, name, out);
}

static int do_getxattr(struct ops *o, uint64_t ino, const char *name, struct buf *out)
{
	const char *own = own_name(name);
	int err;

	if (own)
		return get_own(o, ino, own, out);
	if (ops_is_acl(name))
		return ops_acl_get(o, ino, name, out);
	if (!is_known(name))
		return ERR_UNSUPPORTED;
	if (ops_is_top(ino))
		return ERR_NO_DATA;
	err = store_getxattr(o->config.store, ino, name, out);
	if (err == ERR_NO_DATA && !o->selinux && strcmp(name, "security.selinux") == 0)
		return ERR_UNSUPPORTED;
	if (err == 0 && check_name(o, ino, name) < 0)
		return ERR_NO_DATA;
	return err;
}

/* Answers with a value, its size, or ERANGE. */
static void reply_value(fuse_req_t req, int err, const struct buf *b, size_t size)
{
	if (err < 0)
		ops_reply_err(req, err);
	else if (size == 0)
		fuse_reply_xattr(req, b->len);
	else if (size < b->len)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, (const char *)b->data, b->len);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct ops *o = ops_of(req);
	struct buf value = BUF_INIT(LIST_MAX);
	int err = do_getxattr(o, ops_ino(o, ino), name, &value);

	reply_value(req, err, &value, size);
	buf_release(&value);
}

static int put_name(struct buf *out, const char *name)
{
	return buf_put(out, name, strlen(name) + 1);
}

/* Whether the node is pinned, as far as the list is concerned. */
static bool is_pinned(struct ops *o, const struct node *n)
{
	return (n->flags & NODE_PINNED) && o->config.state_get;
}

/* Whether an xattr that is kept is listed: trusted ones for root alone, as the kernel answers for them by name. */
static bool is_listed(const struct ops *o, const struct node *n, const char *name, bool root)
{
	if (own_name(name) || (is_trusted(name) && !root))
		return false;
	return (is_known(name) || ops_is_acl(name)) && owners_xattr(&o->owners, n, name);
}

static int do_listxattr(struct ops *o, uint64_t ino, bool root, struct buf *out)
{
	struct buf stored = BUF_INIT(LIST_MAX);
	struct node n;
	int err = store_getattr(o->config.store, ino, &n);

	if (err == 0 && !ops_is_top(ino))
		err = store_listxattr(o->config.store, ino, &stored);
	for (size_t at = 0; err == 0 && at < stored.len;) {
		const char *name = (const char *)stored.data + at;
		at += strlen(name) + 1;
		if (is_listed(o, &n, name, root))
			err = put_name(out, name);
	}
	if (err == 0 && is_pinned(o, &n))
		err = put_name(out, OWN_PREFIX "pinned");
	buf_release(&stored);
	return err;
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct ops *o = ops_of(req);
	struct buf names = BUF_INIT(LIST_MAX);
	int err = do_listxattr(o, ops_ino(o, ino), fuse_req_ctx(req)->uid == 0, &names);

	reply_value(req, err, &names, size);
	buf_release(&names);
}

static int set_own(struct ops *o, uint64_t ino, const char *name, struct bytes value)
{
	struct node n;
	int err;

	if (!o->config.state_set)
		return 0;
	err = store_getattr(o->config.store, ino, &n);
	if (err == 0)
		err = o->config.state_set(o->config.ctx, &n, name, value);
	return err == ERR_NO_DATA || err == ERR_UNSUPPORTED || err == ERR_PERMISSION ? 0 : err;
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	struct ops *o = ops_of(req);
	uint64_t node = ops_ino(o, ino);
	const char *own = own_name(name);
	int err;

	if (own) {
		err = set_own(o, node, own, bytes_of(value, size));
	} else if (ops_is_acl(name)) {
		err = ops_acl_set(req, node, name, bytes_of(value, size));
	} else {
		err = check_name(o, node, name);
		if (err == 0)
			err = store_setxattr(o->config.store, node, name, bytes_of(value, size), flags);
	}
	ops_reply_err(req, err);
}

/* What is no mark of the user's, or not set, is removed as it is set: programs that carry attributes over must not fail. */
static int remove_own(struct ops *o, uint64_t ino, const char *name)
{
	return strcmp(name, "pinned") == 0 ? set_own(o, ino, name, bytes_str("0")) : 0;
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct ops *o = ops_of(req);
	uint64_t node = ops_ino(o, ino);
	int err = 0;

	if (own_name(name)) {
		err = remove_own(o, node, own_name(name));
	} else if (ops_is_acl(name)) {
		err = ops_acl_remove(o, node, name);
	} else {
		err = check_name(o, node, name);
		if (err == 0)
			err = store_removexattr(o->config.store, node, name);
	}
	ops_reply_err(req, err);
}
