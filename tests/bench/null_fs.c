/* SPDX-License-Identifier: Apache-2.0 */
/*
 * null_fs: what FUSE itself costs. The product's request loop, mount options and capabilities, with a tree in memory
 * instead of store and cipher: the floor that the workloads of fs.py are held against.
 *
 *	null_fs MOUNT_DIR        # prints "ready", serves until SIGTERM
 *
 * One lock for all: reads share it, everything else has it alone. Content lies in blocks that are kept for reuse when
 * a file goes, since fresh memory is slow. Node numbers are addresses; a node lives until the kernel forgets it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "fusefs/mountpoint.h"
#include "fusefs/ops.h"

enum { BLOCK = 128 << 10, BUCKETS = 1 << 16, READ_PIECES = SERVE_MAX_IO / BLOCK + 2 };

struct name {
	struct name *next_hash, *next, *prev; /* in the bucket; in the directory, oldest first */
	struct inode *dir, *node;
	uint64_t cookie;
	char text[];
};

struct inode {
	struct stat st;
	uint64_t lookups, cookie; /* cookie: of the newest name */
	struct inode *parent;     /* of a directory */
	struct name *first, *last;
	char *target;
	uint8_t **block;
	size_t n_blocks, alloc;
};

union block {
	union block *next;
	uint8_t data[BLOCK];
};

struct null_fs {
	pthread_rwlock_t lock; /* all below */
	struct inode root;
	struct name *bucket[BUCKETS];
	union block *spare;
	struct serve *serve;
};

static struct null_fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static struct inode *node_of(fuse_req_t req, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &fs_of(req)->root : (struct inode *)(uintptr_t)ino;
}

static void lock(fuse_req_t req)
{
	pthread_rwlock_wrlock(&fs_of(req)->lock);
}

static void unlock(fuse_req_t req)
{
	pthread_rwlock_unlock(&fs_of(req)->lock);
}

static void touch(struct inode *n)
{
	clock_gettime(CLOCK_REALTIME, &n->st.st_mtim);
	n->st.st_ctim = n->st.st_mtim;
}

/* ---- names ---- */

static struct name **bucket_of(struct null_fs *fs, const struct inode *dir, const char *text)
{
	uint64_t h = (uintptr_t)dir * 0x9e3779b97f4a7c15ull;
	for (const char *c = text; *c; c++)
		h = (h ^ (uint8_t)*c) * 0x100000001b3ull;
	return &fs->bucket[(h >> 24) % BUCKETS];
}

/* Where the name hangs in its bucket; *result is NULL if there is none. */
static struct name **find(struct null_fs *fs, const struct inode *dir, const char *text)
{
	struct name **p = bucket_of(fs, dir, text);
	while (*p && ((*p)->dir != dir || strcmp((*p)->text, text) != 0))
		p = &(*p)->next_hash;
	return p;
}

static int add_name(struct null_fs *fs, struct inode *dir, const char *text, struct inode *n)
{
	size_t size = strlen(text) + 1;
	struct name **p = bucket_of(fs, dir, text), *e = malloc(sizeof *e + size);
	if (!e)
		return ENOMEM;
	*e = (struct name){ .next_hash = *p, .prev = dir->last, .dir = dir, .node = n, .cookie = ++dir->cookie };
	memcpy(e->text, text, size);
	*p = e;
	*(dir->last ? &dir->last->next : &dir->first) = e;
	dir->last = e;
	touch(dir);
	return 0;
}

static void del_name(struct name **p)
{
	struct name *e = *p;
	*p = e->next_hash;
	*(e->prev ? &e->prev->next : &e->dir->first) = e->next;
	*(e->next ? &e->next->prev : &e->dir->last) = e->prev;
	touch(e->dir);
	free(e);
}

/* ---- content ---- */

static void shrink(struct null_fs *fs, struct inode *n, size_t blocks)
{
	while (n->n_blocks > blocks) {
		union block *b = (union block *)(void *)n->block[--n->n_blocks];
		b->next = fs->spare;
		fs->spare = b;
	}
}

static int grow(struct null_fs *fs, struct inode *n, size_t blocks)
{
	if (blocks > n->alloc) {
		size_t alloc = n->alloc * 2 > blocks ? n->alloc * 2 : blocks;
		uint8_t **more = realloc(n->block, alloc * sizeof *more);
		if (!more)
			return ENOMEM;
		n->block = more;
		n->alloc = alloc;
	}
	for (; n->n_blocks < blocks; n->n_blocks++) {
		union block *b = fs->spare ? fs->spare : malloc(sizeof *b);
		if (!b)
			return ENOMEM;
		if (b == fs->spare)
			fs->spare = b->next;
		n->block[n->n_blocks] = b->data;
	}
	return 0;
}

/* p NULL: zeros, as far as there are blocks. */
static void put(struct inode *n, size_t off, const void *p, size_t size)
{
	for (size_t done = 0; done < size && (off + done) / BLOCK < n->n_blocks;) {
		size_t at = (off + done) % BLOCK, len = size - done < BLOCK - at ? size - done : BLOCK - at;
		uint8_t *to = n->block[(off + done) / BLOCK] + at;
		if (p)
			memcpy(to, (const uint8_t *)p + done, len);
		else
			memset(to, 0, len);
		done += len;
	}
}

static void drop_if_gone(struct null_fs *fs, struct inode *n)
{
	if (n->st.st_nlink > 0 || n->lookups > 0 || n == &fs->root)
		return;
	shrink(fs, n, 0);
	free(n->block);
	free(n->target);
	free(n);
}

/* ---- operations on names ---- */

static void fill(struct inode *n, struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){ .ino = n->st.st_ino,
		.attr = n->st,
		.attr_timeout = OPS_CACHE_SECONDS,
		.entry_timeout = OPS_CACHE_SECONDS };
}

/* Answers with an entry, and lets go of the lock before. */
static void reply_entry(fuse_req_t req, int err, struct inode *n)
{
	struct fuse_entry_param e;
	if (err == 0) {
		fill(n, &e);
		n->lookups++;
	}
	unlock(req);
	if (err != 0)
		fuse_reply_err(req, err);
	else
		fuse_reply_entry(req, &e);
}

static void null_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	lock(req);
	struct name *e = *find(fs_of(req), node_of(req, parent), name);
	reply_entry(req, e ? 0 : ENOENT, e ? e->node : NULL);
}

static void forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	struct inode *n = node_of(req, ino);
	n->lookups -= lookups;
	drop_if_gone(fs_of(req), n);
}

static void null_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	lock(req);
	forget(req, ino, lookups);
	unlock(req);
	fuse_reply_none(req);
}

static void null_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *all)
{
	lock(req);
	for (size_t i = 0; i < count; i++)
		forget(req, all[i].ino, all[i].nlookup);
	unlock(req);
	fuse_reply_none(req);
}

/* Lock held. */
static int make(
	fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, const char *target, struct inode **ret)
{
	struct null_fs *fs = fs_of(req);
	struct inode *dir = node_of(req, parent), *n;
	if (*find(fs, dir, name))
		return EEXIST;
	n = calloc(1, sizeof *n);
	if (!n || (target && !(n->target = strdup(target))) || add_name(fs, dir, name, n) != 0) {
		if (n)
			free(n->target);
		free(n);
		return ENOMEM;
	}
	n->st = (struct stat){ .st_ino = (uintptr_t)n,
		.st_mode = mode,
		.st_nlink = S_ISDIR(mode) ? 2 : 1,
		.st_uid = fuse_req_ctx(req)->uid,
		.st_gid = fuse_req_ctx(req)->gid,
		.st_size = target ? (off_t)strlen(target) : 0 };
	touch(n);
	n->st.st_atim = n->st.st_mtim;
	n->parent = dir;
	dir->st.st_nlink += S_ISDIR(mode) ? 1u : 0;
	*ret = n;
	return 0;
}

static void make_and_reply(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, const char *target)
{
	struct inode *n = NULL;
	lock(req);
	int err = make(req, parent, name, mode, target, &n);
	reply_entry(req, err, n);
}

static void null_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	make_and_reply(req, parent, name, S_IFDIR | mode, NULL);
}

static void null_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	make_and_reply(req, parent, name, S_IFLNK | 0777, target);
}

static void null_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
	(void)dev;
	make_and_reply(req, parent, name, mode, NULL);
}

static void null_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct fuse_entry_param e;
	struct inode *n = NULL;
	lock(req);
	int err = make(req, parent, name, S_IFREG | mode, NULL, &n);
	if (err == 0) {
		fill(n, &e);
		n->lookups++;
	}
	unlock(req);
	fi->keep_cache = 1;
	fi->noflush = (fi->flags & O_ACCMODE) == O_WRONLY; /* as for small files; large ones do not mind */
	if (err != 0)
		fuse_reply_err(req, err);
	else
		fuse_reply_create(req, &e, fi);
}

static void null_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct inode *n = node_of(req, ino), *dir = node_of(req, parent);
	lock(req);
	int err = *find(fs_of(req), dir, name) ? EEXIST : add_name(fs_of(req), dir, name, n);
	n->st.st_nlink += err == 0;
	reply_entry(req, err, n);
}

/* Takes a name away, and its node with the last. Lock held. */
static int remove_name(struct null_fs *fs, struct name **p)
{
	struct inode *n = (*p)->node, *dir = (*p)->dir;
	bool is_dir = S_ISDIR(n->st.st_mode);
	if (is_dir && n->first)
		return ENOTEMPTY;
	del_name(p);
	n->st.st_nlink -= is_dir ? 2 : 1;
	dir->st.st_nlink -= is_dir ? 1u : 0;
	drop_if_gone(fs, n);
	return 0;
}

static void null_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	lock(req);
	struct name **p = find(fs_of(req), node_of(req, parent), name);
	int err = *p ? remove_name(fs_of(req), p) : ENOENT;
	unlock(req);
	fuse_reply_err(req, err);
}

static int move(struct null_fs *fs, struct inode *from, const char *n1, struct inode *to, const char *n2)
{
	struct name *e = *find(fs, from, n1), **there = find(fs, to, n2);
	if (!e)
		return ENOENT;
	struct inode *n = e->node;
	if (*there && (*there)->node == n)
		return 0;
	int err = *there ? remove_name(fs, there) : 0;
	if (err == 0)
		err = add_name(fs, to, n2, n);
	if (err != 0)
		return err;
	del_name(find(fs, from, n1));
	if (S_ISDIR(n->st.st_mode)) {
		n->parent = to;
		from->st.st_nlink--;
		to->st.st_nlink++;
	}
	return 0;
}

static void null_rename(fuse_req_t req, fuse_ino_t p1, const char *n1, fuse_ino_t p2, const char *n2, unsigned flags)
{
	lock(req);
	int err = flags ? EINVAL : move(fs_of(req), node_of(req, p1), n1, node_of(req, p2), n2);
	unlock(req);
	fuse_reply_err(req, err);
}

static void null_readlink(fuse_req_t req, fuse_ino_t ino)
{
	fuse_reply_readlink(req, node_of(req, ino)->target);
}

/* ---- listing ---- */

struct listing {
	fuse_req_t req;
	bool plus;
	char *p;
	size_t size, used;
};

/* False: it does not fit. */
static bool put_entry(struct listing *l, const char *name, const struct fuse_entry_param *e, off_t next)
{
	size_t left = l->size - l->used;
	size_t n = l->plus ? fuse_add_direntry_plus(l->req, l->p + l->used, left, name, e, next)
			   : fuse_add_direntry(l->req, l->p + l->used, left, name, &e->attr, next);
	if (n > left)
		return false;
	l->used += n;
	return true;
}

/* Cookies 1 and 2 are "." and "..". Lock held. */
static void list(struct listing *l, struct inode *dir, off_t off)
{
	struct fuse_entry_param e = { .attr = { .st_mode = S_IFDIR, .st_ino = dir->st.st_ino } };
	for (; off < 2; off++)
		put_entry(l, off == 0 ? "." : "..", &e, off + 1);
	for (struct name *n = dir->first; n; n = n->next) {
		if (n->cookie + 2 <= (uint64_t)off)
			continue;
		fill(n->node, &e);
		if (!put_entry(l, n->text, &e, (off_t)n->cookie + 2))
			break;
		n->node->lookups += l->plus;
	}
}

static void list_and_reply(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct listing l = { .req = req,
		.plus = plus,
		.p = (char *)serve_call(fs_of(req)->serve)->reply,
		.size = size < SERVE_MAX_IO ? size : SERVE_MAX_IO };
	lock(req);
	list(&l, node_of(req, ino), off);
	unlock(req);
	fuse_reply_buf(req, l.p, l.used);
}

static void null_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list_and_reply(req, ino, size, off, false);
}

static void null_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list_and_reply(req, ino, size, off, true);
}

/* ---- attributes ---- */

static void null_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	lock(req);
	struct stat st = node_of(req, ino)->st;
	unlock(req);
	fuse_reply_attr(req, &st, OPS_CACHE_SECONDS);
}

static void set_size(struct null_fs *fs, struct inode *n, off_t size)
{
	shrink(fs, n, ((size_t)size + BLOCK - 1) / BLOCK);
	if (size > n->st.st_size)
		put(n, (size_t)n->st.st_size, NULL, (size_t)(size - n->st.st_size));
	n->st.st_size = size;
	touch(n);
}

static void null_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int set, struct fuse_file_info *fi)
{
	struct inode *n = node_of(req, ino);
	(void)fi;
	lock(req);
	if (set & FUSE_SET_ATTR_MODE)
		n->st.st_mode = (n->st.st_mode & S_IFMT) | (st->st_mode & 07777);
	if (set & FUSE_SET_ATTR_UID)
		n->st.st_uid = st->st_uid;
	if (set & FUSE_SET_ATTR_GID)
		n->st.st_gid = st->st_gid;
	if (set & FUSE_SET_ATTR_SIZE)
		set_size(fs_of(req), n, st->st_size);
	if (set & FUSE_SET_ATTR_ATIME)
		n->st.st_atim = st->st_atim;
	if (set & FUSE_SET_ATTR_MTIME)
		n->st.st_mtim = st->st_mtim;
	*st = n->st;
	unlock(req);
	fuse_reply_attr(req, st, OPS_CACHE_SECONDS);
}

static void null_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs v = {
		.f_bsize = 4096, .f_frsize = 4096, .f_blocks = 1 << 24, .f_bfree = 1 << 24, .f_namemax = 255
	};
	(void)ino;
	fuse_reply_statfs(req, &v);
}

/* Nobody has any, as on a machine without SELinux and on files without ACL. */
static void null_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	(void)ino;
	(void)name;
	(void)size;
	fuse_reply_err(req, ENODATA);
}

static void null_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	(void)ino;
	if (size == 0)
		fuse_reply_xattr(req, 0);
	else
		fuse_reply_buf(req, NULL, 0);
}

/* ---- open files ---- */

static void null_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *n = node_of(req, ino);
	if (fi->flags & O_TRUNC) {
		lock(req);
		set_size(fs_of(req), n, 0);
		unlock(req);
	}
	fi->keep_cache = 1;
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
	fuse_reply_open(req, fi);
}

static void null_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	static uint8_t zeros[BLOCK];
	struct null_fs *fs = fs_of(req);
	struct inode *n = node_of(req, ino);
	struct iovec v[READ_PIECES];
	int count = 0;
	(void)fi;
	pthread_rwlock_rdlock(&fs->lock);
	size_t left = off >= n->st.st_size ? 0 : (size_t)(n->st.st_size - off);
	left = left < size ? left : size;
	while (left > 0) {
		size_t b = (size_t)off / BLOCK, at = (size_t)off % BLOCK, len = left < BLOCK - at ? left : BLOCK - at;
		v[count++] = (struct iovec){ b < n->n_blocks ? n->block[b] + at : zeros, len };
		off += (off_t)len;
		left -= len;
	}
	fuse_reply_iov(req, v, count);
	pthread_rwlock_unlock(&fs->lock);
}

static void null_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct inode *n = node_of(req, ino);
	(void)fi;
	lock(req);
	int err = grow(fs_of(req), n, ((size_t)off + size + BLOCK - 1) / BLOCK);
	if (err == 0 && off > n->st.st_size)
		put(n, (size_t)n->st.st_size, NULL, (size_t)(off - n->st.st_size));
	if (err == 0)
		put(n, (size_t)off, p, size);
	if (err == 0 && off + (off_t)size > n->st.st_size)
		n->st.st_size = off + (off_t)size;
	touch(n);
	unlock(req);
	if (err != 0)
		fuse_reply_err(req, err);
	else
		fuse_reply_write(req, size);
}

static void null_close(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

static void null_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)datasync;
	null_close(req, ino, fi);
}

/* ---- the mount ---- */

static ssize_t io_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	const struct null_fs *fs = userdata;
	return serve_writev(fs->serve, fd, iov, count);
}

static ssize_t io_read(int fd, void *p, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, p, len);
}

static void on_ended(void *ctx)
{
	(void)ctx;
	kill(getpid(), SIGTERM);
}

static void fill_table(struct fuse_lowlevel_ops *t)
{
	*t = (struct fuse_lowlevel_ops){ .init = ops_table.init, /* the same capabilities */
		.opendir = ops_table.opendir,
		.releasedir = ops_table.releasedir,
		.lookup = null_lookup,
		.forget = null_forget,
		.forget_multi = null_forget_multi,
		.getattr = null_getattr,
		.setattr = null_setattr,
		.readlink = null_readlink,
		.mknod = null_mknod,
		.mkdir = null_mkdir,
		.unlink = null_unlink,
		.rmdir = null_unlink,
		.symlink = null_symlink,
		.rename = null_rename,
		.link = null_link,
		.open = null_open,
		.create = null_create,
		.read = null_read,
		.write = null_write,
		.flush = null_close,
		.release = null_close,
		.fsync = null_fsync,
		.fsyncdir = null_fsync,
		.readdir = null_readdir,
		.readdirplus = null_readdirplus,
		.statfs = null_statfs,
		.getxattr = null_getxattr,
		.listxattr = null_listxattr };
}

static int serve(struct null_fs *fs, const char *dir)
{
	static const struct fuse_custom_io io = { .writev = io_writev, .read = io_read };
	const struct serve_events events = { .ended = on_ended, .ctx = fs };
	const struct mountpoint_options options = { .read_ahead_kib = OPS_READ_AHEAD / 1024 };
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_lowlevel_ops table;
	sigset_t ends;
	int fd, signal;
	fill_table(&table);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	if (fuse_opt_add_arg(&args, "null_fs") < 0)
		return ERR_NOMEM;
	struct fuse_session *se = fuse_session_new(&args, &table, sizeof table, fs);
	int err = se ? mountpoint_mount(dir, &options, &fd) : ERR_NOMEM;
	if (err < 0)
		return err;
	err = fuse_session_custom_io(se, &io, fd) == 0 ? serve_start(se, fd, &events, &fs->serve) : ERR_INTERNAL;
	if (err == 0) {
		puts("ready");
		fflush(stdout);
		sigwait(&ends, &signal);
	}
	(void)!mountpoint_unmount(dir, true);
	if (err == 0)
		serve_stop(fs->serve);
	fuse_session_destroy(se);
	fuse_opt_free_args(&args);
	return err;
}

int main(int argc, char **argv)
{
	static struct null_fs fs = { .lock = PTHREAD_RWLOCK_INITIALIZER };
	fs.root.st = (struct stat){ .st_ino = FUSE_ROOT_ID, .st_mode = S_IFDIR | 0755, .st_nlink = 2 };
	touch(&fs.root);
	int err = argc == 2 ? serve(&fs, argv[1]) : ERR_INVALID;
	if (err < 0)
		fprintf(stderr, "usage: null_fs MOUNT_DIR: %s\n", err_str(err));
	return err < 0;
}
