/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_oracle: where every link of a set of records is shown, computed from the whole set at once, as fusefs/tree.h
 * states the rules. What the product computes name by name must equal it.
 */
#ifndef COFFER_TESTS_LIB_TREE_ORACLE_H
#define COFFER_TESTS_LIB_TREE_ORACLE_H

#include "cache/store.h"

#define ORACLE_MAX_LINKS 3

/* The newest record of one node, as far as the tree depends on it. */
struct oracle_node {
	struct id16 id;
	enum node_kind kind;
	bool known;          /* has a record */
	bool deleted;
	uint32_t mode;
	uint64_t version;
	struct id32 author, hash;
	unsigned content;    /* equal numbers: equal content */
	size_t n_links;
	struct oracle_link {
		struct id16 id, parent, synced_parent;
		char name[NODE_MAX_NAME + 1];
	} links[ORACLE_MAX_LINKS];
};

struct oracle_shown {
	bool shown;
	struct id16 parent;  /* zero: the root */
	char name[NODE_MAX_NAME + 1];
};

/* Fills out[node][link]. */
void tree_oracle(const struct oracle_node *nodes, size_t n, struct oracle_shown (*out)[ORACLE_MAX_LINKS]);

#endif
