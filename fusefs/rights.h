/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rights: takes from a version what its author had no right to give (owners.h says whose count).
 *
 * What another person's device wrote shows without effect while it is the author. Once an own device writes the node
 * again, it becomes the author: so whatever it seals, merges into or copies from such a version is stripped first.
 * These go: set-user-ID and set-group-ID, device numbers, every xattr outside of user., and uid and gid, which become
 * those of this process, as for a file that it makes. An access list's mode loses the group's bits, which were the
 * list's mask. All of it is a function of the version, not of what was here before: rows are as their records say until
 * then, and all devices agree on the tree.
 */
#ifndef COFFER_FUSEFS_RIGHTS_H
#define COFFER_FUSEFS_RIGHTS_H

#include "cache/store.h"

/* The mode without what raises rights. acl: the node has a list that is left out. */
uint32_t rights_mode(uint32_t mode, bool acl);

/* Strips a body in place; its array of xattrs gets shorter. A tombstone has a mode only. */
void rights_strip(struct node_body *b);

/* Strips a node's row and xattrs; *n as txn_node_get gave it, and afterwards as it stands there. */
int rights_strip_row(struct store_txn *t, struct node *n) MUST_CHECK;

#endif
