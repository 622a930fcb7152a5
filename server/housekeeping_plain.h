/* SPDX-License-Identifier: Apache-2.0 */
/*
 * housekeeping_plain: the plain protocol's part of housekeeping: letters that expired and deeds that no limit counts
 * any more.
 */
#ifndef COFFER_SERVER_HOUSEKEEPING_PLAIN_H
#define COFFER_SERVER_HOUSEKEEPING_PLAIN_H

#include "base/err.h"

struct relay;

/* In the writer's transaction; HOUSEKEEPING_MANY of each or more: there may be more. */
int housekeeping_plain(struct relay *r) MUST_CHECK;

#endif
