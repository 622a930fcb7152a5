/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cut: whether an entry that takes rights away lets the cut in it stand where the space stands.
 *
 * Readers count what the losing devices wrote up to the cut. What these push between the cut and the entry would be
 * seen by who pulled it in time and refused by who comes later, so such an entry has to be made anew over a newer cut
 * (`conflict`), and for CUT_HOLD_S seconds those devices push nothing more, nor does anybody for them (`rate_limited`):
 * else who pushes without pause could never be removed. While they are held, only what came before counts, however much
 * others push.
 *
 * Writer thread only, within its transaction. Holds are this process's: a device that is held may push at another relay
 * of the same database, and then the entry is made anew again.
 */
#ifndef COFFER_SERVER_CUT_H
#define COFFER_SERVER_CUT_H

#include "server/spaces.h"
#include "wire/entry.h"

#define CUT_HOLD_S 10
#define CUT_MAX_VERSIONS 4000 /* looked at: who is further behind makes the entry anew in any case */

/* These entries lead from the log `before` to `after`. 0: each cut may stand; 1: a losing device pushed after it, or
 * may have, and all that lose rights are held. `now`: monotonic ns. */
int cut_overtaken(struct depot *store, struct space *sp, const struct depot_space *row, const struct log *before,
	const struct log *after, const struct entry *entries, size_t n, int64_t now) MUST_CHECK;

#endif
