/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops: the file-system operations of a mount, as libfuse calls them, and what they share.
 *
 * A worker (do_x) returns an enum err and fills in results; the operation (op_x) replies exactly once through one of
 * the reply functions below, which turn errors into errno. Only fuse_*.c, ops_*.c, serve.c, inval.c, late_read.c and
 * mount.c know libfuse.
 */
#ifndef COFFER_FUSEFS_OPS_H
#define COFFER_FUSEFS_OPS_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <fuse_lowlevel.h>
#include "fusefs/early.h"
#include "fusefs/errno.h"
#include "fusefs/inval.h"
#include "fusefs/late_read.h"
#include "fusefs/mount.h"
#include "fusefs/owners.h"
#include "fusefs/preload.h"
#include "fusefs/serve.h"

/* Set before the first request, constant then. */
struct ops {
	struct mount_config config;
	struct fuse_session *se;
	struct owners owners;
	struct serve *serve;
	struct late_read *late;
	struct early *early;
	struct preload *preload;
	struct inval *inval;
	bool selinux; /* security.selinux means something on this machine */
};

/* The table for fuse_session_new; userdata is a struct ops. */
extern const struct fuse_lowlevel_ops ops_table;

/* What the kernel caches for as long: everything; inval.h says what ceases to hold. */
#define OPS_CACHE_SECONDS 86400.0

/* Bytes asked for at once when a file is read in sequence: four times the kernel's own choice, as each answer costs a
 * wake-up of the reader. More gains little, and costs those who read mapped files here and there. */
#define OPS_READ_AHEAD (512u * 1024)

struct ops *ops_of(fuse_req_t req);
/* The store's number for the kernel's. They differ for the root of a mount of one space. */
uint64_t ops_ino(const struct ops *o, fuse_ino_t ino);
/* A name as the store takes it. ERR_NAME_TOO_LONG. */
int ops_name(const char *name, struct bytes *ret_name) MUST_CHECK;
/* Whether `dir` is the directory that lists spaces. */
bool ops_is_top(uint64_t dir);
/* The kernel asks that this request also clear setuid, setgid and capabilities. */
bool ops_kills_privileges(const struct ops *o);

/* Clears setuid, setgid (if the group may execute, or for an outsider to the group) and security.capability of a
 * file that was written to or whose owner changed. *n is the node and is brought up to date. */
int ops_kill_privileges(struct ops *o, struct node *n, bool outsider) MUST_CHECK;

/* Replies. err 0: with what follows. */
void ops_reply_err(fuse_req_t req, int err);
void ops_reply_entry(fuse_req_t req, int err, const struct node *n);
void ops_reply_attr(fuse_req_t req, int err, const struct node *n);
void ops_fill_entry(const struct ops *o, const struct node *n, struct fuse_entry_param *ret_e);

/* ops_node.c: names */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_rename(fuse_req_t req, fuse_ino_t p1, const char *n1, fuse_ino_t p2, const char *n2, unsigned flags);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
/* Creates a node for req's caller: set-group-ID directories are honoured. Shared with op_create. */
int ops_make(fuse_req_t req, uint64_t parent, const char *name, struct node_new *n, struct node *ret) MUST_CHECK;

/* ops_attr.c */
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set, struct fuse_file_info *fi);
void op_statfs(fuse_req_t req, fuse_ino_t ino);

/* ops_dir.c */
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* ops_file.c */
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t size, off_t off, struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi, fuse_ino_t to,
	off_t to_off, struct fuse_file_info *to_fi, size_t len, int flags);

/* ops_acl.c: the xattrs that are access control lists */
bool ops_is_acl(const char *name);
int ops_acl_get(struct ops *o, uint64_t ino, const char *name, struct buf *out) MUST_CHECK;
int ops_acl_set(fuse_req_t req, uint64_t ino, const char *name, struct bytes value) MUST_CHECK;
int ops_acl_remove(struct ops *o, uint64_t ino, const char *name) MUST_CHECK;
/* Takes from the mode of what is made in `dir` what the directory's default list or the caller's umask takes. Adds the
 * lists that it begins with to n; they lie in x[2] and list (cap ACL_MAX). */
int ops_acl_inherit(struct ops *o, const struct node *dir, uint32_t umask, struct node_new *n, struct node_xattr x[2],
	struct buf *list) MUST_CHECK;

/* ops_xattr.c */
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

#endif
