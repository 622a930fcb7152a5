/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of operations, the capabilities asked of the kernel, and what all operations share.
 */
#include "fusefs/ops.h"
#include <errno.h>
#include <string.h>

struct ops *ops_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

uint64_t ops_ino(const struct ops *o, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? o->config.root_ino : ino;
}

static fuse_ino_t kernel_ino(const struct ops *o, uint64_t ino)
{
	return ino == o->config.root_ino ? FUSE_ROOT_ID : ino;
}

int ops_name(const char *name, struct bytes *ret_name)
{
	size_t len = strlen(name);

	if (len > NODE_MAX_NAME)
		return ERR_NAME_TOO_LONG;
	*ret_name = bytes_of(name, len);
	return 0;
}

bool ops_is_top(uint64_t dir)
{
	return dir == STORE_ROOT_INO;
}

bool ops_kills_privileges(const struct ops *o)
{
	const struct serve_call *call = serve_call(o->serve);

	return call && call->kill_privileges;
}

int ops_kill_privileges(struct ops *o, struct node *n, bool outsider)
{
	uint32_t kill = n->mode & 04000;
	int err;

	if (n->kind == NODE_DIR)
		return 0;
	if (n->mode & 02000 && (outsider || n->mode & 010))
		kill |= 02000;
	if (kill) {
		struct node attr = { .mode = n->mode & ~kill };
		err = store_setattr(o->config.store, n->ino, ATTR_MODE, &attr, n);
		if (err < 0)
			return err;
	}
	err = store_removexattr(o->config.store, n->ino, "security.capability");
	return err == ERR_NO_DATA ? 0 : err;
}

void ops_reply_err(fuse_req_t req, int err)
{
	fuse_reply_err(req, err_to_errno(err));
}

void ops_fill_entry(const struct ops *o, const struct node *n, struct fuse_entry_param *ret_e)
{
	*ret_e = (struct fuse_entry_param){
		.ino = kernel_ino(o, n->ino),
		.attr_timeout = OPS_CACHE_SECONDS,
		.entry_timeout = OPS_CACHE_SECONDS,
	};
	owners_stat(&o->owners, n, &ret_e->attr);
}

void ops_reply_entry(fuse_req_t req, int err, const struct node *n)
{
	struct fuse_entry_param e;

	if (err < 0) {
		ops_reply_err(req, err);
		return;
	}
	ops_fill_entry(ops_of(req), n, &e);
	fuse_reply_entry(req, &e);
}

void ops_reply_attr(fuse_req_t req, int err, const struct node *n)
{
	struct stat st;

	if (err < 0) {
		ops_reply_err(req, err);
		return;
	}
	owners_stat(&ops_of(req)->owners, n, &st);
	fuse_reply_attr(req, &st, OPS_CACHE_SECONDS);
}

static void want(struct fuse_conn_info *conn, unsigned flag)
{
	conn->want |= conn->capable & flag;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->max_write = SERVE_MAX_IO;
	conn->max_readahead = OPS_READ_AHEAD; /* the kernel takes the lower of this and what the mount is set to */
	/* Remote changes are told to the kernel (inval.h): it must not guess them from times, which local writes
	 * move too. */
	want(conn, FUSE_CAP_EXPLICIT_INVAL_DATA);
	if (conn->want & FUSE_CAP_EXPLICIT_INVAL_DATA)
		conn->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
	want(conn, FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ATOMIC_O_TRUNC |
			   FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ |
			   FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_EXPORT_SUPPORT);
	/* The kernel checks access control lists and remembers which files have none. A default list overrides the
	 * umask, so it is applied here (ops_acl_inherit). */
	want(conn, FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK);
	/* The writeback cache hides remote size changes of open files. Version 2 of KILLPRIV is added by serve.c. */
	conn->want &= ~(unsigned)(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_SPLICE_READ |
				  FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	/* After an asynchronous direct write the kernel does not drop what a read cached meanwhile: it would stay. */
	conn->want &= ~(unsigned)FUSE_CAP_ASYNC_DIO;
}

static void forget(const struct ops *o, fuse_ino_t ino)
{
	store_forget(o->config.store, ops_ino(o, ino));
	preload_forget(o->preload, ops_ino(o, ino));
}

/* The kernel forgets a node at once, however often it looked it up. */
static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	(void)nlookup;
	forget(ops_of(req), ino);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	const struct ops *o = ops_of(req);

	for (size_t i = 0; i < count; i++)
		forget(o, forgets[i].ino);
	fuse_reply_none(req);
}

const struct fuse_lowlevel_ops ops_table = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.copy_file_range = op_copy_file_range,
};
