/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_text: the little of JSON and base64url that tokens use, for token.c, session.c, delegation.c and jws.c alone.
 * Objects are flat: strings without escapes, whole numbers, no blanks.
 */
#ifndef COFFER_CRYPTO_TOKEN_TEXT_H
#define COFFER_CRYPTO_TOKEN_TEXT_H

#include <stdbool.h>
#include "base/buf.h"

#define TOKEN_TEXT_MAX_CLAIMS 16

struct claim {
	struct bytes name;
	bool is_number;
	struct bytes text; /* of a string */
	int64_t number;
};

struct claims {
	struct claim list[TOKEN_TEXT_MAX_CLAIMS];
	size_t n;
};

/* 1..255 printable ASCII characters that a JSON string holds without an escape. */
bool token_text_plain(struct bytes s);

/* Views point into `json`. ERR_INVALID: not such an object, a name twice, too many. */
int token_text_claims(struct bytes json, struct claims *ret_c) MUST_CHECK;

/* ERR_INVALID if absent or of the other type. */
int token_text_string(const struct claims *c, const char *name, struct bytes *ret_text) MUST_CHECK;
int token_text_number(const struct claims *c, const char *name, int64_t *ret_number) MUST_CHECK;

/* base64url without padding. Decoding refuses any other spelling (ERR_INVALID) and more than max bytes (ERR_RANGE);
 * *ret_len bytes stand in out then. */
int token_text_put_base64(struct buf *b, struct bytes in) MUST_CHECK;
int token_text_get_base64(struct bytes text, uint8_t *out, size_t max, size_t *ret_len) MUST_CHECK;

#endif
