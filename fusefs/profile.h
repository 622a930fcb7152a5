/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile: the directory of one profile on disk: HOME/lock, HOME/key, HOME/cache/, HOME/agent.sock, HOME/agent.log.
 *
 *	profile_open(env, home, &p);            // makes HOME (0700) if absent; takes the lock
 *	if (profile_has_key(p)) profile_unlock(p, passphrase, &identity);
 *	else profile_save(p, identity, passphrase);
 *	profile_close(p);
 *
 * One process holds a profile. Not thread-safe.
 */
#ifndef COFFER_FUSEFS_PROFILE_H
#define COFFER_FUSEFS_PROFILE_H

#include <stdbool.h>
#include "base/env.h"
#include "crypto/identity.h"

struct profile;
struct secret;

/* One on a read-only disk is opened, too. ERR_BUSY: another agent holds it. ERR_READ_ONLY: there is none, and the disk
 * is read-only. ERR_PERMISSION, ERR_NOT_DIR, ERR_NO_SPACE, ERR_IO. */
int profile_open(const struct env *env, const char *home, struct profile **ret_p) MUST_CHECK;
void profile_close(struct profile *p); /* NULL is fine */

const char *profile_home(const struct profile *p);
int profile_dir(const struct profile *p); /* descriptor of HOME, valid until close */

bool profile_has_key(const struct profile *p);
/* 1: a passphrase is needed, 0: not. ERR_NOT_FOUND: no key file; ERR_CORRUPT, ERR_VERSION. */
int profile_needs_passphrase(const struct profile *p) MUST_CHECK;
/* passphrase may be NULL. Errors of keyfile_open and identity_decode. */
int profile_unlock(const struct profile *p, const struct secret *passphrase, struct identity **ret_id) MUST_CHECK;
/* Writes the key file durably. ERR_EXISTS if there is one. */
int profile_save(struct profile *p, const struct identity *id, const struct secret *passphrase) MUST_CHECK;

/* Opens the directory HOME/name, made if absent (0700). The caller closes *ret_fd. */
int profile_subdir(const struct profile *p, const char *name, int *ret_fd) MUST_CHECK;
/* Removes HOME/name and the files in it (one level). Absent is fine. */
int profile_remove_subdir(const struct profile *p, const char *name);

#endif
