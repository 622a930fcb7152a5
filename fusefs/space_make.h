/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space_make: makes and renames spaces of the running agent, without waiting for the relay.
 *
 * The name of a space is UTF-8, unlike other names: it goes into invites and into what `coffer --json` prints, which
 * are texts, and to machines of other people. A name that is not is refused here, where the person who chose it still
 * sees it (mkdir: EILSEQ).
 */
#ifndef COFFER_FUSEFS_SPACE_MAKE_H
#define COFFER_FUSEFS_SPACE_MAKE_H

#include "fusefs/agent.h"

/* Makes a shared space with this person as admin: in the store at once; the relay and the person's list of spaces learn
 * of it by chores. It lives on the relay of the personal space. ERR_INVALID: not a directory name; ERR_NOT_TEXT: not
 * UTF-8; ERR_EXISTS. */
int space_make(struct agent *a, struct bytes name, struct space **ret_s) MUST_CHECK;

/* Adds a space whose log was fetched and joined, and hands it to sync: `blobs` are all its entries. A name in use gets
 * " (2)" and so on. */
int space_adopt(struct agent *a, struct bytes name, const char *relay, const struct log *log, const struct bytes *blobs,
	size_t n, const struct epoch_ring *ring, struct space **ret_s) MUST_CHECK;

/* Gives a space another local name. ERR_NOT_FOUND, ERR_EXISTS, ERR_INVALID, ERR_NOT_TEXT. */
int space_rename(struct agent *a, struct bytes from, struct bytes to) MUST_CHECK;

/* Writes a space's row (row->row, root_ino and log_seq are set) with its log entries and loads it, in one transaction.
 * unsent: the relay has not taken the entries yet (chores.h). The caller adds it to the agent. */
int space_store(struct agent *a, struct space_row *row, const struct bytes *blobs, size_t n,
	const struct epoch_ring *ring, bool unsent, struct space **ret_s) MUST_CHECK;

#endif
