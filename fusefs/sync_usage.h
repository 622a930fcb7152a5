/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync_usage: while the alarm of a full relay stands, asks that relay what the space takes there and how much of it is
 * history (coffer.usage), for `status`: once a minute, for somebody may be making room. An older relay does not say.
 * The numbers are the relay's word; nothing but what is shown depends on them. Sync thread only.
 *
 *	sync_usage_step(ss, now);     // each turn of a space that is live
 *	sync_usage_reset(ss);         // the connection is another, or the space goes
 */
#ifndef COFFER_FUSEFS_SYNC_USAGE_H
#define COFFER_FUSEFS_SYNC_USAGE_H

#include "fusefs/sync_inner.h"

#define USAGE_EVERY 60000000000ll /* ns */

/* Forgets what was told once the alarm has ended. */
void sync_usage_step(struct sync_space *ss, int64_t now);
void sync_usage_reset(struct sync_space *ss);

#endif
