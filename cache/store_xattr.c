/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: at most NODE_MAX_XATTR_BYTES of names and values per node. Those of access control lists leave
 * their trace in the node (NODE_ACL), so that nobody has to look for lists that are not there.
 */
#include <sys/xattr.h>
#include "base/cleanup.h"
#include "cache/txn.h"

static int check_name(const char *name)
{
	size_t len = strnlen(name, NODE_MAX_NAME + 1);
	return len == 0 ? ERR_INVALID : len > NODE_MAX_NAME ? ERR_RANGE : 0;
}

int store_getxattr(struct store *s, uint64_t ino, const char *name, struct buf *out)
{
	int err = check_name(name);
	if (err == 0)
		err = store_lock(s);
	if (err < 0)
		return err;
	err = index_xattr_get(s->index, ino, bytes_str(name), out);
	store_unlock(s);
	return err == ERR_NOT_FOUND ? ERR_NO_DATA : err;
}

/* Bytes and number of the node's xattrs without `except`. */
static int sum(struct store *s, uint64_t ino, struct bytes except, size_t *ret_bytes, size_t *ret_n)
{
	CLEANUP(buf_release) struct buf name = BUF_INIT(NODE_MAX_NAME), value = BUF_INIT(NODE_MAX_XATTR_BYTES);
	int err;
	*ret_bytes = *ret_n = 0;
	while ((err = index_xattr_next(s->index, ino, &name, &value)) == 0) {
		if (bytes_equal(buf_bytes(&name), except))
			continue;
		*ret_bytes += name.len + value.len;
		++*ret_n;
	}
	return err == ERR_NOT_FOUND ? 0 : err;
}

bool txn_is_acl(struct bytes name)
{
	return bytes_equal(name, bytes_str(NODE_ACL_ACCESS)) || bytes_equal(name, bytes_str(NODE_ACL_DEFAULT));
}

/* Whether a list other than `name` is there. */
static int has_other_acl(struct store *s, uint64_t ino, struct bytes name, bool *ret_has)
{
	CLEANUP(buf_release) struct buf value = BUF_INIT(NODE_MAX_XATTR_BYTES);
	bool access = bytes_equal(name, bytes_str(NODE_ACL_ACCESS));
	int err = index_xattr_get(s->index, ino, bytes_str(access ? NODE_ACL_DEFAULT : NODE_ACL_ACCESS), &value);
	*ret_has = err == 0;
	return err == ERR_NOT_FOUND ? 0 : err;
}

/* Stages a change of an xattr (op NULL: none) and of the mode (NULL: none). */
static int changed(struct store_txn *t, uint64_t ino, const struct op *op, const uint32_t *mode)
{
	struct node before, n;
	bool acl = false;
	int err = index_node_get(t->s->index, ino, &before);
	if (err == 0 && op && txn_is_acl(op->key))
		err = op->type == OP_XATTR_PUT ? 0 : has_other_acl(t->s, ino, op->key, &acl);
	if (err < 0)
		return err;
	n = before;
	n.ctime = store_now(t->s);
	if (op && txn_is_acl(op->key))
		n.flags = acl || op->type == OP_XATTR_PUT ? n.flags | NODE_ACL : n.flags & ~(uint32_t)NODE_ACL;
	if (op)
		txn_touch(t, &n, CHANGE_XATTR);
	if (mode && *mode != n.mode) {
		n.mode = *mode & 07777;
		txn_touch(t, &n, CHANGE_ATTR);
	}
	err = op ? txn_stage(t, op) : 0;
	return err < 0 ? err : txn_put_node(t, &n, &before);
}

static int set(
	struct store_txn *t, uint64_t ino, struct bytes name, struct bytes value, int flags, const uint32_t *mode)
{
	CLEANUP(buf_release) struct buf old = BUF_INIT(NODE_MAX_XATTR_BYTES);
	size_t bytes, n;
	int err = index_xattr_get(t->s->index, ino, name, &old);
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	if (err == 0 && (flags & XATTR_CREATE))
		return ERR_EXISTS;
	if (err == ERR_NOT_FOUND && (flags & XATTR_REPLACE))
		return ERR_NO_DATA;
	err = sum(t->s, ino, name, &bytes, &n);
	if (err < 0)
		return err;
	if (bytes + name.len + value.len > NODE_MAX_XATTR_BYTES || n >= NODE_MAX_XATTRS)
		return ERR_NO_SPACE;
	return changed(t, ino, &(struct op){ .type = OP_XATTR_PUT, .ino = ino, .key = name, .value = value }, mode);
}

int store_setxattr(struct store *s, uint64_t ino, const char *name, struct bytes value, int flags)
{
	struct store_txn *t;
	int err = check_name(name);
	if (err == 0 && value.len > NODE_MAX_XATTR_BYTES)
		err = ERR_NO_SPACE;
	if (err == 0)
		err = txn_call(s, &t);
	return err < 0 ? err : txn_end(t, set(t, ino, bytes_str(name), value, flags, NULL));
}

static int drop(struct store_txn *t, uint64_t ino, struct bytes name, const uint32_t *mode)
{
	CLEANUP(buf_release) struct buf old = BUF_INIT(NODE_MAX_XATTR_BYTES);
	int err = index_xattr_get(t->s->index, ino, name, &old);
	if (err < 0)
		return err == ERR_NOT_FOUND ? ERR_NO_DATA : err;
	return changed(t, ino, &(struct op){ .type = OP_XATTR_DEL, .ino = ino, .key = name }, mode);
}

int store_removexattr(struct store *s, uint64_t ino, const char *name)
{
	struct store_txn *t;
	int err = check_name(name);
	if (err == 0)
		err = txn_call(s, &t);
	return err < 0 ? err : txn_end(t, drop(t, ino, bytes_str(name), NULL));
}

int store_set_acl(struct store *s, uint64_t ino, const char *name, struct bytes value, const uint32_t *mode)
{
	struct store_txn *t;
	int err = value.len > NODE_MAX_XATTR_BYTES ? ERR_NO_SPACE : txn_call(s, &t);
	if (err < 0)
		return err;
	if (value.p)
		err = set(t, ino, bytes_str(name), value, 0, mode);
	else
		err = drop(t, ino, bytes_str(name), mode);
	if (err == ERR_NO_DATA)
		err = mode ? changed(t, ino, NULL, mode) : 0;
	return txn_end(t, err);
}

int store_listxattr(struct store *s, uint64_t ino, struct buf *out)
{
	CLEANUP(buf_release) struct buf name = BUF_INIT(NODE_MAX_NAME);
	int err = store_lock(s);
	if (err < 0)
		return err;
	while ((err = index_xattr_next(s->index, ino, &name, NULL)) == 0) {
		err = buf_put(out, name.data, name.len);
		if (err == 0)
			err = buf_put_u8(out, 0);
		if (err < 0)
			break;
	}
	store_unlock(s);
	return err == ERR_NOT_FOUND ? 0 : err;
}
