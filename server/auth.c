/* SPDX-License-Identifier: Apache-2.0 */
#include "server/auth.h"

#include <strings.h>
#include "crypto/hash.h"

/* In the plain protocol a device that speaks for itself is its own issuer's subject: nothing that it merely claims counts,
 * because everything below holds the device's key. */
static int self_of_device(const struct relay *r, const struct token *t, struct plain_self *ret_self)
{
	char person[DID_KEY_TEXT_SIZE], device[DID_KEY_TEXT_SIZE];
	struct plain_self s = {
		.sync = true, .files = true, .has_personal = relay_config(r)->strangers == STRANGERS_OPEN
	};
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

static int check_device(const struct relay *r, struct bytes text, int64_t now, struct auth *ret_a, int64_t *ret_until)
{
	const struct config *c = relay_config(r);
	struct token t;
	int err = ERR_CONTEXT;

	if (c->strangers == STRANGERS_OFF)
		return ERR_NOT_FOUND;
	for (size_t i = 0; i < c->n_origins && err == ERR_CONTEXT; i++)
		err = token_verify(text, c->origins[i], now, &t);
	if (err < 0)
		return err;
	ret_a->person = t.person;
	ret_a->device = t.device;
	*ret_until = t.exp;
	return self_of_device(r, &t, &ret_a->plain);
}

static int check_issued(const struct relay *r, struct bytes text, int64_t now, struct auth *ret_a, int64_t *ret_until)
{
	int err = jwt_verify(text, &r->jwt, now, &ret_a->plain, ret_until);

	if (err == OK && *ret_until > now + AUTH_KEPT_SECONDS)
		*ret_until = now + AUTH_KEPT_SECONDS;
	return err == ERR_CONTEXT ? ERR_INVALID : err; /* the protocol has no word for another audience */
}

int auth_check(const struct relay *r, struct bytes text, const char *addr, struct auth *ret_a)
{
	const int64_t now = relay_now(r);
	struct id32 key;
	int64_t until;
	int err;

	hash_sha256(text, &key);
	if (seen_find(r->tokens, &key, now, ret_a))
		return OK;
	*ret_a = (struct auth){ 0 };
	if (addr && (err = limits_take(r->limits, LIMIT_AUTH, addr, r->env->mono_ns(r->env->ctx))) < 0)
		return err;
	err = jwt_is(text) ? check_issued(r, text, now, ret_a, &until) : check_device(r, text, now, ret_a, &until);
	if (err == OK)
		seen_keep(r->tokens, &key, now, until, ret_a);
	return err;
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
