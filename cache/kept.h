/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept: files of the journal that a start could not read although they had been synced, put aside in the cache's
 * directory for a person: damaged-*, and a note, damaged.txt, that says what happened. The note is the alarm: it lasts
 * until somebody deletes it.
 *
 *	kept_note(env, dirfd);                      // first, so that what follows is never silent
 *	kept_copy(env, dirfd, "seg-...", pos);      // what it holds now; the file goes on being used
 *	kept_move(env, dirfd, "seg-...");
 *	kept_any(env, dirfd);
 *
 * A crash between leaves all or some of it done, and doing it again is fine.
 */
#ifndef COFFER_CACHE_KEPT_H
#define COFFER_CACHE_KEPT_H

#include "base/env.h"

int kept_note(const struct env *env, int dirfd) MUST_CHECK;
/* pos: where it could not be read on. On disk when it returns. ERR_NO_SPACE and others leave no file. */
int kept_copy(const struct env *env, int dirfd, const char *name, uint64_t pos) MUST_CHECK;
/* On disk with the next fsync of the directory. */
int kept_move(const struct env *env, int dirfd, const char *name) MUST_CHECK;
bool kept_any(const struct env *env, int dirfd);

#endif
