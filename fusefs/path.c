/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/path.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

enum { PATH_OF_MAX = 1 << 16 };

/* The mount whose directory is the longest prefix of path; the rest of the path after it. */
static int find_mount(struct agent *a, struct bytes path, uint64_t *ret_root, struct bytes *ret_rest)
{
	size_t best = 0;

	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->n_mounts; i++) {
		size_t n = strlen(a->mounts[i].dir);
		if (n < best || n > path.len || memcmp(path.p, a->mounts[i].dir, n) != 0 ||
			(n < path.len && path.p[n] != '/'))
			continue;
		best = n;
		*ret_root = a->mounts[i].root_ino;
		*ret_rest = bytes_of(path.p + n, path.len - n);
	}
	pthread_mutex_unlock(&a->lock);
	return best ? OK : ERR_CONTEXT;
}

int path_below(struct store *s, uint64_t ino, struct bytes path, struct node *ret_node)
{
	struct node node;

	int err = store_getattr(s, ino, &node);
	while (err == OK && path.len > 0) {
		const uint8_t *slash = memchr(path.p, '/', path.len);
		size_t n = slash ? (size_t)(slash - path.p) : path.len;
		struct bytes name = bytes_of(path.p, n);
		path = bytes_of(path.p + n + (slash ? 1 : 0), path.len - n - (slash ? 1 : 0));
		if (n > 0)
			err = store_lookup(s, node.ino, name, &node);
	}
	if (err == OK)
		*ret_node = node;
	return err;
}

int path_find(struct agent *a, struct bytes path, struct node *ret_node)
{
	struct bytes rest;
	uint64_t root;

	int err = find_mount(a, path, &root, &rest);
	return err < 0 ? err : path_below(a->store, root, rest, ret_node);
}

/* One link that shows the node. */
static int shown_link(struct store_txn *t, uint64_t ino, struct link *ret)
{
	struct link *links;
	size_t n;

	int err = txn_links_of(t, ino, &links, &n);
	if (err < 0)
		return err;
	err = ERR_NOT_FOUND;
	for (size_t i = 0; err < 0 && i < n; i++) {
		if (links[i].shown_parent != 0) {
			*ret = links[i];
			err = OK;
		}
	}
	free(links);
	return err;
}

/* Names are put in front of each other, up to the list of spaces. */
int path_of(struct store *s, uint64_t ino, struct buf *out)
{
	char path[PATH_OF_MAX];
	size_t at = sizeof path;
	struct store_txn *t;
	struct link l;

	int err = store_begin(s, &t);
	if (err < 0)
		return err;
	while (err == OK && ino != STORE_ROOT_INO && (err = shown_link(t, ino, &l)) == OK) {
		if (at < l.shown_len + 1u) {
			err = ERR_RANGE;
			break;
		}
		if (at < sizeof path)
			path[--at] = '/';
		at -= l.shown_len;
		memcpy(path + at, l.shown, l.shown_len);
		ino = l.shown_parent;
	}
	store_abort(&t);
	return err < 0 ? err : buf_put(out, path + at, sizeof path - at);
}

struct ino_list {
	uint64_t *inos;
	size_t n, alloc;
	int err;
};

static int note_child(void *ctx, struct bytes name, uint64_t cookie, const struct node *node)
{
	struct ino_list *l = ctx;

	(void)name;
	(void)cookie;
	uint64_t *more = array_room(l->inos, &l->alloc, l->n + 1, sizeof *more);
	if (!more) {
		l->err = ERR_NOMEM;
		return 0;
	}
	l->inos = more;
	l->inos[l->n++] = node->ino;
	return 1;
}

/* A stack of inodes instead of recursion: depth is bounded by memory alone. */
int path_walk(struct store *s, const struct node *node, int (*fn)(void *ctx, const struct node *node), void *ctx)
{
	struct ino_list stack = { 0 };
	struct node at = *node;
	int err;

	for (;;) {
		err = fn(ctx, &at);
		if (err >= 0 && at.kind == NODE_DIR)
			err = store_readdir(s, at.ino, 0, note_child, &stack);
		if (err >= 0)
			err = stack.err;
		if (err < 0)
			break;
		do {
			if (stack.n == 0) {
				free(stack.inos);
				return OK;
			}
			err = store_getattr(s, stack.inos[--stack.n], &at);
		} while (err == ERR_NOT_FOUND); /* went meanwhile */
		if (err < 0)
			break;
	}
	free(stack.inos);
	return err;
}
