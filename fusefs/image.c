/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/image.h"

#include <stdlib.h>

#define NS 1000000000ll

/* The fields that a node row and a body share; image_node_of_body is the way back. */
static void body_of_node(const struct node *n, struct node_body *b)
{
	*b = (struct node_body){ .kind = n->kind, .mode = n->mode };
	b->deleted = (n->flags & NODE_DELETED) != 0;
	if (b->deleted)
		return;
	int64_t sec = n->mtime / NS, nsec = n->mtime % NS;
	if (nsec < 0) {
		nsec += NS;
		sec--;
	}
	b->owner = n->owner;
	b->uid = n->uid;
	b->gid = n->gid;
	b->mtime_sec = sec;
	b->mtime_nsec = (uint32_t)nsec;
	b->rdev = n->rdev;
	if (n->kind == NODE_FILE || n->kind == NODE_PROFILE)
		b->size = n->size;
}

void image_node_of_body(const struct node_body *b, struct node *n)
{
	n->kind = b->kind;
	n->mode = b->mode;
	if (b->deleted) {
		n->flags |= NODE_DELETED | NODE_TOMBSTONE;
		return;
	}
	n->flags &= ~(uint32_t)(NODE_DELETED | NODE_TOMBSTONE);
	n->owner = b->owner;
	n->uid = b->uid;
	n->gid = b->gid;
	/* Times that 64-bit nanoseconds cannot hold (beyond the years 1678 and 2262) stand at the ends. */
	if (b->mtime_sec >= INT64_MAX / NS)
		n->mtime = INT64_MAX;
	else if (b->mtime_sec <= INT64_MIN / NS)
		n->mtime = INT64_MIN;
	else
		n->mtime = b->mtime_sec * NS + b->mtime_nsec;
	n->rdev = b->rdev;
	n->size = b->kind == NODE_SYMLINK ? b->target.len : b->size;
}

static int load_links(struct store_txn *t, struct image *img)
{
	/* The root's link is the space's local name: no part of the space. */
	int err = id16_is_zero(&img->node.id) ? OK : txn_links_of(t, img->node.ino, &img->links, &img->n_links);

	if (err < 0 || img->n_links == 0)
		return err;
	img->body.links = calloc(img->n_links, sizeof *img->body.links);
	if (!img->body.links)
		return ERR_NOMEM;
	for (size_t i = 0; i < img->n_links; i++) {
		const struct link *l = &img->links[i];
		struct node_link *out = &img->body.links[i];
		struct node parent;

		err = txn_node_get(t, l->parent, &parent);
		if (err < 0)
			return err;
		out->id = l->id;
		out->parent = parent.id;
		out->synced_parent = l->synced_parent;
		out->name = bytes_of(l->name, l->name_len);
	}
	img->body.n_links = img->n_links;
	return OK;
}

int image_load(struct store_txn *t, uint64_t ino, struct image *img)
{
	image_release(img);
	int err = txn_node_get(t, ino, &img->node);
	if (err < 0)
		return err;
	body_of_node(&img->node, &img->body);
	if (img->body.deleted)
		return OK;
	err = load_links(t, img);
	if (err == OK)
		err = txn_xattrs(t, ino, &img->body.xattrs, &img->body.n_xattrs, &img->xattrs);
	if (err == OK && img->node.kind == NODE_SYMLINK) {
		err = txn_node_target(t, ino, &img->target);
		img->body.target = buf_bytes(&img->target);
	}
	if (err == OK && (img->node.kind == NODE_FILE || img->node.kind == NODE_PROFILE))
		err = txn_extents(t, ino, &img->extents, &img->n_extents);
	return err;
}

void image_release(struct image *img)
{
	node_body_release(&img->body);
	free(img->extents);
	free(img->links);
	free(img->profile);
	buf_release(&img->target);
	buf_release(&img->xattrs);
	img->extents = NULL;
	img->links = NULL;
	img->profile = NULL;
	img->n_extents = img->n_links = 0;
}
