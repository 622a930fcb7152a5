/* SPDX-License-Identifier: Apache-2.0 */
/* settle: waits until the kernel was told what was queued for it (inval.h), so that who asked for a change sees it in
 * the mounts. */
#ifndef COFFER_FUSEFS_SETTLE_H
#define COFFER_FUSEFS_SETTLE_H

#include "fusefs/agent.h"

/* At most SETTLE_MS for each mount: a notification may wait for a request that hangs. */
#define SETTLE_MS 2000

void mount_settle(struct mount *m);
void agent_settle_mounts(struct agent *a);

#endif
