/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes. The kernel has checked permissions (default_permissions); here stands what it cannot know: whose owner
 * and group can be changed at all (owners.h), and what a change of size or owner clears.
 */
#include "fusefs/ops.h"
#include <sys/stat.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	struct node n;

	(void)fi;
	int err = store_getattr(o->config.store, ops_ino(o, ino), &n);
	ops_reply_attr(req, err, &n);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* Nanoseconds since 1970 as far as 64 bits reach (the years 1678 to 2261). */
static int64_t ns_of(const struct timespec *ts)
{
	int64_t ns;

	if (__builtin_mul_overflow((int64_t)ts->tv_sec, NS_PER_S, &ns) || __builtin_add_overflow(ns, ts->tv_nsec, &ns))
		return ts->tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

static unsigned times_of(const struct stat *st, int to_set, struct node *attr)
{
	unsigned mask = 0;

	if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW)) {
		mask |= ATTR_ATIME;
		attr->atime = to_set & FUSE_SET_ATTR_ATIME_NOW ? now_ns() : ns_of(&st->st_atim);
	}
	if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) {
		mask |= ATTR_MTIME;
		attr->mtime = to_set & FUSE_SET_ATTR_MTIME_NOW ? now_ns() : ns_of(&st->st_mtim);
	}
	if (to_set & FUSE_SET_ATTR_CTIME) {
		mask |= ATTR_CTIME;
		attr->ctime = ns_of(&st->st_ctim);
	}
	return mask;
}

/* The owner and group of a node that does not show as stored cannot change; setting them to what shows is no change.
 *  */
static int owner_of(
	const struct ops *o, const struct node *n, const struct stat *st, int to_set, struct node *attr, unsigned *mask)
{
	int asked = to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID);

	if (!asked)
		return 0;
	if (!owners_as_stored(&o->owners, n)) {
		if ((asked & FUSE_SET_ATTR_UID && st->st_uid != o->owners.uid) ||
			(asked & FUSE_SET_ATTR_GID && st->st_gid != o->owners.gid))
			return ERR_PERMISSION;
		*mask |= ATTR_CTIME;
		attr->ctime = now_ns();
		return 0;
	}
	if (asked & FUSE_SET_ATTR_UID) {
		*mask |= ATTR_UID;
		attr->uid = st->st_uid;
	}
	if (asked & FUSE_SET_ATTR_GID) {
		*mask |= ATTR_GID;
		attr->gid = st->st_gid;
	}
	return 0;
}

static int do_setattr(struct ops *o, uint64_t ino, const struct stat *st, int to_set, struct node *n)
{
	struct node attr = { 0 };
	unsigned mask = times_of(st, to_set, &attr);
	bool kill = ops_kills_privileges(o);
	int err = 0;

	if (ops_is_top(ino))
		return ERR_PERMISSION;
	if (to_set & FUSE_SET_ATTR_MODE) {
		mask |= ATTR_MODE;
		attr.mode = st->st_mode & 07777;
	}
	if (to_set & FUSE_SET_ATTR_SIZE) {
		mask |= ATTR_SIZE;
		attr.size = (uint64_t)st->st_size;
	}
	if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) {
		err = store_getattr(o->config.store, ino, n);
		if (err == 0)
			err = owner_of(o, n, st, to_set, &attr, &mask);
	}
	if (err == 0)
		err = store_setattr(o->config.store, ino, mask, &attr, n);
	if (err == 0 && kill)
		err = ops_kill_privileges(o, n, false);
	return err;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set, struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	struct node n;

	(void)fi;
	int err = do_setattr(o, ops_ino(o, ino), st, to_set, &n);
	ops_reply_attr(req, err, &n);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct ops *o = ops_of(req);
	struct store_stat s;

	(void)ino;
	int err = store_stat(o->config.store, &s);
	if (err < 0) {
		ops_reply_err(req, err);
		return;
	}
	struct statvfs v = {
		.f_bsize = 4096,
		.f_frsize = 4096,
		.f_blocks = s.total_bytes / 4096,
		.f_bfree = s.free_bytes / 4096,
		.f_bavail = s.free_bytes / 4096,
		.f_files = s.nodes + s.free_bytes / 4096,
		.f_ffree = s.free_bytes / 4096,
		.f_favail = s.free_bytes / 4096,
		.f_namemax = NODE_MAX_NAME,
	};
	fuse_reply_statfs(req, &v);
}
