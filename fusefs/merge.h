/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge: two versions of one node that follow the same version, as one. Pure: bodies in, a body out.
 *
 *	struct merged m;
 *	if ((err = merge_node(&(struct merge){ .base = .., .local = .., .remote = .. }, &m)) < 0) return err;
 *	... m.body; m.content; m.same_as_remote ...
 *	merged_release(&m);
 *
 * Field by field, three ways: who did not change a field takes the other's. Where both did, the side that is higher in
 * the tie-break (version, author) wins. Links are a set of registers, found by id: a link that one side removed and the
 * other edited stays; so does a node that one side deleted and the other edited, and one of which each side took
 * another name away. Xattrs merge by name. mtime goes with the content. Two edits of the content cannot be one here:
 * MERGE_CONTENT_BOTH, and the caller, unless both say the same, makes a conflict copy of the local one, the later of
 * the two, because it was not accepted yet.
 */
#ifndef COFFER_FUSEFS_MERGE_H
#define COFFER_FUSEFS_MERGE_H

#include "wire/record.h"

struct merge {
	const struct node_body *base;   /* NULL: nothing in common (both made the root's record) */
	const struct node_body *local, *remote;
	uint64_t local_version, remote_version;
	struct id32 local_author, remote_author;
	bool local_content;             /* the content changed here; local->form and slices are not looked at */
};

enum merge_content {
	MERGE_CONTENT_REMOTE, /* take the remote's (also if neither changed) */
	MERGE_CONTENT_LOCAL,  /* keep what is here */
	MERGE_CONTENT_BOTH    /* take the remote's, keep a copy of what is here */
};

struct merged {
	struct node_body body; /* all but content and size if content is local; links and xattrs are its own arrays */
	enum merge_content content;
	bool same_as_remote;   /* nothing of the local side is left to send */
	bool revived;          /* the local side had deleted it, and it lives */
};

int merge_node(const struct merge *in, struct merged *ret_m) MUST_CHECK;
void merged_release(struct merged *m);

#endif
