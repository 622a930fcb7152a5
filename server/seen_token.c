/* SPDX-License-Identifier: Apache-2.0 */
#include "server/seen_token.h"

#include <stdlib.h>
#include "crypto/hash.h"

#define PLACES 1024

struct seen_tokens {
	struct seen {
		struct id32 text; /* its SHA-256; zero: free */
		struct token token;
	} places[PLACES];
};

int seen_tokens_new(struct seen_tokens **ret_s)
{
	struct seen_tokens *s = calloc(1, sizeof *s);

	if (!s)
		return ERR_NOMEM;
	*ret_s = s;
	return OK;
}

void seen_tokens_free(struct seen_tokens *s)
{
	free(s);
}

static size_t place_of(const struct id32 *text)
{
	return ((size_t)text->b[0] << 8 | text->b[1]) % PLACES;
}

bool seen_tokens_find(const struct seen_tokens *s, struct bytes text, int64_t now, struct token *ret_t)
{
	const struct seen *seen;
	struct id32 hash;

	hash_sha256(text, &hash);
	seen = &s->places[place_of(&hash)];
	/* One that lasts too long from now on was made by another clock. */
	if (!id32_equal(&seen->text, &hash) || seen->token.exp <= now ||
		seen->token.exp > now + TOKEN_MAX_LIFE + TOKEN_SKEW)
		return false;
	*ret_t = seen->token;
	return true;
}

void seen_tokens_keep(struct seen_tokens *s, struct bytes text, const struct token *t)
{
	struct id32 hash;

	hash_sha256(text, &hash);
	s->places[place_of(&hash)] = (struct seen){ .text = hash, .token = *t };
}
