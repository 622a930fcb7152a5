/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files and their content. An open file holds its node (store_hold_open), so that it outlives its last name.
 * When a call to the store returns, it is in the kernel's hands; writes are answered a little before that (early.h),
 * but for those to new files that come in numbers, so flush only brings their errors.
 */
#include "fusefs/ops.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define MAX_GROUPS 256 /* of a caller, that are looked at */

/* fuse_file_info.fh: how writes are answered (early.h) */
enum answers { ANSWER_EARLY, ANSWER_LATE };

/* Local changes are in the kernel's page cache and remote ones are told to it: nothing need be dropped at open. */
static void set_caching(struct fuse_file_info *fi)
{
	fi->keep_cache = 1;
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
}

/* Where this device may not write, that is said here and not after a write that was answered early (early.h). */
static int may_open(struct ops *o, uint64_t ino, const struct fuse_file_info *fi)
{
	return (fi->flags & O_ACCMODE) == O_RDONLY ? 0 : store_may_change(o->config.store, ino);
}

static int truncate_at_open(struct ops *o, uint64_t ino)
{
	struct node attr = { .size = 0 }, n;
	int err = store_setattr(o->config.store, ino, ATTR_SIZE, &attr, &n);

	if (err == 0 && ops_kills_privileges(o))
		err = ops_kill_privileges(o, &n, false);
	return err;
}

/* The node was just opened to be read. */
static void preload(const struct ops *o, fuse_ino_t ino, uint64_t node)
{
	const struct serve_call *call = serve_call(o->serve);

	if (call->only && !store_open_shared(o->config.store, node))
		preload_give(o->preload, ino, node, call->reply);
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	uint64_t node = ops_ino(o, ino);
	int err = may_open(o, node, fi);

	store_hold_open(o->config.store, node);
	if (err == 0 && (fi->flags & (O_ACCMODE | O_TRUNC | O_DIRECT)) == O_RDONLY)
		preload(o, ino, node);
	if (err == 0 && fi->flags & O_TRUNC)
		err = truncate_at_open(o, node);
	if (err < 0) {
		store_release_open(o->config.store, node);
		ops_reply_err(req, err);
		return;
	}
	set_caching(fi);
	if (fuse_reply_open(req, fi) == -ENOENT) /* the opener was interrupted: no release will come */
		store_release_open(o->config.store, node);
}

/* The kernel believed that the name is free. If it was taken remotely just now, that file is opened instead, as
 * open(2) does. */
static int open_existing(struct ops *o, uint64_t parent, const char *name, struct fuse_file_info *fi, struct node *ret)
{
	struct bytes view;
	int err = ops_name(name, &view);

	if (err == 0)
		err = store_lookup(o->config.store, parent, view, ret);
	if (err < 0)
		return err;
	if (ret->kind != NODE_FILE)
		return ERR_EXISTS;
	err = may_open(o, ret->ino, fi);
	store_hold_open(o->config.store, ret->ino);
	if (err == 0 && fi->flags & O_TRUNC)
		err = truncate_at_open(o, ret->ino);
	if (err == 0)
		err = store_getattr(o->config.store, ret->ino, ret);
	if (err < 0)
		store_release_open(o->config.store, ret->ino);
	return err;
}

static int do_create(
	fuse_req_t req, uint64_t parent, const char *name, mode_t mode, struct fuse_file_info *fi, struct node *ret)
{
	struct ops *o = ops_of(req);
	struct node_new new = { .kind = NODE_FILE, .mode = mode };
	int err;

	if (ops_is_top(parent))
		return ERR_PERMISSION;
	err = ops_make(req, parent, name, &new, ret);
	if (err == ERR_EXISTS && !(fi->flags & O_EXCL))
		return open_existing(o, parent, name, fi, ret);
	if (err == 0)
		store_hold_open(o->config.store, ret->ino);
	return err;
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	struct fuse_entry_param e;
	struct node n;
	int err = do_create(req, ops_ino(o, parent), name, mode, fi, &n);

	if (err < 0) {
		ops_reply_err(req, err);
		return;
	}
	ops_fill_entry(o, &n, &e);
	set_caching(fi);
	/* Not FOPEN_DIRECT_IO, which would spare the kernel a question about security.capability before the first write: on
	 * such a handle it moves no position for io_uring, whose writes "at the current position" then fall on each other. */
	if ((fi->flags & O_ACCMODE) == O_WRONLY && early_expects_small(o->early)) {
		fi->fh = ANSWER_LATE;
		fi->noflush = 1;
	}
	if (fuse_reply_create(req, &e, fi) == -ENOENT)
		store_release_open(o->config.store, n.ino);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);

	(void)fi;
	store_release_open(o->config.store, ops_ino(o, ino));
	fuse_reply_err(req, 0);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	const struct serve_call *call = serve_call(o->serve);
	uint64_t chunk, node = ops_ino(o, ino);
	size_t len = 0;

	(void)fi;
	if (size > SERVE_MAX_IO || off < 0) {
		ops_reply_err(req, ERR_INVALID);
		return;
	}
	if (off < PRELOAD_MAX)
		preload_known(o->preload, node);
	int err = store_read(o->config.store, node, (uint64_t)off, call->reply, size, &len, &chunk);
	if (err == ERR_ABSENT)
		late_read_add(o->late, req, node, (uint64_t)off, size, chunk);
	else if (err < 0)
		ops_reply_err(req, err);
	else
		fuse_reply_buf(req, (const char *)call->reply, len);
}

/* Whether the caller is not of the group, as the kernel would ask before it writes to a local file. */
static bool is_outsider(fuse_req_t req, gid_t group)
{
	gid_t list[MAX_GROUPS];

	if (fuse_req_ctx(req)->gid == group)
		return false;
	int n = fuse_req_getgroups(req, MAX_GROUPS, list);
	for (int i = 0; i < n && i < MAX_GROUPS; i++)
		if (list[i] == group)
			return false;
	return true;
}

/* Before a write by somebody without the right to keep them, setuid and setgid go. After a direct write the kernel
 * does not look at the mode again by itself; told about attributes alone it waits for no lock. */
static int kill_before_write(fuse_req_t req, fuse_ino_t ino)
{
	struct ops *o = ops_of(req);
	struct node n;
	struct stat st;

	if (!ops_kills_privileges(o))
		return 0;
	int err = store_getattr(o->config.store, ops_ino(o, ino), &n);
	if (err < 0)
		return err;
	uint32_t mode = n.mode;
	owners_stat(&o->owners, &n, &st);
	err = ops_kill_privileges(o, &n, mode & S_ISGID && is_outsider(req, st.st_gid));
	if (err == 0 && n.mode != mode)
		fuse_lowlevel_notify_inval_inode(o->se, ino, -1, 0);
	return err;
}

/* The kernel appends where it saw the end when it last asked. What came in from elsewhere since then must not be
 * overwritten: an append goes to the store's end, and if that is another place, what the kernel has cached is dropped.
 * Pages that are written back have their place. (RWF_NOAPPEND of pwritev2 looks like an append here, and is one.) */
static int do_write(struct ops *o, uint64_t ino, const char *p, size_t size, off_t off, const struct fuse_file_info *fi)
{
	uint64_t at = (uint64_t)off;
	int err;

	if (fi->flags & O_APPEND && !fi->writepage)
		err = store_append(o->config.store, ino, p, size, &at);
	else
		err = store_write(o->config.store, ino, at, p, size);
	if (at != (uint64_t)off)
		inval_add(o->inval, &(struct invalidation){ .ino = ino }, 1);
	return err;
}

static void write_early(fuse_req_t req, struct ops *o, uint64_t ino, const char *p, size_t size, off_t off,
	const struct fuse_file_info *fi)
{
	fuse_reply_write(req, size);
	int err = do_write(o, ino, p, size, off, fi); /* p is the thread's until it reads the next request */
	if (err < 0) {
		early_failed(o->early, ino, err);
		inval_add(o->inval, &(struct invalidation){ .ino = ino },
			1); /* the kernel has cached what is not there */
	}
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	uint64_t node = ops_ino(o, ino);

	if (off < 0) {
		ops_reply_err(req, ERR_INVALID);
		return;
	}
	early_note(o->early, size);
	preload_known(o->preload, node);
	int err = kill_before_write(req, ino);
	if (err == 0 && fi->fh == ANSWER_EARLY && serve_call(o->serve)->alone && early_may(o->early, size)) {
		write_early(req, o, node, p, size, off, fi);
		return;
	}
	if (err == 0)
		err = early_take(o->early, node);
	if (err == 0)
		err = do_write(o, node, p, size, off, fi);
	if (err < 0) {
		ops_reply_err(req, err);
		return;
	}
	early_recovered(o->early);
	fuse_reply_write(req, size);
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);

	(void)fi;
	ops_reply_err(req, early_take(o->early, ops_ino(o, ino)));
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);

	(void)datasync;
	(void)fi;
	int err = early_take(o->early, ops_ino(o, ino));
	if (err == 0)
		err = store_mark_fsynced(o->config.store, ops_ino(o, ino));
	/* A full or read-only disk takes no mark, which only sends the file sooner; what was written is synced all the same. */
	if (err == 0 || err_is_full(err) || err == ERR_READ_ONLY)
		err = store_sync(o->config.store);
	ops_reply_err(req, err);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	uint64_t node = ops_ino(o, ino);

	(void)fi;
	int err = off < 0 || len <= 0 ? ERR_INVALID : kill_before_write(req, ino);
	if (err == 0)
		err = store_fallocate(o->config.store, node, mode, (uint64_t)off, (uint64_t)len);
	ops_reply_err(req, err);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	uint64_t to;

	(void)fi;
	if (off < 0) {
		fuse_reply_err(req, ENXIO);
		return;
	}
	int err = store_seek(o->config.store, ops_ino(o, ino), (uint64_t)off, whence, &to);
	if (err == ERR_NO_DATA)
		fuse_reply_err(req, ENXIO);
	else if (err < 0)
		ops_reply_err(req, err);
	else
		fuse_reply_lseek(req, (off_t)to);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi, fuse_ino_t to,
	off_t to_off, struct fuse_file_info *to_fi, size_t len, int flags)
{
	struct ops *o = ops_of(req);
	uint64_t copied = 0;

	(void)from_fi;
	(void)to_fi;
	if (flags != 0 || from_off < 0 || to_off < 0) {
		ops_reply_err(req, ERR_INVALID);
		return;
	}
	if (len > UINT32_MAX) /* what a reply can say */
		len = UINT32_MAX & ~(size_t)4095;
	int err = kill_before_write(req, to);
	if (err == 0)
		err = store_copy_range(o->config.store, ops_ino(o, from), (uint64_t)from_off, ops_ino(o, to),
			(uint64_t)to_off, len, &copied);
	if (err < 0)
		ops_reply_err(req, err);
	else
		fuse_reply_write(req, copied);
}
