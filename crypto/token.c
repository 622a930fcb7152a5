/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/token.h"

#include <sodium.h>

#include "crypto/token_text.h"
#include "crypto/verify.h"
#include "wire/cbor.h"

#define HEADER "{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}"

static void expect_key(struct cbor_dec *d, uint64_t key)
{
	if (cbor_get_uint(d) != key)
		cbor_dec_fail(d, ERR_INVALID);
}

static int decode_map(struct bytes map, struct delegation *d)
{
	struct cbor_dec c = cbor_dec_init(map);
	uint64_t until;

	if (cbor_get_map(&c, 6) != 6)
		cbor_dec_fail(&c, ERR_INVALID);
	expect_key(&c, 0);
	if (cbor_get_uint(&c) != DELEGATION_FORMAT)
		cbor_dec_fail(&c, ERR_VERSION);
	expect_key(&c, 1);
	cbor_get_fixed(&c, d->person.b, sizeof d->person.b);
	expect_key(&c, 2);
	cbor_get_fixed(&c, d->device.b, sizeof d->device.b);
	expect_key(&c, 3);
	cbor_get_fixed(&c, d->session.b, sizeof d->session.b);
	expect_key(&c, 4);
	d->aud = cbor_get_text(&c, TOKEN_AUD_MAX);
	expect_key(&c, 5);
	until = cbor_get_uint(&c);
	if (until > INT64_MAX / 2 || !token_text_plain(d->aud))
		cbor_dec_fail(&c, ERR_INVALID);
	d->not_after = (int64_t)until;
	return cbor_dec_end(&c);
}

int delegation_verify(struct bytes blob, struct delegation *ret_d)
{
	struct cbor_dec c = cbor_dec_init(blob);
	uint8_t signature[SIGNATURE_SIZE];
	struct delegation d;
	struct bytes map;
	int err;

	if (blob.len > DELEGATION_MAX)
		return ERR_RANGE;
	if ((err = cbor_check(blob, CBOR_STRICT, 32)) < 0)
		return err;
	if (cbor_get_array(&c, 2) != 2)
		cbor_dec_fail(&c, ERR_INVALID);
	map = cbor_get_raw(&c);
	cbor_get_fixed(&c, signature, sizeof signature);
	if ((err = cbor_dec_end(&c)) < 0)
		return err;
	if ((err = decode_map(map, &d)) < 0)
		return err;
	if ((err = verify_detached(DELEGATION_LABEL, map, signature, &d.device)) < 0)
		return err;
	*ret_d = d;
	return 0;
}

/* The three parts between the dots; `signed_part` is what the signature covers. */
struct parts {
	struct bytes header, claims, signature, signed_part;
};

static int split(struct bytes text, struct parts *ret_p)
{
	const uint8_t *first, *second, *end = text.p + text.len;

	if (text.len == 0 || text.len > TOKEN_MAX)
		return ERR_INVALID;
	first = memchr(text.p, '.', text.len);
	if (!first)
		return ERR_INVALID;
	second = memchr(first + 1, '.', (size_t)(end - first - 1));
	if (!second)
		return ERR_INVALID;
	ret_p->header = bytes_of(text.p, (size_t)(first - text.p));
	ret_p->claims = bytes_of(first + 1, (size_t)(second - first - 1));
	ret_p->signature = bytes_of(second + 1, (size_t)(end - second - 1));
	ret_p->signed_part = bytes_of(text.p, (size_t)(second - text.p));
	return 0;
}

static int check_header(struct bytes text)
{
	uint8_t header[64];
	size_t len;

	if (token_text_get_base64(text, header, sizeof header, &len) < 0)
		return ERR_INVALID;
	return bytes_equal(bytes_of(header, len), bytes_str(HEADER)) ? 0 : ERR_INVALID;
}

/* What the claims say; `aud` and `scope` are views. */
struct said {
	struct id32 person, device, session;
	struct bytes aud, scope;
	int64_t iat, exp;
	uint8_t delegation[DELEGATION_MAX];
	size_t delegation_len;
};

static int read_did(const struct claims *c, const char *name, struct id32 *ret_key)
{
	struct bytes text;

	if (token_text_string(c, name, &text) < 0)
		return ERR_INVALID;
	return id32_parse_did((const char *)text.p, text.len, ret_key);
}

static int read_claims(struct bytes json, struct said *s)
{
	struct claims c;
	struct id32 subject;
	struct bytes dlg;

	if (token_text_claims(json, &c) < 0)
		return ERR_INVALID;
	if (read_did(&c, "iss", &s->person) < 0 || read_did(&c, "sub", &subject) < 0 ||
		read_did(&c, "client_id", &s->device) < 0 || read_did(&c, "cnf", &s->session) < 0)
		return ERR_INVALID;
	if (token_text_string(&c, "aud", &s->aud) < 0 || token_text_string(&c, "scope", &s->scope) < 0 ||
		token_text_string(&c, "dlg", &dlg) < 0)
		return ERR_INVALID;
	if (token_text_number(&c, "iat", &s->iat) < 0 || token_text_number(&c, "exp", &s->exp) < 0)
		return ERR_INVALID;
	if (token_text_get_base64(dlg, s->delegation, sizeof s->delegation, &s->delegation_len) < 0)
		return ERR_INVALID;
	if (!id32_equal(&s->person, &subject) || !bytes_equal(s->scope, bytes_str(TOKEN_SCOPE)))
		return ERR_INVALID;
	return 0;
}

/* JWS signs its ASCII text itself: the label is the text's fixed beginning. */
static int check_signature(const struct parts *p, const struct id32 *key)
{
	uint8_t signature[SIGNATURE_SIZE];
	size_t len;

	if (token_text_get_base64(p->signature, signature, sizeof signature, &len) < 0 || len != sizeof signature)
		return ERR_INVALID;
	return verify_detached("", p->signed_part, signature, key);
}

static int check_times(const struct said *s, const struct delegation *d, int64_t now)
{
	if (s->exp < s->iat || s->exp - s->iat > TOKEN_MAX_LIFE || s->exp > d->not_after)
		return ERR_INVALID;
	if (s->iat > now + TOKEN_SKEW)
		return ERR_STALE;
	if (d->not_after > now + TOKEN_MAX_LIFE + TOKEN_SKEW)
		return ERR_INVALID;
	return s->exp > now ? 0 : ERR_STALE;
}

int token_verify(struct bytes text, const char *aud, int64_t now, struct token *ret_t)
{
	uint8_t json[TOKEN_MAX];
	struct said s;
	struct delegation d;
	struct parts p;
	size_t len;
	int err;

	if (split(text, &p) < 0 || check_header(p.header) < 0)
		return ERR_INVALID;
	if (token_text_get_base64(p.claims, json, sizeof json, &len) < 0 || read_claims(bytes_of(json, len), &s) < 0)
		return ERR_INVALID;
	if (!bytes_equal(s.aud, bytes_str(aud))) /* first, because it costs nothing */
		return ERR_CONTEXT;
	if ((err = check_signature(&p, &s.session)) < 0)
		return err;
	err = delegation_verify(bytes_of(s.delegation, s.delegation_len), &d);
	if (err < 0)
		return err == ERR_SIGNATURE ? ERR_SIGNATURE : ERR_INVALID;
	if (!id32_equal(&d.person, &s.person) || !id32_equal(&d.device, &s.device) ||
		!id32_equal(&d.session, &s.session) || !bytes_equal(d.aud, s.aud))
		return ERR_CONTEXT;
	if ((err = check_times(&s, &d, now)) < 0)
		return err;
	*ret_t = (struct token){ .person = s.person, .device = s.device, .session = s.session, .exp = s.exp };
	return 0;
}
