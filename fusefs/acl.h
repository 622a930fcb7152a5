/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acl: access control lists in the form in which Linux passes them as xattrs (linux/posix_acl_xattr.h: version 2, then
 * entries of tag, permissions and id, little-endian; rules of acl(5)).
 *
 * An access list is kept as it was set, but what it says of the owner, of others and of the mask is always taken from
 * the mode when it is shown. So chmod has no list to change, and a mode and a list that two devices changed at the
 * same time agree however they meet. A list that says no more than a mode is not kept.
 *
 *	acl_check(value, &says);                  // set:     keep value if says.more, and the mode's 0777 = says.mode
 *	acl_show(kept, mode, out);                // get
 *	acl_inherit(kept_default, &mode, &more);  // create:  keep kept_default as the access list if more
 */
#ifndef COFFER_FUSEFS_ACL_H
#define COFFER_FUSEFS_ACL_H

#include <stdbool.h>
#include "base/buf.h"
#include "base/err.h"

#define ACL_MAX 4096 /* bytes; longer ones the kernel does not take back from FUSE */

struct acl_says {
	uint32_t mode; /* permission bits 0777; the group's are the mask's if there is one */
	bool more;     /* than a mode can say: it has a mask, users or groups */
};

/* Whether it is a list as acl_valid(3) wants it: one entry each for owner, group and others, the rest sorted and
 * unique, a mask if users or groups are named. ERR_INVALID. */
int acl_check(struct bytes value, struct acl_says *ret_says) MUST_CHECK;

/* Appends a list that was kept, with the permissions of `mode`. ERR_NO_DATA if it is damaged, ERR_NOMEM. */
int acl_show(struct bytes kept, uint32_t mode, struct buf *out) MUST_CHECK;

/* What a new node gets from its directory's default list: *mode, as asked for at the call and without umask, loses what
 * the list does not grant. ERR_INVALID if the list is damaged. */
int acl_inherit(struct bytes kept_default, uint32_t *mode, bool *ret_more) MUST_CHECK;

#endif
