/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access control lists of files and directories (acl.h). The kernel checks them, keeps what it was told (also that there
 * is none), and forgets it when the mode or a list changes here or by an invalidation. Lists travel with the node, but
 * apply only where the own person wrote it (owners.h): they name users and groups by number.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "fusefs/acl.h"
#include "fusefs/ops.h"

#define GROUPS_MAX 1024

bool ops_is_acl(const char *name)
{
	return strcmp(name, NODE_ACL_ACCESS) == 0 || strcmp(name, NODE_ACL_DEFAULT) == 0;
}

static bool is_default(const char *name)
{
	return strcmp(name, NODE_ACL_DEFAULT) == 0;
}

int ops_acl_get(struct ops *o, uint64_t ino, const char *name, struct buf *out)
{
	CLEANUP(buf_release) struct buf kept = BUF_INIT(NODE_MAX_XATTR_BYTES);
	struct node n;
	int err = store_getattr(o->config.store, ino, &n);

	if (err < 0)
		return err;
	if (n.kind == NODE_SYMLINK)
		return ERR_UNSUPPORTED;
	if (!(n.flags & NODE_ACL) || !owners_trusted(&o->owners, &n))
		return ERR_NO_DATA;
	err = store_getxattr(o->config.store, ino, name, &kept);
	if (err < 0)
		return err;
	if (is_default(name))
		return buf_put(out, kept.data, kept.len);
	return acl_show(buf_bytes(&kept), n.mode, out);
}

/* Whether the caller may leave set-group-ID on what belongs to this group. */
static bool in_group(fuse_req_t req, uint32_t gid)
{
	const struct fuse_ctx *caller = fuse_req_ctx(req);
	FREE_AFTER gid_t *groups = malloc(GROUPS_MAX * sizeof *groups);

	if (caller->uid == 0 || caller->gid == gid)
		return true;
	int n = groups ? fuse_req_getgroups(req, GROUPS_MAX, groups) : 0;
	for (int i = 0; i < n && i < GROUPS_MAX; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

static int set_access(fuse_req_t req, struct ops *o, const struct node *n, struct bytes value)
{
	struct acl_says says;
	int err = acl_check(value, &says);

	if (err < 0)
		return err;
	if (says.more && !owners_trusted(&o->owners, n))
		return ERR_UNSUPPORTED;
	uint32_t mode = (n->mode & ~(uint32_t)0777) | says.mode;
	if ((mode & S_ISGID) && !in_group(req, n->gid))
		mode &= ~(uint32_t)S_ISGID;
	if (!says.more && mode == n->mode && !(n->flags & NODE_ACL))
		return 0; /* as cp -a says it of every file */
	if (!says.more)
		value = bytes_of(NULL, 0);
	return store_set_acl(o->config.store, n->ino, NODE_ACL_ACCESS, value, &mode);
}

static int set_default(struct ops *o, const struct node *n, struct bytes value)
{
	struct acl_says says;
	int err = acl_check(value, &says);

	if (err < 0)
		return err;
	if (n->kind != NODE_DIR)
		return ERR_FORBIDDEN;
	if (!owners_trusted(&o->owners, n))
		return ERR_UNSUPPORTED;
	return store_set_acl(o->config.store, n->ino, NODE_ACL_DEFAULT, value, NULL);
}

int ops_acl_set(fuse_req_t req, uint64_t ino, const char *name, struct bytes value)
{
	struct ops *o = ops_of(req);
	struct node n;
	int err = store_getattr(o->config.store, ino, &n);

	if (err < 0)
		return err;
	if (ops_is_top(ino) || n.kind == NODE_SYMLINK)
		return ERR_UNSUPPORTED;
	if (value.len > ACL_MAX)
		return ERR_NO_SPACE;
	return is_default(name) ? set_default(o, &n, value) : set_access(req, o, &n, value);
}

int ops_acl_remove(struct ops *o, uint64_t ino, const char *name)
{
	struct node n;
	int err = store_getattr(o->config.store, ino, &n);

	if (err < 0 || !(n.flags & NODE_ACL))
		return err;
	return store_set_acl(o->config.store, ino, name, bytes_of(NULL, 0), NULL);
}

int ops_acl_inherit(struct ops *o, const struct node *dir, uint32_t umask, struct node_new *n, struct node_xattr x[2],
	struct buf *list)
{
	bool more;
	int err = ERR_NO_DATA;

	if (n->kind == NODE_SYMLINK)
		return 0;
	if ((dir->flags & NODE_ACL) && owners_trusted(&o->owners, dir))
		err = store_getxattr(o->config.store, dir->ino, NODE_ACL_DEFAULT, list);
	if (err == 0)
		err = acl_inherit(buf_bytes(list), &n->mode, &more);
	if (err == ERR_NO_DATA || err == ERR_INVALID) {
		n->mode &= ~umask;
		return 0;
	}
	if (err < 0)
		return err;
	n->xattrs = x;
	if (more)
		x[n->n_xattrs++] = (struct node_xattr){ bytes_str(NODE_ACL_ACCESS), buf_bytes(list) };
	if (n->kind == NODE_DIR)
		x[n->n_xattrs++] = (struct node_xattr){ bytes_str(NODE_ACL_DEFAULT), buf_bytes(list) };
	return 0;
}
