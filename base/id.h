/* SPDX-License-Identifier: Apache-2.0 */
/*
 * id: the fixed-size identifiers of the project, and their text forms.
 *
 * id16  nodes, links, chunks, spaces, invites: 128 bits. Text: lower-case hyphenated UUID.
 * id32  persons, devices (Ed25519 public keys) and SHA-256 hashes. Text: hex; a key also as did:key.
 */
#ifndef COFFER_BASE_ID_H
#define COFFER_BASE_ID_H

#include <stdbool.h>
#include "base/bytes.h"
#include "base/err.h"

struct id16 {
	uint8_t b[16];
};

struct id32 {
	uint8_t b[32];
};

#define ID16_TEXT_SIZE 37  /* with NUL */
#define ID32_TEXT_SIZE 65  /* with NUL */
#define DID_KEY_TEXT_SIZE 64 /* with NUL; did:key of an Ed25519 key needs 57 */

static inline bool id16_equal(const struct id16 *a, const struct id16 *b)
{
	return memcmp(a->b, b->b, sizeof a->b) == 0;
}

static inline int id16_compare(const struct id16 *a, const struct id16 *b)
{
	return memcmp(a->b, b->b, sizeof a->b);
}

/* The same for qsort() and bsearch(). */
static inline int id16_order(const void *a, const void *b)
{
	return id16_compare(a, b);
}

static inline bool id32_equal(const struct id32 *a, const struct id32 *b)
{
	return memcmp(a->b, b->b, sizeof a->b) == 0;
}

static inline int id32_compare(const struct id32 *a, const struct id32 *b)
{
	return memcmp(a->b, b->b, sizeof a->b);
}

static inline bool id16_is_zero(const struct id16 *a)
{
	static const struct id16 zero;
	return id16_equal(a, &zero);
}

static inline bool id32_is_zero(const struct id32 *a)
{
	static const struct id32 zero;
	return id32_equal(a, &zero);
}

/* UUID text <-> id16. Parsing accepts exactly 36 lower- or upper-case characters, else ERR_INVALID. */
void id16_format(const struct id16 *id, char out[ID16_TEXT_SIZE]);
int id16_parse(const char *text, size_t len, struct id16 *ret_id) MUST_CHECK;

/* Hex <-> id32. */
void id32_format(const struct id32 *id, char out[ID32_TEXT_SIZE]);
int id32_parse(const char *text, size_t len, struct id32 *ret_id) MUST_CHECK;

/* RFC 9562 version-8 UUID from a hash: its first 16 bytes with version and variant bits set. */
void id16_from_hash(const struct id32 *hash, struct id16 *ret_id);

/* did:key of an Ed25519 public key: "did:key:z" + base58btc(ed 01 ‖ 32 bytes). W3C did:key. */
void id32_format_did(const struct id32 *key, char out[DID_KEY_TEXT_SIZE]);
int id32_parse_did(const char *text, size_t len, struct id32 *ret_key) MUST_CHECK;

/* The n bytes that a did:key of any kind of key holds ("did:key:z" + base58btc of them, which must be the one spelling
 * of n bytes that begin with a byte over 1). ERR_INVALID. */
int did_key_parse(const char *text, size_t len, uint8_t *out, size_t n) MUST_CHECK;

#endif
