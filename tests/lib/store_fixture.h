/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_fixture: a store on the disk in memory with one space, housekeeping by hand, that can be killed and opened
 * again; and a digest of everything that it shows.
 *
 *	struct store_fixture *f = store_fixture_new(1);
 *	... f->store, f->root ...
 *	store_fixture_crash(f, FAKE_KEEP_ALL);       // killed; open again
 *	store_fixture_free(f);
 */
#ifndef COFFER_TESTS_LIB_STORE_FIXTURE_H
#define COFFER_TESTS_LIB_STORE_FIXTURE_H

#include "cache/store.h"
#include "tests/lib/fake_env.h"

struct store_fixture {
	struct fake_env *env;
	struct store_config config;
	uint8_t key[32];
	struct store *store; /* NULL while closed */
	uint64_t root;
	uint32_t space;
	char dir[64]; /* of one on the real disk */
};

struct store_fixture *store_fixture_new(uint64_t seed); /* in memory */
struct store_fixture *store_fixture_real(void);         /* in a private directory on disk */
void store_fixture_free(struct store_fixture *f);
int store_fixture_open(struct store_fixture *f);    /* with the space, made if absent; for tests of errors */
void store_fixture_reopen(struct store_fixture *f); /* closed in order */
/* The process is gone without a word, the disk as `how` says. Does not open again. In memory only. */
void store_fixture_kill(struct store_fixture *f, enum fake_crash how);
void store_fixture_crash(struct store_fixture *f, enum fake_crash how); /* kill, then open, which must succeed */

uint64_t store_fixture_make(struct store_fixture *f, uint64_t dir, const char *name, enum node_kind kind);
void store_fixture_write(struct store_fixture *f, uint64_t ino, uint64_t off, const void *p, size_t len);
/* SHA-256 over names, attributes (but atime), xattrs, targets and content below the root; content that is not here
 * counts as such. ERR_* if anything fails. */
int store_fixture_digest(struct store_fixture *f, struct id32 *ret);
/* And over what sync keeps: changes to send, outbox, records, meta. */
int store_fixture_digest_all(struct store_fixture *f, struct id32 *ret);

#endif
