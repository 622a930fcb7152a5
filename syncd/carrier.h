/* SPDX-License-Identifier: Apache-2.0 */
/*
 * carrier: feeds the engine with what happens and carries out what it asks for: the place where sockets, clock, session
 * key and transports meet. One thread; it holds sealed bytes only and nothing on disk.
 */
#ifndef COFFER_SYNCD_CARRIER_H
#define COFFER_SYNCD_CARRIER_H

#include "base/env.h"

struct carrier;

/* `fd` is the socket to coffer-fs (taken). Sends HELLO. env outlives it. ERR_NOMEM, ERR_IO, ERR_INTERNAL. */
int carrier_new(const struct env *env, int fd, struct carrier **ret_c) MUST_CHECK;
void carrier_free(struct carrier *c); /* NULL is fine */

/* Serves until coffer-fs closes the socket (OK) or something that cannot go on happens (the error). */
int carrier_run(struct carrier *c) MUST_CHECK;

#endif
