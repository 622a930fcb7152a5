/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space_make: makes and renames spaces of the running agent, without waiting for the relay.
 */
#ifndef COFFER_FUSEFS_SPACE_MAKE_H
#define COFFER_FUSEFS_SPACE_MAKE_H

#include "fusefs/agent.h"

/* Makes a shared space with this person as admin: in the store at once; the relay and the person's list of spaces learn of it by chores.
 * It lives on the relay of the personal space. ERR_INVALID: not a directory name; ERR_EXISTS. */
int space_make(struct agent *a, struct bytes name, struct space **ret_s) MUST_CHECK;

/* Adds a space whose log was fetched and joined: `blobs` are all its entries. */
int space_adopt(struct agent *a, struct bytes name, const char *relay, const struct log *log, const struct bytes *blobs, size_t n,
		const struct epoch_ring *ring, struct space **ret_s) MUST_CHECK;

/* Gives a space another local name. ERR_NOT_FOUND, ERR_EXISTS, ERR_INVALID. */
int space_rename(struct agent *a, struct bytes from, struct bytes to) MUST_CHECK;

#endif
