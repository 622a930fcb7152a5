/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image: one node as it stands in the store at one moment, as the body of a record but for its content.
 *
 *	CLEANUP(image_release) struct image img = IMAGE_INIT;
 *	if ((err = image_load(t, ino, &img)) < 0) return err;      // within a transaction
 *	... content_...(&img) fills img.body's content (fusefs/content.h), outside of it ...
 *
 * Byte views of the body point into the image's memory.
 */
#ifndef COFFER_FUSEFS_IMAGE_H
#define COFFER_FUSEFS_IMAGE_H

#include "cache/store.h"

struct image {
	struct node node;
	struct node_body body;   /* arrays belong to the image */
	struct extent *extents;
	size_t n_extents;
	struct link *links;      /* rows behind body.links, same order */
	size_t n_links;
	struct buf target, xattrs;
	uint8_t inline_data[NODE_INLINE_MAX];
	uint8_t *profile;        /* inline content of a NODE_PROFILE node */
};

#define IMAGE_INIT { .target = BUF_INIT(NODE_MAX_TARGET), .xattrs = BUF_INIT(2 * NODE_MAX_XATTR_BYTES + 512 * 1024) }

/* A tombstone's body (node.flags & NODE_DELETED) has no links: whoever seals adds the last ones. */
int image_load(struct store_txn *t, uint64_t ino, struct image *ret_img) MUST_CHECK;
void image_release(struct image *img);

/* Sets the fields of a node row that a body has, too. */
void image_node_of_body(const struct node_body *b, struct node *n);

#endif
