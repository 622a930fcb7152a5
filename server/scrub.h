/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrub: reads what a relay keeps and compares it with what was written down when it came: `coffer-relay check`.
 * Records and the versions that they replaced, entries of logs and of membership chains by their hashes, chunks and
 * files by their sums. Plain records, letters and heads have none here: they are looked at only as the database looks
 * at itself (SQLite's quick_check). A relay may run on the directory meanwhile.
 *
 *	struct scrub s = { .bad = say, .ctx = c };
 *	if ((err = scrub_run(&s, env_system(), config)) < 0) ...    // could not look
 *	s.damaged tells how much is not whole
 */
#ifndef COFFER_SERVER_SCRUB_H
#define COFFER_SERVER_SCRUB_H

#include "server/config.h"
#include "server/depot.h"

struct scrub {
	/* Called for each that is damaged or gone; `what` says what the id is of: "record", "replaced version of
	 * record", "log of space", "membership of space", "chunk" or "file". */
	void (*bad)(void *ctx, const char *what, const struct id16 *id, const char *why);
	void *ctx;

	uint64_t records, versions, entries, chunks, files, bytes, damaged; /* versions: replaced ones */
	bool of_objects;   /* it is the folder or the bucket of objects that could not be looked at */
	uint64_t unsummed; /* chunks and files of a time before sums: only their form and size were looked at */
};

/* s->of_objects tells which of both an error is of. ERR_NOT_FOUND: no relay's directory, or no folder of objects;
 * ERR_VERSION; ERR_CORRUPT: the database itself is damaged; ERR_IO, ERR_NOMEM; ERR_OFFLINE, ERR_PERMISSION, ERR_ABSENT,
 * ERR_TIMEOUT, ERR_FORBIDDEN: the database or the bucket. */
int scrub_run(struct scrub *s, const struct env *env, const struct config *c) MUST_CHECK;

#endif
