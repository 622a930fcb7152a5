/* SPDX-License-Identifier: Apache-2.0 */
/*
 * housekeeping_plain: the plain protocol's part of housekeeping: letters that expired, deeds that no limit counts any more, and
 * the objects of files that are gone, an hour later, so that downloads under way end well.
 */
#ifndef COFFER_SERVER_HOUSEKEEPING_PLAIN_H
#define COFFER_SERVER_HOUSEKEEPING_PLAIN_H

#include <stddef.h>
#include "base/err.h"

struct relay;

/* In the writer's transaction; *ret_n: objects removed, at most HOUSEKEEPING_OBJECTS, when there may be more. */
#define HOUSEKEEPING_OBJECTS 200
int housekeeping_plain(struct relay *r, size_t *ret_n) MUST_CHECK;

#endif
