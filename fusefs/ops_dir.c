/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory listings. The kernel's position is the store's cookie plus 2; 0 and 1 are "." and "..". A listing holds
 * no state here, so opendir and releasedir are spared altogether (FUSE_NO_OPENDIR_SUPPORT), and the kernel caches
 * what it read.
 */
#include "fusefs/ops.h"
#include <errno.h>

#define FIRST_COOKIE 2

struct listing {
	fuse_req_t req;
	const struct ops *o;
	bool plus;
	char *p;
	size_t size, used;
};

/* Adds one entry; false if it does not fit. `name` ends with a NUL. */
static bool put(struct listing *l, const char *name, off_t next, const struct fuse_entry_param *e)
{
	size_t left = l->size - l->used, n;

	if (l->plus)
		n = fuse_add_direntry_plus(l->req, l->p + l->used, left, name, e, next);
	else
		n = fuse_add_direntry(l->req, l->p + l->used, left, name, &e->attr, next);
	if (n > left)
		return false;
	l->used += n;
	return true;
}

static int add(void *ctx, struct bytes name, uint64_t cookie, const struct node *node)
{
	struct listing *l = ctx;
	struct fuse_entry_param e;
	char text[NODE_MAX_NAME + 1];

	memcpy(text, name.p, name.len);
	text[name.len] = '\0';
	ops_fill_entry(l->o, node, &e);
	return put(l, text, (off_t)(cookie + FIRST_COOKIE), &e);
}

/* "." and "..", which the kernel takes as names and numbers only. */
static bool put_dots(struct listing *l, uint64_t dir, uint64_t parent, off_t off)
{
	struct fuse_entry_param e = { .attr = { .st_ino = dir, .st_mode = S_IFDIR } };

	if (off == 0 && !put(l, ".", 1, &e))
		return false;
	e.attr.st_ino = parent;
	return off > 1 || put(l, "..", FIRST_COOKIE, &e);
}

static int do_readdir(struct listing *l, uint64_t dir, off_t off)
{
	uint64_t parent = dir;
	int err;

	if (off < 0)
		return ERR_INVALID;
	if (off < FIRST_COOKIE) {
		if (!ops_is_top(dir) && dir != l->o->config.root_ino) {
			err = store_parent(l->o->config.store, dir, &parent);
			if (err < 0)
				return err;
		}
		if (!put_dots(l, dir, parent, off))
			return 0;
		off = FIRST_COOKIE;
	}
	return store_readdir(l->o->config.store, dir, (uint64_t)off - FIRST_COOKIE, add, l);
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct ops *o = ops_of(req);
	const struct serve_call *call = serve_call(o->serve);
	struct listing l = { .req = req,
		.o = o,
		.plus = plus,
		.p = (char *)call->reply,
		.size = size < SERVE_MAX_IO ? size : SERVE_MAX_IO };
	int err = do_readdir(&l, ops_ino(o, ino), off);

	if (err < 0)
		ops_reply_err(req, err);
	else
		fuse_reply_buf(req, l.p, l.used);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, true);
}

/* ENOSYS: the kernel sends no more of these, and caches listings. */
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	ops_reply_err(req, store_sync(ops_of(req)->config.store));
}
