/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path: nodes by the paths that people type, and the paths of nodes. Works on the store alone: the agent never looks
 * into its own mount.
 */
#ifndef COFFER_FUSEFS_PATH_H
#define COFFER_FUSEFS_PATH_H

#include "fusefs/agent.h"

/* The node at an absolute path below one of the agent's mounts. ERR_CONTEXT: it is below none. ERR_NOT_FOUND: there is
 * no such entry. */
int path_find(struct agent *a, struct bytes path, struct node *ret_node) MUST_CHECK;

/* The node at a path below a folder; that of an empty path is the folder. ERR_NOT_FOUND; ERR_NOT_DIR. */
int path_below(struct store *s, uint64_t ino, struct bytes path, struct node *ret_node) MUST_CHECK;

/* Appends the path of a node below the list of spaces, without a slash before: "Photos/2026/a.jpg"; of several names
 * the first. ERR_NOT_FOUND: nothing shows it. */
int path_of(struct store *s, uint64_t ino, struct buf *out) MUST_CHECK;

/* Calls fn for a node and, if it is a directory, for everything below it, until fn returns an error, which is
 * returned. */
int path_walk(
	struct store *s, const struct node *node, int (*fn)(void *ctx, const struct node *node), void *ctx) MUST_CHECK;

#endif
