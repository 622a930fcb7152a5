/* SPDX-License-Identifier: Apache-2.0 */
/* verb_history: what the verbs about earlier versions share. */
#ifndef COFFER_FUSEFS_VERB_HISTORY_H
#define COFFER_FUSEFS_VERB_HISTORY_H

#include "fusefs/history.h"
#include "fusefs/verb.h"

/* With a minute to ask; call_bring_time gives it time for content. */
struct history call_history(struct call *c, struct space *s);
void call_bring_time(struct call *c, struct history *h);
/* Says why history_* failed with err. Returns err. */
int call_fail_history(struct call *c, const struct history *h, int err);

#endif
