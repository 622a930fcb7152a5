/* SPDX-License-Identifier: Apache-2.0 */
#include "server/auth.h"

#include <strings.h>

/* In the plain protocol a device that speaks for itself is its own issuer's subject: nothing that it merely claims counts,
 * because everything below holds the device's key. */
static int self_of_device(const struct relay *r, const struct token *t, struct plain_self *ret_self)
{
	char person[DID_KEY_TEXT_SIZE], device[DID_KEY_TEXT_SIZE];
	struct plain_self s = { .sync = true, .files = true, .has_personal = r->strangers == STRANGERS_OPEN };
	int err;

	id32_format_did(&t->person, person);
	id32_format_did(&t->device, device);
	if ((err = jwt_self(&r->jwt, bytes_str(device), bytes_str(device), bytes_str(device), &s)) < 0 ||
		(err = jwt_personal_space(bytes_str(person), bytes_str(person), bytes_str(device), &s.personal)) < 0)
		return err;
	s.mailbox = s.subject;
	snprintf(s.did, sizeof s.did, "%s", device);
	*ret_self = s;
	return OK;
}

static int verify(const struct relay *r, struct bytes text, const char *addr, struct token *ret_t)
{
	const int64_t now = relay_now(r);
	int err;

	if (seen_tokens_find(r->seen_tokens, text, now, ret_t))
		return OK;
	if (addr && (err = limits_take(r->limits, LIMIT_AUTH, addr, r->env->mono_ns(r->env->ctx))) < 0)
		return err;
	err = ERR_CONTEXT;
	for (size_t i = 0; i < r->n_origins && err == ERR_CONTEXT; i++)
		err = token_verify(text, r->origins[i], now, ret_t);
	if (err == OK)
		seen_tokens_keep(r->seen_tokens, text, ret_t);
	return err;
}

static int check_device(const struct relay *r, struct bytes text, const char *addr, struct auth *ret_a)
{
	struct token t;
	int err;

	if (r->strangers == STRANGERS_OFF)
		return ERR_NOT_FOUND;
	if ((err = verify(r, text, addr, &t)) < 0)
		return err;
	ret_a->person = t.person;
	ret_a->device = t.device;
	return self_of_device(r, &t, &ret_a->plain);
}

int auth_check(const struct relay *r, struct bytes text, const char *addr, struct auth *ret_a)
{
	*ret_a = (struct auth){ 0 };
	if (jwt_is(text))
		return jwt_verify(text, &r->jwt, relay_now(r), &ret_a->plain);
	return check_device(r, text, addr, ret_a);
}

const char *auth_reason(int err)
{
	switch (err) {
	case ERR_STALE:
		return "expired auth token";
	case ERR_NOT_FOUND:
		return "untrusted auth issuer";
	case ERR_CONTEXT:
		return "auth token is for another relay";
	case ERR_AGAIN:
	case ERR_OFFLINE:
		return "auth issuer does not answer";
	default:
		return "invalid auth token";
	}
}

const char *auth_check_bearer(
	const struct relay *r, struct bytes header, const char *addr, struct auth *ret_a, int *ret_status)
{
	*ret_status = 401;
	if (!header.len)
		return "missing authorization";
	if (header.len < 7 || strncasecmp((const char *)header.p, "Bearer ", 7) != 0)
		return "invalid authorization header format";
	header = bytes_of(header.p + 7, header.len - 7);
	if (!header.len)
		return "missing authorization token";
	switch (auth_check(r, header, addr, ret_a)) {
	case OK:
		return NULL;
	case ERR_STALE:
		return "token has expired";
	case ERR_NOT_FOUND:
		return "untrusted token issuer";
	case ERR_CONTEXT:
		return "token is for another relay";
	case ERR_RATE_LIMITED:
		*ret_status = 429;
		return "too many auth tokens";
	case ERR_AGAIN:
	case ERR_OFFLINE:
		*ret_status = 503;
		return "token issuer does not answer";
	default:
		return "invalid token";
	}
}
