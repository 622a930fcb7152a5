/* SPDX-License-Identifier: Apache-2.0 */
#include "server/plain.h"

#include "crypto/hash.h"
#include "server/rpc.h"

#define ROW_BYTES 128 /* of a row beside its content, about */

/* What a verified chain depends on. */
static struct id32 chain_key(
	const struct caller *who, const struct id16 *space, struct bytes ucan, enum ucan_command need)
{
	uint8_t said[sizeof *space + 1 + CALLER_DID] = { 0 };
	struct id32 text, key;

	hash_sha256(ucan, &text);
	memcpy(said, space->b, sizeof space->b);
	said[sizeof *space] = (uint8_t)need;
	memcpy(said + sizeof *space + 1, who->plain.did, strlen(who->plain.did));
	hash_hmac(bytes_of(text.b, sizeof text.b), bytes_of(said, sizeof said), bytes_of(NULL, 0), &key);
	return key;
}

static int verify_chain(const struct relay *relay, const struct caller *who, const struct id16 *space,
	struct bytes ucan, enum ucan_command need, struct plain_right *ret_right)
{
	const int64_t now = relay_now(relay);
	struct ucan u;
	int err = caller_take(who, relay->limits, LIMIT_CHAIN, relay->env->mono_ns(relay->env->ctx));

	if (err < 0 || (err = ucan_verify(ucan, who->plain.did, space, need, now, &u)) < 0)
		return err;
	if (u.root.kind != JWS_P256)
		return ERR_FORBIDDEN; /* no space has such a root */
	memcpy(ret_right->root, u.root.b, sizeof ret_right->root);
	ret_right->grant = (struct grant){ .exp = u.exp, .n = u.n };
	memcpy(ret_right->grant.cids, u.cids, u.n * sizeof u.cids[0]);
	return OK;
}

void plain_ask(const struct relay *relay, const struct caller *who, const struct id16 *space, struct bytes ucan,
	enum ucan_command need, struct plain_right *ret_right)
{
	struct id32 key;

	*ret_right = (struct plain_right){ .err = ERR_FORBIDDEN };
	if (who->plain.has_personal && id16_equal(space, &who->plain.personal)) {
		ret_right->personal = true;
		ret_right->err = OK;
		return;
	}
	if (!ucan.len || !who->plain.did[0])
		return;
	key = chain_key(who, space, ucan, need);
	if (seen_find(relay->chains, &key, relay_now(relay), ret_right))
		return;
	ret_right->err = verify_chain(relay, who, space, ucan, need, ret_right);
	if (ret_right->err == OK)
		seen_keep(relay->chains, &key, relay_now(relay), ret_right->grant.exp, ret_right);
}

const struct grant *plain_grant(const struct plain_right *right)
{
	return right->personal ? NULL : &right->grant;
}

static int check_chain(struct depot *store, const struct plain_right *right, const struct depot_plain *sp)
{
	if (sp->root_key_len != sizeof right->root || memcmp(sp->root_key, right->root, sizeof right->root) != 0)
		return ERR_FORBIDDEN;
	for (size_t i = 0; i < right->grant.n; i++) {
		int revoked = depot_is_revoked(store, sp->no, &right->grant.cids[i]);

		if (revoked)
			return revoked < 0 ? revoked : ERR_FORBIDDEN;
	}
	return OK;
}

int plain_open(const struct relay *relay, struct depot *store, const struct id16 *space,
	const struct plain_right *right, struct depot_plain *ret_sp)
{
	int err;

	if (right->err < 0)
		return right->err == ERR_NOMEM || right->err == ERR_RATE_LIMITED ? right->err : ERR_FORBIDDEN;
	err = depot_plain_find(store, space, ret_sp);
	if (err == ERR_NOT_FOUND && right->personal) {
		*ret_sp = (struct depot_plain){ .id = *space, .generation = 1, .min_generation = 1 };
		return OK;
	}
	if (err < 0)
		return err == ERR_NOT_FOUND ? ERR_FORBIDDEN : err;
	if (right->personal) /* nobody else's root may stand under a person's own id */
		return ret_sp->root_key_len ? ERR_FORBIDDEN : OK;
	return right->grant.exp < relay_now(relay) ? ERR_FORBIDDEN : check_chain(store, right, ret_sp);
}

int plain_open_to_write(const struct relay *relay, struct depot *store, const struct caller *who,
	const struct id16 *space, const struct plain_right *right, struct depot_plain *ret_sp)
{
	int err = plain_open(relay, store, space, right, ret_sp);

	if (err < 0 || ret_sp->no)
		return err;
	ret_sp->owner = who->plain.mailbox;
	return depot_plain_create(store, ret_sp);
}

int plain_read_right(const struct relay *relay, const struct job *j, struct bytes params, enum ucan_command need,
	struct id16 *ret_space, struct plain_right *ret_right)
{
	struct bytes text, ucan;
	int err = param_text_opt(params, "ucan", UCAN_MAX, &ucan);

	if (err < 0 || param_text(params, "space", FRAME_MAX, &text) < 0)
		return ERR_INVALID;
	if (id16_parse((const char *)text.p, text.len, ret_space) < 0)
		return ERR_RANGE;
	plain_ask(relay, j->caller, ret_space, ucan, need, ret_right);
	return OK;
}

int plain_refuse(struct job *j, int err)
{
	switch (err) {
	case ERR_INVALID:
		return job_error(j, "invalid_params", "invalid params");
	case ERR_RANGE:
		return job_error(j, "bad_request", "invalid space id");
	case ERR_FORBIDDEN:
		return job_error(j, "forbidden", "forbidden");
	case ERR_NOT_FOUND:
		return job_error(j, "not_found", "not found");
	case ERR_NO_SPACE:
		return job_error(j, "storage_full", "no room");
	case ERR_RATE_LIMITED:
		return job_error(j, "rate_limited", "too many UCANs");
	default:
		return err;
	}
}

int plain_count(struct relay *relay, const struct caller *who, const char *what, int64_t seconds, int64_t max)
{
	int64_t n;

	if (!who->plain.counted)
		return OK;
	n = depot_deeds(relay->store, what, &who->plain.actor, relay_now(relay) - seconds);
	if (n < 0)
		return (int)n;
	return n >= max ? ERR_RATE_LIMITED : OK;
}

int plain_refuse_hour(struct job *j, uint64_t max, const char *what)
{
	char text[96];

	snprintf(text, sizeof text, "rate limit exceeded: max %llu %s per hour", (unsigned long long)max, what);
	return job_error(j, "rate_limited", text);
}

int plain_check_room(struct relay *relay, const struct depot_plain *sp, size_t bytes)
{
	return sp ? quota_check_plain(&relay->quota, relay, sp, bytes + ROW_BYTES)
		  : quota_check(&relay->quota, relay, 0, bytes + ROW_BYTES);
}
