/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree: where each link of a space is shown. A pure function of the links' registers (parent, name) and of their nodes'
 * versions, computed incrementally: only names touched, and the ancestors' paths, are looked at.
 *
 *	struct tree tr = TREE_INIT(t, &state, root_ino, &device);   // within a store transaction
 *	tree_set_links(&tr, &node, links, n);                 // after the node's row was written
 *	tree_touch(&tr, parent, name);                        // somebody else freed or took a name
 *	tree_settle(&tr);                                     // link rows' shown_* are right again
 *	... store_commit ... tree_state_keep / tree_state_drop ... use tr.inv ... tree_release(&tr);
 *
 * The rules (tests/lib has the whole-set function that this must equal):
 *   - Links of tombstones are not shown, but a deleted directory is while something live is below it.
 *   - Directories of one name in one place unite: the lowest id shows, the others' children are shown in it.
 *   - Files of one name, kind, mode and content unite: the one lowest in rank shows. Of the 64 lowest alone, and with
 *     one of the 8 lowest that differ: what a member may make long must not make everybody wait.
 *   - Otherwise the lowest in rank keeps the name; the others are shown as `name (xxxxxxxx).ext` from their link id.
 *   - In a cycle of directories the link whose node is lowest in rank falls back to its synced parent if that leads to
 *     the root by registers alone, else to the root.
 *   - What lies under a node that has not arrived, or that is no directory, is not reachable until that changes.
 * Rank is (version, author device, record hash); a node with local changes ranks as the version it will become.
 */
#ifndef COFFER_FUSEFS_TREE_H
#define COFFER_FUSEFS_TREE_H

#include "cache/store.h"
#include "fusefs/mount.h"

/* What cannot be read off single rows. Kept in meta under "tree/ROW"; in memory between transactions. */
struct tree_state {
	uint32_t space;
	struct tree_union {
		uint64_t dir, rep; /* dir is hidden, its children are shown in rep */
	} *unions;
	size_t n_unions;
	struct tree_broken {
		struct id16 link;
		uint64_t dir, parent; /* the directory, and where its link falls back to */
	} *broken;
	size_t n_broken;
};

int tree_state_load(struct store_txn *t, uint32_t space, struct tree_state *ret_s) MUST_CHECK;
void tree_state_release(struct tree_state *s);

struct tree {
	struct store_txn *t;
	/* 1 if two nodes hold the same content by their records, neither changed here; 0; negative: an error. NULL:
	 * never. */
	int (*same_content)(void *ctx, struct store_txn *t, const struct node *a, const struct node *b);
	/* Sets the last links of a deleted directory whose link row is gone (tree_set_links, from its record): a
	 * deleted directory keeps its row only while something live is in it. NULL: never. */
	int (*last_links)(void *ctx, struct tree *tr, const struct node *dir);
	void *ctx;
	struct tree_state *state; /* changed in place; after an abort load it again */
	uint64_t root;
	struct id32 device;
	struct tree_name {
		uint64_t parent;
		uint8_t len;
		char name[NODE_MAX_NAME + 1];
	} *touched;
	size_t n_touched, alloc_touched, settled; /* those before `settled` are done with */
	struct invalidation *inv;
	size_t n_inv, alloc_inv;
	uint64_t *moved;      /* directories whose cycles are to be looked at */
	size_t n_moved, alloc_moved;
	bool walking;
	bool state_changed;
	unsigned depth;
};

#define TREE_INIT(t_, state_, root_, device_) { .t = (t_), .state = (state_), .root = (root_), .device = *(device_) }

/* Makes the link rows of a node those of `links` (their parents by id; unknown ones get a placeholder row). */
int tree_set_links(struct tree *tr, const struct node *node, const struct node_link *links, size_t n) MUST_CHECK;
/* A name in the register sense: something about it may be other than shown. */
int tree_touch(struct tree *tr, uint64_t parent, struct bytes name) MUST_CHECK;
/* The rank of a node changed, nothing else of it, which may decide names and cycles: touches only what others claim
 * too, so it costs little. */
int tree_touch_contested(struct tree *tr, uint64_t ino) MUST_CHECK;
/* The record of a node that had a placeholder came: if it is no directory, what was put under it is not reachable any
 * more. */
int tree_arrived(struct tree *tr, const struct node *node) MUST_CHECK;
/* A directory's register was changed by local calls. */
int tree_dir_moved(struct tree *tr, uint64_t dir) MUST_CHECK;
int tree_settle(struct tree *tr) MUST_CHECK;
void tree_release(struct tree *tr);

/* Adds to the list of what mounts must be told: an entry, or (name empty) a node. */
int tree_invalidate(struct tree *tr, uint64_t ino, uint64_t child, struct bytes name) MUST_CHECK;

/* The node of an id, or a placeholder row made for it. */
int tree_node_of(struct tree *tr, const struct id16 *id, struct node *ret_node) MUST_CHECK;

/* The name of a loser: `name (HEX).ext` with the first `digits` of the link id's hex, at most NODE_MAX_NAME bytes, cut
 * at a UTF-8 boundary. */
void tree_other_name(
	struct bytes name, const struct id16 *link, unsigned digits, char out[NODE_MAX_NAME + 1], uint8_t *ret_len);

/* <0, 0, >0 by rank; `device` stands for this device where a node has local changes. */
int tree_rank(const struct node *a, const struct node *b, const struct id32 *device);

#endif
