/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_inner: what tree.c (registers, worklist), tree_name.c (one name's group), tree_cycle.c (cycles) and tree_state.c
 * share.
 */
#ifndef COFFER_FUSEFS_TREE_INNER_H
#define COFFER_FUSEFS_TREE_INNER_H

#include "fusefs/tree.h"

#define TREE_MAX_DEPTH 4096 /* of a path: deeper ones are taken as not leading to the root */

/* The directory that shows the children of `dir`: itself, or the one it is united with. */
uint64_t tree_rep(const struct tree *tr, uint64_t dir);
/* Where a link stands: its register's parent, or where a cycle made it fall back to. */
uint64_t tree_parent_of(const struct tree *tr, const struct link *l);
int tree_put_link(struct tree *tr, const struct link *was, const struct link *now) MUST_CHECK;
int tree_settle_name(struct tree *tr, const struct tree_name *n) MUST_CHECK;

/* All that stands in `dir` by register is to be looked at again, as shown in `rep`. */
int tree_touch_children(struct tree *tr, uint64_t dir, uint64_t rep) MUST_CHECK;

int tree_state_put(struct store_txn *t, const struct tree_state *s) MUST_CHECK;
/* rep == dir takes the union away. */
int tree_state_unite(struct tree_state *s, uint64_t dir, uint64_t rep) MUST_CHECK;

#endif
