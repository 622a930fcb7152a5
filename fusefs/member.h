/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member: how people name the persons and devices of a space: by did:key, by its first characters after "did:key:z" (8
 * at least), by the fingerprint that `coffer members` shows, or by a device's name. The space's lock is taken.
 */
#ifndef COFFER_FUSEFS_MEMBER_H
#define COFFER_FUSEFS_MEMBER_H

#include "fusefs/space.h"

#define MEMBER_FINGERPRINT_SIZE 32

/* What people compare: SHA-256 of the key, the first 80 bits, in fours. */
void member_fingerprint(const struct id32 *key, char out[MEMBER_FINGERPRINT_SIZE]);

/* ERR_NOT_FOUND; ERR_EXISTS: the name fits several. A device's name stands for its person among live devices alone. */
int member_find_person(struct space *s, struct bytes name, struct id32 *ret_root) MUST_CHECK;
/* Of this person. */
int member_find_device(struct space *s, const struct id32 *person, struct bytes name, struct id32 *ret_ed) MUST_CHECK;

#endif
