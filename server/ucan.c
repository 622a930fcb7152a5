/* SPDX-License-Identifier: Apache-2.0 */
#include "server/ucan.h"

#include <jansson.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "server/json.h"

#define SPACE_PREFIX "space:"

/* What one token says. The strings live as long as `claims`. */
struct claims {
	json_t *json;
	const char *iss, *aud, *proof; /* proof NULL: none */
	int64_t exp;
	enum ucan_command command;
};

static void claims_release(struct claims *c)
{
	json_decref(c->json);
}

void ucan_cid(struct bytes text, struct id32 *ret_cid)
{
	hash_sha256(text, ret_cid);
}

static int read_command(const char *text, enum ucan_command *ret_c)
{
	if (!text)
		return ERR_INVALID;
	if (strcmp(text, "/space/read") == 0)
		*ret_c = UCAN_READ;
	else if (strcmp(text, "/space/write") == 0)
		*ret_c = UCAN_WRITE;
	else if (strcmp(text, "/space/admin") == 0)
		*ret_c = UCAN_ADMIN;
	else
		return ERR_INVALID;
	return OK;
}

/* `aud`: one DID, alone or as the first of an array. */
static const char *read_audience(const json_t *json)
{
	const json_t *aud = json_object_get(json, "aud");

	if (json_is_array(aud))
		aud = json_array_get(aud, 0);
	return json_string_value(aud);
}

static int read_proof(const json_t *json, const char **ret_proof)
{
	const json_t *prf = json_object_get(json, "prf");

	*ret_proof = NULL;
	if (!prf || json_is_null(prf) || (json_is_array(prf) && json_array_size(prf) == 0))
		return OK;
	if (!json_is_array(prf) || json_array_size(prf) != 1)
		return ERR_INVALID;
	*ret_proof = json_string_value(json_array_get(prf, 0));
	return *ret_proof ? OK : ERR_INVALID;
}

static bool is_space(const char *with, const struct id16 *space)
{
	char text[sizeof SPACE_PREFIX + ID16_TEXT_SIZE] = SPACE_PREFIX;

	id16_format(space, text + sizeof SPACE_PREFIX - 1);
	return with && strcmp(with, text) == 0;
}

static int read_claims(struct claims *c, const struct id16 *space, int64_t now)
{
	const char *nonce = json_string_at(c->json, "nonce");
	int64_t nbf = INT64_MIN;

	c->iss = json_string_at(c->json, "iss");
	c->aud = read_audience(c->json);
	if (!c->iss || !c->aud || !nonce || !*nonce || read_command(json_string_at(c->json, "cmd"), &c->command) < 0 ||
		json_seconds_at(c->json, "exp", &c->exp) < 0 || read_proof(c->json, &c->proof) < 0)
		return ERR_INVALID;
	if (json_object_get(c->json, "nbf") && json_seconds_at(c->json, "nbf", &nbf) < 0)
		return ERR_INVALID;
	if (!is_space(json_string_at(c->json, "with"), space))
		return ERR_CONTEXT;
	return c->exp < now || nbf > now ? ERR_STALE : OK;
}

static int add_cid(struct ucan *u, struct bytes text)
{
	struct id32 *cid = &u->cids[u->n];

	ucan_cid(text, cid);
	for (size_t i = 0; i < u->n; i++)
		if (id32_equal(&u->cids[i], cid))
			return ERR_INVALID;
	u->n++;
	return OK;
}

/* A token is revoked by its text, and an ES256 signature has two: whoever is revoked under one would come back under the
 * other. */
static int note_cids(struct ucan *u, struct bytes text, const struct jws *j)
{
	CLEANUP(buf_release) struct buf twin = BUF_INIT(UCAN_MAX);
	int err;

	if ((err = add_cid(u, text)) < 0 || u->root.kind != JWS_P256)
		return err;
	if ((err = jws_twin(j, &twin)) < 0)
		return err;
	return add_cid(u, buf_bytes(&twin));
}

/* Header, claims and signature of one token; u->root is its issuer's key then. */
static int open_token(struct bytes text, const struct id16 *space, int64_t now, struct claims *ret_c, struct ucan *u)
{
	CLEANUP(json_release) json_t *header = NULL;
	struct jws j;
	int err;

	if (u->depth++ == UCAN_DEPTH || text.len > UCAN_MAX || jws_split(text, &j) < 0)
		return ERR_INVALID;
	if ((err = json_part(j.header, &header)) < 0 || (err = json_part(j.claims, &ret_c->json)) < 0 ||
		(err = read_claims(ret_c, space, now)) < 0)
		return err;
	if (jws_key_did(bytes_str(ret_c->iss), &u->root) < 0 || !json_string_at(header, "alg") ||
		!jws_alg_is(bytes_str(json_string_at(header, "alg")), u->root.kind))
		return ERR_INVALID;
	if ((err = jws_verify(&j, &u->root)) < 0)
		return err;
	return note_cids(u, text, &j);
}

/* Whether `parent` gives to c's issuer no less than c passes on. */
static int check_link(const struct claims *c, const struct claims *parent)
{
	if (strcmp(parent->aud, c->iss) != 0)
		return ERR_CONTEXT;
	if (parent->command < c->command)
		return ERR_FORBIDDEN;
	return c->exp > parent->exp ? ERR_STALE : OK;
}

int ucan_verify(struct bytes text, const char *audience, const struct id16 *space, enum ucan_command need, int64_t now,
	struct ucan *ret_u)
{
	struct ucan u = { .exp = INT64_MAX };
	CLEANUP(claims_release) struct claims c = { 0 };
	int err;

	if ((err = open_token(text, space, now, &c, &u)) < 0)
		return err;
	if (strcmp(c.aud, audience) != 0)
		return ERR_CONTEXT;
	if (c.command < need)
		return ERR_FORBIDDEN;
	u.exp = c.exp;
	while (c.proof) {
		struct claims parent = { 0 };

		err = open_token(bytes_str(c.proof), space, now, &parent, &u);
		if (err == OK)
			err = check_link(&c, &parent);
		claims_release(&c);
		c = parent;
		if (err < 0)
			return err;
		if (c.exp < u.exp)
			u.exp = c.exp;
	}
	*ret_u = u;
	return OK;
}
