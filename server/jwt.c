/* SPDX-License-Identifier: Apache-2.0 */
#include "server/jwt.h"

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "server/json.h"

/* UUIDv5(DNS, "betterbase.dev") */
static const struct id16 namespace = { { 0xc8, 0x36, 0x2c, 0x28, 0x05, 0x04, 0x55, 0x22, 0x9b, 0xa6, 0x6e, 0x7e, 0xd1,
	0xd7, 0x61, 0x53 } };

struct header {
	json_t *json;
	const char *alg, *kid;
};

static int read_header(struct bytes part, struct header *h)
{
	int err = json_part(part, &h->json);

	if (err < 0)
		return err;
	h->alg = json_string_at(h->json, "alg");
	h->kid = json_string_at(h->json, "kid");
	return h->alg && h->kid && *h->kid ? OK : ERR_INVALID;
}

bool jwt_is(struct bytes text)
{
	struct header h = { 0 };
	struct jws j;
	bool is = text.len <= JWT_MAX && jws_split(text, &j) == OK && read_header(j.header, &h) == OK &&
		  !jws_alg_is(bytes_str(h.alg), JWS_ED25519);

	json_decref(h.json);
	return is;
}

static int join(struct buf *b, struct bytes iss, struct bytes sub, struct bytes client)
{
	int err;

	if ((err = buf_put(b, iss.p, iss.len)) < 0 || (err = buf_put_u8(b, 0)) < 0 ||
		(err = buf_put(b, sub.p, sub.len)) < 0)
		return err;
	if (!client.len)
		return OK;
	return (err = buf_put_u8(b, 0)) < 0 ? err : buf_put(b, client.p, client.len);
}

int jwt_personal_space(struct bytes iss, struct bytes sub, struct bytes client, struct id16 *ret_id)
{
	CLEANUP(buf_release) struct buf name = BUF_INIT(JWT_MAX);
	int err = join(&name, iss, sub, client);

	return err < 0 ? err : hash_uuid5(&namespace, buf_bytes(&name), ret_id);
}

static bool audience_fits(const json_t *claims, const struct jwt_rules *rules)
{
	const json_t *said = json_object_get(claims, "aud");
	size_t n = json_is_array(said) ? json_array_size(said) : 1;

	for (size_t i = 0; i < n; i++) {
		const char *one = json_string_value(json_is_array(said) ? json_array_get(said, i) : said);

		for (size_t k = 0; one && k < rules->n_audiences; k++)
			if (strcmp(one, rules->audiences[k]) == 0)
				return true;
	}
	return rules->n_audiences == 0;
}

static bool has_scope(const char *scopes, const char *want)
{
	size_t len = strlen(want);

	for (const char *p = scopes; p && (p = strstr(p, want)); p += len)
		if ((p == scopes || p[-1] == ' ') && (p[len] == '\0' || p[len] == ' '))
			return true;
	return false;
}

/* `personal_space_id`: absent, or what follows from the other claims. */
static int read_personal(
	const json_t *claims, struct bytes iss, struct bytes sub, struct bytes client, struct plain_self *s)
{
	const char *text = json_string_at(claims, "personal_space_id");
	struct id16 said;
	int err;

	if (!text || !*text)
		return OK;
	if ((err = jwt_personal_space(iss, sub, client, &s->personal)) < 0)
		return err;
	if (id16_parse(text, strlen(text), &said) < 0 || !id16_equal(&said, &s->personal))
		return ERR_INVALID;
	s->has_personal = true;
	return OK;
}

/* Without the claim a mailbox that nobody can write to: the protocol's own fallback, the client's id, is one for all of an
 * application's users. */
static int read_mailbox(const json_t *claims, struct plain_self *s)
{
	const char *text = json_string_at(claims, "mailbox_id");

	if (!text || !*text) {
		hash_sha256(bytes_of(s->subject.b, sizeof s->subject.b), &s->mailbox);
		return OK;
	}
	return id32_parse(text, strlen(text), &s->mailbox);
}

int jwt_self(const struct jwt_rules *rules, struct bytes iss, struct bytes sub, struct bytes client,
	struct plain_self *ret_self)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(JWT_MAX);
	int err = join(&b, iss, sub, bytes_of(NULL, 0));

	if (err < 0)
		return err;
	ret_self->counted = rules->has_identity_key;
	hash_hmac(bytes_of(rules->identity_key, sizeof rules->identity_key), buf_bytes(&b), bytes_of(NULL, 0),
		&ret_self->actor);
	buf_clear(&b);
	if ((err = join(&b, iss, sub, client)) < 0)
		return err;
	hash_sha256(buf_bytes(&b), &ret_self->subject);
	return OK;
}

static int read_self(const json_t *claims, const struct jwt_rules *rules, struct plain_self *s)
{
	const char *iss = json_string_at(claims, "iss"), *sub = json_string_at(claims, "sub");
	const char *client = json_string_at(claims, "client_id"), *did = json_string_at(claims, "did");
	const char *scope = json_string_at(claims, "scope");
	int err;

	if (!iss || !sub || !*sub || !client || !*client || (did && strlen(did) >= sizeof s->did))
		return ERR_INVALID;
	s->trusted = true;
	snprintf(s->did, sizeof s->did, "%s", did ? did : "");
	s->sync = has_scope(scope, "sync");
	s->files = has_scope(scope, "files");
	if ((err = jwt_self(rules, bytes_str(iss), bytes_str(sub), bytes_str(client), s)) < 0 ||
		(err = read_personal(claims, bytes_str(iss), bytes_str(sub), bytes_str(client), s)) < 0)
		return err;
	return read_mailbox(claims, s);
}

static int check_claims(
	const json_t *claims, const struct jwt_rules *rules, int64_t now, struct plain_self *ret_self, int64_t *ret_exp)
{
	struct plain_self s = { 0 };
	int64_t exp = INT64_MAX;
	int err;

	if (json_object_get(claims, "exp") && json_seconds_at(claims, "exp", &exp) < 0)
		return ERR_INVALID;
	if (now > exp)
		return ERR_STALE;
	if (!audience_fits(claims, rules))
		return ERR_CONTEXT;
	if ((err = read_self(claims, rules, &s)) < 0)
		return err;
	*ret_self = s;
	*ret_exp = exp;
	return OK;
}

int jwt_verify(
	struct bytes text, const struct jwt_rules *rules, int64_t now, struct plain_self *ret_self, int64_t *ret_exp)
{
	CLEANUP(json_release) json_t *claims = NULL;
	struct header h = { 0 };
	struct jws_key key;
	struct jws j;
	const char *iss;
	int err;

	if (text.len > JWT_MAX || jws_split(text, &j) < 0)
		return ERR_INVALID;
	err = json_part(j.claims, &claims);
	if (err == OK && !(iss = json_string_at(claims, "iss")))
		err = ERR_INVALID;
	if (err == OK)
		err = read_header(j.header, &h);
	if (err == OK)
		err = issuers_key(rules->issuers, bytes_str(iss), bytes_str(h.kid), &key);
	if (err == OK)
		err = jws_alg_is(bytes_str(h.alg), key.kind) ? jws_verify(&j, &key) : ERR_INVALID;
	json_decref(h.json);
	return err < 0 ? err : check_claims(claims, rules, now, ret_self, ret_exp);
}
