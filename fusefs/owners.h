/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owners: what of a node's owner, group and mode applies on this machine (design: "Between people").
 *
 * Nodes that the own person owns and one of the own devices wrote show as stored if the mount keeps owners (runs as
 * root, or owners_keep), else as the mounting user's. All others always show as the mounting user's, or those of
 * -o uid=,gid=. Setuid, setgid, device numbers, security.* and trusted.* xattrs and access control lists have effect
 * only on the former. What another's device gave does not get effect by an own change afterwards (rights.h).
 */
#ifndef COFFER_FUSEFS_OWNERS_H
#define COFFER_FUSEFS_OWNERS_H

#include <sys/stat.h>
#include "fusefs/mount.h"

struct owners {
	const struct mount_config *config;
	uint32_t uid, gid; /* shown for what does not show as stored */
	bool keep;         /* own nodes show as stored */
};

void owners_init(struct owners *o, const struct mount_config *config);

/* Whether uid and gid of the node show, and can be changed, as stored. */
bool owners_as_stored(const struct owners *o, const struct node *n);
/* Whether what could raise rights has effect. */
bool owners_trusted(const struct owners *o, const struct node *n);
/* Whether an xattr of this name can be seen and set on the node at all. */
bool owners_xattr(const struct owners *o, const struct node *n, const char *name);

/* The node as stat(2) shows it. */
void owners_stat(const struct owners *o, const struct node *n, struct stat *ret_st);

#endif
