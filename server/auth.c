/* SPDX-License-Identifier: Apache-2.0 */
#include "server/auth.h"

#include <strings.h>

static int check(const struct relay *r, struct bytes text, struct token *ret_t)
{
	int err = ERR_CONTEXT;

	for (size_t i = 0; i < r->n_origins && err == ERR_CONTEXT; i++)
		err = token_verify(text, r->origins[i], relay_now(r), ret_t);
	return err;
}

const char *auth_check(const struct relay *r, struct bytes text, struct token *ret_t)
{
	if (!text.len)
		return "empty auth token";
	switch (check(r, text, ret_t)) {
	case OK:
		return NULL;
	case ERR_STALE:
		return "expired auth token";
	case ERR_CONTEXT:
		return "auth token is for another relay";
	default:
		return "invalid auth token";
	}
}

const char *auth_check_bearer(const struct relay *r, struct bytes header, struct token *ret_t)
{
	if (!header.len)
		return "missing authorization";
	if (header.len < 7 || strncasecmp((const char *)header.p, "Bearer ", 7) != 0)
		return "invalid authorization header format";
	header = bytes_of(header.p + 7, header.len - 7);
	if (!header.len)
		return "missing authorization token";
	switch (check(r, header, ret_t)) {
	case OK:
		return NULL;
	case ERR_STALE:
		return "token has expired";
	case ERR_CONTEXT:
		return "token is for another relay";
	default:
		return "invalid token";
	}
}
