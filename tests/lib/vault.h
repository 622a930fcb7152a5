/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault: every secret of some stopped profiles, and of everything that was sealed with them.
 *
 *	struct vault *v = vault_new(needles);
 *	vault_add_home(v, home); vault_add_words(v, path); vault_add_code(v, code);
 *	vault_take_record(v, blob); vault_take_chunk(v, blob);   // objects seen anywhere; views that outlive the vault
 *	vault_finish(v, &count);                                 // follows the slices down to the last chunk
 *	vault_free(v);
 *
 * The secrets go to the needles under the kinds named in vault.c. A record or a chunk that no secret here opens is
 * counted: where that number is 0, the collection is complete for what was seen.
 */
#ifndef COFFER_TESTS_LIB_VAULT_H
#define COFFER_TESTS_LIB_VAULT_H

#include "base/bytes.h"
#include "base/err.h"
#include "tests/lib/needle.h"

struct vault;

struct vault_count {
	size_t records_opened, records_closed; /* seen, with repetitions */
	size_t chunks_opened, chunks_closed;
	size_t index_chunks;                   /* different ones followed */
};

struct vault *vault_new(struct needles *needles); /* borrowed */
void vault_free(struct vault *v);

/* A profile without passphrase that no agent holds. Errors of profile_open, profile_unlock, store_open and
 * space_load. */
int vault_add_home(struct vault *v, const char *home) MUST_CHECK;
/* The 24 words in a file, and the person's keys that follow from them. ERR_NOT_FOUND: no words in it. */
int vault_add_words(struct vault *v, const char *path) MUST_CHECK;
/* The text of an invite's or pairing's code, and the keys that follow from it. Takes half a second. */
int vault_add_code(struct vault *v, const char *code) MUST_CHECK;

void vault_take_record(struct vault *v, struct bytes blob);
void vault_take_chunk(struct vault *v, struct bytes blob);
void vault_finish(struct vault *v, struct vault_count *ret);

#endif
