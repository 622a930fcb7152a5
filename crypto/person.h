/* SPDX-License-Identifier: Apache-2.0 */
/*
 * person: a person's own keys, which exist as 24 words: in memory only during init and recovery, wiped after.
 *
 *	init:     person_new -> show the words once;
 *	space_make_personal (crypto/entry_make.h) gives identity, log and entries;
 *	          person_free
 *	recover:  person_from_words; fetch the log of person_space() (its members' root may read it); apply it with
 *	          log_new(person_genesis_hash()); identity_recover (crypto/entry_make.h); person_free
 *
 * From the 32 bytes of the words: root Ed25519 seed = kdf_subkey(words, "persroot", 0), recovery Ed25519 seed =
 * ("persrecd"), recovery X25519 key = hpke_keypair_derive of ("persrecx"). The personal space's genesis is made from
 * these alone, so its id is known from the words.
 */
#ifndef COFFER_CRYPTO_PERSON_H
#define COFFER_CRYPTO_PERSON_H

#include "crypto/secret.h"
#include "wire/person.h"

struct person;

/* New random keys; *ret_words is the NUL-terminated phrase. */
int person_new(struct person **ret_p, struct secret **ret_words) MUST_CHECK;
/* Errors and *ret_bad as words_parse (crypto/words.h). */
int person_from_words(const char *text, size_t len, struct person **ret_p, unsigned *ret_bad) MUST_CHECK;
void person_free(struct person *p);
void person_freep(struct person **p);

const struct id32 *person_root(const struct person *p);
struct bytes person_card(const struct person *p);                /* encoded, signed */
struct bytes person_genesis(const struct person *p);             /* entry blob of the personal space */
const struct id32 *person_genesis_hash(const struct person *p);
const struct id16 *person_space(const struct person *p);         /* id of the personal space */
const struct secret *person_root_secret(const struct person *p); /* signing key (crypto/sign.h) */
const struct id32 *person_recovery_x(const struct person *p);
const struct secret *person_recovery_x_secret(const struct person *p);

#endif
