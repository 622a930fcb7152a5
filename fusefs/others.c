/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/others.h"
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>

/* Where the names of a request begin, if it has any: behind its arguments. */
static size_t args_size(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_MKNOD:
		return sizeof(struct fuse_mknod_in);
	case FUSE_MKDIR:
		return sizeof(struct fuse_mkdir_in);
	case FUSE_CREATE:
		return sizeof(struct fuse_create_in);
	case FUSE_LINK:
		return sizeof(struct fuse_link_in);
	case FUSE_RENAME:
		return sizeof(struct fuse_rename_in);
	case FUSE_RENAME2:
		return sizeof(struct fuse_rename2_in);
	default:
		return 0;
	}
}

/* The name at *at, which is moved behind it. "/" is that of a file without one (serve.c). */
static size_t add_entry(uint64_t dir, const char *request, size_t len, size_t *at, struct invalidation *ret)
{
	const char *name = request + *at;
	size_t n = *at < len ? strnlen(name, len - *at) : 0;

	if (n == 0 || n > NODE_MAX_NAME || *at + n == len || name[0] == '/')
		return 0;
	*at += n + 1;
	ret->ino = dir;
	ret->child = 0;
	ret->name_len = (uint8_t)n;
	memcpy(ret->name, name, n + 1);
	return 1;
}

static size_t add_node(uint64_t ino, struct invalidation *ret)
{
	ret->ino = ino;
	ret->child = 0;
	ret->name_len = 0;
	return 1;
}

static bool cuts(const void *arg)
{
	return ((const struct fuse_open_in *)arg)->flags & O_TRUNC;
}

size_t others_of(const void *request, size_t len, struct invalidation ret[OTHERS_MOST])
{
	const struct fuse_in_header *h = request;
	const void *arg = h + 1;
	size_t n, at = sizeof *h + args_size(h->opcode);

	switch (h->opcode) {
	case FUSE_WRITE:
	case FUSE_SETATTR:
	case FUSE_FALLOCATE:
	case FUSE_SETXATTR:
	case FUSE_REMOVEXATTR:
		return add_node(h->nodeid, ret);
	case FUSE_OPEN:
		return len >= sizeof *h + sizeof(struct fuse_open_in) && cuts(arg) ? add_node(h->nodeid, ret) : 0;
	case FUSE_COPY_FILE_RANGE:
		if (len < sizeof *h + sizeof(struct fuse_copy_file_range_in))
			return 0;
		return add_node(((const struct fuse_copy_file_range_in *)arg)->nodeid_out, ret);
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_CREATE:
	case FUSE_UNLINK:
	case FUSE_RMDIR:
		return add_entry(h->nodeid, request, len, &at, ret);
	case FUSE_LINK:
		n = add_entry(h->nodeid, request, len, &at, ret);
		return n == 0 ? 0 : n + add_node(((const struct fuse_link_in *)arg)->oldnodeid, ret + n);
	case FUSE_RENAME:
	case FUSE_RENAME2:
		n = add_entry(h->nodeid, request, len, &at, ret);
		return n == 0 ? 0
			      : n + add_entry(((const struct fuse_rename_in *)arg)->newdir, request, len, &at, ret + n);
	default:
		return 0;
	}
}
