/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/owners.h"
#include <string.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

void owners_init(struct owners *o, const struct mount_config *config)
{
	o->config = config;
	o->uid = config->has_uid ? config->uid : geteuid();
	o->gid = config->has_gid ? config->gid : getegid();
	o->keep = config->owners_keep || geteuid() == 0;
}

static bool own_person(const struct owners *o, const struct node *n)
{
	return id32_equal(&n->owner, &o->config->person);
}

bool owners_trusted(const struct owners *o, const struct node *n)
{
	if (!own_person(o, n))
		return false;
	if (id32_is_zero(&n->author))
		return true; /* made here, not synced yet */
	return o->config->own_device && o->config->own_device(o->config->ctx, &n->author);
}

bool owners_as_stored(const struct owners *o, const struct node *n)
{
	return o->keep && owners_trusted(o, n);
}

bool owners_xattr(const struct owners *o, const struct node *n, const char *name)
{
	return strncmp(name, "user.", 5) == 0 || owners_trusted(o, n);
}

static mode_t type_of(enum node_kind kind)
{
	switch (kind) {
	case NODE_DIR:
		return S_IFDIR;
	case NODE_SYMLINK:
		return S_IFLNK;
	case NODE_FIFO:
		return S_IFIFO;
	case NODE_SOCKET:
		return S_IFSOCK;
	case NODE_CHAR:
		return S_IFCHR;
	case NODE_BLOCK:
		return S_IFBLK;
	case NODE_FILE:
	case NODE_PROFILE:
		break;
	}
	return S_IFREG;
}

static struct timespec time_of(int64_t ns)
{
	int64_t s = ns / NS_PER_S, rest = ns % NS_PER_S;

	if (rest < 0) {
		s--;
		rest += NS_PER_S;
	}
	return (struct timespec){ .tv_sec = s, .tv_nsec = (long)rest };
}

void owners_stat(const struct owners *o, const struct node *n, struct stat *ret_st)
{
	bool stored = owners_as_stored(o, n);
	bool raises = (n->mode & 06000) || n->kind == NODE_CHAR || n->kind == NODE_BLOCK;
	bool trusted = !raises || owners_trusted(o, n);
	uint32_t mode = n->ino == STORE_ROOT_INO ? 0755 : n->mode; /* who may mount may make spaces */

	if ((n->flags & NODE_ACL) && !owners_trusted(o, n))
		mode &= ~(uint32_t)S_IRWXG; /* they are a mask of what users and groups elsewhere may */

	*ret_st = (struct stat){
		.st_ino = n->ino,
		.st_mode = type_of(n->kind) | (mode & (trusted ? 07777 : 01777)),
		.st_nlink = n->nlink,
		.st_uid = stored ? n->uid : o->uid,
		.st_gid = stored ? n->gid : o->gid,
		.st_rdev = trusted ? (dev_t)n->rdev : 0,
		.st_size = (off_t)n->size,
		.st_blksize = 4096,
		.st_blocks = (blkcnt_t)((n->allocated + 511) / 512),
		.st_atim = time_of(n->atime),
		.st_mtim = time_of(n->mtime),
		.st_ctim = time_of(n->ctime),
	};
}
