/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words: 32 bytes as 24 English words and back: BIP-0039 as an encoding alone (8 bits of SHA-256 as check sum, no
 * passphrase, no PBKDF2).
 */
#ifndef COFFER_CRYPTO_WORDS_H
#define COFFER_CRYPTO_WORDS_H

#include "crypto/secret.h"

#define WORDS_COUNT 24
#define WORDS_LIST 2048
#define WORDS_TEXT_SIZE 224 /* 24 words of at most 8 letters, blanks between, NUL; rounded up */

/* Lower case, single blanks, NUL at the end. The caller wipes `out`. */
void words_format(const uint8_t key[KEY_SIZE], char out[WORDS_TEXT_SIZE]);

/* Accepts any case and any white space (also commas and line numbers such as "1.") around words. ERR_NOT_FOUND: the
 * word number *ret_bad (from 1) is not in the list; ERR_INVALID: not 24 words (*ret_bad is how many); ERR_TAMPERED: the
 * check sum does not match (*ret_bad 0). ret_bad may be NULL. */
int words_parse(const char *text, size_t len, struct secret **ret_key, unsigned *ret_bad) MUST_CHECK;

/* The list in its order, each NUL-terminated. BIP-0039 English. */
extern const char words_list[WORDS_LIST][9];

#endif
