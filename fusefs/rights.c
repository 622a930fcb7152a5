/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/rights.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"

uint32_t rights_mode(uint32_t mode, bool acl)
{
	return mode & (acl ? 01707u : 01777u);
}

static bool crosses(struct bytes name)
{
	static const char user[] = "user.";

	return name.len >= sizeof user - 1 && memcmp(name.p, user, sizeof user - 1) == 0;
}

/* Keeps those that cross persons, in their order. */
static size_t strip_xattrs(struct node_xattr *x, size_t n, bool *ret_acl)
{
	size_t kept = 0;

	*ret_acl = false;
	for (size_t i = 0; i < n; i++) {
		*ret_acl |= bytes_equal(x[i].name, bytes_str(NODE_ACL_ACCESS));
		if (crosses(x[i].name))
			x[kept++] = x[i];
	}
	return kept;
}

void rights_strip(struct node_body *b)
{
	bool acl;

	b->n_xattrs = strip_xattrs(b->xattrs, b->n_xattrs, &acl);
	b->mode = rights_mode(b->mode, acl);
	if (b->deleted)
		return;
	b->uid = geteuid();
	b->gid = getegid();
	b->rdev = 0;
}

int rights_strip_row(struct store_txn *t, struct node *n)
{
	CLEANUP(buf_release) struct buf memory = BUF_INIT(2 * NODE_MAX_XATTR_BYTES + 512 * 1024);
	FREE_AFTER struct node_xattr *x = NULL;
	size_t count = 0;
	bool acl;
	int err = txn_xattrs(t, n->ino, &x, &count, &memory);

	if (err < 0)
		return err;
	size_t kept = strip_xattrs(x, count, &acl);
	if (kept < count && (err = txn_xattrs_replace(t, n->ino, x, kept)) < 0)
		return err;
	if (kept < count && (err = txn_node_get(t, n->ino, n)) < 0)
		return err;
	n->mode = rights_mode(n->mode, acl);
	n->uid = geteuid();
	n->gid = getegid();
	n->rdev = 0;
	return txn_node_put(t, n);
}
